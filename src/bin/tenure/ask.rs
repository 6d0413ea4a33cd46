//! One question, one answer, from a shell; and a watch.

use std::process;

use anyhow::{Context, Result};
use tenure::Code;
use tenure::client::{ChangeByHand, Client, ClientError};

use crate::Exit;
use crate::args::{Ask, OnCandidate, OnElection, To};
use crate::{detached, hold, output, status, tell};

pub(crate) fn run(ask: &Ask) -> Result<Exit> {
    match ask {
        Ask::Enter(enter) => match enter.session_file() {
            Some(file) => detached::enter(enter, file),
            None => hold::enter(enter),
        },
        Ask::Withdraw(withdraw) => detached::withdraw(withdraw),
        Ask::Anoint { on } => change(on, ChangeByHand::Anoint),
        Ask::Promote { on } => change(on, ChangeByHand::Promote),
        Ask::Demote { on } => change(on, ChangeByHand::Demote),
        Ask::Evict { on } => change(on, ChangeByHand::Evict),
        Ask::Term { on } => term(on),
        Ask::Status(on) => status::status(on),
        Ask::Watch { on } => watch(on),
        Ask::List { on } => tell::list(on),
        Ask::Describe { on } => tell::describe(on),
        Ask::History { on } => tell::history(on),
        Ask::Check { on } => tell::check(on),
        Ask::Sessions { to } => tell::sessions(to),
        Ask::EndSession { on } => tell::end_session(on),
        Ask::Delete { on } => tell::delete(on),
    }
}

pub(crate) fn connect(to: &To) -> Result<Client> {
    Ok(Client::connect(&to.server, to.connect_timeout)?.with_timeout(to.timeout))
}

/// What came of a change. Without an answer, it may have happened all the same.
pub(crate) fn made<T>(change: Result<T, ClientError>) -> Result<T> {
    match change {
        Err(error @ (ClientError::TimedOut { .. } | ClientError::Lost { .. })) => {
            Err(error).context("can't tell whether it was done (`tenure describe` shows what is)")
        }
        done => Ok(done?),
    }
}

/// A change by hand holds nothing that has to be kept alive, so it needs no session: the server makes none
/// for it, and notes that a caller without one made the change.
fn change(on: &OnCandidate, change: ChangeByHand) -> Result<Exit> {
    let OnCandidate { election, candidate, to } = on;
    let client = connect(to)?;
    let state = match client.change(change, election, candidate, None, "") {
        Err(ClientError::Refused { code, message }) if code == Code::NotFound.number() => {
            // Nothing to do, as for the original; whoever mistyped a name wants to know.
            eprintln!("tenure: {message}");
            client.describe(election)?.state
        }
        done => made(done)?,
    };
    output::state(to.output, election, &state)?;
    Ok(Exit::Ok)
}

fn term(on: &OnElection) -> Result<Exit> {
    let state = connect(&on.to)?.describe(&on.election)?.state;
    output::state(on.to.output, &on.election, &state)?;
    Ok(if state.leader.is_some() { Exit::Ok } else { Exit::NobodyLeads })
}

/// Ends when the server ends it, the connection is lost, or nobody reads any more.
fn watch(on: &OnElection) -> Result<Exit> {
    output::when_nobody_reads(|| process::exit(Exit::Ok as i32));
    let client = connect(&on.to)?;
    let mut states = client.observe(&on.election)?;
    let mut shown = None;
    // The first one is an answer; the others come when they come.
    let mut next = states.next_within(on.to.timeout);
    while let Some(state) = next {
        let state = state.map_err(|error| match error {
            ClientError::TimedOut { .. } => {
                ClientError::TimedOut { what: format!("the present state at {}", on.to.server) }
            }
            error => error,
        })?;
        // It also tells when a leader may act, which changes nothing that is shown here.
        let is_new = shown.replace(state.revision) != Some(state.revision);
        if is_new && !output::state(on.to.output, &on.election, &state)? {
            break;
        }
        next = states.next();
    }
    Ok(Exit::Ok)
}
