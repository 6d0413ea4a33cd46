//! Who writes, and when: the committing role, the full disk, and the failed one.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::{self, Thread};
use std::time::Duration;

use crossbeam::atomic::AtomicCell;
use crossbeam::queue::SegQueue;

use super::OnFailure;
#[cfg(feature = "failpoints")]
use super::canary;
use super::keeper::{Handed, Keeper};
use super::place::{Place, io_fault};
use super::store::{Fault, Snapshot, Store};
use crate::bell;
use crate::clock::Clock;
use crate::error::Error;
use crate::limits::SHARDS;
use crate::log::{CommitMeter, Unit};

/// Units in one commit, at most: so it has a bound, and the first of them does not wait too long.
pub(super) const BATCH: usize = 4096;
/// Bytes of what is in it, about: one unit more may still be taken.
const BATCH_BYTES: usize = 960 << 10;
/// How often a full disk is looked at again.
const LOOK: Duration = Duration::from_millis(200);

pub(super) struct Inner {
    pub(super) queue: SegQueue<Handed>,
    pub(super) keeper: Mutex<Keeper>,
    pub(super) state: AtomicCell<State>,
    /// Full, and what is held could not be kept even so.
    pub(super) is_stuck: AtomicCell<bool>,
    pub(super) failure: OnceLock<Error>,
    on_failure: Box<OnFailure>,
    /// It failed, and nobody was told.
    is_untold: AtomicCell<bool>,
    path: PathBuf,
    /// Commands whose turns wait, by their shards.
    pub(super) backlog: Box<[AtomicCell<usize>]>,
    pub(super) committer: OnceLock<Thread>,
    pub(super) commits: AtomicCell<u64>,
    pub(super) meter: CommitMeter,
    #[cfg(feature = "failpoints")]
    planted: Option<canary::Canary>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// Only what needs no more room is taken.
    Full,
    /// Nothing is taken.
    Failed,
    /// The engine is gone; what waits is kept, then the thread ends.
    Closing,
}

impl Inner {
    pub(super) fn new(folder: Box<dyn Place>, store: Store, on_failure: Box<OnFailure>) -> Self {
        let has_reserve = folder.hold_back();
        let is_open = matches!(has_reserve, Ok(true));
        Self {
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
            meter: CommitMeter::default(),
            #[cfg(feature = "failpoints")]
            planted: canary::planted(),
            keeper: Mutex::new(Keeper { folder, store: Some(store), held: VecDeque::new() }),
        }
    }

    /// The thread's work.
    pub(super) fn work(&self) {
        loop {
            self.run_all();
            match self.state.load() {
                State::Closing => return self.end(),
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

    pub(super) fn nudge(&self) {
        if let Some(committer) = self.committer.get() {
            committer.unpark();
        }
    }

    /// Commits what waits, until nothing does. Waits for the role: who has it may be long at the disk.
    fn run_all(&self) {
        while self.run_by(|| Some(self.keeper())) {}
    }

    /// Commits what waits, once, if nobody else does.
    pub(super) fn run_once(&self) {
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
        let mut bytes = 0;
        while (keeper.held.len() < BATCH && bytes < BATCH_BYTES || self.is_stuck.load())
            && let Some(handed) = self.queue.pop()
        {
            bytes += handed.bytes;
            keeper.held.push_back(handed);
        }
        if keeper.held.is_empty() {
            return false;
        }
        if self.is_stuck.load() {
            // Tried again when there is room, and not for each that comes.
            self.get_stuck(keeper);
            return false;
        }
        let mut batch = keeper.batch();
        #[cfg(feature = "failpoints")]
        if self.planted == Some(canary::Canary::AnswerBeforeCommit) {
            keeper.held.iter_mut().for_each(|handed| handed.unit.release());
        }
        let clock = Clock::system();
        let began = clock.now();
        let mut kept = keeper.keep(&mut batch);
        if matches!(kept, Err(Fault::Full)) {
            let (was_open, reserve) = self.find_room(keeper);
            if was_open && reserve.is_ok() {
                kept = keeper.keep(&mut batch);
            }
            kept = reserve.and(kept);
        }
        match kept {
            Ok(wrote) => {
                self.commits.fetch_add(u64::from(wrote));
                if wrote {
                    self.meter.committed(keeper.held.len(), clock.now() - began);
                }
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

    /// The disk is full. Whether that is new, and what came of giving the reserve up.
    fn find_room(&self, keeper: &mut Keeper) -> (bool, Result<(), Fault>) {
        let was_open = self.state.compare_exchange(State::Open, State::Full).is_ok();
        // The thread looks for room from now on, also where a caller has found that there is none.
        self.nudge();
        (was_open, keeper.make_room())
    }

    /// All that is kept now.
    pub(super) fn snapshot(&self) -> Result<Snapshot, Error> {
        let taken = bell::as_writer(|| self.snapshot_of(&mut self.keeper()));
        bell::ring();
        self.tell();
        taken
    }

    fn snapshot_of(&self, keeper: &mut Keeper) -> Result<Snapshot, Error> {
        let Some(store) = &mut keeper.store else {
            return Err(self.failure.get().cloned().unwrap_or_else(|| self.full()));
        };
        let taken = store.snapshot().map_err(|fault| match fault {
            Fault::Full => self.find_room(keeper).1.err().unwrap_or(Fault::Full),
            fault => fault,
        });
        taken.map_err(|fault| match fault {
            Fault::Full => self.full(),
            fault => {
                self.fail(keeper, fault);
                self.failed()
            }
        })
    }

    /// In order: the next start finds an empty journal.
    fn end(&self) {
        self.run_all();
        bell::as_writer(|| {
            let mut keeper = self.keeper();
            match keeper.store.as_mut().map_or(Ok(()), Store::settle) {
                // Without room it stays in the journal, where it is found.
                Ok(()) | Err(Fault::Full) => {}
                Err(fault) => self.fail(&mut keeper, fault),
            }
        });
        bell::ring();
        self.tell();
    }

    fn release(&self, keeper: &mut Keeper) {
        for Handed { mut unit, .. } in keeper.held.drain(..) {
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
        for Handed { unit, .. } in &mut keeper.held {
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
        if first {
            self.is_untold.store(true);
        }
        for Handed { mut unit, .. } in keeper.held.drain(..) {
            self.forget(&*unit);
            unit.refuse(&self.failed());
        }
        self.refuse_all();
    }

    #[cfg(feature = "failpoints")]
    pub(super) fn overtakes(&self, unit: &dyn Unit) -> bool {
        let mut changes = 0;
        unit.changes(&mut |_| changes += 1);
        changes == 0 && self.planted == Some(canary::Canary::NoChangeOvertakes)
    }

    pub(super) fn refuse_all(&self) {
        while let Some(Handed { mut unit, .. }) = self.queue.pop() {
            self.forget(&*unit);
            unit.refuse(&self.failed());
        }
    }

    fn forget(&self, unit: &dyn Unit) {
        if let Some(backlog) = unit.shard().and_then(|shard| self.backlog.get(shard)) {
            backlog.fetch_sub(unit.replies());
        }
    }

    pub(super) fn failed(&self) -> Error {
        self.failure.get().expect("said before the state changes").clone()
    }

    pub(super) fn full(&self) -> Error {
        Error::StorageFull { path: self.path.clone() }
    }

    pub(super) fn keeper(&self) -> MutexGuard<'_, Keeper> {
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
pub(super) struct Worker(pub(super) Arc<Inner>);

impl Drop for Worker {
    fn drop(&mut self) {
        if thread::panicking() {
            drop(self.0.poison());
            self.0.tell();
        }
    }
}
