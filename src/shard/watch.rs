//! Watching is a dirty bit and the newest state: no queue, so a slow reader costs a constant.
//!
//! A change publishes its term, then raises the mark; the reader lowers the mark, then loads the
//! term. Both are swaps:
//!
//! - If the change finds the mark down, it tells the reader, who will come.
//! - If it finds it up, the reader has been told and has not lowered it since. When it does, its swap
//!   reads from the change's or a later one, acquires it, and so loads this term or a newer one.
//!
//! Either way a change is seen in the end, and told at most once for each time the reader looks.

use crate::sync::{AtomicBool, Ordering};

/// The dirty bit.
#[derive(Debug, Default)]
pub(crate) struct Mark(AtomicBool);

impl Mark {
    pub(crate) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// True if it was down: whoever looks after it must be told.
    pub(crate) fn raise(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// True if it was up. Look at what it stands for *after* lowering it.
    pub(crate) fn lower(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}
