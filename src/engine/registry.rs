//! Names to elections.
//!
//! A cell stays in the map while anybody holds it. Clones come only from the map, under its lock, or
//! from another clone; so a cell that the map alone holds, seen under the map's write lock, can be
//! forgotten without anybody noticing.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crossbeam::atomic::AtomicCell;
use dashmap::{DashMap, Entry};

use crate::election::Term;
use crate::error::Error;
use crate::limits::Limits;
use crate::shard::{ByName, Cell};

pub(super) struct Registry {
    /// Keyed hashing: names come from outside, and nobody there may choose who collides.
    cells: DashMap<ByName, (), RandomState>,
    placing: RandomState,
    shards: usize,
    len: AtomicCell<usize>,
    refused: AtomicCell<u64>,
}

/// Parts of the map, each with a lock of its own: a walk over a million names, as a listing makes it,
/// keeps one part at a time from taking new names.
const PARTS: usize = 256;

/// A sweep looks at every cell, so it has to be worth it.
const REFUSALS_A_SWEEP: u64 = 4096;

impl Registry {
    pub(super) fn new(shards: usize) -> Self {
        Self {
            cells: DashMap::with_hasher_and_shard_amount(RandomState::new(), PARTS),
            placing: RandomState::new(),
            shards,
            len: AtomicCell::new(0),
            refused: AtomicCell::new(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len.load()
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<Cell>> {
        self.cells.get(name).map(|entry| entry.key().0.clone())
    }

    /// The published term, without taking hold of the cell.
    pub(super) fn read(&self, name: &str) -> Option<Arc<Term>> {
        self.cells.get(name).map(|entry| entry.key().0.term().clone())
    }

    /// The first `most` of the names that begin with `prefix` and come behind `after`, in order, with
    /// their published terms; those that nobody remembers are left out. Walks over all names.
    pub(super) fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        most: usize,
    ) -> Vec<(Box<str>, Arc<Term>)> {
        let mut first: BTreeMap<Box<str>, Arc<Term>> = BTreeMap::new();
        for entry in &self.cells {
            let name = entry.key().0.name();
            let is_due = name.starts_with(prefix) && after.is_none_or(|after| name > after);
            let is_late = first.len() == most
                && first.last_key_value().is_none_or(|(last, _)| name > &**last);
            if !is_due || is_late {
                continue;
            }
            let term = entry.key().0.peek();
            if !term.is_forgotten() {
                first.insert(name.into(), term);
                if first.len() > most {
                    first.pop_last();
                }
            }
        }
        first.into_iter().collect()
    }

    pub(super) fn find_or_add(
        &self,
        name: &str,
        limits: &Limits,
        unknown: &Arc<Term>,
    ) -> Result<Arc<Cell>, Error> {
        if let Some(cell) = self.find(name) {
            return Ok(cell);
        }
        self.reserve(limits)?;
        let shard = self.placing.hash_one(name) as usize % self.shards;
        let cell = Arc::new(Cell::new(name, shard, unknown.clone()));
        match self.cells.entry(ByName(cell.clone())) {
            Entry::Vacant(entry) => {
                entry.insert(());
                Ok(cell)
            }
            Entry::Occupied(entry) => {
                self.len.fetch_sub(1);
                Ok(entry.into_ref().key().0.clone())
            }
        }
    }

    /// Forgets the cell of this name if it means nothing and nobody holds it.
    pub(super) fn forget(&self, name: &str) {
        if self.cells.remove_if(name, |key, ()| is_idle(key)).is_some() {
            self.len.fetch_sub(1);
        }
    }

    fn reserve(&self, limits: &Limits) -> Result<(), Error> {
        if self.len.fetch_add(1) < limits.elections {
            return Ok(());
        }
        self.len.fetch_sub(1);
        // Cells whose last holder was not a handle are found only here, when it matters; and seldom,
        // because who is refused may ask again at once.
        if self.refused.fetch_add(1).is_multiple_of(REFUSALS_A_SWEEP) {
            self.sweep();
        }
        if self.len.fetch_add(1) < limits.elections {
            return Ok(());
        }
        self.len.fetch_sub(1);
        Err(Error::LimitReached {
            limit: "elections",
            max: limits.elections as u64,
            advice: "delete elections that are no longer used, or raise the limit",
        })
    }

    fn sweep(&self) {
        self.cells.retain(|key, ()| {
            let idle = is_idle(key);
            if idle {
                self.len.fetch_sub(1);
            }
            !idle
        });
    }
}

/// True if only the map holds the cell and no term of it has to be remembered.
fn is_idle(key: &ByName) -> bool {
    Arc::strong_count(&key.0) == 1 && key.0.is_forgotten()
}
