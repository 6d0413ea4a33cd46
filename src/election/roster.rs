//! The ordered list of candidates, packed: all names in one string, one 16-byte entry each beside it,
//! and what those say of themselves who say anything, in their order.
//!
//! A roster never changes; every operation makes a new one out of runs of the old, copied whole. So
//! a million elections of one candidate stay small, a reader shares a roster without counting
//! references, and an empty one owns no memory.

use std::sync::Arc;

use super::Metadata;
use super::kept::Stands;
use crate::id::{Holder, SessionId, SessionKind};

/// Candidates in order, the leader first.
#[derive(Clone, Default)]
pub(super) struct Roster {
    names: Box<str>,
    entries: Box<[Entry]>,
    /// Of the entries that say so; absent in most elections.
    said: Option<Box<Said>>,
}

/// One pointer wide where it is absent.
#[derive(Clone)]
struct Said(Box<[Arc<Metadata>]>);

/// A length rather than an offset: it stays true wherever the entry is copied to.
#[derive(Clone, Copy)]
struct Entry {
    session: SessionId,
    name_bytes: u32,
    kind: SessionKind,
    says_something: bool,
}

const _: () = assert!(size_of::<Entry>() == 16 && size_of::<Roster>() == 40);

impl Roster {
    /// Bytes that the names of one roster can have together, whatever the limits say.
    pub(super) const NAME_BYTES: usize = u32::MAX as usize;

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all names together.
    pub(super) fn name_bytes(&self) -> usize {
        self.names.len()
    }

    pub(super) fn iter(&self) -> Run<'_> {
        let said = self.said.as_ref().map_or(&[][..], |said| &said.0);
        Run { names: &self.names, entries: &self.entries, said }
    }

    /// What the candidates say of themselves that say anything, in order.
    pub(super) fn said(&self) -> &[Arc<Metadata>] {
        self.iter().said
    }

    /// What the candidate at `at` says of itself, if anything.
    pub(super) fn said_at(&self, at: usize) -> Option<&Arc<Metadata>> {
        // Nothing is looked for where nobody says anything.
        self.said.as_ref()?;
        let (_, one, _) = self.iter().around(at);
        one.said.first()
    }

    pub(super) fn head(&self) -> Option<(&str, Holder)> {
        self.iter().next()
    }

    pub(super) fn is_headed_by(&self, name: &str) -> bool {
        let bytes = self.names.as_bytes();
        self.entries.first().is_some_and(|head| head.names(name, bytes))
    }

    #[cfg(test)]
    pub(super) fn get(&self, at: usize) -> Option<(&str, Holder)> {
        self.iter().nth(at)
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        let mut rest = self.names.as_bytes();
        self.entries.iter().position(|entry| {
            let found = entry.names(name, rest);
            rest = &rest[entry.len()..];
            found
        })
    }

    /// Where the candidate of this name stands, and who holds it.
    pub(super) fn find(&self, name: &str) -> Option<(usize, Holder)> {
        let at = self.position(name)?;
        Some((at, self.entries[at].holder()))
    }

    pub(super) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.entries.iter().map(|entry| entry.session)
    }

    /// Of candidates in their order.
    pub(super) fn listing(candidates: &[Stands]) -> Roster {
        let names = candidates.iter().map(|one| &*one.name).collect();
        let entry = |one: &Stands| Entry::new(&one.name, one.holder, one.says.as_ref());
        let said = candidates.iter().filter_map(|one| one.says.clone()).collect();
        Roster::of(names, candidates.iter().map(entry).collect(), said)
    }

    /// With `name` at the end. The names must fit [`Roster::NAME_BYTES`].
    pub(super) fn pushed(
        &self,
        name: &str,
        holder: Holder,
        says: Option<&Arc<Metadata>>,
    ) -> Roster {
        Run::joined([self.iter(), Run::one(name, &[Entry::new(name, holder, says)], says)])
    }

    pub(super) fn without(&self, at: usize) -> Roster {
        let (before, _, after) = self.iter().around(at);
        Run::joined([before, after])
    }

    pub(super) fn moved_to_front(&self, at: usize) -> Roster {
        let (before, one, after) = self.iter().around(at);
        Run::joined([one, before, after])
    }

    /// With the candidate at `at` and the one behind it in each other's place.
    pub(super) fn swapped(&self, at: usize) -> Roster {
        let (before, first, rest) = self.iter().around(at);
        let (second, after) = rest.split_at(1);
        Run::joined([before, second, first, after])
    }

    /// With the candidate at `at` held by this one, in its place, and saying this of itself.
    pub(super) fn reassigned(
        &self,
        at: usize,
        holder: Holder,
        says: Option<&Arc<Metadata>>,
    ) -> Roster {
        let (before, one, after) = self.iter().around(at);
        let entries = [Entry::new(one.names, holder, says)];
        Run::joined([before, Run::one(one.names, &entries, says), after])
    }

    pub(super) fn without_session(&self, session: SessionId) -> Roster {
        // Measured first, so that neither part is allocated twice.
        let stays = |one: &Run<'_>| one.entries[0].session != session;
        let stay = self.iter().each().filter(stays);
        let mut names = String::with_capacity(stay.clone().map(|one| one.names.len()).sum());
        let mut entries = Vec::with_capacity(stay.clone().count());
        let mut said = Vec::new();
        for one in stay {
            names.push_str(one.names);
            entries.extend_from_slice(one.entries);
            said.extend_from_slice(one.said);
        }
        Roster::of(names, entries, said)
    }

    fn of(names: String, entries: Vec<Entry>, said: Vec<Arc<Metadata>>) -> Roster {
        let said = (!said.is_empty()).then(|| Box::new(Said(said.into())));
        Roster { names: names.into(), entries: entries.into(), said }
    }
}

