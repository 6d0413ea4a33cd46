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

    pub(crate) use crossbeam::queue::SegQueue;
}

#[cfg(tenure_loom)]
#[path = "../loom-tests/src/primitives.rs"]
mod primitives;

pub(crate) use primitives::*;
