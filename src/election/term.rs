//! The state of an election after each change: a value that never changes itself.

use std::cmp::Ordering;
use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::facts::{Change, Facts, Head, Metadata, Origin, Reign, Step};
use super::roster::Roster;
use crate::error::Error;
use crate::id::{Holder, SessionId};
use crate::limits::TERM_BOUND;

/// Who leads an election, and who waits, at one moment.
///
/// The number is the fencing token: it rises by one each time someone becomes leader who was not.
/// Shown as `t5 c1 [c2 c3]`: the number, the leader, those who wait.
pub struct Term {
    number: u64,
    revision: u64,
    roster: Roster,
    reason: Reason,
    facts: Facts,
    body: OnceLock<Bytes>,
}

// Every election keeps one; at a million of them each byte here is a megabyte.
const _: () = assert!(size_of::<Term>() <= 152);

impl Term {
    /// The term's number; 0 before anyone ever led.
    #[inline]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Rises by one with each change of the list.
    #[inline]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Who leads, if anyone.
    pub fn leader(&self) -> Option<&str> {
        self.roster.head().map(|(name, _)| name)
    }

    /// Those who wait, in order. The leader is not among them.
    pub fn candidates(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.participants().skip(1)
    }

    /// The whole list, the leader first.
    pub fn participants(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.roster.iter().map(|(name, _)| name)
    }

    /// Whether this candidate leads.
    pub fn is_led_by(&self, candidate: &str) -> bool {
        self.roster.is_headed_by(candidate)
    }

    /// Whether nobody leads. Then nobody waits either.
    pub fn is_vacant(&self) -> bool {
        self.roster.is_empty()
    }

    /// What kind of change made this state.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The change that made this state: why, by whom, and when.
    pub fn change(&self) -> Change {
        self.facts.change(self.reason)
    }

    /// Since when the leader leads, or, where nobody does, since when that is so. `None` before the
    /// first change. By the wall clock, so it is for people: no promise rests on it.
    pub fn since(&self) -> Option<SystemTime> {
        let since = Duration::from_micros(self.since_unix_micros());
        (self.revision > 0).then(|| SystemTime::UNIX_EPOCH + since)
    }

    pub(crate) fn since_unix_micros(&self) -> u64 {
        self.facts.since()
    }

    /// What a candidate says of itself, if it stands and says anything.
    pub fn metadata_of(&self, candidate: &str) -> Option<&Metadata> {
        self.facts.metadata_of(candidate).map(|metadata| &**metadata)
    }

    /// Who led, newest first, the present leader among them: the last 16 at least.
    pub fn history(&self) -> impl Iterator<Item = Reign> {
        self.facts.history(self.head())
    }

    /// Whether somebody leads in the term `number`.
    pub fn verdict_on(&self, number: u64) -> Verdict {
        match number.cmp(&self.number) {
            Ordering::Greater => Verdict::Unknown,
            Ordering::Equal if self.is_vacant() && number == 0 => Verdict::Unknown,
            Ordering::Equal if !self.is_vacant() => Verdict::Current,
            _ => Verdict::Stale,
        }
    }

    fn head(&self) -> Option<Head<'_>> {
        let (name, holder) = self.roster.head()?;
        Some(Head { term: self.number, name, session: holder.session })
    }

    /// The same state, which came of `before` by this origin. `entered` is who entered or passed.
    pub(crate) fn told_by(
        mut self,
        before: &Term,
        origin: &Origin<'_>,
        entered: Option<&str>,
    ) -> Term {
        let step = Step {
            reason: self.reason,
            before: before.head(),
            after: self.head(),
            entered,
            stayed: (self.roster.len() < before.roster.len()).then_some(&self.roster),
        };
        self.facts = before.facts.after(&step, origin);
        self
    }

    /// Who stands, in order, each with what holds it.
    pub(crate) fn standing(&self) -> impl ExactSizeIterator<Item = (&str, Holder)> {
        self.roster.iter()
    }

    /// Who holds this candidate, if it stands.
    pub(crate) fn holder_of(&self, candidate: &str) -> Option<Holder> {
        self.roster.find(candidate).map(|(_, holder)| holder)
    }

    /// How an election reads that nobody ever entered, or that was deleted.
    pub(crate) fn unknown() -> Term {
        Term {
            number: 0,
            revision: 0,
            roster: Roster::default(),
            reason: Reason::NeverChanged,
            facts: Facts::default(),
            body: OnceLock::new(),
        }
    }

    /// Whether it reads as [`Term::unknown`] to whoever asks by name. Who follows the name sees
    /// the term itself, so that no number or revision ever goes back.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.reason == Reason::Deleted || self.revision == 0
    }

    pub(crate) fn leading_holder(&self) -> Option<Holder> {
        self.roster.head().map(|(_, holder)| holder)
    }

    /// Whether keeping it alive for a while costs next to nothing.
    pub(crate) fn is_light(&self) -> bool {
        self.roster.name_bytes() <= 1024
    }

    /// Whether any candidate is this session's.
    pub(crate) fn holds(&self, session: SessionId) -> bool {
        self.sessions().any(|other| other == session)
    }

    /// Each candidate's session in order, so with repetition.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.roster.sessions()
    }

    /// The encoded term, made by `encode` on the first ask and shared from then on.
    pub(crate) fn encoded_with(&self, encode: impl FnOnce(&Term) -> Vec<u8>) -> &[u8] {
        self.body.get_or_init(|| encode(self).into())
    }

    pub(super) fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The state after this one. The rule of the term stands here and nowhere else: the number
    /// rises where the new head is another candidate, or the same one of another session.
    pub(super) fn followed_by(
        &self,
        roster: Roster,
        reason: Reason,
        floor: u64,
    ) -> Result<Term, Error> {
        let number = match leads(&roster) {
            None => self.number,
            head if head == leads(&self.roster) => self.number,
            _ => self.next_number(floor)?,
        };
        let (revision, facts, body) = (self.revision + 1, Facts::default(), OnceLock::new());
        Ok(Term { number, revision, roster, reason, facts, body })
    }

    /// A new election starts above the floor. One that is only empty is not new.
    fn next_number(&self, floor: u64) -> Result<u64, Error> {
        let last = if self.is_forgotten() { self.number.max(floor) } else { self.number };
        if last >= TERM_BOUND - 1 {
            return Err(Error::TermExhausted);
        }
        Ok(last + 1)
    }
}

fn leads(roster: &Roster) -> Option<(&str, SessionId)> {
    roster.head().map(|(name, holder)| (name, holder.session))
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{} {} [", self.number, self.leader().unwrap_or("\"\""))?;
        for (place, candidate) in self.candidates().enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(f, "{space}{candidate}")?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Term")
            .field("number", &self.number)
            .field("revision", &self.revision)
            .field("participants", &Participants(&self.roster))
            .field("reason", &self.reason)
            .finish()
    }
}

struct Participants<'a>(&'a Roster);

impl fmt::Debug for Participants<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, holder)| (name, holder.session))).finish()
    }
}

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

/// What kind of change made a [`Term`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
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
}

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
        })
    }
}
