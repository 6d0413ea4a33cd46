//! What the committing role holds: the open store, and what is to go into it.

use std::collections::VecDeque;

use super::place::{Place, io_fault};
use super::store::{Batch, Fault, Store};
use crate::log::Unit;

/// What the committing role holds.
pub(super) struct Keeper {
    pub(super) folder: Box<dyn Place>,
    /// None after it failed.
    pub(super) store: Option<Store>,
    /// Taken from the queue, and not kept yet.
    pub(super) held: VecDeque<Box<dyn Unit>>,
}

impl Keeper {
    /// Gives the reserve up, and opens the store again: one that has failed once fails ever after, and what
    /// it had committed is whole.
    pub(super) fn make_room(&mut self) -> Result<(), Fault> {
        self.store = None;
        self.folder.give_up().map_err(io_fault)?;
        self.store = Some(self.folder.reopen()?);
        Ok(())
    }

    /// What is held, as it is to be written.
    pub(super) fn batch(&self) -> Batch {
        let mut batch = Batch::default();
        for unit in &self.held {
            unit.changes(&mut |change| batch.keep(&change));
        }
        batch
    }

    /// Writes a batch in one commit. False if there was nothing to write.
    pub(super) fn keep(&mut self, batch: &Batch) -> Result<bool, Fault> {
        let store = self.store.as_mut().ok_or(Fault::Full)?;
        if batch.is_empty() { Ok(false) } else { store.commit(batch).map(|()| true) }
    }
}
