//! Wakes the tasks and threads behind embedded watches, but never while this thread has a role that others
//! may need, as a shard's writer or for a commit: a waker is its user's code, which may call the engine,
//! or panic.

use std::cell::{Cell, RefCell};
use std::task::Waker;

thread_local! {
    static IS_WRITER: Cell<bool> = const { Cell::new(false) };
    /// Whether anybody is due: cheaper to ask.
    static IS_DUE: Cell<bool> = const { Cell::new(false) };
    /// To be woken once this thread has given the role back.
    static DUE: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

/// Wakes now, or once the role is given back.
pub(crate) fn wake(waker: Waker) {
    if IS_WRITER.get() {
        DUE.with_borrow_mut(|due| due.push(waker));
        IS_DUE.set(true);
    } else {
        waker.wake();
    }
}

/// Runs what a writer does.
pub(crate) fn as_writer<R>(turn: impl FnOnce() -> R) -> R {
    let _before = Before(IS_WRITER.replace(true));
    turn()
}

/// Wakes those who are due.
#[inline]
pub(crate) fn ring() {
    if IS_DUE.get() && !IS_WRITER.get() {
        ring_all();
    }
}

#[cold]
fn ring_all() {
    // A waker may ask for others, and panic: then those are due still.
    while !IS_WRITER.get()
        && let Some(waker) = DUE.with_borrow_mut(Vec::pop)
    {
        waker.wake();
    }
    IS_DUE.set(DUE.with_borrow(|due| !due.is_empty()));
}

struct Before(bool);

impl Drop for Before {
    fn drop(&mut self) {
        IS_WRITER.set(self.0);
        // What a turn published before it panicked is told all the same.
        if std::thread::panicking() {
            ring();
        }
    }
}
