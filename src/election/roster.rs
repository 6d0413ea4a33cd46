//! The ordered list of candidates, packed and immutable.
//!
//! All names stand in one string, so an election of one candidate is small, and a changed copy of
//! the list is a few block copies, however many candidates there are.

use std::fmt;

use crate::id::{Holder, SessionId, SessionKind};

#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Roster {
    names: Box<str>,
    entries: Box<[Entry]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    session: SessionId,
    /// Where its name ends in `names`.
    end: u32,
    kind: SessionKind,
}

const _: () = assert!(size_of::<Entry>() == 16);

impl Entry {
    fn new(holder: Holder, end: usize) -> Self {
        let end = u32::try_from(end).expect("names are bounded far below 4 GiB");
        Self { session: holder.session, end, kind: holder.kind }
    }

    fn holder(&self) -> Holder {
        Holder { session: self.session, kind: self.kind }
    }
}

impl Roster {
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

    pub(super) fn name(&self, at: usize) -> Option<&str> {
        let end = self.entries.get(at)?.end as usize;
        self.names.get(self.start(at)..end)
    }

    pub(super) fn holder(&self, at: usize) -> Option<Holder> {
        self.entries.get(at).map(Entry::holder)
    }

    pub(super) fn names(&self) -> Names<'_> {
        Names { roster: self, next: 0 }
    }

    pub(super) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.entries.iter().map(|entry| entry.session)
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        let (names, wanted) = (self.names.as_bytes(), name.as_bytes());
        let mut start = 0;
        self.entries.iter().position(|entry| {
            let end = entry.end as usize;
            let found = end - start == wanted.len() && &names[start..end] == wanted;
            start = end;
            found
        })
    }

    pub(super) fn pushed(&self, name: &str, holder: Holder) -> Self {
        let mut names = String::with_capacity(self.names.len() + name.len());
        names.push_str(&self.names);
        names.push_str(name);
        let mut entries = Vec::with_capacity(self.entries.len() + 1);
        entries.extend_from_slice(&self.entries);
        entries.push(Entry::new(holder, names.len()));
        Self { names: names.into(), entries: entries.into() }
    }

    pub(super) fn without(&self, at: usize) -> Self {
        let (start, end) = (self.start(at), self.entries[at].end as usize);
        let mut names = String::with_capacity(self.names.len() - (end - start));
        names.push_str(&self.names[..start]);
        names.push_str(&self.names[end..]);
        let mut entries = Vec::with_capacity(self.entries.len() - 1);
        entries.extend_from_slice(&self.entries[..at]);
        let gone = (end - start) as u32;
        entries.extend(self.entries[at + 1..].iter().map(|e| Entry { end: e.end - gone, ..*e }));
        Self { names: names.into(), entries: entries.into() }
    }

    /// The candidate at `at` goes to the head; the others keep their order.
    pub(super) fn moved_to_head(&self, at: usize) -> Self {
        let others = (0..self.len()).filter(|&other| other != at);
        self.rearranged(std::iter::once(at).chain(others))
    }

    /// The candidates at `at` and right behind it change places.
    pub(super) fn swapped_with_next(&self, at: usize) -> Self {
        self.rearranged((0..self.len()).map(|place| match place {
            place if place == at => at + 1,
            place if place == at + 1 => at,
            place => place,
        }))
    }

    pub(super) fn reassigned(&self, at: usize, holder: Holder) -> Self {
        let mut roster = self.clone();
        let end = roster.entries[at].end as usize;
        roster.entries[at] = Entry::new(holder, end);
        roster
    }

    pub(super) fn without_session(&self, session: SessionId) -> Self {
        self.rearranged((0..self.len()).filter(|&at| self.entries[at].session != session))
    }

    /// The list that has the candidates at these places, in this order.
    fn rearranged(&self, places: impl Iterator<Item = usize>) -> Self {
        let mut names = String::with_capacity(self.names.len());
        let mut entries = Vec::with_capacity(self.len());
        for at in places {
            let entry = &self.entries[at];
            names.push_str(&self.names[self.start(at)..entry.end as usize]);
            entries.push(Entry::new(entry.holder(), names.len()));
        }
        Self { names: names.into(), entries: entries.into() }
    }

    fn start(&self, at: usize) -> usize {
        at.checked_sub(1).map_or(0, |before| self.entries[before].end as usize)
    }
}

/// Candidates' names, in order.
#[derive(Clone)]
pub(super) struct Names<'a> {
    roster: &'a Roster,
    next: usize,
}

impl<'a> Iterator for Names<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let name = self.roster.name(self.next)?;
        self.next += 1;
        Some(name)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.roster.len().saturating_sub(self.next);
        (left, Some(left))
    }

    fn nth(&mut self, skip: usize) -> Option<&'a str> {
        self.next = self.next.saturating_add(skip);
        self.next()
    }
}

impl ExactSizeIterator for Names<'_> {}

impl fmt::Debug for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}
