//! The reigns that are over: the last 16, packed like a roster. All words in one string, and an entry of
//! fixed size for each reign beside it; so history costs a busy election about a kilobyte, and a change
//! of leaders two allocations.

use super::facts::{Reign, ReignRef, Stamp};
use crate::id::SessionId;
use crate::limits::{HISTORY, NOTE_BYTES};

/// Never changes itself: the next one is a new one.
#[derive(Debug)]
pub(super) struct Past {
    /// Of each reign, oldest first: its leader, the note of its beginning, that of its end.
    words: Box<str>,
    reigns: Box<[Entry]>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    term: u64,
    session: SessionId,
    began: Stamp,
    ended: Stamp,
    leader_bytes: u32,
    began_bytes: u16,
    ended_bytes: u16,
}

const _: () = assert!(size_of::<Entry>() == 56 && NOTE_BYTES <= u16::MAX as usize);

/// A reign that is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Over<'a> {
    pub(super) term: u64,
    pub(super) leader: &'a str,
    pub(super) session: SessionId,
    pub(super) began: (Stamp, &'a str),
    pub(super) ended: (Stamp, &'a str),
}

impl Past {
    /// With one reign more; the oldest is forgotten where there are too many.
    pub(super) fn after(before: Option<&Past>, over: Over<'_>) -> Past {
        let Over { term, leader, session, began: (began, why), ended: (ended, end) } = over;
        let (words, reigns) = before.map_or(("", &[][..]), |past| (&past.words, &past.reigns));
        let (forgotten, kept) = reigns.split_at(reigns.len().saturating_sub(HISTORY - 1));
        let forgotten = forgotten.iter().map(Entry::len).sum();
        let entry = Entry {
            term,
            session,
            began,
            ended,
            leader_bytes: leader.len() as u32,
            began_bytes: note_bytes(why),
            ended_bytes: note_bytes(end),
        };
        let words = [&words[forgotten..], leader, why, end].concat();
        Past { words: words.into(), reigns: [kept, &[entry]].concat().into() }
    }

    /// Oldest first.
    pub(super) fn oldest_first(&self) -> impl Iterator<Item = ReignRef<'_>> {
        let mut left = &*self.words;
        self.reigns.iter().map(move |entry| {
            let (words, after) = left.split_at(entry.len());
            left = after;
            entry.in_words(words)
        })
    }

    /// Newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = Reign> {
        let mut left = &*self.words;
        self.reigns.iter().rev().map(move |entry| {
            let (before, words) = left.split_at(left.len() - entry.len());
            left = before;
            entry.told_in(words)
        })
    }
}

impl Entry {
    /// Bytes of its words.
    fn len(&self) -> usize {
        self.leader_bytes as usize + usize::from(self.began_bytes) + usize::from(self.ended_bytes)
    }

    fn in_words<'a>(&self, words: &'a str) -> ReignRef<'a> {
        let (leader, notes) = words.split_at(self.leader_bytes as usize);
        let (began, ended) = notes.split_at(usize::from(self.began_bytes));
        let (began, ended) = (self.began.beside(began), self.ended.beside(ended));
        ReignRef { term: self.term, leader, session: self.session, began, ended }
    }

    fn told_in(&self, words: &str) -> Reign {
        let ReignRef { term, leader, session, began, ended } = self.in_words(words);
        let (began, ended) = (began.to_owned(), Some(ended.to_owned()));
        Reign { term, leader: leader.into(), session, began, ended }
    }
}

fn note_bytes(note: &str) -> u16 {
    debug_assert!(note.len() <= NOTE_BYTES, "notes are bounded before they come here");
    note.len() as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::Reason;
    use crate::election::facts::Origin;

    fn stamp(at: u64) -> Stamp {
        Stamp::new(Reason::Entered, &Origin { at, by: SessionId::new(at), note: "" })
    }

    #[test]
    fn the_last_sixteen_are_remembered_whole() {
        let notes = ["", "ß", "rollout"];
        let mut past: Option<Past> = None;
        for term in 1..=100u64 {
            let leader = format!("c{term}");
            let over = Over {
                term,
                leader: &leader,
                session: SessionId::new(term).unwrap(),
                began: (stamp(term), notes[term as usize % 3]),
                ended: (stamp(term + 1), notes[(term as usize + 1) % 3]),
            };
            past = Some(Past::after(past.as_ref(), over));
            let kept: Vec<Reign> = past.as_ref().unwrap().newest_first().collect();
            assert_eq!(kept.len() as u64, term.min(HISTORY as u64));
            for (reign, term) in kept.iter().zip((1..=term).rev()) {
                assert_eq!((reign.term, &*reign.leader), (term, &*format!("c{term}")));
                assert_eq!(reign.session.number(), term);
                assert_eq!(
                    (&*reign.began.note, reign.began.at_unix_micros),
                    (notes[term as usize % 3], term)
                );
                let ended = reign.ended.as_ref().unwrap();
                assert_eq!(
                    (&*ended.note, ended.by),
                    (notes[(term as usize + 1) % 3], SessionId::new(term + 1))
                );
            }
        }
    }
}
