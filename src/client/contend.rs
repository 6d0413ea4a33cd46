//! Contending for the lead for as long as a program wants it, through every loss.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::atomic::AtomicCell;

use super::session::{Session, jitter};
use super::{Address, ClientError, EnterOptions, Leadership, Options};
use crate::clock::Clock;

/// A name for this process as a candidate: its host, its id and something random, so that no two are alike.
pub fn candidate_id() -> String {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    let mut random = [0; 4];
    // Without randomness the host and the id have to do.
    let _none = getrandom::fill(&mut random);
    format!("{host}-{}-{:08x}", std::process::id(), u32::from_be_bytes(random))
}

/// Somebody who wants to lead an election, whatever happens in between.
#[derive(Clone, Debug)]
pub struct Contender {
    /// The server.
    pub address: Address,
    /// The session it opens, again and again.
    pub options: Options,
    /// How it enters.
    pub enter: EnterOptions,
    /// The election.
    pub election: String,
    /// Its name there; see [`candidate_id`].
    pub candidate: String,
}

/// The work of a leader, which has to end before its time does.
pub struct Work<'a> {
    leads: &'a Leadership,
    /// Ends before this much is left.
    reserve: Duration,
    stop: &'a AtomicCell<bool>,
}

impl Work<'_> {
    /// The term: the fencing token to act with.
    pub fn term(&self) -> u64 {
        self.leads.term()
    }

    /// The proof itself.
    pub fn leadership(&self) -> &Leadership {
        self.leads
    }

    /// True once the work has to come to an end: the lead is lost, or may be soon, for renewals fail; or the
    /// program wants to stop. That is a third of the TTL before the deadline.
    pub fn is_cancelled(&self) -> bool {
        self.stop.load() || self.leads.remaining() <= self.reserve
    }

    /// Waits until it is cancelled, no longer than `patience`: true if it is.
    pub fn wait_cancelled(&self, patience: Duration) -> bool {
        let clock = Clock::system();
        let end = clock.now() + patience;
        while !self.is_cancelled() {
            let left = end - clock.now();
            if left.is_zero() {
                return false;
            }
            let until_due = self.leads.remaining().saturating_sub(self.reserve);
            self.leads.wait_lost(left.min(LOOK).min(until_due.max(Duration::from_millis(1))));
        }
        true
    }
}

impl fmt::Debug for Work<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Work under {:?}", self.leads)
    }
}

/// How often a loop looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);

