//! The one seam between the real primitives and the model checker's.
//!
//! The lock-free files (`lease.rs`, `shard/{mailbox,published,watch}.rs`) take their atomics, locks
//! and queues from here and nowhere else. `loom-tests` compiles the same files with this module
//! turned to loom by `--cfg tenure_loom` (a cfg of our own, because dependencies give
//! `--cfg loom` a meaning of theirs).

#[cfg(not(tenure_loom))]
mod primitives {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    pub(crate) use std::sync::{Mutex, MutexGuard};

    use crossbeam::atomic::AtomicCell;
    pub(crate) use crossbeam::queue::SegQueue;

    /// Room for one value, in one atomic: taken and put by `swap`s that acquire and release.
    pub(crate) struct Slot<T>(AtomicCell<Option<Box<T>>>);

    impl<T> Slot<T> {
        pub(crate) fn new(value: T) -> Self {
            const { assert!(AtomicCell::<Option<Box<T>>>::is_lock_free()) };
            Self(AtomicCell::new(Some(Box::new(value))))
        }

        #[inline]
        pub(crate) fn take(&self) -> Option<Box<T>> {
            self.0.swap(None)
        }

        /// By whoever took it.
        #[inline]
        pub(crate) fn put(&self, value: Box<T>) {
            let _nothing = self.0.swap(Some(value));
        }
    }
}

#[cfg(tenure_loom)]
#[path = "../loom-tests/src/primitives.rs"]
mod primitives;

pub(crate) use primitives::*;
