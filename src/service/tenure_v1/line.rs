//! Those who wait for one candidate of an election, in the order in which they came.
//!
//! The first of them alone hears of the election's changes, and asks when the candidate is free; whoever comes
//! meanwhile stands behind. So a change costs one look, however many wait, and nobody of them is overtaken by
//! another. Whoever leaves the first place, for whatever reason, tells the next, who looks then: so what the
//! former first one was told of is not lost with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use crossbeam::atomic::AtomicCell;

use crate::election::Term;
use crate::engine::{Election, Lookout};
use crate::id::SessionId;
use crate::shard::{Outcome, Sink, Ticket};

/// An election that somebody holds a handle of, and the candidate.
type Key = (usize, Box<str>);

/// The lines of this process, whichever engine they belong to.
static LINES: LazyLock<Mutex<HashMap<Key, Weak<Line>>>> = LazyLock::new(Mutex::default);

/// One line, for as long as somebody stands in it.
struct Line {
    key: Key,
    election: Election,
    ear: Arc<Ear>,
    lookout: OnceLock<Lookout>,
}

/// What hears of the election's changes. The shard holds it, and no more of the line.
#[derive(Default)]
struct Ear {
    places: Mutex<Places>,
    /// There is nothing to hear any more: whoever asks is told why.
    is_deaf: AtomicCell<bool>,
}

#[derive(Default)]
struct Places {
    in_order: BTreeMap<u64, Stander>,
    by_session: BTreeSet<(SessionId, u64)>,
    taken: u64,
}

#[derive(Clone)]
struct Stander {
    session: SessionId,
    sink: Arc<dyn Sink>,
    ticket: Ticket,
}

impl Stander {
    fn tell(&self) {
        self.sink.changed(self.ticket);
    }
}

/// A place in a line. Dropped, it is left.
pub(super) struct Place {
    line: Arc<Line>,
    number: u64,
}

impl Place {
    /// The last place, if others wait already.
    pub(super) fn behind(
        election: &Election,
        candidate: &str,
        session: SessionId,
        to: &(Arc<dyn Sink>, Ticket),
    ) -> Option<Self> {
        let key = (election.place(), candidate.into());
        let line = lock(&LINES).get(&key).and_then(Weak::upgrade)?;
        Some(Self::last(line, session, to))
    }

    /// The last place, or the first and only one.
    pub(super) fn in_line(
        election: &Election,
        candidate: &str,
        session: SessionId,
        to: &(Arc<dyn Sink>, Ticket),
    ) -> Self {
        let key: Key = (election.place(), candidate.into());
        let mut lines = lock(&LINES);
        let known = lines.get(&key).and_then(Weak::upgrade);
        let line = known.unwrap_or_else(|| {
            let (ear, lookout) = Default::default();
            let line = Line { key: key.clone(), election: election.clone(), ear, lookout };
            let line = Arc::new(line);
            lines.insert(key, Arc::downgrade(&line));
            line
        });
        // A line that ends looks for itself among them.
        drop(lines);
        Self::last(line, session, to)
    }

    fn last(line: Arc<Line>, session: SessionId, (sink, ticket): &(Arc<dyn Sink>, Ticket)) -> Self {
        let stander = Stander { session, sink: sink.clone(), ticket: *ticket };
        let number = line.ear.places().add(stander);
        Self { line, number }
    }

    /// Whether to ask now: it is the first and the candidate is free, or its own session has it. Where it is not
    /// to ask, its ticket will be called.
    pub(super) fn may_ask(&self) -> bool {
        let term = self.line.look();
        let (_, candidate) = &self.line.key;
        if self.line.ear.is_deaf.load() {
            return true;
        }
        let places = self.line.ear.places();
        let Some(holder) = term.holder_of(candidate) else { return places.is_first(self.number) };
        if places.is_of(holder.session, self.number) {
            return true;
        }
        let others = places.of(holder.session);
        drop(places);
        others.iter().for_each(Stander::tell);
        false
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let next = self.line.ear.places().remove(self.number);
        next.inspect(Stander::tell);
    }
}

impl Line {
    /// The newest term, released or not: who withdraws and asks again at once must not find that they still stand
    /// there, and come before those who wait. There is a call from what comes after it.
    fn look(&self) -> Arc<Term> {
        let sink = || -> Arc<dyn Sink> { self.ear.clone() };
        let look_out = || self.election.look_out(&sink(), Ticket { to: 0, about: 0 });
        self.lookout.get_or_init(look_out).newest()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut lines = lock(&LINES);
        // Another one may have begun.
        if lines.get(&self.key).is_some_and(|line| line.strong_count() == 0) {
            lines.remove(&self.key);
        }
    }
}

impl Ear {
    fn places(&self) -> MutexGuard<'_, Places> {
        lock(&self.places)
    }
}

impl Sink for Ear {
    /// The only outcome of following is that there is nothing to follow any more.
    fn reply(&self, _: Ticket, outcome: Outcome) {
        self.is_deaf.store(true);
        let all: Vec<Stander> = self.places().in_order.values().cloned().collect();
        all.iter().for_each(|it| it.sink.reply(it.ticket, outcome.clone()));
    }

    fn changed(&self, _: Ticket) {
        let first = self.places().first();
        first.inspect(Stander::tell);
    }
}

impl Places {
    fn add(&mut self, stander: Stander) -> u64 {
        let number = self.taken;
        self.taken += 1;
        self.by_session.insert((stander.session, number));
        self.in_order.insert(number, stander);
        number
    }

    /// The next one, if the first has left.
    fn remove(&mut self, number: u64) -> Option<Stander> {
        let was_first = self.is_first(number);
        let stander = self.in_order.remove(&number)?;
        self.by_session.remove(&(stander.session, number));
        self.first().filter(|_| was_first)
    }

    fn first(&self) -> Option<Stander> {
        self.in_order.first_key_value().map(|(_, first)| first.clone())
    }

    fn is_first(&self, number: u64) -> bool {
        self.in_order.first_key_value().is_some_and(|(first, _)| *first == number)
    }

    fn is_of(&self, session: SessionId, number: u64) -> bool {
        self.by_session.contains(&(session, number))
    }

    /// Those of one session.
    fn of(&self, session: SessionId) -> Vec<Stander> {
        let numbers = self.by_session.range((session, 0)..=(session, u64::MAX));
        numbers.filter_map(|(_, number)| self.in_order.get(number)).cloned().collect()
    }
}

/// Nothing here is left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
