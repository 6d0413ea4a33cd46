//! Keeps turns in a store on disk, many in one commit.
//!
//! Who hands a turn over leaves it in one queue, in the order of its shard. Whoever has the committing
//! role takes all that waits, writes it in one commit, and then lets each go, in that order. A caller
//! who would only wait takes the role if it is free; so an embedded change needs no other thread. A
//! reactor never does: the thread `tenure-commit` works for it.
//!
//! What was handed over and can't be kept is never unwound. A full disk holds it back until there is
//! room; after any other failure nothing is let go any more, and everybody is told.

mod backup;
#[cfg(feature = "failpoints")]
#[allow(unreachable_pub, reason = "the tests plant them through `internals`")]
pub mod canary;
mod disk;
pub(crate) mod folder;
pub(crate) mod offline;
pub(crate) mod place;
pub(crate) mod store;
mod witness;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use crossbeam::atomic::AtomicCell;
use crossbeam::queue::SegQueue;

use self::place::{Place, io_fault};
use self::store::{Batch, Fault, Store};
use super::{Log, Unit, will_help};
use crate::bell;
use crate::error::Error;
use crate::limits::SHARDS;

/// Units in one commit, at most: so it has a bound, and the first of them does not wait too long.
const BATCH: usize = 4096;
/// How often a full disk is looked at again.
const LOOK: Duration = Duration::from_millis(200);

/// Told once, when nothing can be kept any more.
pub(crate) type OnFailure = dyn Fn(&Error) + Send + Sync;

pub(crate) struct DurableLog {
    inner: Arc<Inner>,
    committer: Option<JoinHandle<()>>,
}

struct Inner {
    queue: SegQueue<Box<dyn Unit>>,
    keeper: Mutex<Keeper>,
    state: AtomicCell<State>,
    /// Full, and what is held could not be kept even so.
    is_stuck: AtomicCell<bool>,
    failure: OnceLock<Error>,
    on_failure: Box<OnFailure>,
    /// It failed, and nobody was told.
    is_untold: AtomicCell<bool>,
    path: PathBuf,
    /// Commands whose turns wait, by their shards.
    backlog: Box<[AtomicCell<usize>]>,
    committer: OnceLock<Thread>,
    commits: AtomicCell<u64>,
    #[cfg(feature = "failpoints")]
    planted: Option<canary::Canary>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Only what needs no more room is taken.
    Full,
    /// Nothing is taken.
    Failed,
    /// The engine is gone; what waits is kept, then the thread ends.
    Closing,
}

/// What the committing role holds.
struct Keeper {
    folder: Box<dyn Place>,
    /// None after it failed.
    store: Option<Store>,
    /// Taken from the queue, and not kept yet.
    held: VecDeque<Box<dyn Unit>>,
}

impl DurableLog {
    /// Over an open store. `on_failure` is called at most once, when nothing can be kept any more.
    pub(crate) fn new(folder: Box<dyn Place>, store: Store, on_failure: Box<OnFailure>) -> Self {
        let has_reserve = folder.hold_back();
        let is_open = matches!(has_reserve, Ok(true));
        let inner = Arc::new(Inner {
            queue: SegQueue::new(),
            state: AtomicCell::new(if is_open { State::Open } else { State::Full }),
            is_stuck: AtomicCell::new(false),
            failure: OnceLock::new(),
            on_failure,
            is_untold: AtomicCell::new(false),
            path: folder.path().to_owned(),
            backlog: (0..SHARDS).map(|_| AtomicCell::new(0)).collect(),
            committer: OnceLock::new(),
            commits: AtomicCell::new(0),
            #[cfg(feature = "failpoints")]
            planted: canary::planted(),
            keeper: Mutex::new(Keeper { folder, store: Some(store), held: VecDeque::new() }),
        });
        let worker = Worker(inner.clone());
        let committer = thread::Builder::new()
            .name("tenure-commit".into())
            .spawn(move || worker.0.work())
            .expect("a process that can't start a thread can't keep anything");
        let _the_first = inner.committer.set(committer.thread().clone());
        Self { inner, committer: Some(committer) }
    }

    /// A fault in words that say where.
    pub(crate) fn tell(&self, fault: Fault) -> Error {
        self.inner.keeper().folder.tell(fault)
    }
}

impl Log for DurableLog {
    fn commit(&self, unit: &mut dyn Unit) {
        let inner = &*self.inner;
        if inner.state.load() == State::Failed {
            unit.refuse(&inner.failed());
            return;
        }
        #[cfg(feature = "failpoints")]
        if inner.overtakes(unit) {
            return unit.release();
        }
        if let Some(backlog) = unit.shard().and_then(|shard| inner.backlog.get(shard)) {
            backlog.fetch_add(unit.replies());
        }
        inner.queue.push(unit.detach());
        if inner.state.load() == State::Failed {
            // Nobody may come again to empty the queue.
            inner.refuse_all();
        }
        if !will_help() {
            inner.nudge();
        }
    }

