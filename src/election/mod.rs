//! The rules of an election.
//!
//! There is no clock here, no lock, no thread and no IO; no session is looked up, nothing is kept,
//! logged or announced. A [`Term`] is an immutable value: [`apply`] takes the present one and a
//! [`Command`], and gives the next one, or nothing where there is nothing to do. Whoever calls it
//! knows that the session lives, keeps the terms, and tells the world.

mod command;
mod effect;
mod facts;
mod kept;
mod metadata;
#[cfg(test)]
mod model;
mod past;
mod reason;
mod roster;
mod term;
#[cfg(test)]
mod tests;

pub(crate) use self::command::{Bounds, Command, Conflict, Departure};
pub(crate) use self::effect::{Departed, Effect};
pub use self::facts::{Change, Reign};
pub(crate) use self::facts::{Origin, ReignRef};
pub(crate) use self::kept::{Kept, Stands};
pub use self::metadata::Metadata;
pub use self::reason::{Reason, Verdict};
pub use self::term::Term;

use std::sync::Arc;

use self::roster::Roster;
use crate::error::Error;
use crate::id::{Holder, SessionId};

/// The state after `command`, which comes from `origin`. `Ok(None)` is nothing to do: no change, no event,
/// and the present term is the answer. An error has changed nothing.
pub(crate) fn apply(
    now: &Term,
    command: &Command<'_>,
    origin: &Origin<'_>,
    bounds: &Bounds,
) -> Result<Option<Effect>, Error> {
    let Some(Next { mut list, reason, mut departed }) = next(now, command, bounds)? else {
        return Ok(None);
    };
    let number = match now.number_with(&list, bounds.floor) {
        Ok(number) => number,
        // What is dead can't be refused its leaving. Where no term is left for the one who would lead
        // next, everyone leaves: an election without a leader is safe, a repeated term is not.
        Err(_) if matches!(command, Command::Leave { .. }) => {
            (list, departed) = (Roster::default(), Departed::All);
            now.number()
        }
        Err(error) => return Err(error),
    };
    Ok(Some(Effect { term: now.followed_by(list, number, reason, origin), departed }))
}

/// What a command makes of a list.
struct Next {
    list: Roster,
    reason: Reason,
    departed: Departed,
}

/// What each command does, or `Ok(None)` where there is nothing to do.
fn next(now: &Term, command: &Command<'_>, bounds: &Bounds) -> Result<Option<Next>, Error> {
    let list = now.roster();
    match *command {
        Command::Enter { candidate, holder, conflict, says, only_if_leads } => {
            if only_if_leads && !now.is_vacant() && !now.is_led_by(candidate) {
                return Ok(None);
            }
            enter(list, candidate, holder, conflict, says, bounds)
        }
        Command::Withdraw { candidate, session } => withdraw(list, candidate, session),
        Command::Evict { candidate } => Ok(evict(list, candidate)),
        Command::Anoint { candidate } => Ok(rearrange(list, candidate, Reason::Anointed, |at| {
            (at > 0).then(|| list.moved_to_front(at))
        })),
        Command::Promote { candidate } => Ok(rearrange(list, candidate, Reason::Promoted, |at| {
            (at > 0).then(|| list.swapped(at - 1))
        })),
        Command::Demote { candidate } => Ok(rearrange(list, candidate, Reason::Demoted, |at| {
            (at + 1 < list.len()).then(|| list.swapped(at))
        })),
        Command::Leave { session, why } => Ok(leave(list, session, why.into())),
        Command::Delete => Ok(delete(now)),
    }
}

