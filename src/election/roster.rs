//! The ordered list of candidates, packed: all names in one string, one 16-byte entry each beside it.
//!
//! A roster never changes; every operation makes a new one out of runs of the old, copied whole. So
//! a million elections of one candidate stay small, a reader shares a roster without counting
//! references, and an empty one owns no memory.

use crate::id::{Holder, SessionId, SessionKind};

/// Candidates in order, the leader first.
#[derive(Clone, Default)]
pub(super) struct Roster {
    names: Box<str>,
    entries: Box<[Entry]>,
}

/// A length rather than an offset: it stays true wherever the entry is copied to.
#[derive(Clone, Copy)]
struct Entry {
    session: SessionId,
    name_bytes: u32,
    kind: SessionKind,
}

const _: () = assert!(size_of::<Entry>() == 16 && size_of::<Roster>() == 32);

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
        Run { names: &self.names, entries: &self.entries }
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

    /// With `name` at the end. The names must fit [`Roster::NAME_BYTES`].
    pub(super) fn pushed(&self, name: &str, holder: Holder) -> Roster {
        let last = Run { names: name, entries: &[Entry::new(name, holder)] };
        Run::joined([self.iter(), last])
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

    /// With the candidate at `at` held by another, in its place.
    pub(super) fn reassigned(&self, at: usize, holder: Holder) -> Roster {
        let mut next = self.clone();
        next.entries[at].session = holder.session;
        next.entries[at].kind = holder.kind;
        next
    }

    pub(super) fn without_session(&self, session: SessionId) -> Roster {
        // Measured first, so that neither part is allocated twice.
        let stay = self.iter().filter(|(_, holder)| holder.session != session);
        let name_bytes = stay.clone().map(|(name, _)| name.len()).sum();
        let mut names = String::with_capacity(name_bytes);
        let mut entries = Vec::with_capacity(stay.clone().count());
        for (name, holder) in stay {
            names.push_str(name);
            entries.push(Entry::new(name, holder));
        }
        Roster { names: names.into(), entries: entries.into() }
    }
}

impl Entry {
    fn new(name: &str, holder: Holder) -> Entry {
        debug_assert!(
            name.len() <= Roster::NAME_BYTES,
            "the rules bound names before they come here"
        );
        Entry { session: holder.session, name_bytes: name.len() as u32, kind: holder.kind }
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

/// Neighbours in a roster, with exactly their names. Also the iterator over them.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    names: &'a str,
    entries: &'a [Entry],
}

impl<'a> Run<'a> {
    /// The one place where a roster is put together: each part by one copy per run.
    fn joined<const N: usize>(runs: [Run<'_>; N]) -> Roster {
        Roster {
            names: runs.map(|run| run.names).concat().into(),
            entries: runs.map(|run| run.entries).concat().into(),
        }
    }

    fn split_at(self, count: usize) -> (Run<'a>, Run<'a>) {
        let (front, back) = self.entries.split_at(count);
        let (names, rest) = self.names.split_at(front.iter().map(Entry::len).sum());
        (Run { names, entries: front }, Run { names: rest, entries: back })
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
        *self = Run { names, entries };
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
        let enter =
            |roster: Roster, (name, session): (&&str, u64)| roster.pushed(name, holder(session));
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
        assert_eq!(shown(&list.reassigned(2, holder(9))), "ü:1 b:2 日本語:9 🦀d:4");
        assert_eq!(shown(&list.without_session(holder(3).session)), "ü:1 b:2 🦀d:4");
        assert_eq!(shown(&list), "ü:1 b:2 日本語:3 🦀d:4", "the old one is as it was");
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
        let list = list.fold(Roster::default(), |list, (name, by)| list.pushed(name, holder(by)));
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
