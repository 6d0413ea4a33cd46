//! The `tenure` command: a server, and the things one does to an election from a shell.

mod args;
mod ask;
mod demo;
mod log;
mod output;
mod run;
mod serve;
mod supervise;
mod tell;

use std::process::ExitCode;

use tenure::Code;

use args::{Args, Command};

/// How the process ends. Documented in `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Exit {
    Ok = 0,
    Failed = 1,
    NobodyLeads = 3,
    Stale = 4,
    UnknownTerm = 5,
    Unreachable = 6,
    PlaceLost = 7,
    InternalFault = 70,
    Storage = 74,
}

fn main() -> ExitCode {
    let args = Args::read();
    let done = match args.command {
        Command::Serve(serve) => serve::run(&serve).map(|()| Exit::Ok),
        Command::Ask(ask) => ask::run(&ask),
        Command::Run(run) => return run::run(&run),
        Command::Demo => demo::run().map(|()| Exit::Ok),
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

/// A server that could not be reached, or that drains, may be asked again; one that refused may not.
fn exit_for(error: &anyhow::Error) -> Exit {
    use tenure::client::ClientError;
    if let Some(tenure::Error::Storage { .. } | tenure::Error::StorageFull { .. }) =
        error.downcast_ref()
    {
        return Exit::Storage;
    }
    match error.downcast_ref() {
        Some(ClientError::Unreachable { .. } | ClientError::Lost { .. }) => Exit::Unreachable,
        Some(ClientError::Refused { code, .. }) if *code == Code::Unavailable.number() => {
            Exit::Unreachable
        }
        _ => Exit::Failed,
    }
}
