//! Where an answer is put for whoever waits for it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A place for one value at a time; a newer one takes an older one's place.
pub(in crate::client) struct Slot<T> {
    inner: Mutex<Inner<T>>,
}

struct Inner<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { inner: Mutex::new(Inner { value: None, waker: None }) }
    }
}

impl<T> Slot<T> {
    /// Puts the value there. Who waits has to be woken, when no lock is held any more.
    pub(super) fn put(&self, value: T) -> Option<Waker> {
        let mut inner = self.lock();
        inner.value = Some(value);
        inner.waker.take()
    }

    pub(in crate::client) fn take(&self) -> Option<T> {
        self.lock().value.take()
    }

    /// The value, or a promise to wake.
    pub(in crate::client) fn poll(&self, context: &mut Context<'_>) -> Poll<T> {
        let mut inner = self.lock();
        match inner.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                inner.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
