//! What can be asked of an election, and within which bounds.

use std::sync::Arc;

use super::{Metadata, Reason};
use crate::id::{Holder, SessionId, SessionKind};

/// One request to change an election. Names are already checked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command<'a> {
    /// Joins at the end of the list, and leads if it was empty.
    Enter {
        candidate: &'a str,
        holder: Holder,
        conflict: Conflict,
        /// What it says of itself. Who enters again and says something else is described anew; who says
        /// nothing then leaves it as it was.
        says: Option<&'a Arc<Metadata>>,
        /// Nothing is to do if it would wait.
        only_if_leads: bool,
    },
    /// Leaves, if it is this session's.
    /// Nobody's session holds nothing.
    Withdraw { candidate: &'a str, session: Option<SessionId> },
    /// Becomes the head; the others keep their order.
    Anoint { candidate: &'a str },
    /// Swaps with the one before it.
    Promote { candidate: &'a str },
    /// Swaps with the one behind it.
    Demote { candidate: &'a str },
    /// Leaves, whoever holds it.
    Evict { candidate: &'a str },
    /// All candidates of a session leave in one change.
    Leave { session: SessionId, why: Departure },
    /// Everyone leaves and the name is forgotten. Whoever applies it also lifts the server-wide
    /// floor: `floor = max(floor, now.number())`.
    Delete,
}

/// What `Enter` does about a candidate that another session holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// Refuses.
    Refuse,
    /// Takes it from a connection's session only: the v1 SDKs enter again after a reconnect.
    PassFromConnection,
    /// Takes it from any session.
    TakeOver,
}

impl Conflict {
    pub(super) fn passes_from(self, former: Holder) -> bool {
        match self {
            Conflict::Refuse => false,
            Conflict::PassFromConnection => former.kind == SessionKind::Connection,
            Conflict::TakeOver => true,
        }
    }
}

/// Why a session's candidates leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// Its owner ended the session.
    SessionEnded,
    /// Its deadline passed.
    SessionExpired,
    /// Its connection closed.
    Disconnected,
    /// Somebody else ended the session.
    SessionRemoved,
    /// The session closed its use of this election.
    Closed,
}

impl From<Departure> for Reason {
    fn from(why: Departure) -> Reason {
        match why {
            Departure::SessionEnded => Reason::SessionEnded,
            Departure::SessionExpired => Reason::SessionExpired,
            Departure::Disconnected => Reason::Disconnected,
            Departure::SessionRemoved => Reason::SessionRemoved,
            Departure::Closed => Reason::Closed,
        }
    }
}

/// What a command may not pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Where a new election starts: the highest last term of a deleted one.
    pub(crate) floor: u64,
    /// Candidates at most.
    pub(crate) candidates: usize,
    /// Bytes of their names together at most.
    pub(crate) candidate_bytes: usize,
    /// Bytes of what they say of themselves together at most.
    pub(crate) said_bytes: usize,
}
