//! One state of an election, for ever.

use std::fmt;
use std::sync::OnceLock;

use super::roster::Roster;
use crate::id::{Holder, SessionId};

/// One state of an election: the term, who leads, who waits. Immutable; a change makes another.
///
/// Displays as `t5 c1 [c2 c3]`: the term, the leader, and who waits, in order.
pub struct Term {
    number: u64,
    revision: u64,
    roster: Roster,
    reason: Reason,
    /// The protobuf body, made when it is first asked for and shared by all who ask.
    body: OnceLock<Box<[u8]>>,
}

/// What kind of change made a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing has happened yet.
    #[default]
    #[error("nothing yet")]
    Nothing,
    /// A candidate entered.
    #[error("entered")]
    Entered,
    /// A candidate passed to another session, in its place.
    #[error("taken over")]
    TakenOver,
    /// A candidate withdrew.
    #[error("withdrew")]
    Withdrew,
    /// A candidate was made the leader.
    #[error("anointed")]
    Anointed,
    /// A candidate moved up one place.
    #[error("promoted")]
    Promoted,
    /// A candidate moved down one place.
    #[error("demoted")]
    Demoted,
    /// A candidate was removed.
    #[error("evicted")]
    Evicted,
    /// A session closed its use of the election.
    #[error("closed")]
    Closed,
    /// A session ended.
    #[error("session ended")]
    SessionEnded,
    /// The election was deleted, and its name forgotten.
    #[error("deleted")]
    Deleted,
}

impl Term {
    /// How an unknown name reads: term 0, nobody.
    pub(crate) fn unknown() -> Self {
        Self {
            number: 0,
            revision: 0,
            roster: Roster::default(),
            reason: Reason::Nothing,
            body: OnceLock::new(),
        }
    }

    /// The state that follows this one, with the term it then has.
    pub(super) fn followed_by(&self, number: u64, roster: Roster, reason: Reason) -> Self {
        Self { number, revision: self.revision + 1, roster, reason, body: OnceLock::new() }
    }

    pub(super) fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The term: greater with each change of leader, 0 before anybody led. It keeps its number while
    /// nobody leads.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Rises by one with each change of the list.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Who leads.
    pub fn leader(&self) -> Option<&str> {
        self.roster.name(0)
    }

    /// Who waits, in order. The leader is not among them.
    pub fn candidates(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        let mut names = self.roster.names();
        names.next();
        names
    }

    /// The whole list, the leader first.
    pub fn participants(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.roster.names()
    }

    /// True if `candidate` leads.
    pub fn is_led_by(&self, candidate: &str) -> bool {
        self.leader() == Some(candidate)
    }

    /// True if nobody leads.
    pub fn is_vacant(&self) -> bool {
        self.roster.is_empty()
    }

    /// What kind of change made this state.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// True if the name means nothing: never used, or deleted. Whoever asks by name then reads an
    /// unknown one; whoever follows the name sees this state, whose term never goes back.
    pub(crate) fn is_forgotten(&self) -> bool {
        matches!(self.reason, Reason::Nothing | Reason::Deleted)
    }

    pub(crate) fn leading_holder(&self) -> Option<Holder> {
        self.roster.holder(0)
    }

    /// True if the session has a candidate here.
    pub(crate) fn holds(&self, session: SessionId) -> bool {
        self.sessions().any(|holder| holder == session)
    }

    /// The session of each candidate, in order; one with several comes several times.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.roster.sessions()
    }

    /// The encoded form, made by `encode` on the first ask. All callers mean the same encoding.
    pub(crate) fn encoded_with(&self, encode: impl FnOnce(&Term) -> Vec<u8>) -> &[u8] {
        self.body.get_or_init(|| encode(self).into_boxed_slice())
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.leader() {
            Some(leader) => write!(f, "t{} {leader} [", self.number)?,
            None => write!(f, "t{} \"\" [", self.number)?,
        }
        for (at, candidate) in self.candidates().enumerate() {
            let gap = if at == 0 { "" } else { " " };
            write!(f, "{gap}{candidate}")?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} r{} {}", self.revision, self.reason)
    }
}
