//! The names of elections in order, for listings.
//!
//! Most engines are never listed, so this costs nothing until the first listing, which puts all names in
//! order; from then on each new name is put in its place. A page is then found without a walk over all
//! names: with a million of them that takes a tenth of a second, for each page.
//!
//! What is in order is what is in the map. A cell goes into both, and out of both, under the lock of its
//! part of the map. While all names are being put in order nobody is forgotten ([`Order::holders`]), so no
//! cell that was seen then can be gone when it is put in its place.

#![allow(clippy::mutable_key_type, reason = "a cell is ordered by its name, which never changes")]

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam::atomic::AtomicCell;

use crate::shard::Cell;

/// Names looked at under one lock: new names wait no longer than that takes.
const STEP: usize = 256;

#[derive(Default)]
pub(super) struct Order {
    kept: AtomicCell<Kept>,
    cells: Mutex<BTreeSet<InOrder>>,
    /// One listing at a time puts all names in order; others wait for that, for they need it too.
    beginning: Mutex<()>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Kept {
    #[default]
    Not,
    /// New names are put in their place. The others follow.
    Begun,
    All,
}

/// A cell in the order of its name.
struct InOrder(Arc<Cell>);

impl Order {
    /// How many hold a cell that nobody uses: the map, and this. `None` while nobody can tell.
    pub(super) fn holders(&self) -> Option<usize> {
        match self.kept.load() {
            Kept::Not => Some(1),
            Kept::Begun => None,
            Kept::All => Some(2),
        }
    }

    /// A cell is new. Under the lock of its part of the map.
    pub(super) fn add(&self, cell: &Arc<Cell>) {
        if self.kept.load() != Kept::Not {
            self.cells().insert(InOrder(cell.clone()));
        }
    }

    /// A cell is forgotten. Under the lock of its part of the map.
    pub(super) fn remove(&self, name: &str) {
        if self.kept.load() != Kept::Not {
            self.cells().remove(name);
        }
    }

    /// Puts `all` names in order, if that has not been done before.
    pub(super) fn begin(&self, all: impl FnOnce() -> Vec<Arc<Cell>>) {
        if self.kept.load() == Kept::All {
            return;
        }
        let _one_at_a_time = lock(&self.beginning);
        if self.kept.load() == Kept::All {
            return;
        }
        self.kept.store(Kept::Begun);
        // Sorted while nobody waits for it.
        let mut all: BTreeSet<InOrder> = all().into_iter().map(InOrder).collect();
        let mut cells = self.cells();
        cells.append(&mut all);
        self.kept.store(Kept::All);
    }

    /// Calls `look` with each cell whose name begins with `prefix` and comes behind `after`, in order,
    /// for as long as it says so.
    pub(super) fn walk(
        &self,
        prefix: &str,
        after: Option<&str>,
        mut look: impl FnMut(&Cell) -> bool,
    ) {
        let mut last: Option<Box<str>> = after.filter(|after| *after >= prefix).map(Box::from);
        loop {
            let from = last.as_deref().map_or(Bound::Included(prefix), Bound::Excluded);
            let cells = self.cells();
            let mut due = cells.range::<str, _>((from, Bound::Unbounded)).take(STEP);
            let mut next = None;
            let goes_on = due.by_ref().all(|InOrder(cell)| {
                next = Some(cell.name());
                cell.name().starts_with(prefix) && look(cell)
            });
            let Some(name) = next.filter(|_| goes_on) else { return };
            last = Some(name.into());
        }
    }

    fn cells(&self) -> MutexGuard<'_, BTreeSet<InOrder>> {
        lock(&self.cells)
    }
}

/// A set is whole after each change of it, also where a panic follows.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Borrow<str> for InOrder {
    fn borrow(&self) -> &str {
        self.0.name()
    }
}

impl Ord for InOrder {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.name().cmp(other.0.name())
    }
}

impl PartialOrd for InOrder {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for InOrder {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for InOrder {}
