//! One election, from a shell.

use std::process;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use crossbeam::atomic::AtomicCell;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tenure::client::{Client, ClientError, TermView};

use crate::Exit;
use crate::args::{Ask, OnCandidate, OnElection, To};
use crate::{output, tell};

pub(crate) fn run(ask: &Ask) -> Result<Exit> {
    match ask {
        Ask::Enter { on } => enter(on),
        Ask::Anoint { on } => change(on, Client::anoint),
        Ask::Promote { on } => change(on, Client::promote),
        Ask::Demote { on } => change(on, Client::demote),
        Ask::Evict { on } => change(on, Client::evict),
        Ask::Term { on } => term(on),
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
    Ok(Client::connect(&to.server, to.connect_timeout)?)
}

fn change(
    on: &OnCandidate,
    change: fn(&Client, &str, &str) -> Result<TermView, ClientError>,
) -> Result<Exit> {
    let term = change(&connect(&on.to)?, &on.election, &on.candidate)?;
    output::term(on.to.output, &on.election, &term)?;
    Ok(Exit::Ok)
}

fn term(on: &OnElection) -> Result<Exit> {
    let term = connect(&on.to)?.term(&on.election)?;
    output::term(on.to.output, &on.election, &term)?;
    Ok(if term.leader.is_some() { Exit::Ok } else { Exit::NobodyLeads })
}

fn watch(on: &OnElection) -> Result<Exit> {
    let client = connect(&on.to)?;
    // A watch says nothing of an election that has had no leader yet; a person wants to see that.
    let present = client.term(&on.election)?;
    if present.number == 0 {
        output::term(on.to.output, &on.election, &present)?;
    }
    for term in client.watch(&on.election)? {
        output::term(on.to.output, &on.election, &term?)?;
    }
    Ok(Exit::Ok)
}

/// Holds a place until a signal comes.
fn enter(on: &OnCandidate) -> Result<Exit> {
    let client = connect(&on.to)?;
    let interrupted = withdraw_when_interrupted(&client, on)?;
    match hold(&client, on, &interrupted) {
        // The end that it brought about itself.
        Err(_) if interrupted.load() => Ok(Exit::Ok),
        done => done,
    }
}

fn hold(client: &Client, on: &OnCandidate, interrupted: &AtomicCell<bool>) -> Result<Exit> {
    let OnCandidate { election, candidate, to } = on;
    client.enter(election, candidate)?;
    // Opened after the entry, so that each state it shows is from after it: one without the candidate
    // means that somebody removed it.
    for term in client.watch(election)? {
        let term = term?;
        // Withdrawing, which ends with the connection.
        if interrupted.load() {
            continue;
        }
        output::term(to.output, election, &term)?;
        if !term.has(candidate) {
            eprintln!("tenure: {candidate} no longer stands in {election}; somebody removed it");
            return Ok(Exit::PlaceLost);
        }
    }
    eprintln!("tenure: the server ended the watch of {election}");
    Ok(Exit::Unreachable)
}

/// On SIGINT or SIGTERM: withdraws, then closes the connection, which ends the watch. A second one
/// does not wait for the server's answer.
fn withdraw_when_interrupted(client: &Client, on: &OnCandidate) -> Result<Arc<AtomicCell<bool>>> {
    let interrupted = Arc::new(AtomicCell::new(false));
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("can't listen for signals")?;
    let (client, flag) = (client.clone(), interrupted.clone());
    let (election, candidate) = (on.election.clone(), on.candidate.clone());
    thread::spawn(move || {
        let mut signals = signals.forever();
        signals.next();
        flag.store(true);
        thread::spawn(move || {
            if let Err(error) = client.withdraw(&election, &candidate) {
                eprintln!("tenure: could not withdraw: {error}");
            }
            client.close();
        });
        signals.next();
        eprintln!("tenure: ending without the server's answer");
        process::exit(Exit::Unreachable as i32);
    });
    Ok(interrupted)
}
