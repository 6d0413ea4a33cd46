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
        self.items.lock().unwrap().push_back(value);
        self.len.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn pop(&self) -> Option<T> {
        let value = self.items.lock().unwrap().pop_front()?;
        self.len.fetch_sub(1, Ordering::Relaxed);
        Some(value)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn len(&self) -> usize {
        // A pop may be counted before its push: then the difference is below zero for a moment.
        let len = self.len.load(Ordering::Relaxed);
        usize::try_from(len.cast_signed()).unwrap_or(0)
    }
}
