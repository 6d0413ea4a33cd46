//! What a term tells beyond its list: who made the last change, when and why, since when the leader
//! leads, and who led before.
//!
//! Time and names come in as values. There may be a million elections, so each keeps the last change in
//! two words, and a pointer to what not all of them have.

use std::sync::Arc;

use super::Reason;
use super::past::Past;
use crate::id::SessionId;

/// Where a change comes from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Origin<'a> {
    /// Microseconds since the Unix epoch.
    pub(crate) at: u64,
    /// The session that made it, if one did.
    pub(crate) by: Option<SessionId>,
    /// In its maker's words; may be empty.
    pub(crate) note: &'a str,
}

/// One change, as a term or the history tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// What kind of change it was.
    pub reason: Reason,
    /// The session that made it; `None` if the server did, or a caller without one.
    pub by: Option<SessionId>,
    /// Why, in the words of who made it; may be empty.
    pub note: Box<str>,
    /// When, in microseconds since the Unix epoch.
    pub at_unix_micros: u64,
}

/// The same, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChangeRef<'a> {
    pub(crate) reason: Reason,
    pub(crate) by: Option<SessionId>,
    pub(crate) note: &'a str,
    pub(crate) at: u64,
}

impl ChangeRef<'_> {
    pub(crate) fn to_owned(self) -> Change {
        let ChangeRef { reason, by, note, at } = self;
        Change { reason, by, note: note.into(), at_unix_micros: at }
    }
}

/// One leader's time that is over, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReignRef<'a> {
    pub(crate) term: u64,
    pub(crate) leader: &'a str,
    pub(crate) session: SessionId,
    pub(crate) began: ChangeRef<'a>,
    pub(crate) ended: ChangeRef<'a>,
}

/// One leader's time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reign {
    /// The term.
    pub term: u64,
    /// Who led.
    pub leader: Box<str>,
    /// The session that held the leader.
    pub session: SessionId,
    /// How it came to lead.
    pub began: Change,
    /// How it ended; `None` while it lasts.
    pub ended: Option<Change>,
}

/// A change without its note. The reason is the low byte of the time's word: 56 bits of microseconds
/// last for two thousand years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    by: Option<SessionId>,
    at_and_reason: u64,
}

const _: () = assert!(size_of::<Stamp>() == 16);

impl Stamp {
    /// Before the first change.
    pub(super) const NEVER: Stamp = Stamp { by: None, at_and_reason: Reason::NeverChanged as u64 };

    pub(super) fn new(reason: Reason, origin: &Origin<'_>) -> Self {
        let at = origin.at.min(u64::MAX >> 8);
        Self { by: origin.by, at_and_reason: at << 8 | reason as u64 }
    }

    #[inline]
    pub(super) fn reason(self) -> Reason {
        Reason::from_byte(self.at_and_reason as u8)
    }

    pub(super) fn at(self) -> u64 {
        self.at_and_reason >> 8
    }

    pub(super) fn with_note(self, note: &str) -> Change {
        self.beside(note).to_owned()
    }

    pub(super) fn beside(self, note: &str) -> ChangeRef<'_> {
        ChangeRef { reason: self.reason(), by: self.by, note, at: self.at() }
    }
}

/// What not every election has. Shared from term to term for as long as it stays the same.
#[derive(Debug)]
pub(super) struct More {
    /// Of the last change.
    pub(super) note: Box<str>,
    /// The change that made the leader lead, or the lead vacant, with its note; `None` if that is the
    /// last change.
    pub(super) began: Option<(Stamp, Box<str>)>,
    /// The reigns that are over.
    pub(super) past: Option<Arc<Past>>,
}

impl More {
    /// What follows `before`: the same one where nothing of it changes, and none where there is nothing.
    pub(super) fn after(
        before: Option<&Arc<More>>,
        note: &str,
        began: Option<(Stamp, &str)>,
        past: Option<&Arc<Past>>,
    ) -> Option<Arc<More>> {
        if note.is_empty() && began.is_none() && past.is_none() {
            return None;
        }
        if let Some(before) = before.filter(|before| before.is(note, began, past)) {
            return Some(before.clone());
        }
        let began = began.map(|(stamp, note)| (stamp, note.into()));
        Some(Arc::new(More { note: note.into(), began, past: past.cloned() }))
    }

    fn is(&self, note: &str, began: Option<(Stamp, &str)>, past: Option<&Arc<Past>>) -> bool {
        let begins_as = match (&self.began, began) {
            (Some((stamp, note)), Some((other, others))) => {
                *stamp == other && are_same_notes(note, others)
            }
            (one, other) => one.is_none() && other.is_none(),
        };
        begins_as
            && are_same_notes(&self.note, note)
            && self.past.as_ref().map(Arc::as_ptr) == past.map(Arc::as_ptr)
    }
}

/// As `==`. But most notes are empty, and comparing nothing where there is no memory costs 100 ns: the C library
/// masks its load, and the processor is slow to find that a load of nothing can't fault.
pub(super) fn are_same_notes(one: &str, other: &str) -> bool {
    one.len() == other.len() && (one.is_empty() || one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_keeps_what_it_is_given() {
        let by = SessionId::new(u64::MAX);
        for (at, kept) in
            [(0, 0), (1_795_000_000_000_001, 1_795_000_000_000_001), (u64::MAX, u64::MAX >> 8)]
        {
            for reason in [Reason::NeverChanged, Reason::Entered, Reason::Deleted] {
                let stamp = Stamp::new(reason, &Origin { at, by, note: "" });
                assert_eq!((stamp.at(), stamp.reason(), stamp.by), (kept, reason, by));
            }
        }
        assert_eq!(Stamp::NEVER.with_note("").reason, Reason::NeverChanged);
    }

    #[test]
    fn what_stays_the_same_is_shared() {
        let began = Some((Stamp::NEVER, "why"));
        assert!(More::after(None, "", None, None).is_none());
        let one = More::after(None, "", began, None).unwrap();
        let same = More::after(Some(&one), "", began, None).unwrap();
        assert!(Arc::ptr_eq(&one, &same));
        let stamp = Stamp::new(Reason::Entered, &Origin::default());
        for (note, began) in
            [("x", began), ("", Some((Stamp::NEVER, ""))), ("", Some((stamp, "why")))]
        {
            let other = More::after(Some(&one), note, began, None).unwrap();
            assert!(!Arc::ptr_eq(&one, &other), "{other:?}");
        }
    }
}
