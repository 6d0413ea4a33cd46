//! A value that is published from its first reader on.
//!
//! A store of arc-swap writes to memory of every thread that ever used one, so two shards that publish
//! at once slow each other. Most changes are read by nobody but their own caller. So until somebody
//! reads it, the released value is kept under a lock alone, which only the writer, the first reader and who
//! looks ahead ever take; from then on it is stored into the swap, and readers take no lock.
//!
//! - The first reader, under the lock, stores the released value into the swap and then says that it
//!   is read (`Release`).
//! - The writer, under the lock, finds that not said and leaves the value where the first reader will
//!   find it; or it finds it said (`Acquire`), and its store into the swap comes after the first
//!   reader's in the swap's modification order.
//!
//! So the swap never goes back, and holds the newest released value once it is read. Until then the writer may
//! also change the value where it lies, under the lock: nobody sees it but who was given a copy.

use std::mem;
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
    /// What anybody may see, while that is not the newest; nothing once it is read.
    released: Option<T>,
}

/// The newest value in the writer's hands.
pub(crate) struct Writing<'a, T, S> {
    own: MutexGuard<'a, Own<T>>,
    published: &'a Published<T, S>,
}

impl<T: Clone, S: Swap<T>> Writing<'_, T, S> {
    pub(crate) fn newest(&self) -> &T {
        &self.own.newest
    }

    /// There is a newer value, to be released later.
    pub(crate) fn advance(&mut self, value: T) {
        let before = mem::replace(&mut self.own.newest, value);
        if !self.published.is_read() && self.own.released.is_none() {
            self.own.released = Some(before);
        }
    }

    /// The newest value where it lies, if that is what a first reader would find.
    pub(crate) fn unread(&mut self) -> Option<&mut T> {
        let is_free = !self.published.is_read() && self.own.released.is_none();
        is_free.then_some(&mut self.own.newest)
    }

    /// There is a newer value, and anybody may see it.
    pub(crate) fn publish(&mut self, value: T) {
        if self.published.is_read() {
            self.own.newest = value.clone();
            self.published.swap.store(value);
        } else {
            // One hold of it instead of two: a count up and down costs more than all else here.
            (self.own.newest, self.own.released) = (value, None);
        }
    }
}

impl<T: Clone, S: Swap<T>> Published<T, S> {
    pub(crate) fn new(value: T, swap: S, aside: u16) -> Self {
        let own = Own { newest: value, released: None };
        Self { own: Mutex::new(own), swap, is_read: AtomicBool::new(false), aside }
    }

    /// For the writer: the newest value, released or not, and the place of a newer one. A first reader waits
    /// while this is held.
    pub(crate) fn writing(&self) -> Writing<'_, T, S> {
        Writing { own: self.own(), published: self }
    }

    /// The newest value, released or not. Waits for the writer, as long as one change takes.
    #[allow(dead_code, reason = "only services look ahead")]
    pub(crate) fn newest(&self) -> T {
        self.own().newest.clone()
    }

    /// For the writer: anybody may see this value.
    pub(crate) fn release(&self, value: T) {
        if let Some(mut own) = self.unread() {
            own.released = Some(value);
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
        match self.unread() {
            Some(own) => kept(own.released.as_ref().unwrap_or(&own.newest)),
            None => published(&self.swap),
        }
    }

    #[cold]
    fn begin(&self) {
        if let Some(mut own) = self.unread() {
            let released = own.released.take().unwrap_or_else(|| own.newest.clone());
            self.swap.store(released);
            self.is_read.store(true, Ordering::Release);
        }
    }

    /// The lock, if nobody reads it, and nobody begins to while this is held.
    fn unread(&self) -> Option<MutexGuard<'_, Own<T>>> {
        if self.is_read() {
            return None;
        }
        Some(self.own()).filter(|_| !self.is_read())
    }

    #[inline]
    fn is_read(&self) -> bool {
        self.is_read.load(Ordering::Acquire)
    }

    fn own(&self) -> MutexGuard<'_, Own<T>> {
        // Each change is one assignment, which no panic leaves half done.
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
