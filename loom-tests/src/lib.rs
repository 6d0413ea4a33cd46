//! Every interleaving of the lock-free parts, by loom.
//!
//! The files under test are compiled here as they stand in `src/`, with `sync.rs` turned to loom.
#![cfg(tenure_loom)]
#![allow(dead_code)] // each model uses a part of each file

#[path = "../../src/clock.rs"]
mod clock;
#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/id.rs"]
mod id;
#[path = "../../src/lease.rs"]
mod lease;
#[path = "../../src/sync.rs"]
mod sync;

mod shard;

#[cfg(test)]
mod models;
