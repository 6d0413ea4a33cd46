//! What makes a turn durable before anybody sees it.

mod memory;

pub(crate) use memory::MemoryLog;

use crate::election::Term;

/// One pass of a shard's writer, as the log sees it: what to keep, and what to let go once it is
/// kept.
#[allow(dead_code, reason = "the log in memory keeps nothing; the simulation's log asks for all")]
pub(crate) trait Unit: Send {
    /// The shard it belongs to.
    fn shard(&self) -> usize;

    /// Calls `keep` with the name and the new state of each election that changed.
    fn changes(&self, keep: &mut dyn FnMut(&str, &Term));

    /// Makes the unit's effects visible: publishes, answers, announces. Once, after the changes are
    /// durable.
    fn release(&mut self);

    /// Moves the unit out of the writer's hands, for a log that releases it later.
    fn detach(&mut self) -> Box<dyn Unit>;
}

/// Keeps turns. An implementation releases each exactly once, and never before all earlier ones of
/// the same shard: also a turn without changes waits, because its replies may tell what an earlier
/// one changed.
pub(crate) trait Log: Send + Sync {
    /// Called by the shard's writer, one at a time for each shard.
    fn commit(&self, unit: &mut dyn Unit);
}
