//! The shard's files that hold atomics.

#[path = "../../src/shard/mailbox.rs"]
pub(crate) mod mailbox;
#[path = "../../src/shard/published.rs"]
pub(crate) mod published;
#[path = "../../src/shard/watch.rs"]
pub(crate) mod watch;