    fn help(&self) {
        self.inner.run_once();
        if !self.inner.queue.is_empty() {
            self.inner.nudge();
        }
    }

    fn backlog(&self, shard: usize) -> usize {
        self.inner.backlog.get(shard).map_or(0, AtomicCell::load)
    }

    fn admit(&self, grows: bool) -> Result<(), Error> {
        match self.inner.state.load() {
            State::Open | State::Closing => Ok(()),
            State::Full if !grows && !self.inner.is_stuck.load() => Ok(()),
            State::Full => Err(self.inner.full()),
            State::Failed => Err(self.inner.failed()),
        }
    }

    fn commits(&self) -> u64 {
        self.inner.commits.load()
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn backup(&self, to: &mut dyn io::Write) -> io::Result<()> {
        let kept = {
            let keeper = self.inner.keeper();
            let Some(store) = &keeper.store else {
                return Err(io::Error::other(self.admit(true).err().unwrap_or(self.inner.full())));
            };
            store.snapshot().map_err(|fault| io::Error::other(keeper.folder.tell(fault)))?
        };
        backup::write(&kept, to)
    }
}

impl Inner {
    /// The thread's work.
    fn work(&self) {
        loop {
            self.run_all();
            match self.state.load() {
                State::Closing => return self.run_all(),
                State::Failed => return,
                State::Full => {
                    self.look();
                    self.tell();
                    thread::park_timeout(LOOK);
                }
                State::Open => {
                    if self.queue.is_empty() {
                        thread::park();
                    }
                }
            }
        }
    }

    fn nudge(&self) {
        if let Some(committer) = self.committer.get() {
            committer.unpark();
        }
    }

    /// Commits what waits, until nothing does. Waits for the role: who has it may be long at the disk.
    fn run_all(&self) {
        while self.run_by(|| Some(self.keeper())) {}
    }

    /// Commits what waits, once, if nobody else does.
    fn run_once(&self) {
        self.run_by(|| self.try_keeper());
    }

    fn run_by<'a>(&'a self, role: impl FnOnce() -> Option<MutexGuard<'a, Keeper>>) -> bool {
        // A waker is its user's code: it may ask for a change, and wait for this role.
        let goes_on =
            bell::as_writer(|| role().is_some_and(|mut keeper| self.commit_once(&mut keeper)));
        bell::ring();
        self.tell();
        goes_on
    }

    /// Tells whoever wants to know that it failed.
    fn tell(&self) {
        if self.is_untold.swap(false) {
            (self.on_failure)(&self.failed());
        }
    }

    /// False if there was nothing to do, or nothing can be done.
    fn commit_once(&self, keeper: &mut Keeper) -> bool {
        while (keeper.held.len() < BATCH || self.is_stuck.load())
            && let Some(unit) = self.queue.pop()
        {
            keeper.held.push_back(unit);
        }
        if keeper.held.is_empty() {
            return false;
        }
        if self.is_stuck.load() {
            // Tried again when there is room, and not for each that comes.
            self.get_stuck(keeper);
            return false;
        }
        let batch = keeper.batch();
        #[cfg(feature = "failpoints")]
        if self.planted == Some(canary::Canary::AnswerBeforeCommit) {
            keeper.held.iter_mut().for_each(|unit| unit.release());
        }
        let mut kept = keeper.keep(&batch);
        if matches!(kept, Err(Fault::Full)) {
            let was_open = self.state.compare_exchange(State::Open, State::Full).is_ok();
            // The thread looks for room from now on, also where a caller has found that there is none.
            self.nudge();
            let reserve = keeper.make_room();
            if was_open && reserve.is_ok() {
                kept = keeper.keep(&batch);
            }
            kept = reserve.and(kept);
        }
        match kept {
            Ok(wrote) => {
                self.commits.fetch_add(u64::from(wrote));
                self.is_stuck.store(false);
                self.release(keeper);
                true
            }
            Err(Fault::Full) => {
                self.get_stuck(keeper);
                false
            }
            Err(fault) => {
                self.fail(keeper, fault);
                false
            }
        }
    }

    fn release(&self, keeper: &mut Keeper) {
        for mut unit in keeper.held.drain(..) {
            self.forget(&*unit);
            unit.release();
        }
    }

    /// There is no room, and no reserve either. What is held is answered, and stays until there is; nothing
    /// that would have to be kept is taken meanwhile.
    fn get_stuck(&self, keeper: &mut Keeper) {
        self.is_stuck.store(true);
        keeper.store = None;
        let error = self.full();
        for unit in &mut keeper.held {
            self.forget(&**unit);
            unit.refuse(&error);
        }
    }

