//! A connection's own small cache from names to handles, so that only the first use of a name touches
//! the engine's map, which others use too.
//!
//! It is a cache and no map: an entry may be dropped at any time, at the cost of one look-up. A name
//! can stand in one set of four places; when its set is full, the table doubles or somebody gives
//! way. Who chooses names so that they meet in one set slows only their own connection.

use std::mem;

use crate::election::Term;
use crate::engine::{Election, Engine, Observer, quick_hash};
use crate::error::Error;

const WAYS: usize = 4;
/// Names that a connection remembers at most.
const PLACES: usize = 1024;

#[derive(Default)]
pub(super) struct Names {
    /// Empty, or a power of two of sets.
    places: Vec<Option<Known>>,
    known: usize,
    /// Chooses who gives way.
    turn: usize,
    /// Holds a large snapshot, until the connection has nothing more to do at once.
    heavy: Option<usize>,
}

struct Known {
    hash: u64,
    election: Election,
    /// Made by the first read: it keeps a snapshot alive, which who only writes has no use for.
    observer: Option<Observer>,
}

impl Known {
    fn new(hash: u64, election: Election) -> Self {
        Self { hash, election, observer: None }
    }
}

impl Names {
    /// The present term of `name`, unless nobody knows that name.
    #[inline]
    pub(super) fn read(&mut self, name: &str, engine: &Engine) -> Result<Option<&Term>, Error> {
        self.drop_heavy();
        let place = self.place(name, engine)?;
        Ok(place.map(|place| self.look(place)))
    }

    /// The same, if this connection has used the name before.
    #[inline]
    pub(super) fn read_known(&mut self, name: &[u8]) -> Option<&Term> {
        self.drop_heavy();
        let place = self.position(quick_hash(name), name)?;
        Some(self.look(place))
    }

    #[inline]
    fn look(&mut self, place: usize) -> &Term {
        let known = self.places[place].as_mut().expect("a place that was found is taken");
        let election = &known.election;
        let term = known.observer.get_or_insert_with(|| election.observe()).term();
        if !term.is_light() {
            self.heavy = Some(place);
        }
        term
    }

    /// The election of `name`, unless nobody knows that name: reading never creates.
    pub(super) fn find(&mut self, name: &str, engine: &Engine) -> Result<Option<&Election>, Error> {
        let place = self.place(name, engine)?;
        Ok(place.map(|place| self.election(place)))
    }

    /// The election of `name`, known from now on.
    pub(super) fn find_or_make(&mut self, name: &str, engine: &Engine) -> Result<&Election, Error> {
        let hash = quick_hash(name.as_bytes());
        let place = match self.position(hash, name.as_bytes()) {
            Some(place) => place,
            None => self.insert(Known::new(hash, engine.election(name)?)),
        };
        Ok(self.election(place))
    }

    #[inline]
    fn place(&mut self, name: &str, engine: &Engine) -> Result<Option<usize>, Error> {
        let hash = quick_hash(name.as_bytes());
        if let Some(place) = self.position(hash, name.as_bytes()) {
            return Ok(Some(place));
        }
        let found = engine.find(name)?;
        Ok(found.map(|election| self.insert(Known::new(hash, election))))
    }

    #[inline]
    fn position(&self, hash: u64, name: &[u8]) -> Option<usize> {
        let first = self.first_of_set(hash)?;
        let mut set = self.places.get(first..first + WAYS)?.iter();
        let at = set.position(|place| {
            matches!(place, Some(known)
                if known.hash == hash && known.election.name().as_bytes() == name)
        });
        at.map(|at| first + at)
    }

    #[inline]
    fn first_of_set(&self, hash: u64) -> Option<usize> {
        let sets = self.places.len() / WAYS;
        (sets > 0).then(|| (hash as usize & (sets - 1)) * WAYS)
    }

    fn election(&self, place: usize) -> &Election {
        &self.places[place].as_ref().expect("a place that was found is taken").election
    }

    fn insert(&mut self, known: Known) -> usize {
        if self.known >= self.places.len() / 2 && self.places.len() < PLACES {
            self.grow();
        }
        let first = self.first_of_set(known.hash).expect("grown when it was empty");
        let free = (first..first + WAYS).find(|&place| self.places[place].is_none());
        let place = free.unwrap_or_else(|| {
            self.turn = self.turn.wrapping_add(1);
            first + self.turn % WAYS
        });
        if self.places[place].replace(known).is_none() {
            self.known += 1;
        }
        place
    }

    fn grow(&mut self) {
        let larger = (self.places.len() * 2).max(WAYS);
        let before = mem::take(&mut self.places);
        self.places.resize_with(larger, || None);
        (self.known, self.heavy) = (0, None);
        for known in before.into_iter().flatten() {
            self.insert(known);
        }
    }

    /// Lets go of a large snapshot that was read.
    #[inline]
    pub(super) fn drop_heavy(&mut self) {
        if let Some(place) = self.heavy.take()
            && let Some(known) = &mut self.places[place]
        {
            known.observer = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn entered(engine: &Engine, name: &str, candidates: usize) {
        let session = Box::leak(Box::new(engine.session().unwrap()));
        for n in 0..candidates {
            engine.election(name).unwrap().enter(session, &format!("{name} {n}")).unwrap();
        }
    }

    #[test]
    fn each_name_finds_its_own_election_also_among_too_many() {
        let engine = Engine::builder().open().unwrap();
        let mut names = Names::default();
        let all: Vec<String> = (0..3 * PLACES).map(|n| format!("team-{n}/service")).collect();
        all.iter().for_each(|name| entered(&engine, name, 1));
        for name in all.iter().chain(all.iter().rev()) {
            let term = names.read(name, &engine).unwrap().expect("it is known");
            assert!(term.is_led_by(&format!("{name} 0")));
            let again = names.read_known(name.as_bytes()).expect("it was just read");
            assert!(again.is_led_by(&format!("{name} 0")));
        }
        assert_eq!(names.places.len(), PLACES);
        assert_eq!(names.known, names.places.iter().flatten().count());
        assert!(names.known > PLACES / 2, "{} of {PLACES} places are in use", names.known);
    }

    #[test]
    fn q3_a_large_term_is_not_kept_by_who_has_read_it() {
        let engine = Engine::builder().open().unwrap();
        let mut names = Names::default();
        entered(&engine, "large", 300);
        let election = engine.election("large").unwrap();
        let kept = Arc::downgrade(&election.term());
        assert!(names.read("large", &engine).unwrap().is_some());
        names.drop_heavy();
        election.evict("large 0").unwrap();
        assert!(kept.upgrade().is_none(), "nobody keeps the former state");
        assert_eq!(names.known, 1, "the name is still known");
        assert!(names.read_known(b"large").is_some());
    }

    #[test]
    fn q3_who_only_writes_keeps_no_snapshot() {
        let engine = Engine::builder().open().unwrap();
        let mut names = Names::default();
        entered(&engine, "e", 2);
        let kept = Arc::downgrade(&engine.term("e").unwrap());
        names.find_or_make("e", &engine).unwrap().evict("e 1").unwrap();
        assert!(kept.upgrade().is_none());
    }

    #[test]
    fn an_unknown_name_is_looked_for_each_time() {
        let engine = Engine::builder().open().unwrap();
        let mut names = Names::default();
        assert!(names.find("new", &engine).unwrap().is_none());
        entered(&engine, "new", 1);
        assert!(names.find("new", &engine).unwrap().is_some());
        assert!(names.find("", &engine).is_err());
    }
}
