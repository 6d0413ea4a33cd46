//! Reading by name without the map: each thread keeps the few elections that it read by name last.
//!
//! A look into the map hashes the name by a key, takes a lock that all who look there write to, and pays for a
//! term that may go meanwhile. A thread's own place for it costs none of that, and is read as an
//! [`Observer`](super::Observer) is. What a thread keeps is bounded: so many elections, each with one small term.
//! The cell of a name that another thread deletes meanwhile stays in the map until this one reads that name again, or
//! another in its place.

use std::cell::RefCell;
use std::mem;
use std::sync::Arc;

use arc_swap::Cache;

use super::registry::Registry;
use crate::election::Term;
use crate::shard::{Cell, Source};

/// Elections of one thread, at most. A name has one place.
const PLACES: usize = 8;

thread_local! {
    static RECENT: RefCell<Recent> = RefCell::default();
}

#[derive(Default)]
struct Recent {
    places: [Place; PLACES],
}

#[derive(Default)]
struct Place {
    known: Option<Known>,
    /// Who reads many names has no use for this: a name is kept when it is asked for twice in a row.
    missed: u64,
}

struct Known {
    hash: u64,
    /// Whose election it is.
    registry: u64,
    cell: Arc<Cell>,
    cache: Cache<Source, Arc<Term>>,
}

/// The published term of `name`, if anybody has named it.
pub(super) fn read(registry: &Registry, name: &str) -> Option<Arc<Term>> {
    let hash = quick_hash(name.as_bytes());
    let here = RECENT.try_with(|recent| {
        let place = &mut recent.borrow_mut().places[hash as usize % PLACES];
        place.look(registry, name, hash).ok_or_else(|| place.meet(registry, name, hash))
    });
    match here {
        Ok(Ok(term)) => Some(term),
        Ok(Err(let_go)) => {
            let_go.into_iter().for_each(|known| known.let_go(registry));
            registry.read(name)
        }
        // A thread that ends has no such place any more.
        Err(_) => registry.read(name),
    }
}

impl Place {
    /// The term, if it is kept here and may stay.
    #[inline]
    fn look(&mut self, registry: &Registry, name: &str, hash: u64) -> Option<Arc<Term>> {
        let known = self.known.as_mut().filter(|known| known.is(registry, name, hash))?;
        let term = known.cache.load();
        (term.is_light() && !term.is_forgotten()).then(|| term.clone())
    }

    /// A name that is not kept, or must not be any more. Gives back whom there is no room for.
    #[cold]
    fn meet(&mut self, registry: &Registry, name: &str, hash: u64) -> Option<Known> {
        let over = self.known.take_if(|known| known.is(registry, name, hash));
        if over.is_some() || mem::replace(&mut self.missed, hash) != hash {
            return over;
        }
        let cell = registry.find(name)?;
        let is_small = |term: &Term| term.is_light() && !term.is_forgotten();
        if !is_small(&cell.term()) {
            return None;
        }
        let cache = Cache::new(Source::of(cell.clone()));
        self.known.replace(Known { hash, registry: registry.id(), cell, cache })
    }
}

/// This thread keeps nothing of this name any more.
pub(super) fn forget(registry: &Registry, name: &str) {
    let hash = quick_hash(name.as_bytes());
    let _ends = RECENT.try_with(|recent| {
        let place = &mut recent.borrow_mut().places[hash as usize % PLACES];
        place.known.take_if(|known| known.is(registry, name, hash))
    });
}

/// This thread keeps nothing any more.
pub(super) fn forget_all() {
    let _ends = RECENT.try_with(|recent| recent.take());
}

impl Known {
    #[inline]
    fn is(&self, registry: &Registry, name: &str, hash: u64) -> bool {
        self.hash == hash && self.registry == registry.id() && self.cell.name() == name
    }

    /// Who deleted it meanwhile could not take it out of the map.
    fn let_go(self, registry: &Registry) {
        if self.registry == registry.id() && self.cell.is_forgotten() {
            let name: Box<str> = self.cell.name().into();
            drop(self);
            registry.forget(&name);
        }
    }
}

