//! A command in a process group of its own, which ends before its time is up, and with its parent.
//!
//! The parent's death is seen by the kernel (`PR_SET_PDEATHSIG`), which a process can only ask for itself.
//! So the command is started by way of `tenure guard`: this program again, which asks for that and then
//! becomes the command.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tenure::Clock;

/// How often a command is looked at that is about to end.
const LOOK: Duration = Duration::from_millis(2);

/// A running command.
#[derive(Debug)]
pub(crate) struct Supervised {
    child: Child,
}

impl Supervised {
    /// Starts `command` with these variables added to its environment. It ends when the calling thread
    /// does.
    pub(crate) fn start<'a>(
        command: &[OsString],
        variables: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Result<Self> {
        let itself = std::env::current_exe().context("can't find this program again")?;
        let child = Command::new(itself)
            .arg("guard")
            .arg(std::process::id().to_string())
            .arg("--")
            .args(command)
            .envs(variables)
            .process_group(0)
            .spawn()
            .with_context(|| format!("can't start {}", shown(command)))?;
        Ok(Self { child })
    }

    /// Signals the command and whatever it started in its group.
    pub(crate) fn signal(&self, signal: Signal) {
        // Fails only if all of them have ended, which is for `status` to tell.
        let _gone = kill_process_group(Pid::from_child(&self.child), signal);
    }

    /// How it ended, if it has.
    pub(crate) fn status(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("can't wait for the command")
    }

    /// Asks it to end, now, and kills it after `patience`. All of its group are dead when this returns.
    pub(crate) fn end_within(&mut self, patience: Duration) -> Result<ExitStatus> {
        let clock = Clock::system();
        let deadline = clock.now() + patience;
        self.signal(Signal::TERM);
        let status = loop {
            if let Some(status) = self.status()? {
                break status;
            }
            let left = deadline - clock.now();
            if left.is_zero() {
                self.signal(Signal::KILL);
                break self.child.wait().context("can't wait for the command")?;
            }
            thread::sleep(left.min(LOOK));
        };
        // Those it left behind act on its behalf.
        self.signal(Signal::KILL);
        Ok(status)
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _over = self.child.wait();
    }
}

/// The exit code that tells of `status`: the command's own, or 128 and the number of the signal that
/// ended it, as a shell has it.
pub(crate) fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

/// Becomes `command`, which is killed when `parent` dies. Returns only if that can't be.
pub(crate) fn guard(parent: i32, command: &[OsString]) -> Result<Infallible> {
    end_with_parent()?;
    // It may have died before that was asked for.
    if rustix::process::getppid().map(Pid::as_raw_nonzero).map(i32::from) != Some(parent) {
        bail!("who started this has ended");
    }
    let (program, args) = command.split_first().context("no command is given")?;
    let error = Command::new(program).args(args).exec();
    Err(error).with_context(|| format!("can't run {}", shown(command)))
}

#[cfg(target_os = "linux")]
fn end_with_parent() -> Result<()> {
    let asked = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    asked.context("can't ask to end with the parent")
}

/// Where the kernel has no such thing, an end of the parent by SIGKILL leaves the command alive.
#[cfg(not(target_os = "linux"))]
fn end_with_parent() -> Result<()> {
    Ok(())
}

fn shown(command: &[OsString]) -> String {
    command.first().map(OsString::as_os_str).unwrap_or(OsStr::new("nothing")).display().to_string()
}
