//! The rules of an election.
//!
//! There is no clock here, no lock, no thread and no IO; no session is looked up, nothing is kept,
//! logged or announced. A [`Term`] is an immutable value: [`apply`] takes the present one and a
//! [`Command`], and gives the next one, or nothing where there is nothing to do. Whoever calls it
//! knows that the session lives, keeps the terms, and tells the world.

mod command;
mod effect;
mod facts;
#[cfg(test)]
mod model;
mod roster;
mod term;
#[cfg(test)]
mod tests;

pub(crate) use self::command::{Bounds, Command, Conflict, Departure};
pub(crate) use self::effect::{Departed, Effect};
pub(crate) use self::facts::Origin;
pub use self::facts::{Change, Metadata, Reign};
pub use self::term::{Reason, Term, Verdict};

use self::roster::Roster;
use crate::error::Error;
use crate::id::{Holder, SessionId};

/// The state after `command`. `Ok(None)` is nothing to do: no change, no event, and the present
/// term is the answer. An error has changed nothing.
pub(crate) fn apply(
    now: &Term,
    command: &Command<'_>,
    bounds: &Bounds,
) -> Result<Option<Effect>, Error> {
    match *command {
        Command::Enter { candidate, holder, conflict } => {
            enter(now, candidate, holder, conflict, bounds)
        }
        Command::Withdraw { candidate, session } => withdraw(now, candidate, session, bounds),
        Command::Evict { candidate } => evict(now, candidate, bounds),
        Command::Anoint { candidate } => {
            rearrange(now, candidate, Reason::Anointed, bounds, |list, at| {
                (at > 0).then(|| list.moved_to_front(at))
            })
        }
        Command::Promote { candidate } => {
            rearrange(now, candidate, Reason::Promoted, bounds, |list, at| {
                (at > 0).then(|| list.swapped(at - 1))
            })
        }
        Command::Demote { candidate } => {
            rearrange(now, candidate, Reason::Demoted, bounds, |list, at| {
                (at + 1 < list.len()).then(|| list.swapped(at))
            })
        }
        Command::Leave { session, why } => leave(now, session, why.into(), bounds),
        Command::Delete => delete(now, bounds),
    }
}

fn enter(
    now: &Term,
    candidate: &str,
    holder: Holder,
    conflict: Conflict,
    bounds: &Bounds,
) -> Result<Option<Effect>, Error> {
    let list = now.roster();
    let Some((at, former)) = list.find(candidate) else {
        check_room(list, candidate, bounds)?;
        let next = list.pushed(candidate, holder);
        return change(now, next, Reason::Entered, Departed::Nobody, bounds);
    };
    if former.session == holder.session {
        return Ok(None);
    }
    if !conflict.passes_from(former) {
        return Err(Error::CandidateTaken { candidate: candidate.into(), holder: former.session });
    }
    let next = list.reassigned(at, holder);
    let reason = match conflict {
        Conflict::TakeOver => Reason::TakenOver,
        Conflict::Refuse | Conflict::PassFromConnection => Reason::Passed,
    };
    change(now, next, reason, Departed::One(former.session), bounds)
}

fn withdraw(
    now: &Term,
    candidate: &str,
    session: SessionId,
    bounds: &Bounds,
) -> Result<Option<Effect>, Error> {
    let Some((at, holder)) = now.roster().find(candidate) else { return Ok(None) };
    if holder.session != session {
        return Err(Error::NotYours { candidate: candidate.into(), holder: holder.session });
    }
    let next = now.roster().without(at);
    change(now, next, Reason::Withdrawn, Departed::One(session), bounds)
}

fn evict(now: &Term, candidate: &str, bounds: &Bounds) -> Result<Option<Effect>, Error> {
    let Some((at, holder)) = now.roster().find(candidate) else { return Ok(None) };
    let next = now.roster().without(at);
    change(now, next, Reason::Evicted, Departed::One(holder.session), bounds)
}

/// Nobody comes or goes. `order` gives the new order for a candidate at a place, or `None` where
/// it stands right already.
fn rearrange(
    now: &Term,
    candidate: &str,
    reason: Reason,
    bounds: &Bounds,
    order: impl FnOnce(&Roster, usize) -> Option<Roster>,
) -> Result<Option<Effect>, Error> {
    let list = now.roster();
    let Some(next) = list.position(candidate).and_then(|at| order(list, at)) else {
        return Ok(None);
    };
    change(now, next, reason, Departed::Nobody, bounds)
}

fn leave(
    now: &Term,
    session: SessionId,
    reason: Reason,
    bounds: &Bounds,
) -> Result<Option<Effect>, Error> {
    if !now.holds(session) {
        return Ok(None);
    }
    let next = now.roster().without_session(session);
    // What is dead can't be refused its leaving. Where no term is left for the one who would lead
    // next, everyone leaves: an election without a leader is safe, a repeated term is not.
    change(now, next, reason, Departed::One(session), bounds)
        .or_else(|_| change(now, Roster::default(), reason, Departed::All, bounds))
}

/// An election that is empty but not forgotten is changed too, though its list is not: those who
/// follow the name learn that it starts from the floor next time.
fn delete(now: &Term, bounds: &Bounds) -> Result<Option<Effect>, Error> {
    if now.is_forgotten() {
        return Ok(None);
    }
    change(now, Roster::default(), Reason::Deleted, Departed::All, bounds)
}

fn change(
    now: &Term,
    next: Roster,
    reason: Reason,
    departed: Departed,
    bounds: &Bounds,
) -> Result<Option<Effect>, Error> {
    let term = now.followed_by(next, reason, bounds.floor)?;
    Ok(Some(Effect { term, departed }))
}

fn check_room(list: &Roster, candidate: &str, bounds: &Bounds) -> Result<(), Error> {
    let full = |limit, max, advice| Error::LimitReached { limit, max: max as u64, advice };
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