impl Contender {
    /// Contends, and runs `work` whenever it leads, on this thread. `work` has to end soon after it is
    /// cancelled; only then is the place given up, so no successor acts beside it. If it breaks, its value
    /// is returned; if it continues, the place is given up, or was lost, and it contends again.
    ///
    /// # Errors
    /// What can't be tried again: the server's refusals. An unreachable server is waited for.
    pub fn run_while_leader<T>(
        &self,
        mut work: impl FnMut(&Work<'_>) -> ControlFlow<T>,
    ) -> Result<T, ClientError> {
        let stop = AtomicCell::new(false);
        loop {
            // Never stopped, so it always has a value.
            if let Some(value) = self.run_until(&stop, &mut work)? {
                return Ok(value);
            }
        }
    }

    /// As [`run_while_leader`](Self::run_while_leader), until `stop`; then `None`.
    ///
    /// # Errors
    /// As `run_while_leader`.
    pub fn run_until<T>(
        &self,
        stop: &AtomicCell<bool>,
        mut work: impl FnMut(&Work<'_>) -> ControlFlow<T>,
    ) -> Result<Option<T>, ClientError> {
        let mut failures = 0;
        let mut session: Option<Session> = None;
        while !stop.load() {
            match self.lead(&mut session, stop) {
                Ok(leads) => {
                    failures = 0;
                    let reserve = leads.ttl() / 3;
                    let done = work(&Work { leads: &leads, reserve, stop });
                    // The work has ended: now others may act.
                    let resigned = leads.resign();
                    if let ControlFlow::Break(value) = done {
                        return Ok(Some(value));
                    }
                    if let Err(error) = resigned
                        && !error.may_pass()
                    {
                        return Err(error);
                    }
                }
                Err(error) if error.may_pass() => {
                    if session.as_ref().is_some_and(|session| session.lost().is_some()) {
                        session = None;
                    }
                    if !error.is_timeout() {
                        failures += 1;
                        rest(jitter(failures), stop);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn lead(
        &self,
        slot: &mut Option<Session>,
        stop: &AtomicCell<bool>,
    ) -> Result<Leadership, ClientError> {
        if slot.as_ref().is_some_and(|session| session.lost().is_some()) {
            *slot = None;
        }
        let session = match slot {
            Some(session) => session,
            None => slot.insert(Session::open(&self.address, self.options.clone())?),
        };
        let election = session.election(&self.election);
        election.lead_with(&self.candidate, &self.enter, || !stop.load())
    }
}

fn rest(time: Duration, stop: &AtomicCell<bool>) {
    let clock = Clock::system();
    let end = clock.now() + time;
    while !stop.load() && clock.now() < end {
        thread::sleep((end - clock.now()).min(LOOK));
    }
}

/// A flag that is up while this process leads, and callbacks for when it rises and falls: for those who
/// have no work to hand over. It contends on a thread of its own until it is dropped.
pub struct LeaderLatch {
    shared: Arc<Latched>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Latched {
    stop: AtomicCell<bool>,
    leads: Mutex<Option<Arc<Held>>>,
    failed: Mutex<Option<ClientError>>,
    changed: Condvar,
}

/// The term that is led now.
struct Held {
    term: u64,
    is_valid: AtomicCell<bool>,
}

/// Told when the flag of a [`LeaderLatch`] rises or falls, on its thread. `not_leader` has to end what
/// `is_leader` began: the place is given up when it returns.
pub trait LatchListener: Send + 'static {
    /// The flag has risen, in this term.
    fn is_leader(&mut self, term: u64);
    /// The flag has fallen.
    fn not_leader(&mut self);
}

impl LeaderLatch {
    /// Contends from now on.
    pub fn start(contender: Contender, mut listener: impl LatchListener) -> Self {
        let shared = Arc::new(Latched::default());
        let its = shared.clone();
        let thread = thread::spawn(move || {
            let done = contender.run_until(&its.stop, |work| {
                let held = Arc::new(Held { term: work.term(), is_valid: AtomicCell::new(true) });
                its.set(Some(held.clone()));
                listener.is_leader(work.term());
                while !work.wait_cancelled(LOOK) {}
                held.is_valid.store(false);
                its.set(None);
                listener.not_leader();
                ControlFlow::<()>::Continue(())
            });
            if let Err(error) = done {
                *lock(&its.failed) = Some(error);
            }
            its.changed.notify_all();
        });
        Self { shared, thread: Some(thread) }
    }

    /// The term that this process leads in, if it leads. It falls a third of the TTL before the deadline;
    /// for acts that must not overlap use a [`Leadership`].
    pub fn term(&self) -> Option<u64> {
        let leads = lock(&self.shared.leads);
        leads.as_ref().filter(|held| held.is_valid.load()).map(|held| held.term)
    }

    /// True while this process leads.
    pub fn has_leadership(&self) -> bool {
        self.term().is_some()
    }

    /// Waits until it leads, no longer than `patience`: its term.
    pub fn await_leadership(&self, patience: Duration) -> Option<u64> {
        let clock = Clock::system();
        let end = clock.now() + patience;
        let mut leads = lock(&self.shared.leads);
        loop {
            if let Some(held) = &*leads {
                return Some(held.term);
            }
            let left = end - clock.now();
            if left.is_zero() || lock(&self.shared.failed).is_some() {
                return None;
            }
            let waited = self.shared.changed.wait_timeout(leads, left);
            leads = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What made it give up for good, if something did.
    pub fn take_error(&self) -> Option<ClientError> {
        lock(&self.shared.failed).take()
    }
}

impl Latched {
    fn set(&self, held: Option<Arc<Held>>) {
        *lock(&self.leads) = held;
        self.changed.notify_all();
    }
}

impl Drop for LeaderLatch {
    /// Waits until the listener has heard that it no longer leads, and the place is given up.
    fn drop(&mut self) {
        self.shared.stop.store(true);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

impl fmt::Debug for LeaderLatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeaderLatch({:?})", self.term())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
