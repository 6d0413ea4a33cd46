//! The ordered list of candidates, packed: one string with a head of fixed size for each candidate, then
//! all their names, and what those say of themselves who say anything, in their order.
//!
//! Heads are ASCII (see `head`), so that heads and names share one allocation and a name is text without a
//! second look. A roster never changes; every operation makes a new one out of runs of the old, copied whole.
//! So a million elections of one candidate stay small, a reader shares a roster without counting references,
//! and an empty one owns no memory.

mod head;

use std::sync::Arc;

use self::head::{HEAD, Head, Packed, counted, packed_session, put_count};

use super::Metadata;
use super::kept::Stands;
use crate::id::{Holder, SessionId};

/// Candidates in order, the leader first.
#[derive(Clone, Default)]
pub(super) struct Roster {
    /// How many there are, their heads, their names.
    list: Box<str>,
    /// Of the entries that say so; absent in most elections.
    said: Option<Box<Said>>,
}

/// One pointer wide where it is absent.
#[derive(Clone)]
struct Said(Box<[Arc<Metadata>]>);

const _: () = assert!(size_of::<Roster>() == 24);

impl Roster {
    /// Bytes that the names of one roster can have together, whatever the limits say.
    pub(super) const NAME_BYTES: usize = u32::MAX as usize;

    pub(super) fn len(&self) -> usize {
        counted(self.list.as_bytes()).0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Bytes of all names together.
    pub(super) fn name_bytes(&self) -> usize {
        self.parts().1.len()
    }

    /// Bytes of the whole list.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.list.len()
    }

    pub(super) fn iter(&self) -> Run<'_> {
        let said = self.said();
        let (count, at) = counted(self.list.as_bytes());
        let (heads, names) = self.list[at..].split_at(count * HEAD);
        Run { heads, names, said }
    }

    /// The names alone, in order.
    pub(super) fn names(&self) -> Names<'_> {
        let Run { heads, names, .. } = self.iter();
        Names { heads: heads.as_bytes().as_chunks().0.iter(), names }
    }

    /// Heads, and names as bytes: for a look that takes no name out.
    #[inline(always)]
    fn parts(&self) -> (&[[u8; HEAD]], &[u8]) {
        let (count, at) = counted(self.list.as_bytes());
        let (heads, names) = self.list.as_bytes()[at..].split_at(count * HEAD);
        (heads.as_chunks().0, names)
    }

    /// What the candidates say of themselves that say anything, in order.
    #[inline]
    pub(super) fn said(&self) -> &[Arc<Metadata>] {
        self.said.as_ref().map_or(&[][..], |said| &said.0)
    }

    /// What the candidate at `at` says of itself, if anything.
    pub(super) fn said_at(&self, at: usize) -> Option<&Arc<Metadata>> {
        // Nothing is looked for where nobody says anything.
        self.said.as_ref()?;
        let (_, one, _) = self.iter().around(at);
        one.said.first()
    }

    /// What each candidate says of itself, in the order of the list.
    pub(super) fn each_said(&self) -> impl Iterator<Item = Option<&Arc<Metadata>>> {
        let mut said = self.said().iter();
        let heads = self.parts().0.iter();
        heads.map(move |head| if Head(head).says_something() { said.next() } else { None })
    }

    pub(super) fn head(&self) -> Option<(&str, Holder)> {
        self.iter().next()
    }

    pub(super) fn is_headed_by(&self, name: &str) -> bool {
        let (heads, names) = self.parts();
        heads
            .first()
            .is_some_and(|head| Head(head).name_bytes() == name.len() && is_at(name, 0, names))
    }

    /// Whether the same candidate of the same session heads both, or nobody does.
    pub(super) fn is_headed_as(&self, other: &Roster) -> bool {
        let ((heads, names), (other_heads, other_names)) = (self.parts(), other.parts());
        match (heads.first(), other_heads.first()) {
            (Some(head), Some(other)) => {
                let name_bytes = Head(head).name_bytes();
                Head(head).is_alike(Head(other))
                    && are_same(&names[..name_bytes], &other_names[..name_bytes])
            }
            (one, two) => one.is_none() && two.is_none(),
        }
    }

    #[cfg(test)]
    pub(super) fn get(&self, at: usize) -> Option<(&str, Holder)> {
        self.iter().nth(at)
    }

    /// Where the candidate of this name stands, and who holds it.
    pub(super) fn find(&self, name: &str) -> Option<(Place, Holder)> {
        let (heads, names) = self.parts();
        let mut name_at = 0;
        for (at, head) in heads.iter().map(Head).enumerate() {
            let name_bytes = head.name_bytes();
            // Lengths differ most often: then nothing is looked at.
            if name_bytes == name.len() && is_at(name, name_at, names) {
                return Some((Place { at, name_at, name_bytes }, head.holder()));
            }
            name_at += name_bytes;
        }
        None
    }

    #[cfg(test)]
    fn place(&self, at: usize) -> Place {
        let name = self.get(at).expect("somebody there").0;
        self.find(name).expect("it was there").0
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.find(name).map(|(place, _)| place.at)
    }

    /// Whether any candidate is this session's.
    pub(super) fn holds(&self, session: SessionId) -> bool {
        let packed = packed_session(session);
        self.parts().0.iter().any(|head| Head(head).packed_session() == packed)
    }

    pub(super) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.parts().0.iter().map(|head| Head(head).session())
    }

    /// Of candidates in their order.
    pub(super) fn listing(candidates: &[Stands]) -> Roster {
        let heads = candidates.iter().map(|one| Head::of(&one.name, one.holder, one.says.as_ref()));
        let heads: Vec<Packed> = heads.collect();
        let heads: String = heads.iter().map(Packed::text).collect();
        let names: String = candidates.iter().map(|one| &*one.name).collect();
        let said: Vec<_> = candidates.iter().filter_map(|one| one.says.clone()).collect();
        Run { heads: &heads, names: &names, said: &said }.to_roster()
    }

    /// With `name` at the end. The names must fit [`Roster::NAME_BYTES`].
    pub(super) fn pushed(
        &self,
        name: &str,
        holder: Holder,
        says: Option<&Arc<Metadata>>,
    ) -> Roster {
        let head = Head::of(name, holder, says);
        Run::joined([self.iter(), Run::one(name, &head, says)])
    }

    pub(super) fn without(&self, place: Place) -> Roster {
        let (before, _, after) = self.iter().around_place(place);
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

    /// With the candidate there held by this one, in its place, and saying this of itself.
    pub(super) fn reassigned(
        &self,
        place: Place,
        holder: Holder,
        says: Option<&Arc<Metadata>>,
    ) -> Roster {
        let (before, one, after) = self.iter().around_place(place);
        let head = Head::of(one.names, holder, says);
        Run::joined([before, Run::one(one.names, &head, says), after])
    }

    pub(super) fn without_session(&self, session: SessionId) -> Roster {
        let mut stay = Stay::default();
        for one in self.iter().each() {
            if one.each_head().all(|head| head.session() != session) {
                stay.heads.push_str(one.heads);
                stay.names.push_str(one.names);
                stay.said.extend_from_slice(one.said);
            }
        }
        Run { heads: &stay.heads, names: &stay.names, said: &stay.said }.to_roster()
    }
}

