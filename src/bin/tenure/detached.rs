//! Places that no process holds: `enter --detach`, and `withdraw`.

use std::path::Path;

use anyhow::{Context, Result};
use tenure::Code;
use tenure::client::{Client, ClientError, ElectionState, Held, candidate_id};

use crate::args::{Enter, OnCandidate, Withdraw};
use crate::ask::{connect, made};
use crate::tell::shown;
use crate::{Exit, Failure, key_file, output};

/// Renews the place of `file`; makes both if there is no file and that is asked for.
pub(crate) fn enter(enter: &Enter, file: &Path) -> Result<Exit> {
    let OnCandidate { election, to, .. } = &enter.on;
    let state = match key_file::read(file) {
        Err(key_file::Unusable::Missing) if enter.detach => begin(&connect(to)?, enter, file)?,
        key => {
            let key = key.map_err(|why| why.of(file))?;
            let client = connect(to)?;
            let held = resume(&client, &key, file)?;
            if let Some(asked) = enter.asked_ttl().filter(|asked| *asked != held.ttl()) {
                let (ttl, asked) = (shown(held.ttl()), shown(asked));
                eprintln!("tenure: the place keeps its TTL of {ttl}; {asked} is for a new one");
            }
            // Not entered again: who was evicted meanwhile has lost the place.
            let state = client.describe(election)?.state;
            if !stands(&state, &enter.on.candidate, &held) {
                return Err(gone(&enter.on, file).into());
            }
            state
        }
    };
    output::state(to.output, election, &state)?;
    Ok(Exit::Ok)
}

/// The file comes first: a place that nobody could give up again would be worse than a key to nothing.
fn begin(client: &Client, enter: &Enter, file: &Path) -> Result<ElectionState> {
    let OnCandidate { election, candidate, .. } = &enter.on;
    let held = client.open_session(enter.ttl(), &candidate_id())?;
    if let Err(error) = key_file::create(file, held.key()) {
        // It would end by itself.
        let _closed = held.close();
        return Err(error.into());
    }
    match held.enter(election, candidate) {
        // It may stand: the same command, which renews it, tells.
        lost @ Err(ClientError::TimedOut { .. } | ClientError::Lost { .. }) => {
            made(lost).with_context(|| format!("{} is kept", file.display()))
        }
        Err(error) => {
            let _closed = held.close();
            key_file::remove(file)?;
            Err(error.into())
        }
        Ok(state) => Ok(state),
    }
}

pub(crate) fn withdraw(withdraw: &Withdraw) -> Result<Exit> {
    let (on, file) = (&withdraw.on, &withdraw.session_file);
    let key = key_file::read(file).map_err(|why| why.of(file))?;
    let client = connect(&on.to)?;
    let held = resume(&client, &key, file)?;
    let stood = stands(&client.describe(&on.election)?.state, &on.candidate, &held);
    let state = made(held.withdraw(&on.election, &on.candidate))?;
    if !stood {
        // The session may hold another place, which must not end for a mistyped name.
        return Err(gone(on, file).into());
    }
    // It holds nothing any more, and would end by itself.
    let _closed = held.close();
    key_file::remove(file)?;
    output::state(on.to.output, &on.election, &state)?;
    Ok(Exit::Ok)
}

fn resume<'a>(client: &'a Client, key: &tenure::SessionKey, file: &Path) -> Result<Held<'a>> {
    let over = [Code::FailedPrecondition, Code::NotFound].map(Code::number);
    client.resume_session(key).map_err(|error| match error {
        ClientError::Refused { code, message } if over.contains(&code) => {
            let file = file.display();
            let sentence =
                format!("the place of {file} is lost: {message}; remove {file} to enter anew");
            Failure { exit: Exit::PlaceLost, sentence }.into()
        }
        error => error.into(),
    })
}

fn stands(state: &ElectionState, candidate: &str, held: &Held<'_>) -> bool {
    let mut all = state.leader.iter().chain(&state.candidates);
    all.any(|it| it.name == candidate && it.session == held.session())
}

fn gone(on: &OnCandidate, file: &Path) -> Failure {
    let (candidate, election, file) = (&on.candidate, &on.election, file.display());
    let sentence = format!(
        "{candidate} does not stand in {election} for the session of {file}: somebody removed it, or \
         the file is of another place; remove it to enter anew"
    );
    Failure { exit: Exit::PlaceLost, sentence }
}
