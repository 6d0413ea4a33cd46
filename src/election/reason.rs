//! What kind of change made a term, and what became of one.

use std::fmt;

/// What became of a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Somebody leads in this term.
    Current,
    /// A later term has begun, or nobody leads any more.
    Stale,
    /// It has not begun as far as this engine knows: it may have forgotten the election.
    Unknown,
}

/// What kind of change made a [`Term`](crate::Term).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Reason {
    /// Nothing ever happened.
    NeverChanged,
    /// A candidate entered.
    Entered,
    /// A candidate passed from one session to another, in its place.
    Passed,
    /// A candidate withdrew.
    Withdrawn,
    /// A candidate was put at the head.
    Anointed,
    /// A candidate went one place up.
    Promoted,
    /// A candidate went one place down.
    Demoted,
    /// A candidate was removed, whoever held it.
    Evicted,
    /// A candidate was taken over by another session, in its place.
    TakenOver,
    /// A session was ended by its owner, and its candidates left.
    SessionEnded,
    /// A session's deadline passed, and its candidates left.
    SessionExpired,
    /// A session's connection closed, and its candidates left.
    Disconnected,
    /// Somebody else ended a session, and its candidates left.
    SessionRemoved,
    /// A session closed its use of the election, and its candidates left.
    Closed,
    /// The election was deleted, and everyone left.
    Deleted,
    /// A backup was restored, and everyone left.
    Restored,
}

impl Reason {
    pub(crate) const ALL: [Reason; 16] = [
        Reason::NeverChanged,
        Reason::Entered,
        Reason::Passed,
        Reason::Withdrawn,
        Reason::Anointed,
        Reason::Promoted,
        Reason::Demoted,
        Reason::Evicted,
        Reason::TakenOver,
        Reason::SessionEnded,
        Reason::SessionExpired,
        Reason::Disconnected,
        Reason::SessionRemoved,
        Reason::Closed,
        Reason::Deleted,
        Reason::Restored,
    ];

    /// The inverse of `reason as u8`.
    pub(super) fn from_byte(byte: u8) -> Reason {
        Reason::ALL[usize::from(byte)]
    }
}

const _: () = {
    let mut at = 0;
    while at < Reason::ALL.len() {
        assert!(Reason::ALL[at] as usize == at);
        at += 1;
    }
    assert!(Reason::Restored as usize + 1 == Reason::ALL.len(), "the last one closes the table");
};

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::NeverChanged => "never changed",
            Reason::Entered => "entered",
            Reason::Passed => "passed to another session",
            Reason::Withdrawn => "withdrawn",
            Reason::Anointed => "anointed",
            Reason::Promoted => "promoted",
            Reason::Demoted => "demoted",
            Reason::Evicted => "evicted",
            Reason::TakenOver => "taken over",
            Reason::SessionEnded => "session ended",
            Reason::SessionExpired => "session expired",
            Reason::Disconnected => "disconnected",
            Reason::SessionRemoved => "session ended by somebody else",
            Reason::Closed => "closed",
            Reason::Deleted => "deleted",
            Reason::Restored => "restored from a backup",
        })
    }
}
