//! A term as plain values: what a log keeps of it, and how it is made again of that.

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
    /// What a log keeps of it.
    pub(crate) fn kept(&self) -> Kept {
        let roster = self.roster();
        let stands = |(at, (name, holder)): (usize, (&str, Holder))| Stands {
            name: name.into(),
            holder,
            says: roster.said_at(at).cloned(),
        };
        let mut past: Vec<_> = self.history().filter(|reign| reign.ended.is_some()).collect();
        past.reverse();
        Kept {
            number: self.number(),
            revision: self.revision(),
            candidates: roster.iter().enumerate().map(stands).collect(),
            changed: self.change(),
            began: self.began_earlier(),
            past,
        }
    }

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
        let more = More::after(None, note, began, past.map(Arc::new));
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
    use crate::election::{Bounds, Command, Conflict, apply};
    use crate::id::{SessionId, SessionKind};
    use crate::limits::Limits;

    fn bounds() -> Bounds {
        let limits = Limits::DEFAULT;
        Bounds {
            floor: 0,
            candidates: limits.candidates,
            candidate_bytes: limits.candidate_bytes,
            said_bytes: limits.election_metadata_bytes,
        }
    }

    fn holder(number: u64) -> Holder {
        Holder { session: SessionId::new(number).unwrap(), kind: SessionKind::Exclusive }
    }

    /// After each of many changes: what is kept makes the same term again, in all that it tells.
    #[test]
    fn a_term_is_made_again_of_what_is_kept_of_it() {
        let says = Arc::new(Metadata::new("host:1", [("zone", "a")]).unwrap());
        let mut term = Term::unknown();
        for step in 0..200u64 {
            let names = ["ä", "b", "candidate-3", "d"];
            let candidate = names[(step * 7 % 4) as usize];
            let command = match step * 5 % 7 {
                0..=2 => Command::Enter {
                    candidate,
                    holder: holder(1 + step % 3),
                    conflict: Conflict::TakeOver,
                    says: (step % 2 == 0).then_some(&says),
                    only_if_leads: false,
                },
                3 => Command::Anoint { candidate },
                4 => Command::Demote { candidate },
                5 => Command::Promote { candidate },
                _ => Command::Evict { candidate },
            };
            let note = if step % 3 == 0 { "because ß" } else { "" };
            let origin = Origin { at: 1_000 + step, by: SessionId::new(step), note };
            let Some(effect) = apply(&term, &command, &origin, &bounds()).unwrap() else {
                continue;
            };
            term = effect.term;
            let again = Term::of(&term.kept());
            assert_eq!(format!("{again:?} {again}"), format!("{term:?} {term}"));
            assert_eq!(again.change(), term.change());
            assert_eq!(again.since(), term.since());
            assert!(again.history().eq(term.history()), "{:?}", term.kept());
            for name in names {
                assert_eq!(again.metadata_of(name), term.metadata_of(name));
                assert_eq!(again.holder_of(name), term.holder_of(name));
            }
        }
        assert!(term.history().count() > 16 && term.number() > 20, "{term}");
    }

    #[test]
    fn a_reason_has_a_number() {
        for reason in Reason::ALL {
            assert_eq!(Reason::of_number(reason.number()), Some(reason));
        }
        assert_eq!(Reason::of_number(Reason::ALL.len() as u32), None);
    }
}
