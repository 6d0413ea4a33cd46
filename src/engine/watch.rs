//! Following an election: the newest state, whenever there is a newer one.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use crossbeam::atomic::AtomicCell;
use futures_core::Stream;

use super::Election;
use crate::bell;
use crate::clock::Clock;
use crate::election::Term;
use crate::shard::{Outcome, ReplyTo, Sink, Slot, Ticket, When, Work};

/// A place among an election's followers; dropped, it is left.
struct Following {
    election: Election,
    slot: Arc<Slot>,
}

impl Following {
    fn begin(election: Election, sink: &Arc<dyn Sink>, ticket: Ticket, when: When) -> Self {
        let slot = Slot::new(sink.clone(), ticket, when);
        let cell = election.cell().clone();
        let stopped = ReplyTo::Sink(sink.clone(), ticket);
        election.command(Work::Follow { cell, slot: slot.clone() }, stopped);
        Self { election, slot }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let cell = self.election.cell().clone();
        let slot = self.slot.clone();
        self.election.command(Work::Unfollow { cell, slot }, ReplyTo::Nobody);
    }
}

/// Follows an election for somebody who is told through a sink.
pub(crate) struct Follower {
    following: Following,
    taken: Option<u64>,
}

/// The same for somebody who has to know what is about to be, and says it to nobody.
#[cfg(feature = "server")]
pub(crate) struct Lookout(Following);

#[cfg(feature = "server")]
impl Lookout {
    pub(super) fn new(election: Election, sink: &Arc<dyn Sink>, ticket: Ticket) -> Self {
        Self(Following::begin(election, sink, ticket, When::Made))
    }

    /// The newest term, released or not.
    pub(crate) fn newest(&self) -> Arc<Term> {
        self.0.slot.lower();
        self.0.election.cell().newest()
    }
}

impl Follower {
    pub(super) fn new(election: Election, sink: &Arc<dyn Sink>, ticket: Ticket) -> Self {
        Self { following: Following::begin(election, sink, ticket, When::Released), taken: None }
    }

    /// The newest term, if it is newer than the last one taken. The first is the present one.
    pub(crate) fn take(&mut self) -> Option<Arc<Term>> {
        self.take_with(Arc::clone)
    }

    /// The same for who looks at it and does not keep it, which spares a count that all who follow share.
    pub(crate) fn take_with<R>(&mut self, look: impl FnOnce(&Arc<Term>) -> R) -> Option<R> {
        self.following.slot.lower();
        let newest = self.election().cell().term();
        let is_newer = self.taken.is_none_or(|taken| newest.revision() > taken);
        is_newer.then(|| {
            self.taken = Some(newest.revision());
            look(&newest)
        })
    }

    /// The newest term, for who keeps no account of what was taken.
    #[cfg(feature = "server")]
    pub(crate) fn look(&self) -> Arc<Term> {
        self.following.slot.lower();
        self.election().term()
    }

    pub(crate) fn election(&self) -> &Election {
        &self.following.election
    }
}

/// The present term of an election, then the newest after each change. As an iterator it blocks, as
/// a [`Stream`] it does not. It ends only if the engine has failed inside
/// ([`Error::ShardStopped`](crate::Error::ShardStopped)), after the newest term.
///
/// A reader that keeps up sees each change. One that does not skips to the newest, and costs nobody
/// anything.
///
/// ```
/// # let engine = tenure::Engine::builder().open()?;
/// # let session = engine.session()?;
/// # let election = engine.election("billing/cron")?;
/// let mut watch = election.watch();
/// assert_eq!(watch.next().unwrap().leader(), None);
/// election.enter(&session, "node-a")?;
/// assert_eq!(watch.next().unwrap().leader(), Some("node-a"));
/// # Ok::<(), tenure::Error>(())
/// ```
pub struct Watch {
    follower: Follower,
    bell: Arc<Bell>,
}

/// Wakes the task or thread behind a watch.
#[derive(Default)]
struct Bell {
    waker: AtomicWaker,
    has_stopped: AtomicCell<bool>,
}

impl Sink for Bell {
    /// The only outcome of following is that there is nothing to follow any more.
    fn reply(&self, ticket: Ticket, _: Outcome) {
        self.has_stopped.store(true);
        self.changed(ticket);
    }

    fn changed(&self, _: Ticket) {
        if let Some(waker) = self.waker.take() {
            bell::wake(waker);
        }
    }
}

impl Watch {
    pub(super) fn new(election: &Election) -> Self {
        let bell = Arc::new(Bell::default());
        let sink: Arc<dyn Sink> = bell.clone();
        Self { follower: election.follow(&sink, Ticket { to: 0, about: 0 }), bell }
    }

    /// The next state if there is one already.
    pub fn try_next(&mut self) -> Option<Arc<Term>> {
        self.follower.take()
    }

    /// The next state, or `None` if none comes within `patience`.
    pub fn next_within(&mut self, patience: Duration) -> Option<Arc<Term>> {
        let clock = Clock::system();
        let deadline = clock.now() + patience;
        self.block(|| {
            let left = deadline - clock.now();
            thread::park_timeout(left);
            !left.is_zero()
        })
    }

    /// True if nothing will ever change here again.
    pub(super) fn has_stopped(&self) -> bool {
        self.bell.has_stopped.load()
    }

    /// Rests until something may have changed, at most this long.
    pub(super) fn rest(&mut self, most: Duration) {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        if self.poll(&mut Context::from_waker(&waker)).is_pending() {
            thread::park_timeout(most);
        }
    }

    /// Waits with `rest`, which says whether to go on.
    fn block(&mut self, mut rest: impl FnMut() -> bool) -> Option<Arc<Term>> {
        if let Some(term) = self.try_next() {
            return Some(term);
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(term) = self.poll(&mut context) {
                return term;
            }
            if !rest() {
                return self.try_next();
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Arc<Term>>> {
        if let Some(term) = self.try_next() {
            return Poll::Ready(Some(term));
        }
        self.bell.waker.register(context.waker());
        // A change between the look and the registering woke nobody. What a shard said before it
        // stopped is there to be taken once it is known to have stopped.
        let has_stopped = self.has_stopped();
        match self.try_next() {
            Some(term) => Poll::Ready(Some(term)),
            None if has_stopped => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl Iterator for Watch {
    type Item = Arc<Term>;

    fn next(&mut self) -> Option<Arc<Term>> {
        self.block(|| {
            thread::park();
            true
        })
    }
}

impl Stream for Watch {
    type Item = Arc<Term>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Arc<Term>>> {
        self.poll(context)
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watch({:?})", self.follower.election())
    }
}
