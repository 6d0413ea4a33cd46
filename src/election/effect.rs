//! What a change came to.

use super::Term;
use crate::id::SessionId;

/// A change: the next state, and whose candidates left the list.
#[derive(Debug)]
pub(crate) struct Effect {
    pub(crate) term: Term,
    pub(crate) departed: Departed,
}

/// Whose candidates left. A session may have others that stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departed {
    Nobody,
    One(SessionId),
    All,
}
