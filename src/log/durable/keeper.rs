//! What the committing role holds: the open store, and what is to go into it.

use std::collections::VecDeque;

use super::place::{Place, io_fault};
use super::store::{self, Batch, Fault, Store};
use crate::log::Unit;

/// A unit, and its records as whoever handed it over has sealed them: near to where they were made, and
/// while somebody else waits for the disk. None where that is left to the commit.
pub(super) struct Handed {
    pub(super) unit: Box<dyn Unit>,
    /// What it takes to keep, in bytes, about.
    pub(super) bytes: usize,
    sealed: Vec<Option<Vec<u8>>>,
}

impl Handed {
    pub(super) fn new(unit: Box<dyn Unit>) -> Self {
        let (mut bytes, mut sealed) = (0, Vec::new());
        unit.changes(&mut |change| {
            bytes += change.weight();
            sealed.push(store::sealed_early(&change));
        });
        Self { unit, bytes, sealed }
    }
}

/// What the committing role holds.
pub(super) struct Keeper {
    /// None after it failed, and while there is no room. Before the folder, which holds the lock: a store writes
    /// while it is closed.
    pub(super) store: Option<Store>,
    pub(super) folder: Box<dyn Place>,
    /// Taken from the queue, and not kept yet.
    pub(super) held: VecDeque<Handed>,
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
    pub(super) fn batch(&mut self) -> Batch {
        let mut batch = Batch::default();
        for Handed { unit, sealed, .. } in self.held.iter_mut().rev() {
            let mut sealed = sealed.drain(..);
            unit.changes(&mut |change| batch.keep_sealed(&change, sealed.next().flatten()));
        }
        batch
    }

    /// Writes a batch in one commit. False if there was nothing to write.
    pub(super) fn keep(&mut self, batch: &mut Batch) -> Result<bool, Fault> {
        let store = self.store.as_mut().ok_or(Fault::Full)?;
        if batch.is_empty() { Ok(false) } else { store.commit(batch).map(|()| true) }
    }
}
