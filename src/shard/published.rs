//! A value that is published from its first reader on.
//!
//! A store of arc-swap writes to memory of every thread that ever used one, so two shards that publish
//! at once slow each other. Most changes are read by nobody but their own caller. So until somebody
//! reads it, the released value is kept under a lock alone, which only the writer and the first reader
//! ever take; from then on it is stored into the swap, and readers take no lock.
//!
//! - The first reader, under the lock, stores the released value into the swap and then says that it
//!   is read (`Release`).
//! - The writer, under the lock, finds that not said and leaves the value where the first reader will
//!   find it; or it finds it said (`Acquire`), and its store into the swap comes after the first
//!   reader's in the swap's modification order.
//!
//! So the swap never goes back, and holds the newest released value once it is read.

use std::sync::PoisonError;

use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering};

/// What readers read from without a lock.
pub(crate) trait Swap<T> {
    fn store(&self, value: T);
}

pub(crate) struct Published<T, S> {
    own: Mutex<Own<T>>,
    /// Meaningful once it is read.
    swap: S,
    /// Never goes back.
    is_read: AtomicBool,
    /// Its owner's, in a place that would be empty otherwise.
    pub(crate) aside: u16,
}

/// In a mutex because safe code wants one. Who applies reads it here, and nothing that others write.
struct Own<T> {
    /// Released, or about to be.
    newest: T,
    /// What anybody may see; nothing once it is read.
    released: Option<T>,
}

/// The newest value in the writer's hands.
pub(crate) struct Writing<'a, T, S> {
    own: MutexGuard<'a, Own<T>>,
    swap: &'a S,
}

impl<T: Clone, S: Swap<T>> Writing<'_, T, S> {
    pub(crate) fn newest(&self) -> &T {
        &self.own.newest
    }

    /// There is a newer value, to be released later.
    pub(crate) fn advance(&mut self, value: T) {
        self.own.newest = value;
    }

    /// There is a newer value, and anybody may see it.
    pub(crate) fn publish(&mut self, value: T) {
        self.own.newest = value.clone();
        match &mut self.own.released {
            Some(released) => *released = value,
            None => self.swap.store(value),
        }
    }
}

impl<T: Clone, S: Swap<T>> Published<T, S> {
    pub(crate) fn new(value: T, swap: S, aside: u16) -> Self {
        let own = Own { newest: value.clone(), released: Some(value) };
        Self { own: Mutex::new(own), swap, is_read: AtomicBool::new(false), aside }
    }

    /// For the writer: the newest value, released or not, and the place of a newer one. A first reader waits
    /// while this is held.
    pub(crate) fn writing(&self) -> Writing<'_, T, S> {
        Writing { own: self.own(), swap: &self.swap }
    }

    /// For the writer: anybody may see this value.
    pub(crate) fn release(&self, value: T) {
        if !self.is_read()
            && let Some(released) = &mut self.own().released
        {
            *released = value;
            return;
        }
        self.swap.store(value);
    }

    /// Where to read, from now on.
    #[inline]
    pub(crate) fn read(&self) -> &S {
        if !self.is_read() {
            self.begin();
        }
        self.published()
    }

    /// Where to read, for those who called [`read`](Self::read) before.
    #[inline]
    pub(crate) fn published(&self) -> &S {
        &self.swap
    }

    /// Looks at the released value without becoming a reader.
    pub(crate) fn peek<R>(&self, published: impl FnOnce(&S) -> R, kept: impl FnOnce(&T) -> R) -> R {
        if !self.is_read()
            && let Some(released) = &self.own().released
        {
            return kept(released);
        }
        published(&self.swap)
    }

    #[cold]
    fn begin(&self) {
        let mut own = self.own();
        if let Some(released) = own.released.take() {
            self.swap.store(released);
            self.is_read.store(true, Ordering::Release);
        }
    }

    #[inline]
    fn is_read(&self) -> bool {
        self.is_read.load(Ordering::Acquire)
    }

    fn own(&self) -> MutexGuard<'_, Own<T>> {
        // Each change is one store, which no panic leaves half done.
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