fn enter(
    list: &Roster,
    candidate: &str,
    holder: Holder,
    conflict: Conflict,
    says: Option<&Arc<Metadata>>,
    bounds: &Bounds,
) -> Result<Option<Next>, Error> {
    let (reason, departed) = (Reason::Entered, Departed::Nobody);
    let Some((place, former)) = list.find(candidate) else {
        check_room(list, candidate, bounds)?;
        check_said(list, None, says, bounds)?;
        let list = list.pushed(candidate, holder, says);
        return Ok(Some(Next { list, reason, departed }));
    };
    let said = list.said_at(place.at);
    if former.session == holder.session {
        if says.is_none() || says == said {
            return Ok(None);
        }
        check_said(list, said, says, bounds)?;
        let list = list.reassigned(place, former, says);
        return Ok(Some(Next { list, reason, departed }));
    }
    if !conflict.passes_from(former) {
        return Err(Error::CandidateTaken { candidate: candidate.into(), holder: former.session });
    }
    check_said(list, said, says, bounds)?;
    let reason = match conflict {
        Conflict::TakeOver => Reason::TakenOver,
        Conflict::Refuse | Conflict::PassFromConnection => Reason::Passed,
    };
    let (list, departed) = (list.reassigned(place, holder, says), Departed::One(former.session));
    Ok(Some(Next { list, reason, departed }))
}

fn withdraw(
    list: &Roster,
    candidate: &str,
    session: Option<SessionId>,
) -> Result<Option<Next>, Error> {
    let Some((place, holder)) = list.find(candidate) else { return Ok(None) };
    if session != Some(holder.session) {
        return Err(Error::NotYours { candidate: candidate.into(), holder: holder.session });
    }
    let (list, departed) = (list.without(place), Departed::One(holder.session));
    Ok(Some(Next { list, reason: Reason::Withdrawn, departed }))
}

fn evict(list: &Roster, candidate: &str) -> Option<Next> {
    let (place, holder) = list.find(candidate)?;
    let (list, departed) = (list.without(place), Departed::One(holder.session));
    Some(Next { list, reason: Reason::Evicted, departed })
}

/// Nobody comes or goes. `order` gives the new order for a candidate at a place, or `None` where
/// it stands right already.
fn rearrange(
    list: &Roster,
    candidate: &str,
    reason: Reason,
    order: impl FnOnce(usize) -> Option<Roster>,
) -> Option<Next> {
    let list = list.position(candidate).and_then(order)?;
    Some(Next { list, reason, departed: Departed::Nobody })
}

fn leave(list: &Roster, session: SessionId, reason: Reason) -> Option<Next> {
    let departed = Departed::One(session);
    list.holds(session).then(|| Next { list: list.without_session(session), reason, departed })
}

/// An election that is empty but not forgotten is changed too, though its list is not: those who
/// follow the name learn that it starts from the floor next time.
fn delete(now: &Term) -> Option<Next> {
    let (list, reason, departed) = (Roster::default(), Reason::Deleted, Departed::All);
    (!now.is_forgotten()).then_some(Next { list, reason, departed })
}

fn check_room(list: &Roster, candidate: &str, bounds: &Bounds) -> Result<(), Error> {
    if list.len() >= bounds.candidates {
        let advice = "wait until a candidate leaves, evict one, or raise the limit";
        return Err(full("candidates", bounds.candidates, advice));
    }
    let max = bounds.candidate_bytes.min(Roster::NAME_BYTES);
    if candidate.len() > max.saturating_sub(list.name_bytes()) {
        let advice = "use shorter names, evict a candidate, or raise the limit";
        return Err(full("candidate_bytes", max, advice));
    }
    Ok(())
}

/// Whether there is room for one who says this, instead of what was `said` in its place.
fn check_said(
    list: &Roster,
    said: Option<&Arc<Metadata>>,
    says: Option<&Arc<Metadata>>,
    bounds: &Bounds,
) -> Result<(), Error> {
    let Some(says) = says else { return Ok(()) };
    let others: usize = list.said().iter().map(|other| other.bytes()).sum();
    let others = others - said.map_or(0, |said| said.bytes());
    if says.bytes() > bounds.said_bytes.saturating_sub(others) {
        let advice = "say less of the candidates, evict one, or raise the limit";
        return Err(full("election_metadata_bytes", bounds.said_bytes, advice));
    }
    Ok(())
}

fn full(limit: &'static str, max: usize, advice: &'static str) -> Error {
    Error::LimitReached { limit, max: max as u64, advice }
}
