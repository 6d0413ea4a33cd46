//! Keeps nothing: a turn is as durable as the process.

use super::{Log, Unit};

pub(crate) struct MemoryLog;

impl Log for MemoryLog {
    fn commit(&self, unit: &mut dyn Unit) {
        unit.release();
    }

    fn is_immediate(&self) -> bool {
        true
    }
}
