//! Loom's atomics and locks, and stand-ins for what loom does not have.

pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub(crate) use loom::sync::{Mutex, MutexGuard};

use std::collections::VecDeque;

/// Stands in for the slot of one atomic, whose `swap`s acquire and release as these do. The value lies beside
/// a flag, and a lock that is always free shows that only whoever took it touches it.
pub(crate) struct Slot<T> {
    is_empty: AtomicBool,
    value: Mutex<Option<Box<T>>>,
}

impl<T> Slot<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { is_empty: AtomicBool::new(false), value: Mutex::new(Some(Box::new(value))) }
    }

    pub(crate) fn take(&self) -> Option<Box<T>> {
        let was_empty = self.is_empty.swap(true, Ordering::AcqRel);
        if was_empty { None } else { self.value.try_lock().expect("nobody else has it").take() }
    }

    pub(crate) fn put(&self, value: Box<T>) {
        *self.value.try_lock().expect("nobody else has it") = Some(value);
        self.is_empty.swap(false, Ordering::AcqRel);
    }
}

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
