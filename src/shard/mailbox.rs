//! One writer at a time, without a thread that waits for a lock.
//!
//! Whoever submits tries to become the shard's writer. If somebody else is, the command stays in the
//! queue, and the present writer runs it. No command may be left behind with nobody to run it, and
//! that is what the role's one atomic has to guarantee:
//!
//! - The role is taken and given back by `swap` alone, never by a plain load or store. A submitter
//!   that finds the role taken has *pushed first* and then written `true` over `true`. The writer's
//!   `swap(false)` comes after that in the role's modification order, so it reads from the
//!   submitter's swap or from a later one, acquires what the submitter released, and its next look at
//!   the queue sees the command.
//! - If instead the submitter's second swap comes after the writer's, it finds the role free and
//!   becomes the writer itself.
//!
//! The state sits in a mutex because safe code wants one; the role makes it free whenever it is
//! tried. A writer that panics poisons it, and every later command is dropped unrun: a command tells
//! its submitter so when it is dropped (`reply.rs`).

use std::sync::TryLockError;

use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering, SegQueue};

/// `K` is a command that can wait, `S` what the writer alone may touch.
pub(crate) struct Mailbox<K, S> {
    taken: AtomicBool,
    state: Mutex<S>,
    waiting: SegQueue<K>,
}

/// What a writer runs: its own command, as it was handed over, or one that waited.
pub(crate) enum Next<C, K> {
    Own(C),
    Waited(K),
}

/// The mailbox is full; the command comes back.
pub(crate) struct Overloaded<C>(pub(crate) C);

impl<K, S> Mailbox<K, S> {
    pub(crate) fn new(state: S) -> Self {
        Self { taken: AtomicBool::new(false), state: Mutex::new(state), waiting: SegQueue::new() }
    }

    /// Commands that wait for a writer; exact only while nobody submits.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Has `command` run, here or by the present writer, after everything this thread submitted
    /// before. If it has to wait behind `bound` others or more, it comes back instead (when many
    /// submit at once, each may add one over the bound). `keep` makes it fit to wait. `run` takes
    /// what there is to run until there is no more, or stops earlier: then the role is given back, so
    /// that another submitter may go on, and `rest` is called before it is tried for again.
    pub(crate) fn submit<C>(
        &self,
        bound: usize,
        command: C,
        keep: impl Fn(C) -> K,
        mut run: impl FnMut(&mut S, &mut dyn Iterator<Item = Next<C, K>>),
        mut rest: impl FnMut(),
    ) -> Result<(), Overloaded<C>> {
        let mut own = None;
        let mut role = self.take_role();
        if role.is_some() {
            own = Some(command);
        } else if self.waiting.len() >= bound {
            return Err(Overloaded(command));
        } else {
            self.waiting.push(keep(command));
            role = self.take_role();
        }
        while let Some(writer) = role {
            writer.work(&mut own, &mut run);
            if let Some(own) = own.take() {
                // Many waited before it. Whoever has the role next runs it in its place.
                self.waiting.push(keep(own));
            }
            drop(writer);
            rest();
            role = if self.waiting.is_empty() { None } else { self.take_role() };
        }
        Ok(())
    }

    /// Leaves a command of the writer's own for its next pass, bound or no bound.
    pub(crate) fn put_back(&self, command: K) {
        self.waiting.push(command);
    }

    fn take_role(&self) -> Option<Writer<'_, K, S>> {
        let was_taken = self.taken.swap(true, Ordering::AcqRel);
        // Not `then_some`: a `Writer` that is made only to be dropped gives back a role it never had.
        (!was_taken).then(|| Writer(self))
    }
}

/// The role, given back when dropped, also by a panic.
struct Writer<'a, K, S>(&'a Mailbox<K, S>);

impl<K, S> Writer<'_, K, S> {
    fn work<C>(
        &self,
        own: &mut Option<C>,
        run: &mut impl FnMut(&mut S, &mut dyn Iterator<Item = Next<C, K>>),
    ) {
        let waiting = &self.0.waiting;
        // What waits goes first, for some of it may be this submitter's own, handed over earlier; then
        // its own, before what others hand over meanwhile.
        let mut earlier = waiting.len();
        let mut next = std::iter::from_fn(|| {
            if let Some(own) = own.take_if(|_| earlier == 0 || waiting.is_empty()) {
                return Some(Next::Own(own));
            }
            earlier = earlier.saturating_sub(1);
            // Looking is cheaper than trying, and is all that most turns need.
            if waiting.is_empty() { None } else { waiting.pop().map(Next::Waited) }
        });
        match self.state() {
            Some(mut state) => run(&mut state, &mut next),
            None => next.for_each(drop),
        }
    }

    /// `None` after a panic. Never waits: the role has no other holder.
    fn state(&self) -> Option<MutexGuard<'_, S>> {
        match self.0.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(_)) => None,
            Err(TryLockError::WouldBlock) => unreachable!("the role has one holder"),
        }
    }
}

impl<K, S> Drop for Writer<'_, K, S> {
    fn drop(&mut self) {
        // Poisoned by this writer, not merely dropped while its thread unwinds from something else.
        let has_failed = std::thread::panicking() && self.state().is_none();
        self.0.taken.swap(false, Ordering::AcqRel);
        if has_failed {
            // Nobody may come again to run these; dropping them tells who waits for them.
            while self.0.waiting.pop().is_some() {}
        }
    }
}
