//! Refuses those who lead no longer.
//!
//! A leader that was paused, or cut off, may act on an old belief. Nothing that it knows can prevent that;
//! what it acts on can. So it gives its term with each act, and the resource remembers the greatest term
//! that it has seen, and refuses every lower one. Terms rise with each change of leader, so that is all it
//! takes.
//!
//! - [`Fence`]: the greatest term alone, lock-free, for an act that is over when the check is: a send into
//!   one stream, or the check at the door of a service that then works in order.
//! - [`Fenced`]: a value with its fence. Check and act are one, so no newer leader gets in between.
//! - [`SQL`]: the same in a database, where the row is the fence.
//!
//! `docs/fencing.md` has examples for a file and for an HTTP header.
//!
//! ```
//! use tenure::fence::Fence;
//!
//! let fence = Fence::new();
//! assert!(fence.admit(7).is_ok());
//! assert!(fence.admit(7).is_ok(), "the same leader, again");
//! assert!(fence.admit(8).is_ok(), "its successor");
//! assert_eq!(fence.admit(7).unwrap_err().to_string(), "term 7 is stale: term 8 was here");
//! ```

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam::atomic::AtomicCell;

/// A term that is older than one that was seen before: whoever gave it leads no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("term {term} is stale: {}", Seen(*.newest))]
pub struct StaleTerm {
    /// The term that was given.
    pub term: u64,
    /// The greatest term that was seen; `None` if the resource does not say which.
    pub newest: Option<u64>,
}

struct Seen(Option<u64>);

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(newest) => write!(f, "term {newest} was here"),
            None => f.write_str("a newer one was here"),
        }
    }
}

/// The greatest term seen. Lock-free; share it by reference or in an `Arc`.
#[derive(Debug, Default)]
pub struct Fence(AtomicCell<u64>);

impl Fence {
    /// A fence that has seen nobody.
    pub const fn new() -> Self {
        Self::from(0)
    }

    /// A fence that has seen this term: what was kept of it across a restart.
    pub const fn from(newest: u64) -> Self {
        Self(AtomicCell::new(newest))
    }

    /// The greatest term seen; 0 before the first.
    pub fn newest(&self) -> u64 {
        self.0.load()
    }

    /// Takes note of `term`, and refuses it if a greater one was seen.
    ///
    /// # Errors
    /// [`StaleTerm`].
    pub fn admit(&self, term: u64) -> Result<(), StaleTerm> {
        let newest = self.0.fetch_max(term);
        if newest > term {
            return Err(StaleTerm { term, newest: Some(newest) });
        }
        Ok(())
    }
}

/// A value that only the newest leader may touch.
///
/// ```
/// use tenure::fence::Fenced;
///
/// let balance = Fenced::new(100);
/// *balance.lock(3)? -= 10;
/// assert!(balance.lock(2).is_err(), "somebody led after term 2");
/// assert_eq!(*balance.lock(3)?, 90);
/// # Ok::<(), tenure::fence::StaleTerm>(())
/// ```
#[derive(Debug, Default)]
pub struct Fenced<T> {
    fence: Fence,
    value: Mutex<T>,
}

impl<T> Fenced<T> {
    /// A value that nobody has touched.
    pub const fn new(value: T) -> Self {
        Self { fence: Fence::new(), value: Mutex::new(value) }
    }

    /// The value, for the leader of `term`, for as long as the guard is held. Waits for others who hold
    /// it: a newer leader too waits until an older one's act is over. A panic of one of them leaves the
    /// value as it was then.
    ///
    /// # Errors
    /// [`StaleTerm`] if a newer leader came before.
    pub fn lock(&self, term: u64) -> Result<MutexGuard<'_, T>, StaleTerm> {
        let value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        self.fence.admit(term).map(|()| value)
    }

    /// The greatest term seen; 0 before the first.
    pub fn newest(&self) -> u64 {
        self.fence.newest()
    }

    /// The value itself.
    pub fn into_inner(self) -> T {
        self.value.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pattern for a row of a database that is its own fence: a column `term`, written with each change,
/// in a statement that changes nothing for a stale one.
///
/// ```sql
/// UPDATE jobs SET state = :state, term = :term WHERE id = :id AND term <= :term
/// ```
///
/// Give the number of rows that it changed to [`changed`]. Terms stay below 2^53, so any integer column
/// of 64 bits holds them. Check and act are one statement; keep it so, or put both into one transaction.
pub const SQL: &str = "term <= :term";

/// What a fenced statement says by the number of rows that it changed. A row that does not exist changes
/// none either: insert it, with term 0, before there is anybody to fence.
///
/// # Errors
/// [`StaleTerm`] if it changed none.
pub fn changed(rows: usize, term: u64) -> Result<(), StaleTerm> {
    if rows == 0 { Err(StaleTerm { term, newest: None }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_fence_refuses_whatever_is_lower_than_the_greatest() {
        let fence = Fence::from(5);
        assert_eq!(fence.admit(4), Err(StaleTerm { term: 4, newest: Some(5) }));
        for term in [5, 5, 9] {
            assert_eq!(fence.admit(term), Ok(()));
        }
        assert_eq!((fence.admit(8).is_err(), fence.newest()), (true, 9));
    }

    /// Of threads that lead one after the other, each older one is refused once a newer one was let in.
    #[test]
    fn who_was_refused_stays_refused() {
        let log = Fenced::new(Vec::new());
        thread::scope(|scope| {
            for term in 1..=8 {
                let log = &log;
                scope.spawn(move || {
                    while let Ok(mut log) = log.lock(term) {
                        log.push(term);
                        if log.len() > 10_000 {
                            break;
                        }
                    }
                });
            }
        });
        assert_eq!(log.newest(), 8);
        let log = log.into_inner();
        assert!(log.is_sorted(), "an older leader acted after a newer one");
    }

    #[test]
    fn a_panic_in_between_keeps_the_fence() {
        let value = Fenced::new(1);
        let broken = thread::scope(|scope| {
            let act = scope.spawn(|| {
                let mut value = value.lock(2).unwrap();
                *value = 2;
                panic!("in the midst of it");
            });
            act.join().is_err()
        });
        assert!(broken);
        assert_eq!(value.lock(1).map(|value| *value), Err(StaleTerm { term: 1, newest: Some(2) }));
        assert_eq!(value.lock(2).map(|value| *value), Ok(2));
    }
}