    /// Looks whether there is room again.
    fn look(&self) {
        let mut keeper = self.keeper();
        let keeper = &mut *keeper;
        if self.state.load() == State::Failed {
            return;
        }
        if self.is_stuck.load() || keeper.store.is_none() {
            match keeper.folder.has_room().map_err(io_fault).and_then(|has_room| {
                if has_room { keeper.folder.reopen().map(Some) } else { Ok(None) }
            }) {
                Ok(Some(store)) => keeper.store = Some(store),
                Ok(None) | Err(Fault::Full) => return,
                Err(fault) => return self.fail(keeper, fault),
            }
            // The next run tries what is held.
            self.is_stuck.store(false);
            self.nudge();
            return;
        }
        if !keeper.held.is_empty() {
            return;
        }
        match keeper.folder.hold_back() {
            Ok(true) => {
                let _closing_meanwhile = self.state.compare_exchange(State::Full, State::Open);
            }
            Ok(false) => {}
            Err(error) => self.fail(keeper, io_fault(error)),
        }
    }

    /// Nothing can be kept any more: everybody is told, and nothing is let go.
    fn fail(&self, keeper: &mut Keeper, fault: Fault) {
        keeper.store = None;
        let error = keeper.folder.tell(fault);
        let first = self.failure.set(error).is_ok();
        self.state.store(State::Failed);
        for mut unit in keeper.held.drain(..) {
            self.forget(&*unit);
            unit.refuse(&self.failed());
        }
        self.refuse_all();
        if first {
            self.is_untold.store(true);
        }
    }

    #[cfg(feature = "failpoints")]
    fn overtakes(&self, unit: &dyn Unit) -> bool {
        let mut changes = 0;
        unit.changes(&mut |_| changes += 1);
        changes == 0 && self.planted == Some(canary::Canary::NoChangeOvertakes)
    }

    fn refuse_all(&self) {
        while let Some(mut unit) = self.queue.pop() {
            self.forget(&*unit);
            unit.refuse(&self.failed());
        }
    }

    fn forget(&self, unit: &dyn Unit) {
        if let Some(backlog) = unit.shard().and_then(|shard| self.backlog.get(shard)) {
            backlog.fetch_sub(unit.replies());
        }
    }

    fn failed(&self) -> Error {
        self.failure.get().expect("said before the state changes").clone()
    }

    fn full(&self) -> Error {
        Error::StorageFull { path: self.path.clone() }
    }

    fn keeper(&self) -> MutexGuard<'_, Keeper> {
        self.keeper.lock().unwrap_or_else(|poisoned| self.poisoned(poisoned))
    }

    /// Fails, as after a panic.
    fn poison(&self) -> MutexGuard<'_, Keeper> {
        let keeper = self.keeper.lock();
        self.poisoned(keeper.map_or_else(|poisoned| poisoned, PoisonError::new))
    }

    /// Somebody panicked in the middle of a commit: what became visible is not known.
    fn poisoned<'a>(
        &self,
        poisoned: PoisonError<MutexGuard<'a, Keeper>>,
    ) -> MutexGuard<'a, Keeper> {
        let mut keeper = poisoned.into_inner();
        self.fail(&mut keeper, Fault::Disk("a commit was cut short by an internal fault".into()));
        keeper
    }

    fn try_keeper(&self) -> Option<MutexGuard<'_, Keeper>> {
        match self.keeper.try_lock() {
            Ok(keeper) => Some(keeper),
            Err(TryLockError::Poisoned(poisoned)) => Some(self.poisoned(poisoned)),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// The thread `tenure-commit`. If it ends by a panic, the log fails: nobody else works for the reactors.
struct Worker(Arc<Inner>);

impl Drop for Worker {
    fn drop(&mut self) {
        if thread::panicking() {
            drop(self.0.poison());
            self.0.tell();
        }
    }
}

impl Keeper {
    /// Gives the reserve up, and opens the store again: one that has failed once fails ever after, and what
    /// it had committed is whole.
    fn make_room(&mut self) -> Result<(), Fault> {
        self.store = None;
        self.folder.give_up().map_err(io_fault)?;
        self.store = Some(self.folder.reopen()?);
        Ok(())
    }

    /// What is held, as it is to be written.
    fn batch(&self) -> Batch {
        let mut batch = Batch::default();
        for unit in &self.held {
            unit.changes(&mut |change| batch.keep(&change));
        }
        batch
    }

    /// Writes a batch in one commit. False if there was nothing to write.
    fn keep(&mut self, batch: &Batch) -> Result<bool, Fault> {
        let store = self.store.as_mut().ok_or(Fault::Full)?;
        if batch.is_empty() { Ok(false) } else { store.commit(batch).map(|()| true) }
    }
}

impl Drop for DurableLog {
    fn drop(&mut self) {
        // After a failure there is nothing to wait for.
        let _failed = self
            .inner
            .state
            .fetch_update(|state| (state != State::Failed).then_some(State::Closing));
        self.inner.nudge();
        if let Some(committer) = self.committer.take()
            && committer.thread().id() != thread::current().id()
        {
            let _it_has_panicked = committer.join();
        }
    }
}

impl fmt::Debug for DurableLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, waiting) = (self.inner.state.load(), self.inner.queue.len());
        f.debug_struct("DurableLog").field("state", &state).field("waiting", &waiting).finish()
    }
}
