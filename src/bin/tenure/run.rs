//! `tenure run`: a command that runs only while it leads.

use std::ops::ControlFlow;
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use crossbeam::atomic::AtomicCell;
use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use tenure::Clock;
use tenure::client::{Contender, EnterOptions, Options, Work, candidate_id};

use crate::args::Run;
use crate::signals;
use crate::supervise::{Supervised, exit_code};

/// Exit codes of its own; any other is the command's.
pub(crate) const LEAD_LOST: u8 = 64;
pub(crate) const NOT_WON: u8 = 65;
pub(crate) const NOT_STARTED: u8 = 66;
pub(crate) const REFUSED: u8 = 69;

/// How often the command and its lead are looked at.
const LOOK: Duration = Duration::from_millis(10);

/// What signals asked for.
#[derive(Clone, Default)]
struct Asked {
    /// The last signal that is to be passed on; 0 for none.
    pending: Arc<AtomicCell<i32>>,
    /// The one that asked for an end; 0 for none.
    end: Arc<AtomicCell<i32>>,
    /// Not to contend any more.
    stop: Arc<AtomicCell<bool>>,
    /// The command runs.
    runs: Arc<AtomicCell<bool>>,
}

pub(crate) fn run(run: &Run) -> ExitCode {
    match lead(run) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("tenure: {error:#}");
            ExitCode::from(REFUSED)
        }
    }
}

fn lead(run: &Run) -> Result<u8> {
    let asked = Asked::default();
    listen(&asked)?;
    let candidate = run.candidate.clone().unwrap_or_else(candidate_id);
    let contender = Contender {
        address: run.to.server.clone(),
        options: Options {
            ttl: run.ttl,
            on_disconnect: run.failover.into(),
            owner: candidate.clone(),
            patience: run.to.patience(),
        },
        enter: EnterOptions::default(),
        election: run.election.clone(),
        candidate,
    };
    let waited_out = wait_no_longer(run.wait, &asked);
    let done = contender.run_until(&asked.stop, |work| {
        asked.runs.store(true);
        let done = once(run, work, &asked.pending);
        asked.runs.store(false);
        match done {
            Ok(Ended::Itself(code)) if run.restart && asked.end.load() == 0 => {
                eprintln!("tenure: the command ended with {code}; it is started again");
                ControlFlow::Continue(())
            }
            Ok(Ended::Itself(code)) => ControlFlow::Break(Ok(code)),
            Ok(Ended::LeadLost(why)) if run.once || asked.end.load() != 0 => {
                eprintln!("tenure: the lead is lost: {why}");
                ControlFlow::Break(Ok(LEAD_LOST))
            }
            Ok(Ended::LeadLost(why)) => {
                eprintln!("tenure: the lead is lost: {why}; contending again");
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(Err(error)),
        }
    })?;
    match done {
        Some(Ok(code)) => Ok(code),
        Some(Err(error)) => {
            eprintln!("tenure: {error:#}");
            Ok(NOT_STARTED)
        }
        None if waited_out.load() => {
            eprintln!("tenure: not won within {:?}", run.wait.unwrap_or_default());
            Ok(NOT_WON)
        }
        None => Ok(128 + asked.end.load() as u8),
    }
}

/// How a run of the command came to its end.
enum Ended {
    Itself(u8),
    LeadLost(String),
}

/// Runs the command for as long as `work` is not cancelled.
fn once(run: &Run, work: &Work<'_>, pending: &AtomicCell<i32>) -> Result<Ended> {
    let leads = work.leadership();
    let variables = [
        ("TENURE_TERM", work.term().to_string()),
        ("TENURE_ELECTION", run.election.clone()),
        ("TENURE_CANDIDATE", leads.candidate().to_owned()),
    ];
    let mut command = Supervised::start(&run.command, variables)?;
    loop {
        if let Some(status) = command.status()? {
            return Ok(Ended::Itself(exit_code(status)));
        }
        if leads.lost().is_some() || work.is_cancelled() {
            let why = leads
                .lost()
                .map_or_else(|| "the server can't be reached".to_owned(), |lost| lost.to_string());
            // Half of what remains to end by itself; it is dead before the rest has passed. A term that
            // was taken by force leaves no time: its successor waits for this.
            command.end_within((leads.remaining() / 2).min(run.ttl / 4))?;
            return Ok(Ended::LeadLost(why));
        }
        if let Some(signal) = Signal::from_named_raw(pending.swap(0)) {
            command.signal(signal);
        }
        work.wait_cancelled(LOOK);
    }
}

/// Notes signals for the loop above; before the command runs, one that ends stops the contending.
fn listen(asked: &Asked) -> Result<()> {
    let all = [SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2];
    let mut signals = signals::listen(&all)?;
    let asked = asked.clone();
    thread::spawn(move || {
        for signal in signals.forever() {
            asked.pending.store(signal);
            if [SIGINT, SIGTERM, SIGQUIT, SIGHUP].contains(&signal) {
                asked.end.store(signal);
                if !asked.runs.load() && asked.stop.swap(true) {
                    // Asked twice: without waiting for the server.
                    process::exit(128 + signal);
                }
            }
        }
    });
    Ok(())
}

/// Gives up if the lead is not won in time.
fn wait_no_longer(wait: Option<Duration>, asked: &Asked) -> Arc<AtomicCell<bool>> {
    let waited_out = Arc::new(AtomicCell::new(false));
    if let Some(wait) = wait {
        let (asked, out) = (asked.clone(), waited_out.clone());
        thread::spawn(move || {
            let clock = Clock::system();
            let end = clock.now() + wait;
            while clock.now() < end {
                if asked.runs.load() {
                    // Won: from here on there is no limit.
                    return;
                }
                thread::sleep(LOOK.min(end - clock.now()));
            }
            if !asked.runs.load() {
                out.store(true);
                asked.stop.store(true);
            }
        });
    }
    waited_out
}
