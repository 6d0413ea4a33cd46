//! What can be done to an election.

use crate::id::{Holder, SessionId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    Enter {
        candidate: &'a str,
        holder: Holder,
        conflict: Conflict,
    },
    Withdraw {
        candidate: &'a str,
        session: SessionId,
    },
    Anoint {
        candidate: &'a str,
    },
    Promote {
        candidate: &'a str,
    },
    Demote {
        candidate: &'a str,
    },
    Evict {
        candidate: &'a str,
    },
    /// All candidates of a session leave, in one change.
    Leave {
        session: SessionId,
        why: Departure,
    },
    Delete,
}

/// What to do with a candidate that another session holds when it is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conflict {
    Refuse,
    /// Pass it on if the other is a connection's session: its client sends Enter again after a lost
    /// reply or a reconnect.
    PassFromConnection,
    TakeOver,
}

/// Why a session leaves an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    SessionEnded,
    /// It closed its use of this election and lives on.
    Closed,
}
