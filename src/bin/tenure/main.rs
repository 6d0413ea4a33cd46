//! The `tenure` command: a server, and the things one does to an election from a shell.

mod args;
mod ask;
mod bench;
mod config;
mod demo;
mod detached;
mod hold;
mod key_file;
mod listeners;
mod log;
mod manual;
mod notify;
mod output;
mod run;
mod serve;
mod signals;
mod status;
mod storage;
mod supervise;
mod tell;

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use tenure::Code;
use tenure::client::{ClientError, Lost};

use args::{Args, Command};

/// How the process ends. Documented in `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Exit {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    NobodyLeads = 3,
    Stale = 4,
    UnknownTerm = 5,
    Unreachable = 6,
    PlaceLost = 7,
    SessionFile = 8,
    InternalFault = 70,
    Storage = 74,
}

fn main() -> ExitCode {
    let args = Args::read();
    let done = match args.command {
        // What it was told is not all: the rest is in variables and a file.
        Command::Serve(_) => serve::run().map(|()| Exit::Ok),
        Command::Ask(ask) => ask::run(&ask),
        Command::Backup(backup) => storage::backup(&backup),
        Command::Restore(restore) => storage::restore(&restore),
        Command::Inspect(inspect) => storage::inspect(&inspect),
        Command::Run(run) => return run::run(&run),
        Command::Demo => demo::run().map(|()| Exit::Ok),
        Command::Completions { shell } => manual::completions(shell).map(|()| Exit::Ok),
        Command::Man { of } => manual::man(of.as_deref()).map(|()| Exit::Ok),
        Command::Bench(bench) => bench::run(&bench),
        Command::BenchCandidate { address, election, name, ttl_millis, failover } => {
            bench::candidate(&address, &election, &name, ttl_millis, failover).map(|()| Exit::Ok)
        }
        Command::Guard { parent, command } => {
            let Err(error) = supervise::guard(parent, &command);
            eprintln!("tenure: {error:#}");
            return ExitCode::from(run::NOT_STARTED);
        }
        Command::DemoCandidate { address, election, name, ttl_millis, failover } => {
            demo::candidate(&address, &election, &name, ttl_millis, failover).map(|()| Exit::Ok)
        }
    };
    let exit = done.unwrap_or_else(|error| {
        eprintln!("tenure: {error:#}");
        exit_for(&error)
    });
    ExitCode::from(exit as u8)
}

/// A failure with an exit code of its own.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    sentence: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl Error for Failure {}

/// True if the server may be asked again: it could not be reached, does not answer, or drains.
fn is_unreachable(error: &anyhow::Error) -> bool {
    match error.downcast_ref() {
        Some(
            ClientError::Unreachable { .. }
            | ClientError::Lost { .. }
            | ClientError::TimedOut { .. },
        ) => true,
        Some(ClientError::Refused { code, .. }) => *code == Code::Unavailable.number(),
        _ => false,
    }
}

fn exit_for(error: &anyhow::Error) -> Exit {
    if is_unreachable(error) {
        return Exit::Unreachable;
    }
    if let Some(tenure::Error::Storage { .. } | tenure::Error::StorageFull { .. }) =
        error.downcast_ref()
    {
        return Exit::Storage;
    }
    match error.downcast_ref() {
        // The server said so itself.
        Some(ClientError::SessionLost(Lost::Session { .. }) | ClientError::NotStanding { .. }) => {
            Exit::PlaceLost
        }
        Some(ClientError::SessionLost(_)) => Exit::Unreachable,
        _ => error.downcast_ref().map_or(Exit::Failed, |failure: &Failure| failure.exit),
    }
}
