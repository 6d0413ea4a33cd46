//! Identities that cross module borders: sessions and names.

use std::fmt;
use std::num::NonZeroU64;

use crate::error::{Error, NameFault};

/// The public identity of a session, unique for the life of an engine. Shown in logs and replies;
/// it proves nothing about who asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(NonZeroU64);

impl SessionId {
    /// The id with this number, or `None` for 0, which names no session.
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// The id as a number, never 0.
    pub fn number(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}", self.0)
    }
}

/// What keeps a session alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionKind {
    /// A connection's own session: it ends with the connection.
    Connection,
    /// An embedded session: it lives until its owner drops it.
    Owned,
    /// A session with a deadline, which lives until then whatever happens to its connection.
    Exclusive,
    /// A session with a deadline, which ends with its connection all the same.
    Fast,
}

/// Who holds a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Holder {
    pub(crate) session: SessionId,
    pub(crate) kind: SessionKind,
}

/// Checks a name that came from outside: 1 to `max` bytes of UTF-8 without control characters.
/// `field` is what the error calls it, for example `"candidate"`.
pub(crate) fn checked_name<'a>(
    field: &'static str,
    raw: &'a [u8],
    max: usize,
) -> Result<&'a str, Error> {
    let fault = |fault| Error::InvalidName { field, fault };
    if raw.is_empty() {
        return Err(fault(NameFault::Empty));
    }
    if raw.len() > max {
        return Err(fault(NameFault::TooLong { bytes: raw.len(), max }));
    }
    let name = std::str::from_utf8(raw)
        .map_err(|error| fault(NameFault::NotUtf8 { at: error.valid_up_to() }))?;
    match name.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, c)) => Err(fault(NameFault::Control { at, code: c as u32 })),
        None => Ok(name),
    }
}