/// Cheap, and good enough for a cache: eight bytes at a time, multiplied and folded.
#[inline]
pub(crate) fn quick_hash(name: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let fold = |hash: u64, word: u64| {
        let wide = u128::from(hash ^ word) * u128::from(ODD);
        wide as u64 ^ (wide >> 64) as u64
    };
    let (words, rest) = name.as_chunks::<8>();
    let hash = words.iter().fold(name.len() as u64 ^ ODD, |h, &w| fold(h, u64::from_le_bytes(w)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    fold(hash, u64::from_le_bytes(last))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::engine::Engine;
    use crate::error::Error;
    use crate::limits::Limits;

    fn number(engine: &Engine, name: &str) -> u64 {
        engine.term(name).unwrap().number()
    }

    /// Looked at so often that it is kept.
    fn often(engine: &Engine, name: &str) -> u64 {
        for _ in 0..3 {
            number(engine, name);
        }
        number(engine, name)
    }

    #[test]
    fn what_is_kept_is_the_newest() {
        let engine = Engine::builder().open().unwrap();
        let session = engine.session().unwrap();
        assert_eq!(often(&engine, "e"), 0, "nobody has named it");
        let election = engine.election("e").unwrap();
        for round in 1..4 {
            election.enter(&session, "a").unwrap();
            assert_eq!(often(&engine, "e"), round);
            let elsewhere = engine.clone();
            thread::spawn(move || elsewhere.election("e").unwrap().evict("a"))
                .join()
                .unwrap()
                .unwrap();
            assert!(engine.term("e").unwrap().is_vacant());
        }
        election.delete().unwrap();
        assert_eq!(often(&engine, "e"), 0, "nobody knows it any more");
        election.enter(&session, "a").unwrap();
        assert_eq!(often(&engine, "e"), 4);
    }

    #[test]
    fn each_engine_has_its_own() {
        for round in 0..20 {
            let (one, two) = (Engine::builder().open().unwrap(), Engine::builder().open().unwrap());
            let session = one.session().unwrap();
            one.election("e").unwrap().enter(&session, "a").unwrap();
            assert_eq!((often(&one, "e"), often(&two, "e")), (1, 0), "round {round}");
        }
    }

    #[test]
    fn each_name_has_its_own_among_more_than_are_kept() {
        let engine = Engine::builder().open().unwrap();
        let session = engine.session().unwrap();
        let names: Vec<String> = (0..5 * PLACES).map(|n| format!("e{n}")).collect();
        for (times, name) in names.iter().enumerate() {
            for _ in 0..=times {
                engine.election(name).unwrap().enter(&session, "a").unwrap();
                engine.election(name).unwrap().withdraw(&session, "a").unwrap();
            }
        }
        for _ in 0..3 {
            for (times, name) in names.iter().enumerate() {
                assert_eq!(often(&engine, name), times as u64 + 1);
            }
        }
    }

    #[test]
    fn q1_what_was_read_and_deleted_makes_room() {
        let limits = Limits { elections: 1, ..Limits::default() };
        let engine = Engine::builder().limits(limits).open().unwrap();
        let session = engine.session().unwrap();
        for round in 0..20 {
            let name = format!("e{round}");
            let election = engine.election(&name).unwrap();
            election.enter(&session, "a").unwrap();
            assert!(often(&engine, &name) > 0);
            assert!(matches!(engine.election("other"), Err(Error::LimitReached { .. })));
            election.delete().unwrap();
            drop(election);
        }
    }

    #[test]
    fn q1_what_another_thread_deletes_goes_with_the_next_read() {
        let engine = Engine::builder().open().unwrap();
        let session = engine.session().unwrap();
        let elsewhere = |name: &'static str| {
            let engine = engine.clone();
            thread::spawn(move || engine.election(name).unwrap().delete()).join().unwrap().unwrap();
        };
        engine.election("e").unwrap().enter(&session, "a").unwrap();
        assert_eq!(often(&engine, "e"), 1);
        elsewhere("e");
        assert_eq!(engine.elections(), 1, "it is kept here");
        assert_eq!(number(&engine, "e"), 0);
        assert_eq!(engine.elections(), 0);

        // Or with one that takes its place.
        engine.election("e").unwrap().enter(&session, "a").unwrap();
        assert_eq!(often(&engine, "e"), 2);
        elsewhere("e");
        for name in (0..20 * PLACES).map(|n| format!("f{n}")) {
            engine.election(&name).unwrap().enter(&session, "a").unwrap();
            often(&engine, &name);
        }
        assert_eq!(engine.elections(), 20 * PLACES);
    }

    #[test]
    fn q3_a_large_term_is_not_kept() {
        let engine = Engine::builder().open().unwrap();
        let session = engine.session().unwrap();
        let election = engine.election("e").unwrap();
        election.enter(&session, "a").unwrap();
        assert_eq!(often(&engine, "e"), 1);
        for n in 0..300 {
            election.enter(&session, &format!("candidate {n}")).unwrap();
        }
        assert_eq!(often(&engine, "e"), 1);
        let large = Arc::downgrade(&engine.term("e").unwrap());
        election.evict("a").unwrap();
        assert!(large.upgrade().is_none(), "nobody keeps the former state");
    }
}
