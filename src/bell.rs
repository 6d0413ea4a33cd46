//! Wakes the tasks and threads behind embedded watches, but never while this thread has a role that others
//! may need, as a shard's writer or for a commit: a waker is its user's code, which may call the engine,
//! or panic.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;
use std::thread;

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

/// Wakes those who are due. Panics as the first waker did that panicked, once all others are woken.
#[inline]
pub(crate) fn ring() {
    if let Err(panic) = try_ring() {
        resume_unwind(panic);
    }
}

/// The same, for who has more to do before it panics.
#[inline]
pub(crate) fn try_ring() -> thread::Result<()> {
    if IS_DUE.get() && !IS_WRITER.get() { ring_all() } else { Ok(()) }
}

#[cold]
fn ring_all() -> thread::Result<()> {
    let mut first = None;
    // A waker may ask for others. Nobody else comes for those that are due to this thread.
    while !IS_WRITER.get()
        && let Some(waker) = DUE.with_borrow_mut(Vec::pop)
    {
        let woken = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        first = first.or(woken.err());
    }
    IS_DUE.set(DUE.with_borrow(|due| !due.is_empty()));
    first.map_or(Ok(()), Err)
}

struct Before(bool);

impl Drop for Before {
    fn drop(&mut self) {
        IS_WRITER.set(self.0);
        // What a turn published before it panicked is told all the same.
        if thread::panicking() {
            // A second panic would end the process.
            let _this_one_goes_on = try_ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Sender, channel};
    use std::task::Wake;

    use super::*;

    struct Tells(Sender<()>);

    impl Wake for Tells {
        fn wake(self: Arc<Self>) {
            self.0.send(()).expect("somebody listens");
        }
    }

    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            resume_unwind(Box::new("a waker's own fault"));
        }
    }

    #[test]
    fn a_waker_that_panics_keeps_no_other_from_being_woken() {
        let (told, hears) = channel();
        as_writer(|| {
            wake(Waker::from(Arc::new(Tells(told.clone()))));
            wake(Waker::from(Arc::new(Panics)));
            wake(Waker::from(Arc::new(Tells(told))));
        });
        assert!(catch_unwind(ring).is_err());
        assert_eq!(hears.try_iter().count(), 2);
        ring();
    }
}
