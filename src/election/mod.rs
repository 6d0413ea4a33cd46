//! The rules of an election, as a function from one state to the next.
//!
//! No clock, no lock, no thread, no IO, and no state of its own: [`apply`] takes the present [`Term`]
//! and a [`Command`] and gives the next `Term`, or nothing if there is nothing to do. Each operation
//! is one short function below, in the order of the specification's table.

mod command;
mod effect;
mod roster;
mod term;
#[cfg(test)]
mod tests;

pub(crate) use self::command::{Command, Conflict, Departure};
pub(crate) use self::effect::{Departed, Effect};
pub use self::term::{Reason, Term};

use self::roster::Roster;
use crate::error::Error;
use crate::id::{Holder, SessionId};
use crate::limits::TERM_BOUND;

/// What an election may not exceed, and where a forgotten name starts again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// At least the last term of every deleted election.
    pub(crate) floor: u64,
    pub(crate) candidates: usize,
    pub(crate) candidate_bytes: usize,
}

/// What became of the list: the new one, why, and who left it. `None`: nothing to do.
type Change = Option<(Roster, Reason, Departed)>;

/// Applies one command. `Ok(None)`: nothing to do, no change, no event, and the present term is the
/// answer.
pub(crate) fn apply(
    now: &Term,
    command: &Command<'_>,
    bounds: &Bounds,
) -> Result<Option<Effect>, Error> {
    let list = now.roster();
    let change = match *command {
        Command::Enter { candidate, holder, conflict } => {
            enter(list, candidate, holder, conflict, bounds)?
        }
        Command::Withdraw { candidate, session } => withdraw(list, candidate, session)?,
        Command::Anoint { candidate } => anoint(list, candidate),
        Command::Promote { candidate } => promote(list, candidate),
        Command::Demote { candidate } => demote(list, candidate),
        Command::Evict { candidate } => evict(list, candidate),
        Command::Leave { session, why } => leave(list, session, why),
        Command::Delete => delete(now),
    };
    let Some((list, reason, departed)) = change else { return Ok(None) };
    let number = number_after(now, &list, bounds);
    if number >= TERM_BOUND {
        return at_the_bound(now, command);
    }
    Ok(Some(Effect { term: now.followed_by(number, list, reason), departed }))
}

/// The term rises by one when someone leads who did not: another candidate, the first one, or the
/// same candidate in another session's hands. A forgotten name starts from the floor.
fn number_after(now: &Term, list: &Roster, bounds: &Bounds) -> u64 {
    let led = (now.leader(), now.leading_holder().map(|holder| holder.session));
    let leads = (list.name(0), list.holder(0).map(|holder| holder.session));
    if leads == led || list.is_empty() {
        return now.number();
    }
    let from = if now.is_forgotten() { now.number().max(bounds.floor) } else { now.number() };
    from + 1
}

/// At the last term nobody new can lead. What only takes candidates away must still happen, so the
/// whole list leaves rather than that a leader of the past keeps its place.
fn at_the_bound(now: &Term, command: &Command<'_>) -> Result<Option<Effect>, Error> {
    match command {
        Command::Leave { why, .. } => {
            let term = now.followed_by(now.number(), Roster::default(), reason_of(*why));
            Ok(Some(Effect { term, departed: Departed::All }))
        }
        _ => Err(Error::TermExhausted),
    }
}

fn enter(
    list: &Roster,
    candidate: &str,
    holder: Holder,
    conflict: Conflict,
    bounds: &Bounds,
) -> Result<Change, Error> {
    let Some(at) = list.position(candidate) else {
        check_room(list, candidate, bounds)?;
        return Ok(Some((list.pushed(candidate, holder), Reason::Entered, Departed::Nobody)));
    };
    let Some(other) = list.holder(at).filter(|other| other.session != holder.session) else {
        return Ok(None);
    };
    let passes = match conflict {
        Conflict::Refuse => false,
        Conflict::PassFromConnection => other.kind == crate::id::SessionKind::Connection,
        Conflict::TakeOver => true,
    };
    if !passes {
        let candidate = candidate.into();
        return Err(Error::CandidateTaken { candidate, holder: other.session });
    }
    Ok(Some((list.reassigned(at, holder), Reason::TakenOver, Departed::One(other.session))))
}

fn withdraw(list: &Roster, candidate: &str, session: SessionId) -> Result<Change, Error> {
    let Some((at, holder)) = find(list, candidate) else { return Ok(None) };
    if holder.session != session {
        return Err(Error::NotYours { candidate: candidate.into(), holder: holder.session });
    }
    Ok(Some((list.without(at), Reason::Withdrew, Departed::One(session))))
}

fn anoint(list: &Roster, candidate: &str) -> Change {
    let at = list.position(candidate).filter(|&at| at > 0)?;
    Some((list.moved_to_head(at), Reason::Anointed, Departed::Nobody))
}

fn promote(list: &Roster, candidate: &str) -> Change {
    let before = list.position(candidate)?.checked_sub(1)?;
    Some((list.swapped_with_next(before), Reason::Promoted, Departed::Nobody))
}

fn demote(list: &Roster, candidate: &str) -> Change {
    let at = list.position(candidate).filter(|&at| at + 1 < list.len())?;
    Some((list.swapped_with_next(at), Reason::Demoted, Departed::Nobody))
}

fn evict(list: &Roster, candidate: &str) -> Change {
    let (at, holder) = find(list, candidate)?;
    Some((list.without(at), Reason::Evicted, Departed::One(holder.session)))
}

fn leave(list: &Roster, session: SessionId, why: Departure) -> Change {
    list.sessions().find(|&holder| holder == session)?;
    Some((list.without_session(session), reason_of(why), Departed::One(session)))
}

/// Also an election that nobody stands in can be deleted: its term is what is forgotten.
fn delete(now: &Term) -> Change {
    (!now.is_forgotten()).then(|| (Roster::default(), Reason::Deleted, Departed::All))
}

fn reason_of(why: Departure) -> Reason {
    match why {
        Departure::SessionEnded => Reason::SessionEnded,
        Departure::Closed => Reason::Closed,
    }
}

fn find(list: &Roster, candidate: &str) -> Option<(usize, Holder)> {
    let at = list.position(candidate)?;
    list.holder(at).map(|holder| (at, holder))
}

fn check_room(list: &Roster, candidate: &str, bounds: &Bounds) -> Result<(), Error> {
    let full = |limit, max: usize| {
        let advice = "withdraw or evict candidates that no longer stand, or raise the limit";
        Err(Error::LimitReached { limit, max: max as u64, advice })
    };
    if list.len() >= bounds.candidates {
        return full("candidates", bounds.candidates);
    }
    if list.name_bytes() + candidate.len() > bounds.candidate_bytes {
        return full("candidate_bytes", bounds.candidate_bytes);
    }
    Ok(())
}
