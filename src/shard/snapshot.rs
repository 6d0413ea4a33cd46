//! One election as everybody sees it: its name, where it lives, and the published term.
//!
//! Where anybody reads it, publishing is a store of arc-swap and reading a load; before, both go through a
//! lock (`published.rs`). This file adds no ordering of its own. Who has a reply reads that revision or a
//! newer one: the store happens before the reply is handed over, and a later load can't go back behind a
//! store that it is ordered after, not even the relaxed load of an `Observer`, by coherence of the one
//! pointer.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use smol_str::SmolStr;

use super::handover::Handover;
use super::published::{Published, Swap, Writing};
use crate::election::Term;

/// The place of one election. Handles, observers and watches hold it, so they follow the name: it
/// stays while anybody does, also when the election was deleted.
pub(crate) struct Cell {
    name: SmolStr,
    /// Beside it, the number of the shard.
    term: Published<Arc<Term>, ArcSwap<Term>>,
    /// What the published term's leader has to wait for. Stored before the term it is about, so who
    /// sees the term sees this or what came after it.
    handover: ArcSwapOption<Handover>,
}

// Every election is one; at a million of them each byte here is a megabyte.
const _: () = assert!(size_of::<Cell>() <= 72);

/// An election's newest state in the hands of its shard's writer.
pub(crate) type WritingTerm<'a> = Writing<'a, Arc<Term>, ArcSwap<Term>>;

impl WritingTerm<'_> {
    /// Publishes the next term: in the memory of the one before, where nobody holds that any more.
    pub(crate) fn publish_in_place(&mut self, next: Term) -> Arc<Term> {
        match self.unread().and_then(Arc::get_mut) {
            Some(place) => *place = next,
            None => self.publish(Arc::new(next)),
        }
        self.newest().clone()
    }
}

impl Swap<Arc<Term>> for ArcSwap<Term> {
    fn store(&self, term: Arc<Term>) {
        self.store(term);
    }
}

impl Cell {
    pub(crate) fn new(name: &str, shard: usize, unknown: Arc<Term>) -> Self {
        Self {
            name: name.into(),
            term: Published::new(unknown.clone(), ArcSwap::new(unknown), shard as u16),
            handover: ArcSwapOption::empty(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn shard(&self) -> usize {
        usize::from(self.term.aside)
    }

    /// For the shard's writer: the newest state, published or not, and the place of a newer one.
    pub(crate) fn writing(&self) -> WritingTerm<'_> {
        self.term.writing()
    }

    /// The newest term, published or not: nobody may be told of it before it is.
    #[cfg(feature = "server")]
    pub(crate) fn newest(&self) -> Arc<Term> {
        self.term.newest()
    }

    /// The published term, without touching its reference count.
    #[inline]
    pub(crate) fn term(&self) -> Guard<Arc<Term>> {
        self.term.read().load()
    }

    /// The published term, without becoming its reader.
    pub(crate) fn peek(&self) -> Arc<Term> {
        self.term.peek(ArcSwap::load_full, Arc::clone)
    }

    /// True if no term of it has to be remembered. Asking is not reading.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.term.peek(|published| published.load().is_forgotten(), |kept| kept.is_forgotten())
    }

    pub(crate) fn handover(&self) -> Option<Arc<Handover>> {
        self.handover.load_full()
    }

    pub(crate) fn hand_over(&self, handover: Arc<Handover>) {
        self.handover.store(Some(handover));
    }

    pub(crate) fn publish(&self, term: Arc<Term>) {
        self.term.release(term);
    }
}

/// What arc-swap's `Cache` follows.
#[derive(Clone)]
pub(crate) struct Source(Arc<Cell>);

impl Source {
    pub(crate) fn of(cell: Arc<Cell>) -> Self {
        cell.term.read();
        Self(cell)
    }
}

impl Deref for Source {
    type Target = ArcSwap<Term>;

    fn deref(&self) -> &ArcSwap<Term> {
        self.0.term.published()
    }
}

/// A cell found by its name: the registry's key, one pointer wide.
#[derive(Clone)]
pub(crate) struct ByName(pub(crate) Arc<Cell>);

impl Borrow<str> for ByName {
    fn borrow(&self) -> &str {
        self.0.name()
    }
}

impl Hash for ByName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name().hash(state);
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.0.name() == other.0.name()
    }
}

impl Eq for ByName {}

/// A cell as itself: two are equal if they are the same one.
#[derive(Clone)]
pub(crate) struct ByPlace(pub(crate) Arc<Cell>);

impl Hash for ByPlace {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialEq for ByPlace {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ByPlace {}

/// So that one is looked for without a count of those who hold it.
impl Borrow<Cell> for ByPlace {
    fn borrow(&self) -> &Cell {
        &self.0
    }
}

impl Hash for Cell {
    fn hash<H: Hasher>(&self, state: &mut H) {
        ptr::from_ref(self).hash(state);
    }
}

impl PartialEq for Cell {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self, other)
    }
}

impl Eq for Cell {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::{self, Bounds, Command, Conflict, Effect, Origin};
    use crate::id::{Holder, SessionId, SessionKind};

    const BOUNDS: Bounds = Bounds { floor: 0, candidates: 9, candidate_bytes: 99, said_bytes: 0 };

    fn enter(cell: &Cell, candidate: &str) -> Arc<Term> {
        let holder = Holder { session: SessionId::new(1).unwrap(), kind: SessionKind::Owned };
        let (conflict, says) = (Conflict::Refuse, None);
        let command = Command::Enter { candidate, holder, conflict, says, only_if_leads: false };
        let mut writing = cell.writing();
        let effect = election::apply(writing.newest(), &command, &Origin::default(), &BOUNDS);
        let Effect { term, .. } = effect.unwrap().expect("a change");
        writing.publish_in_place(term)
    }

    /// Whoever holds one, and however: an answer, a look without reading, or a reader's.
    #[test]
    fn a_term_that_is_held_never_changes() {
        let cell = Cell::new("e", 0, Arc::new(Term::unknown()));
        let one = enter(&cell, "a");
        let two = enter(&cell, "b");
        assert_eq!((one.to_string(), two.to_string()), ("t1 a []".into(), "t1 a [b]".into()));
        let place = Arc::as_ptr(&two);
        drop(two);
        let peeked = cell.peek();
        assert!(ptr::eq(place, &*peeked), "the same one");
        // Also who keeps no more than its place.
        let known = Arc::downgrade(&enter(&cell, "x"));
        drop(enter(&cell, "y"));
        assert!(known.upgrade().is_none());
        let three = enter(&cell, "c");
        assert_eq!(peeked.to_string(), "t1 a [b]");
        let place = Arc::as_ptr(&three);
        drop(three);
        assert!(ptr::eq(place, &*enter(&cell, "d")), "in the place of one that nobody holds");
        let read = cell.term();
        drop(enter(&cell, "e"));
        assert_eq!(
            (read.to_string(), one.to_string()),
            ("t1 a [b x y c d]".into(), "t1 a []".into())
        );
        assert_eq!(cell.term().to_string(), "t1 a [b x y c d e]");
    }
}
