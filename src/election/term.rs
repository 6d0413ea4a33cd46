//! The state of an election after each change: a value that never changes itself.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use once_cell::race::OnceBox;

use super::facts::{Change, ChangeRef, More, Origin, Reign, ReignRef, Stamp, are_same_notes};
use super::past::{Over, Past};
use super::roster::Roster;
use super::{Metadata, Reason, Verdict};
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
    /// The last change.
    changed: Stamp,
    more: Option<Arc<More>>,
    /// The reply that shows it, once anybody asked for that.
    body: OnceBox<Box<[u8]>>,
}

// Every election keeps one; at a million of them each byte here is a megabyte.
const _: () = assert!(size_of::<Term>() <= 72);

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
        self.roster.names().next()
    }

    /// Those who wait, in order. The leader is not among them.
    pub fn candidates(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.participants().skip(1)
    }

    /// The whole list, the leader first.
    pub fn participants(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.roster.names()
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
        self.changed.reason()
    }

    /// The change that made this state: why, by whom, and when.
    pub fn change(&self) -> Change {
        self.changed.with_note(self.note())
    }

    /// Since when the leader leads, or, where nobody does, since when that is so. `None` before the
    /// first change. By the wall clock, so it is for people: no promise rests on it.
    pub fn since(&self) -> Option<SystemTime> {
        let since = Duration::from_micros(self.since_unix_micros());
        (self.revision > 0).then(|| SystemTime::UNIX_EPOCH + since)
    }

    pub(crate) fn since_unix_micros(&self) -> u64 {
        self.began().0.at()
    }

    /// What a candidate says of itself, if it stands and says anything.
    pub fn metadata_of(&self, candidate: &str) -> Option<&Metadata> {
        let at = self.roster.position(candidate)?;
        self.roster.said_at(at).map(|said| &**said)
    }

    /// Who led, newest first: the present leader, if there is one, and the 16 before it. A deletion
    /// ends an election's history.
    pub fn history(&self) -> impl Iterator<Item = Reign> {
        let present = self.roster.head().map(|(leader, holder)| {
            let (began, note) = self.began();
            let (term, leader, session) = (self.number, leader.into(), holder.session);
            Reign { term, leader, session, began: began.with_note(note), ended: None }
        });
        let past = self.past().into_iter().flat_map(|past| past.newest_first());
        present.into_iter().chain(past)
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

    /// Who stands, in order, each with what holds it.
    pub(crate) fn standing(&self) -> impl ExactSizeIterator<Item = (&str, Holder)> {
        self.roster.iter()
    }

    /// Bytes of all that is known of it, about.
    #[cfg(feature = "durable")]
    pub(crate) fn weight(&self) -> usize {
        let said: usize = self.roster.said().iter().map(|said| said.bytes()).sum();
        512 + self.roster.name_bytes() + 16 * self.roster.len() + said
    }

    /// The session that holds this candidate, if it stands.
    pub fn session_of(&self, candidate: &str) -> Option<SessionId> {
        Some(self.roster.find(candidate)?.1.session)
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
            changed: Stamp::NEVER,
            more: None,
            body: OnceBox::new(),
        }
    }

    /// Whether it reads as [`Term::unknown`] to whoever asks by name. Who follows the name sees
    /// the term itself, so that no number or revision ever goes back.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.reason() == Reason::Deleted || self.revision == 0
    }

    pub(crate) fn leading_holder(&self) -> Option<Holder> {
        self.roster.head().map(|(_, holder)| holder)
    }

    /// Whether keeping it alive for a while costs next to nothing.
    #[inline]
    pub(crate) fn is_light(&self) -> bool {
        self.roster.bytes() <= 1536 && self.roster.said().len() <= 1
    }

    /// Whether any candidate is this session's.
    pub(crate) fn holds(&self, session: SessionId) -> bool {
        self.roster.holds(session)
    }

    /// Each candidate's session in order, so with repetition.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.roster.sessions()
    }

    /// Who leads, if anyone, and those who wait, in order.
    pub(crate) fn leader_and_rest(&self) -> (Option<&str>, impl Iterator<Item = &str> + Clone) {
        let mut names = self.roster.names();
        (names.next(), names)
    }

    /// The reply that shows it, made by `encode` on the first ask and shared from then on.
    pub(crate) fn encoded_with(&self, encode: impl FnOnce(&Term) -> Vec<u8>) -> &[u8] {
        self.body.get_or_init(|| Box::new(encode(self).into()))
    }

    pub(super) fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The number after a change to this list. The rule of the term stands here and nowhere else: it
    /// rises where the new head is another candidate, or the same one of another session.
    pub(super) fn number_with(&self, list: &Roster, floor: u64) -> Result<u64, Error> {
        let rises = !list.is_empty() && !self.roster.is_headed_as(list);
        if rises { self.next_number(floor) } else { Ok(self.number) }
    }

    /// The state after this one, of the number that [`number_with`](Self::number_with) has for its list.
    pub(super) fn followed_by(
        &self,
        roster: Roster,
        number: u64,
        reason: Reason,
        origin: &Origin<'_>,
    ) -> Term {
        let goes_on = number == self.number && roster.is_empty() == self.is_vacant();
        let changed = Stamp::new(reason, origin);
        let more = match goes_on {
            true if self.tells_as_much(reason, origin.note) => self.more.clone(),
            true => {
                let past = self.past().filter(|_| reason != Reason::Deleted);
                More::after(self.more.as_ref(), origin.note, Some(self.began()), past)
            }
            false => {
                let past = self.past_after(reason, (changed, origin.note));
                More::after(self.more.as_ref(), origin.note, None, past.as_ref())
            }
        };
        let (revision, body) = (self.revision + 1, OnceBox::new());
        Term { number, revision, roster, changed, more, body }
    }

    /// Whether nothing of what not every election has is another after a change under the same leader.
    fn tells_as_much(&self, reason: Reason, note: &str) -> bool {
        let before = self.more.as_ref().filter(|more| more.began.is_some());
        before.is_some_and(|more| are_same_notes(&more.note, note)) && reason != Reason::Deleted
    }

    /// The reigns that are over once this change has ended the present one, if there is one.
    fn past_after(&self, reason: Reason, ended: (Stamp, &str)) -> Option<Arc<Past>> {
        match self.roster.head() {
            _ if reason == Reason::Deleted => None,
            Some((leader, holder)) => {
                let (term, session) = (self.number, holder.session);
                let over = Over { term, leader, session, began: self.began(), ended };
                Some(Arc::new(Past::after(self.past().map(|past| &**past), over)))
            }
            None => self.past().cloned(),
        }
    }

    /// Whether the same candidate of the same session leads now and in a later state, or nobody does.
    pub(crate) fn is_led_as(&self, later: &Term) -> bool {
        self.number == later.number && self.is_vacant() == later.is_vacant()
    }

    /// After the restoring of a backup: everybody has left, and no number is given that may have been given
    /// after the backup was made.
    pub(crate) fn raised(&self, by: u64, at: u64) -> Result<Term, Error> {
        let origin = Origin { at, ..Origin::default() };
        let mut emptied =
            self.followed_by(Roster::default(), self.number, Reason::Restored, &origin);
        emptied.number = self.number.saturating_add(by);
        if emptied.number >= TERM_BOUND { Err(Error::TermExhausted) } else { Ok(emptied) }
    }

    /// Of these parts.
    pub(super) fn made_of(
        number: u64,
        revision: u64,
        roster: Roster,
        changed: Stamp,
        more: Option<Arc<More>>,
    ) -> Term {
        Term { number, revision, roster, changed, more, body: OnceBox::new() }
    }

    /// The last change.
    pub(crate) fn last_change(&self) -> ChangeRef<'_> {
        self.changed.beside(self.note())
    }

    /// What made the leader lead, or the lead vacant, unless that was the last change.
    pub(crate) fn began_earlier(&self) -> Option<ChangeRef<'_>> {
        let (stamp, note) = self.more.as_ref()?.began.as_ref()?;
        Some(stamp.beside(note))
    }

    /// The reigns that are over, oldest first.
    pub(crate) fn over(&self) -> impl Iterator<Item = ReignRef<'_>> {
        self.past().into_iter().flat_map(|past| past.oldest_first())
    }

    /// What each candidate says of itself, in the order of the list.
    pub(crate) fn says(&self) -> impl Iterator<Item = Option<&Metadata>> {
        self.roster.each_said().map(|said| said.map(|said| &**said))
    }

    /// What made the leader lead, or the lead vacant.
    fn began(&self) -> (Stamp, &str) {
        let began = self.more.as_ref().and_then(|more| more.began.as_ref());
        began.map_or((self.changed, self.note()), |(stamp, note)| (*stamp, note))
    }

    fn note(&self) -> &str {
        self.more.as_ref().map_or("", |more| &more.note)
    }

    fn past(&self) -> Option<&Arc<Past>> {
        self.more.as_ref()?.past.as_ref()
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
            .field("reason", &self.reason())
            .finish()
    }
}

struct Participants<'a>(&'a Roster);

impl fmt::Debug for Participants<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, holder)| (name, holder.session))).finish()
    }
}