impl Entry {
    fn new(name: &str, holder: Holder, says: Option<&Arc<Metadata>>) -> Entry {
        debug_assert!(
            name.len() <= Roster::NAME_BYTES,
            "the rules bound names before they come here"
        );
        Entry {
            session: holder.session,
            name_bytes: name.len() as u32,
            kind: holder.kind,
            says_something: says.is_some(),
        }
    }

    fn len(&self) -> usize {
        self.name_bytes as usize
    }

    /// Whether this entry, whose name begins `bytes`, is called `name`. Lengths differ most often,
    /// then the last bytes: names of one election tend to be one word and a number.
    fn names(&self, name: &str, bytes: &[u8]) -> bool {
        let name = name.as_bytes();
        if self.len() != name.len() {
            return false;
        }
        let own = &bytes[..name.len()];
        own.last() == name.last() && own == name
    }

    fn holder(&self) -> Holder {
        Holder { session: self.session, kind: self.kind }
    }
}

/// Neighbours in a roster, with exactly their names and what they say. Also the iterator over them.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    names: &'a str,
    entries: &'a [Entry],
    said: &'a [Arc<Metadata>],
}

impl<'a> Run<'a> {
    fn one(name: &'a str, entry: &'a [Entry; 1], says: Option<&'a Arc<Metadata>>) -> Run<'a> {
        Run { names: name, entries: entry, said: says.map_or(&[], std::slice::from_ref) }
    }

    /// The one place where a roster is put together: each part by one copy per run.
    fn joined<const N: usize>(runs: [Run<'_>; N]) -> Roster {
        let nobody_says = runs.iter().all(|run| run.said.is_empty());
        let said = if nobody_says { Vec::new() } else { runs.map(|run| run.said).concat() };
        Roster::of(runs.map(|run| run.names).concat(), runs.map(|run| run.entries).concat(), said)
    }

    fn split_at(self, count: usize) -> (Run<'a>, Run<'a>) {
        let (front, back) = self.entries.split_at(count);
        let (names, rest) = self.names.split_at(front.iter().map(Entry::len).sum());
        let (said, unsaid) = match self.said {
            [] => (self.said, self.said),
            said => said.split_at(front.iter().filter(|entry| entry.says_something).count()),
        };
        let front = Run { names, entries: front, said };
        (front, Run { names: rest, entries: back, said: unsaid })
    }

    /// One by one.
    fn each(mut self) -> impl Iterator<Item = Run<'a>> + Clone {
        std::iter::repeat_with(move || {
            let (one, rest) = self.split_at(self.entries.len().min(1));
            self = rest;
            one
        })
        .take(self.entries.len())
    }

    /// What stands before `at`, the one there, and what stands behind it.
    fn around(self, at: usize) -> (Run<'a>, Run<'a>, Run<'a>) {
        let (before, rest) = self.split_at(at);
        let (one, after) = rest.split_at(1);
        (before, one, after)
    }
}

impl<'a> Iterator for Run<'a> {
    type Item = (&'a str, Holder);

    fn next(&mut self) -> Option<Self::Item> {
        let (entry, entries) = self.entries.split_first()?;
        let (name, names) = self.names.split_at(entry.len());
        let said = &self.said[usize::from(entry.says_something)..];
        *self = Run { names, entries, said };
        Some((name, entry.holder()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.entries.len(), Some(self.entries.len()))
    }
}

impl ExactSizeIterator for Run<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(number: u64) -> Holder {
        Holder { session: SessionId::new(number).unwrap(), kind: SessionKind::Owned }
    }

    /// Candidates of sessions 1, 2, 3, ... in this order.
    fn roster(names: &[&str]) -> Roster {
        let enter = |roster: Roster, (name, session): (&&str, u64)| {
            roster.pushed(name, holder(session), None)
        };
        names.iter().zip(1..).fold(Roster::default(), enter)
    }

    fn shown(roster: &Roster) -> String {
        let one = |(name, holder): (&str, Holder)| format!("{name}:{}", holder.session);
        roster.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_empty_roster_owns_no_memory_and_finds_nobody() {
        let emptied = roster(&["a"]).without(0);
        for empty in [Roster::default(), emptied] {
            assert_eq!((size_of_val(&*empty.names), size_of_val(&*empty.entries)), (0, 0));
            assert_eq!((empty.len(), empty.name_bytes(), empty.is_empty()), (0, 0, true));
            assert!(empty.head().is_none() && empty.get(0).is_none());
            assert!(empty.position("a").is_none() && !empty.is_headed_by(""));
        }
    }

    #[test]
    fn each_operation_keeps_names_with_their_holders() {
        let list = roster(&["ü", "b", "日本語", "🦀d"]);
        assert_eq!(shown(&list), "ü:1 b:2 日本語:3 🦀d:4");
        assert_eq!(shown(&list.without(0)), "b:2 日本語:3 🦀d:4");
        assert_eq!(shown(&list.without(2)), "ü:1 b:2 🦀d:4");
        assert_eq!(shown(&list.without(3)), "ü:1 b:2 日本語:3");
        assert_eq!(shown(&list.moved_to_front(0)), "ü:1 b:2 日本語:3 🦀d:4");
        assert_eq!(shown(&list.moved_to_front(3)), "🦀d:4 ü:1 b:2 日本語:3");
        assert_eq!(shown(&list.swapped(0)), "b:2 ü:1 日本語:3 🦀d:4");
        assert_eq!(shown(&list.swapped(2)), "ü:1 b:2 🦀d:4 日本語:3");
        assert_eq!(shown(&list.reassigned(2, holder(9), None)), "ü:1 b:2 日本語:9 🦀d:4");
        assert_eq!(shown(&list.without_session(holder(3).session)), "ü:1 b:2 🦀d:4");
        assert_eq!(shown(&list), "ü:1 b:2 日本語:3 🦀d:4", "the old one is as it was");
    }

    #[test]
    fn each_operation_keeps_what_is_said_with_who_says_it() {
        let says = |address: &str| Arc::new(Metadata::new(address, []).unwrap());
        let address = |it: &Arc<Metadata>| it.address().to_owned();
        let shown = |list: &Roster| {
            let one = |(at, (name, _))| {
                let said = list.said_at(at).map(address);
                said.map_or(String::from(name), |said| format!("{name}@{said}"))
            };
            let each: Vec<_> = list.iter().enumerate().map(one).collect();
            let said: Vec<_> = (0..list.len()).filter_map(|at| list.said_at(at)).collect();
            assert_eq!(said, list.said().iter().collect::<Vec<_>>(), "in order, and no more");
            each.join(" ")
        };
        let (x, y) = (says("x"), says("y"));
        let list = roster(&["a"]).pushed("b", holder(2), Some(&x)).pushed("c", holder(3), None);
        let list = list.pushed("d", holder(2), Some(&y));
        assert_eq!(shown(&list), "a b@x c d@y");
        assert_eq!(shown(&list.without(0)), "b@x c d@y");
        assert_eq!(shown(&list.without(1)), "a c d@y");
        assert_eq!(shown(&list.moved_to_front(3)), "d@y a b@x c");
        assert_eq!(shown(&list.moved_to_front(2)), "c a b@x d@y");
        assert_eq!(shown(&list.swapped(0)), "b@x a c d@y");
        assert_eq!(shown(&list.swapped(2)), "a b@x d@y c");
        assert_eq!(shown(&list.reassigned(1, holder(9), None)), "a b c d@y");
        assert_eq!(shown(&list.reassigned(2, holder(9), Some(&x))), "a b@x c@x d@y");
        assert_eq!(shown(&list.reassigned(3, holder(9), Some(&x))), "a b@x c d@x");
        assert_eq!(shown(&list.without_session(holder(1).session)), "b@x c d@y");
        let silent = list.without_session(holder(2).session);
        assert_eq!((shown(&silent).as_str(), silent.said.is_none()), ("a c", true));
    }

    #[test]
    fn a_name_is_found_whole_not_as_a_part_or_across_a_border() {
        let list = roster(&["ab", "c", "bc", "a", "日", "本"]);
        let found = ["ab", "c", "bc", "a", "日", "本"].map(|name| list.position(name));
        assert_eq!(found, [Some(0), Some(1), Some(2), Some(3), Some(4), Some(5)]);
        for absent in ["", "abc", "b", "cb", "ca", "日本", "\u{65e6}"] {
            assert_eq!(list.position(absent), None, "{absent:?}");
        }
        assert!(list.is_headed_by("ab") && !list.is_headed_by("a") && !list.is_headed_by("abc"));
    }

    #[test]
    fn a_session_leaves_from_every_place_at_once() {
        let list = ["a", "b", "c", "d", "e"].into_iter().zip([7, 1, 7, 2, 7]);
        let list =
            list.fold(Roster::default(), |list, (name, by)| list.pushed(name, holder(by), None));
        assert_eq!(shown(&list.without_session(holder(7).session)), "b:1 d:2");
        assert_eq!(shown(&list.without_session(holder(3).session)), shown(&list));
        assert!(roster(&["a"]).without_session(holder(1).session).is_empty());
    }

    #[test]
    fn ten_thousand_candidates_are_held_found_and_moved() {
        let names: Vec<String> = (0..10_000).map(|n| format!("candidate-{n}-ß")).collect();
        let list = roster(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(list.len(), 10_000);
        assert_eq!(list.name_bytes(), names.iter().map(String::len).sum::<usize>());
        for at in [0, 1, 4_999, 9_998, 9_999] {
            assert_eq!(list.position(&names[at]), Some(at));
            assert_eq!(list.get(at).unwrap(), (names[at].as_str(), holder(at as u64 + 1)));
            assert_eq!(list.moved_to_front(at).head().unwrap().0, names[at]);
            assert_eq!(list.without(at).position(&names[at]), None);
        }
        assert_eq!(list.swapped(9_998).get(9_999).unwrap().0, names[9_998]);
        assert_eq!(list.iter().len(), 10_000);
    }
}
