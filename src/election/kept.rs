//! A term made again of plain values, as a log reads them back.

use std::sync::Arc;

use super::facts::{Change, More, Origin, Reign, Stamp};
use super::past::{Over, Past};
use super::roster::Roster;
use super::{Metadata, Reason, Term};
use crate::id::Holder;

/// One candidate, as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Stands {
    pub(crate) name: Box<str>,
    pub(crate) holder: Holder,
    pub(crate) says: Option<Arc<Metadata>>,
}

/// All that makes a term.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) number: u64,
    pub(crate) revision: u64,
    /// The leader first.
    pub(crate) candidates: Vec<Stands>,
    pub(crate) changed: Change,
    /// What made the leader lead, or the lead vacant; `None` if that was the last change.
    pub(crate) began: Option<Change>,
    /// The reigns that are over, oldest first.
    pub(crate) past: Vec<Reign>,
}

impl Term {
    /// The term of which this was kept.
    pub(crate) fn of(kept: &Kept) -> Term {
        let (changed, note) = stamp(&kept.changed);
        let past = kept.past.iter().fold(None, |past: Option<Past>, reign| {
            let over = Over {
                term: reign.term,
                leader: &reign.leader,
                session: reign.session,
                began: stamp(&reign.began),
                ended: stamp(reign.ended.as_ref().unwrap_or(&kept.changed)),
            };
            Some(Past::after(past.as_ref(), over))
        });
        let began = kept.began.as_ref().map(stamp);
        let more = More::after(None, note, began, past.map(Arc::new).as_ref());
        Term::made_of(kept.number, kept.revision, Roster::listing(&kept.candidates), changed, more)
    }
}

fn stamp(change: &Change) -> (Stamp, &str) {
    let origin = Origin { at: change.at_unix_micros, by: change.by, note: "" };
    (Stamp::new(change.reason, &origin), &change.note)
}

impl Reason {
    /// The number that a log knows it by.
    pub(crate) fn number(self) -> u32 {
        self as u32
    }

    /// The inverse; `None` for one that this version does not know.
    pub(crate) fn of_number(number: u32) -> Option<Self> {
        usize::try_from(number).ok().and_then(|at| Self::ALL.get(at)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_a_number() {
        for reason in Reason::ALL {
            assert_eq!(Reason::of_number(reason.number()), Some(reason));
        }
        assert_eq!(Reason::of_number(Reason::ALL.len() as u32), None);
    }
}
