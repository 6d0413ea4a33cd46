//! What a child does before it becomes a server: it takes its core, and asks to die with its parent, however
//! that ends.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::machine;

/// A command that runs on this core and ends with this thread.
pub fn held(core: usize, program: &Path) -> Result<Command> {
    let itself = std::env::current_exe().context("can't find this program again")?;
    let mut command = Command::new(itself);
    command.arg("hold").arg(core.to_string()).arg(program);
    Ok(command)
}

/// Never returns, but for a failure.
pub fn hold(core: usize, words: &[OsString]) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    machine::pin(core)?;
    let (program, args) = words.split_first().context("nothing to run")?;
    let error = Command::new(program).args(args).exec();
    Err(anyhow!(error).context(format!("can't run {}", program.display())))
}
