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

/// The state after `command`, which comes from `origin`. `Ok(None)` is nothing to do: no change, no event, and the present
/// term is the answer. An error has changed nothing.
pub(crate) fn apply(
    now: &Term,
    command: &Command<'_>,
    origin: &Origin<'_>,
    bounds: &Bounds,
) -> Result<Option<Effect>, Error> {
    let step = &Step { now, origin, bounds };
    match *command {
        Command::Enter { candidate, holder, conflict, says, only_if_leads } => {
            if only_if_leads && !now.is_vacant() && !now.is_led_by(candidate) {
                return Ok(None);
            }
            enter(step, candidate, holder, conflict, says)
        }
        Command::Withdraw { candidate, session } => withdraw(step, candidate, session),
        Command::Evict { candidate } => evict(step, candidate),
        Command::Anoint { candidate } => {
            rearrange(step, candidate, Reason::Anointed, |list, at| {
                (at > 0).then(|| list.moved_to_front(at))
            })
        }
        Command::Promote { candidate } => {
            rearrange(step, candidate, Reason::Promoted, |list, at| {
                (at > 0).then(|| list.swapped(at - 1))
            })
        }
        Command::Demote { candidate } => rearrange(step, candidate, Reason::Demoted, |list, at| {
            (at + 1 < list.len()).then(|| list.swapped(at))
        }),
        Command::Leave { session, why } => leave(step, session, why.into()),
        Command::Delete => delete(step),
    }
}

/// One command on its way.
struct Step<'a> {
    now: &'a Term,
    origin: &'a Origin<'a>,
    bounds: &'a Bounds,
}

impl Step<'_> {
    fn to(
        &self,
        next: Roster,
        reason: Reason,
        departed: Departed,
    ) -> Result<Option<Effect>, Error> {
        let term = self.now.followed_by(next, reason, self.origin, self.bounds.floor)?;
        Ok(Some(Effect { term, departed }))
    }
}

fn enter(
    step: &Step<'_>,
    candidate: &str,
    holder: Holder,
    conflict: Conflict,
    says: Option<&Arc<Metadata>>,
) -> Result<Option<Effect>, Error> {
    let list = step.now.roster();
    let Some((place, former)) = list.find(candidate) else {
        check_room(list, candidate, step.bounds)?;
        check_said(list, None, says, step.bounds)?;
        let next = list.pushed(candidate, holder, says);
        return step.to(next, Reason::Entered, Departed::Nobody);
    };
    let said = list.said_at(place.at);
    if former.session == holder.session {
        if says.is_none() || says == said {
            return Ok(None);
        }
        check_said(list, said, says, step.bounds)?;
        return step.to(list.reassigned(place, former, says), Reason::Entered, Departed::Nobody);
    }
    if !conflict.passes_from(former) {
        return Err(Error::CandidateTaken { candidate: candidate.into(), holder: former.session });
    }
    check_said(list, said, says, step.bounds)?;
    let reason = match conflict {
        Conflict::TakeOver => Reason::TakenOver,
        Conflict::Refuse | Conflict::PassFromConnection => Reason::Passed,
    };
    step.to(list.reassigned(place, holder, says), reason, Departed::One(former.session))
}

fn withdraw(
    step: &Step<'_>,
    candidate: &str,
    session: Option<SessionId>,
) -> Result<Option<Effect>, Error> {
    let list = step.now.roster();
    let Some((place, holder)) = list.find(candidate) else { return Ok(None) };
    if session != Some(holder.session) {
        return Err(Error::NotYours { candidate: candidate.into(), holder: holder.session });
    }
    step.to(list.without(place), Reason::Withdrawn, Departed::One(holder.session))
}

fn evict(step: &Step<'_>, candidate: &str) -> Result<Option<Effect>, Error> {
    let list = step.now.roster();
    let Some((place, holder)) = list.find(candidate) else { return Ok(None) };
    step.to(list.without(place), Reason::Evicted, Departed::One(holder.session))
}

/// Nobody comes or goes. `order` gives the new order for a candidate at a place, or `None` where
/// it stands right already.
fn rearrange(
    step: &Step<'_>,
    candidate: &str,
    reason: Reason,
    order: impl FnOnce(&Roster, usize) -> Option<Roster>,
) -> Result<Option<Effect>, Error> {
    let list = step.now.roster();
    let Some(next) = list.position(candidate).and_then(|at| order(list, at)) else {
        return Ok(None);
    };
    step.to(next, reason, Departed::Nobody)
}

fn leave(step: &Step<'_>, session: SessionId, reason: Reason) -> Result<Option<Effect>, Error> {
    if !step.now.holds(session) {
        return Ok(None);
    }
    let next = step.now.roster().without_session(session);
    // What is dead can't be refused its leaving. Where no term is left for the one who would lead
    // next, everyone leaves: an election without a leader is safe, a repeated term is not.
    step.to(next, reason, Departed::One(session))
        .or_else(|_| step.to(Roster::default(), reason, Departed::All))
}

/// An election that is empty but not forgotten is changed too, though its list is not: those who
/// follow the name learn that it starts from the floor next time.
fn delete(step: &Step<'_>) -> Result<Option<Effect>, Error> {
    if step.now.is_forgotten() {
        return Ok(None);
    }
    step.to(Roster::default(), Reason::Deleted, Departed::All)
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
