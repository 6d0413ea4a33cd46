//! Names to elections.
//!
//! A cell stays in the map while anybody holds it. Clones come only from the map, under its lock, or
//! from another clone; so a cell that the map alone holds, seen under the map's write lock, can be
//! forgotten without anybody noticing. The order of names ([`Order`]) holds what the map holds, and gives
//! no clones away.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crossbeam::atomic::AtomicCell;
use dashmap::{DashMap, Entry};

use super::order::Order;
use super::recent;
use crate::election::Term;
use crate::error::Error;
use crate::limits::Limits;
use crate::shard::{ByName, Cell};

pub(super) struct Registry {
    /// Tells it from all others of this process.
    id: u64,
    /// Keyed hashing: names come from outside, and nobody there may choose who collides.
    cells: DashMap<ByName, (), RandomState>,
    placing: RandomState,
    shards: usize,
    len: AtomicCell<usize>,
    refused: AtomicCell<u64>,
    order: Order,
}

/// Parts of the map, each with a lock of its own: a walk over a million names, as a listing makes it,
/// keeps one part at a time from taking new names.
const PARTS: usize = 256;

/// A sweep looks at every cell, so it has to be worth it.
const REFUSALS_A_SWEEP: u64 = 4096;

impl Registry {
    pub(super) fn new(shards: usize) -> Self {
        static LAST: AtomicCell<u64> = AtomicCell::new(0);
        Self {
            id: LAST.fetch_add(1),
            cells: DashMap::with_hasher_and_shard_amount(RandomState::new(), PARTS),
            placing: RandomState::new(),
            shards,
            len: AtomicCell::new(0),
            refused: AtomicCell::new(0),
            order: Order::default(),
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
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

    /// The same, without becoming its reader.
    pub(super) fn peek(&self, name: &str) -> Option<Arc<Term>> {
        self.cells.get(name).map(|entry| entry.key().0.peek())
    }

    /// The first `most` of the names that begin with `prefix` and come behind `after`, in order, with
    /// their published terms; those that nobody remembers are left out.
    pub(super) fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        most: usize,
    ) -> Vec<(Box<str>, Arc<Term>)> {
        self.begin_order();
        let mut page = Vec::new();
        self.order.walk(prefix, after, |cell| {
            let term = cell.peek();
            if page.len() < most && !term.is_forgotten() {
                page.push((cell.name().into(), term));
            }
            page.len() < most
        });
        page
    }

    /// Calls `look` with each cell whose name begins with `prefix`, in order. Not for long: new names wait.
    pub(super) fn look_through(&self, prefix: &str, mut look: impl FnMut(&Cell)) {
        self.begin_order();
        self.order.walk(prefix, None, |cell| {
            look(cell);
            true
        });
    }

    fn begin_order(&self) {
        self.order.begin(|| self.cells.iter().map(|entry| entry.key().0.clone()).collect());
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
                self.order.add(&cell);
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
        recent::forget(self, name);
        if self.cells.remove_if(name, |key, ()| self.lets_go_of(key)).is_some() {
            self.len.fetch_sub(1);
        }
    }

    /// Takes a cell out of the order if it means nothing and nobody holds it. Under the lock of its part
    /// of the map, which then drops it too.
    fn lets_go_of(&self, key: &ByName) -> bool {
        let is_held = self.order.holders() != Some(Arc::strong_count(&key.0));
        if is_held || !key.0.is_forgotten() {
            return false;
        }
        self.order.remove(key.0.name());
        true
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
        recent::forget_all();
        self.cells.retain(|key, ()| {
            let goes = self.lets_go_of(key);
            if goes {
                self.len.fetch_sub(1);
            }
            !goes
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(names: impl IntoIterator<Item = String>) -> Registry {
        let registry = Registry::new(1);
        names.into_iter().for_each(|name| add(&registry, &name));
        registry
    }

    fn add(registry: &Registry, name: &str) {
        let unknown = Arc::new(Term::unknown());
        drop(registry.find_or_add(name, &Limits::DEFAULT, &unknown).unwrap());
    }

    fn all(registry: &Registry) -> Vec<Arc<Cell>> {
        registry.cells.iter().map(|entry| entry.key().0.clone()).collect()
    }

    fn walked(registry: &Registry, prefix: &str, after: Option<&str>) -> Vec<String> {
        let mut names = Vec::new();
        registry.order.walk(prefix, after, |cell| {
            names.push(cell.name().to_owned());
            true
        });
        names
    }

    #[test]
    fn the_order_is_kept_while_names_come_and_go() {
        let registry = registry(["b", "c"].map(String::from));
        registry.order.begin(|| {
            let seen = all(&registry);
            // Seen, and not yet in its place: it can't be forgotten now, and one that is new is known.
            registry.forget("b");
            registry.forget("c");
            add(&registry, "a");
            seen
        });
        assert_eq!(
            (walked(&registry, "", None), registry.len()),
            (["a", "b", "c"].map(String::from).into(), 3)
        );
        registry.forget("b");
        assert_eq!(
            (walked(&registry, "", None), registry.len()),
            (["a", "c"].map(String::from).into(), 2)
        );
        let held = registry.find("c");
        registry.forget("c");
        assert_eq!(registry.len(), 2, "somebody holds it");
        drop(held);
        registry.sweep();
        assert_eq!((walked(&registry, "", None), registry.len()), (Vec::new(), 0));
        add(&registry, "c");
        registry.order.begin(|| unreachable!("it is kept from the first time on"));
        assert_eq!(walked(&registry, "", None), ["c"]);
    }

    #[test]
    fn a_walk_goes_on_behind_where_it_let_others_in() {
        let name = |n: usize| format!("b/{n:04}");
        let registry =
            registry(["a".into(), "b".into(), "c".into()].into_iter().chain((0..1_000).map(name)));
        registry.order.begin(|| all(&registry));
        let from = |first: usize| (first..1_000).map(name).collect::<Vec<_>>();
        assert_eq!(walked(&registry, "b/", None), from(0));
        assert_eq!(walked(&registry, "b/", Some("a")), from(0), "before the first one");
        assert_eq!(walked(&registry, "b/", Some("b/0255")), from(256));
        assert_eq!(walked(&registry, "b/", Some("b/0255+")), from(256), "between two");
        assert_eq!(walked(&registry, "b/", Some("b/0999")), from(1_000));
        assert_eq!(walked(&registry, "b/", Some("c")), from(1_000));
        assert_eq!(walked(&registry, "", None).len(), 1_003);
        assert_eq!(walked(&registry, "d", None), from(1_000));
        // It stops where it is told to.
        let mut looked = 0;
        registry.order.walk("", None, |_| {
            looked += 1;
            looked < 300
        });
        assert_eq!(looked, 300);
    }
}
