//! What becomes of a session and of a leadership: words that are read without waiting.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crossbeam::atomic::AtomicCell;

use crate::client::Lost;
use crate::clock::{Clock, Moment};

/// A deadline that has passed for ever.
const LOST: u64 = 0;

/// Until when this side may count on a session. Extended by one thread at a time, read by all.
pub(in crate::client) struct Word {
    pub(in crate::client) clock: Clock,
    deadline: AtomicCell<u64>,
    fate: Fate,
}

impl Word {
    pub(super) fn new(clock: Clock) -> Self {
        // Nothing has been promised yet.
        Self { clock, deadline: AtomicCell::new(1), fate: Fate::default() }
    }

    pub(in crate::client) fn deadline(&self) -> Moment {
        Moment::from_nanos(self.deadline.load())
    }

    pub(in crate::client) fn remaining(&self) -> Duration {
        self.deadline() - self.clock.now()
    }

    pub(in crate::client) fn lost(&self) -> Option<Lost> {
        self.fate.lost()
    }

    pub(in crate::client) fn fate(&self) -> &Fate {
        &self.fate
    }

    /// Never back, and never from the dead.
    pub(super) fn extend(&self, deadline: Moment) {
        let mut present = self.deadline.load();
        while present != LOST && present < deadline.nanos() {
            match self.deadline.compare_exchange(present, deadline.nanos()) {
                Ok(_) => return,
                Err(other) => present = other,
            }
        }
    }

    pub(super) fn lose(&self, lost: Lost) -> Vec<Waker> {
        self.deadline.store(LOST);
        self.fate.end(lost)
    }
}

/// How something ended; written once, by whoever notices first.
#[derive(Default)]
pub(in crate::client) struct Fate {
    is_over: AtomicCell<bool>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    lost: Option<Lost>,
    /// Who waits, each under a number of its own.
    wakers: Vec<(u64, Waker)>,
    last: u64,
}

impl Inner {
    /// Why it is over, which does not change any more once it was told.
    fn lost(&mut self, is_over: bool) -> Option<Lost> {
        if is_over {
            self.lost.get_or_insert(Lost::Late);
        }
        self.lost.clone()
    }
}

impl Fate {
    /// Wait-free.
    pub(in crate::client) fn is_over(&self) -> bool {
        self.is_over.load()
    }

    /// It has run out, as somebody has just read off the clock. Wait-free; who waits is woken by the
    /// core, which sees the same.
    pub(in crate::client) fn run_out(&self) {
        self.is_over.store(true);
    }

    pub(in crate::client) fn lost(&self) -> Option<Lost> {
        self.lock().lost(self.is_over())
    }

    /// Who waits has to be woken, when no lock is held any more.
    #[must_use]
    pub(in crate::client) fn end(&self, lost: Lost) -> Vec<Waker> {
        let mut inner = self.lock();
        if inner.lost(self.is_over()).is_none() {
            inner.lost = Some(lost);
            self.is_over.store(true);
        }
        std::mem::take(&mut inner.wakers).into_iter().map(|(_, waker)| waker).collect()
    }

    /// `me` is the number of who waits, given with its first look; see [`forget`](Self::forget).
    pub(in crate::client) fn poll(
        &self,
        me: &mut Option<u64>,
        context: &mut Context<'_>,
    ) -> Poll<Lost> {
        let mut inner = self.lock();
        if let Some(lost) = inner.lost(self.is_over()) {
            return Poll::Ready(lost);
        }
        let number = *me.get_or_insert_with(|| {
            inner.last += 1;
            inner.last
        });
        inner.wakers.retain(|(other, _)| *other != number);
        inner.wakers.push((number, context.waker().clone()));
        Poll::Pending
    }

    /// Nobody waits under this number any more.
    pub(in crate::client) fn forget(&self, me: Option<u64>) {
        if let Some(number) = me {
            self.lock().wakers.retain(|(other, _)| *other != number);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
