//! All latch sessions of an engine, and its index.
//!
//! The servers of one engine share them, so a session is known at each of them. They are kept by the
//! servers: an engine that has none any more has nobody to ask for a latch, and its sessions end by
//! their deadlines.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Call;
use super::session::LatchSession;
use crate::engine::{Election, Engine, LatchMark, Session};

/// Those of all engines in this process, by their incarnations.
static SHARED: Mutex<Vec<(Box<str>, Weak<Latches>)>> = Mutex::new(Vec::new());

pub(crate) struct Latches {
    engine: Engine,
    counter: Mutex<Counter>,
    table: Mutex<Table>,
}

/// Rises with each command. It begins at the time of day in microseconds, so that what a client saw
/// before a restart is never ahead of it for long: nobody gives a million commands a second.
#[derive(Default)]
struct Counter {
    index: u64,
    /// Who waits for an index.
    waiting: BTreeMap<Seat, Call>,
    seats: u64,
}

/// An index that is waited for, and a count of all that ever waited.
pub(super) type Seat = (u64, u64);

#[derive(Default)]
struct Table {
    live: HashMap<u64, Arc<LatchSession>>,
    names: BTreeSet<(Box<str>, u64)>,
}

impl Latches {
    /// Those of this engine.
    pub(crate) fn of(engine: &Engine) -> Arc<Self> {
        let mut shared = lock(&SHARED);
        shared.retain(|(_, latches)| latches.strong_count() > 0);
        let known = shared.iter().find(|(incarnation, _)| **incarnation == *engine.incarnation());
        if let Some(latches) = known.and_then(|(_, latches)| latches.upgrade()) {
            return latches;
        }
        // A clock that went back is no reason to go back, where it is known how far this was.
        let index = engine.clock().wall_micros().max(engine.first_index());
        let counter = Mutex::new(Counter { index, ..Counter::default() });
        let latches = Arc::new(Self { engine: engine.clone(), counter, table: Mutex::default() });
        shared.push((engine.incarnation().into(), Arc::downgrade(&latches)));
        drop(shared);
        latches.restore();
        latches
    }

    /// Sessions that were created with a server before this one.
    fn restore(self: &Arc<Self>) {
        for session in self.engine.latch_sessions() {
            if let Some(LatchMark { id, election }) = session.latch().cloned()
                && let Ok(election) = self.engine.election(&election)
            {
                self.add(id, session, election).resume();
            }
        }
    }

    /// The index of one more command.
    pub(super) fn next_index(&self) -> u64 {
        let mut counter = lock(&self.counter);
        counter.index += 1;
        let index = counter.index;
        self.engine.index_given(index);
        let later = counter.waiting.split_off(&(index + 1, 0));
        let reached = std::mem::replace(&mut counter.waiting, later);
        drop(counter);
        reached.values().for_each(Call::changed);
        index
    }

    pub(super) fn index(&self) -> u64 {
        lock(&self.counter).index
    }

    /// The index, if it is this or a later one; or else a seat, whose `call` is called then.
    pub(super) fn index_from(
        &self,
        asked: u64,
        seat: &mut Option<Seat>,
        call: &Call,
    ) -> Option<u64> {
        let mut counter = lock(&self.counter);
        if counter.index >= asked {
            return Some(counter.index);
        }
        if seat.is_none() {
            counter.seats += 1;
            let taken = (asked, counter.seats);
            counter.waiting.insert(taken, call.clone());
            *seat = Some(taken);
        }
        None
    }

    /// Whoever had this seat waits no more.
    pub(super) fn leave(&self, seat: Option<Seat>) {
        if let Some(seat) = seat {
            lock(&self.counter).waiting.remove(&seat);
        }
    }

    /// Keeps a session of the latch that is `election`, under an id of its own.
    pub(super) fn add(
        self: &Arc<Self>,
        id: u64,
        session: Session,
        election: Election,
    ) -> Arc<LatchSession> {
        let mut table = lock(&self.table);
        let session = LatchSession::new(id, session, election, self);
        table.names.insert((session.name().into(), id));
        table.live.insert(id, session.clone());
        drop(table);
        // Only now: it may have ended already, and then it is removed.
        session.follow_end();
        session
    }

    pub(super) fn find(&self, id: u64) -> Option<Arc<LatchSession>> {
        lock(&self.table).live.get(&id).cloned()
    }

    /// The sessions of one latch.
    pub(super) fn of_latch(&self, name: &str) -> Vec<Arc<LatchSession>> {
        let table = lock(&self.table);
        let range = (name.into(), 0)..=(name.into(), u64::MAX);
        table.names.range(range).filter_map(|(_, id)| table.live.get(id)).cloned().collect()
    }

    pub(super) fn remove(&self, session: &LatchSession) {
        let mut table = lock(&self.table);
        let removed = table.live.remove(&session.id());
        table.names.remove(&(session.name().into(), session.id()));
        drop(table);
        drop(removed);
    }
}

impl fmt::Debug for Latches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latches").field("index", &self.index()).finish_non_exhaustive()
    }
}

/// Nothing here is left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