/// Names without what is known of their candidates, which most who list them do not ask for.
#[derive(Clone)]
pub(super) struct Names<'a> {
    heads: std::slice::Iter<'a, [u8; HEAD]>,
    names: &'a str,
}

impl<'a> Iterator for Names<'a> {
    type Item = &'a str;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let head = self.heads.next()?;
        let (name, rest) = self.names.split_at(Head(head).name_bytes());
        self.names = rest;
        Some(name)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.heads.size_hint()
    }
}

impl ExactSizeIterator for Names<'_> {}

/// Where a candidate stands, and where its name does among the names.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) at: usize,
    name_at: usize,
    name_bytes: usize,
}

/// Those who stay when a session leaves.
#[derive(Default)]
struct Stay {
    heads: String,
    names: String,
    said: Vec<Arc<Metadata>>,
}

/// Whether this name stands there among the names. Last bytes differ most often: names of one election tend to
/// be one word and a number.
fn is_at(name: &str, at: usize, names: &[u8]) -> bool {
    let (name, own) = (name.as_bytes(), &names[at..at + name.len()]);
    own.last() == name.last() && are_same(own, name)
}

/// As `==`, by words. The library's own compare loads wider than what has just been stored here, and a load that
/// finds its bytes in several stores waits for all of them: 40 ns in a pair of changes.
fn are_same(one: &[u8], two: &[u8]) -> bool {
    let ((words, rest), (other_words, other_rest)) = (one.as_chunks(), two.as_chunks());
    one.len() == two.len()
        && words
            .iter()
            .zip(other_words)
            .all(|(a, b)| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b))
        && rest.iter().zip(other_rest).all(|(a, b)| a == b)
}

/// Neighbours in a roster, with exactly their names and what they say. Also the iterator over them.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    heads: &'a str,
    names: &'a str,
    said: &'a [Arc<Metadata>],
}

