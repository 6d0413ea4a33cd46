//! What a change brings about, as data.

use super::Term;
use crate::id::SessionId;

/// The outcome of a command that changed something.
#[derive(Debug)]
pub(crate) struct Effect {
    /// The next state.
    pub(crate) term: Term,
    /// Who may have lost their stand in this election.
    pub(crate) departed: Departed,
}

/// Whose candidates left the list in a change, so that a shard can keep its index of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departed {
    /// No candidate left.
    Nobody,
    /// This session lost one or more. It may hold others: ask [`Term::holds`].
    One(SessionId),
    /// Everybody of the former list left.
    All,
}
