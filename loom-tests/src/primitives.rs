//! Loom's atomics and locks, and stand-ins for what loom does not have.

pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub(crate) use loom::sync::{Mutex, MutexGuard};

use std::collections::VecDeque;

/// Stands in for crossbeam's queue. How long it is, it says without any ordering of its own, so that
/// the mailbox is proved right by the role's ordering alone.
pub(crate) struct SegQueue<T> {
    items: Mutex<VecDeque<T>>,
    len: AtomicU64,
}

impl<T> SegQueue<T> {
    pub(crate) fn new() -> Self {
        Self { items: Mutex::new(VecDeque::new()), len: AtomicU64::new(0) }
    }

    pub(crate) fn push(&self, value: T) {
        let mut items = self.items.lock().unwrap();
        items.push_back(value);
        self.count(&items);
    }

    pub(crate) fn pop(&self) -> Option<T> {
        let mut items = self.items.lock().unwrap();
        let value = items.pop_front()?;
        self.count(&items);
        Some(value)
    }

    /// Counted where it is pushed or popped, as crossbeam's indices are: a push that has returned is
    /// never missing from the length.
    fn count(&self, items: &VecDeque<T>) {
        self.len.store(items.len() as u64, Ordering::Relaxed);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed) as usize
    }
}