impl<'a> Run<'a> {
    fn one(name: &'a str, head: &'a Packed, says: Option<&'a Arc<Metadata>>) -> Run<'a> {
        Run { heads: head.text(), names: name, said: says.map_or(&[], std::slice::from_ref) }
    }

    /// The one place where a roster is put together: each part by one copy per run.
    fn joined<const N: usize>(runs: [Run<'_>; N]) -> Roster {
        let (heads, names) = runs
            .iter()
            .fold((0, 0), |(heads, names), run| (heads + run.heads.len(), names + run.names.len()));
        if heads == 0 {
            return Roster::default();
        }
        let mut list = put_count(heads / HEAD, heads + names);
        runs.iter().for_each(|run| list.push_str(run.heads));
        runs.iter().for_each(|run| list.push_str(run.names));
        let nobody_says = runs.iter().all(|run| run.said.is_empty());
        let said = (!nobody_says).then(|| Box::new(Said(runs.map(|run| run.said).concat().into())));
        Roster { list: list.into(), said }
    }

    fn to_roster(self) -> Roster {
        Run::joined([self])
    }

    fn len(self) -> usize {
        self.heads.len() / HEAD
    }

    fn each_head(self) -> impl Iterator<Item = Head<'a>> {
        self.heads.as_bytes().as_chunks().0.iter().map(Head)
    }

    fn split_at(self, count: usize) -> (Run<'a>, Run<'a>) {
        let (front, back) = self.heads.split_at(count * HEAD);
        let front = Run { heads: front, ..self };
        let (names, rest) = self.names.split_at(front.each_head().map(Head::name_bytes).sum());
        let (said, unsaid) = match self.said {
            [] => (self.said, self.said),
            said => said.split_at(front.each_head().filter(|head| head.says_something()).count()),
        };
        (Run { names, said, ..front }, Run { heads: back, names: rest, said: unsaid })
    }

    /// One by one.
    fn each(mut self) -> impl Iterator<Item = Run<'a>> {
        std::iter::repeat_with(move || {
            let (one, rest) = self.split_at(self.len().min(1));
            self = rest;
            one
        })
        .take(self.len())
    }

    /// The same as [`around`](Self::around), without looking for the name.
    fn around_place(self, place: Place) -> (Run<'a>, Run<'a>, Run<'a>) {
        let Place { at, name_at, name_bytes } = place;
        if !self.said.is_empty() {
            return self.around(at);
        }
        let (front, rest) = self.heads.split_at(at * HEAD);
        let (head, back) = rest.split_at(HEAD);
        let (names, rest) = self.names.split_at(name_at);
        let (name, others) = rest.split_at(name_bytes);
        let run = |heads, names| Run { heads, names, said: &[] };
        (run(front, names), run(head, name), run(back, others))
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
        let head = self.each_head().next()?;
        let (name, names) = self.names.split_at(head.name_bytes());
        let said = &self.said[usize::from(head.says_something())..];
        *self = Run { heads: &self.heads[HEAD..], names, said };
        Some((name, head.holder()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (Run::len(*self), Some(Run::len(*self)))
    }
}

impl ExactSizeIterator for Run<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SessionKind;

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
        let alone = roster(&["a"]);
        let emptied = alone.without(alone.place(0));
        for empty in [Roster::default(), emptied] {
            assert_eq!(size_of_val(&*empty.list), 0);
            assert_eq!((empty.len(), empty.name_bytes(), empty.is_empty()), (0, 0, true));
            assert!(empty.head().is_none() && empty.get(0).is_none());
            assert!(empty.position("a").is_none() && !empty.is_headed_by(""));
        }
    }

    #[test]
    fn each_operation_keeps_names_with_their_holders() {
        let list = roster(&["ü", "b", "日本語", "🦀d"]);
        assert_eq!(shown(&list), "ü:1 b:2 日本語:3 🦀d:4");
        assert_eq!(shown(&list.without(list.place(0))), "b:2 日本語:3 🦀d:4");
        assert_eq!(shown(&list.without(list.place(2))), "ü:1 b:2 🦀d:4");
        assert_eq!(shown(&list.without(list.place(3))), "ü:1 b:2 日本語:3");
        assert_eq!(shown(&list.moved_to_front(0)), "ü:1 b:2 日本語:3 🦀d:4");
        assert_eq!(shown(&list.moved_to_front(3)), "🦀d:4 ü:1 b:2 日本語:3");
        assert_eq!(shown(&list.swapped(0)), "b:2 ü:1 日本語:3 🦀d:4");
        assert_eq!(shown(&list.swapped(2)), "ü:1 b:2 🦀d:4 日本語:3");
        assert_eq!(
            shown(&list.reassigned(list.place(2), holder(9), None)),
            "ü:1 b:2 日本語:9 🦀d:4"
        );
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
        assert_eq!(shown(&list.without(list.place(0))), "b@x c d@y");
        assert_eq!(shown(&list.without(list.place(1))), "a c d@y");
        assert_eq!(shown(&list.moved_to_front(3)), "d@y a b@x c");
        assert_eq!(shown(&list.moved_to_front(2)), "c a b@x d@y");
        assert_eq!(shown(&list.swapped(0)), "b@x a c d@y");
        assert_eq!(shown(&list.swapped(2)), "a b@x d@y c");
        assert_eq!(shown(&list.reassigned(list.place(1), holder(9), None)), "a b c d@y");
        assert_eq!(shown(&list.reassigned(list.place(2), holder(9), Some(&x))), "a b@x c@x d@y");
        assert_eq!(shown(&list.reassigned(list.place(3), holder(9), Some(&x))), "a b@x c d@x");
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
            assert_eq!(list.without(list.place(at)).position(&names[at]), None);
        }
        assert_eq!(list.swapped(9_998).get(9_999).unwrap().0, names[9_998]);
        assert_eq!(list.iter().len(), 10_000);
    }
}
