//! What one commit keeps: of each key the last value, as bytes.

use std::collections::BTreeMap;

#[cfg(feature = "internals")]
use super::Singles;
use super::{CREATED, ELECTIONS, SESSIONS};
use crate::log::Change;
use crate::log::record::{self, Created, Session};

/// Records by their table and key.
#[cfg(feature = "internals")]
pub(crate) type Records = BTreeMap<(&'static str, Box<[u8]>), Box<[u8]>>;

/// Changes that are kept together: of each key, the last one.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) struct Batch {
    pub(super) elections: BTreeMap<Box<str>, Option<Vec<u8>>>,
    pub(super) created: BTreeMap<Box<str>, Option<Vec<u8>>>,
    pub(super) sessions: BTreeMap<u64, Option<Vec<u8>>>,
    /// At least these.
    pub(super) floor: u64,
    pub(super) index: u64,
    pub(super) session_ids: u64,
    pub(super) starts: u64,
}

impl Batch {
    /// That the store is opened to be used, for the so manieth time.
    pub(in crate::log) fn start(starts: u64) -> Self {
        Self { starts, ..Self::default() }
    }

    /// Takes a change, unless one of the same thing is in it: so the newest comes first, and what it
    /// replaces is not sealed.
    pub(crate) fn keep(&mut self, change: &Change<'_>) {
        self.keep_sealed(change, None);
    }

    /// The same, with its record if that was sealed early.
    pub(crate) fn keep_sealed(&mut self, change: &Change<'_>, early: Option<Vec<u8>>) {
        let sealed = || early.or_else(|| sealed(change));
        match *change {
            Change::Term { election, term, .. } => {
                if term.is_forgotten() {
                    self.floor = self.floor.max(term.number());
                }
                put(&mut self.elections, election, sealed);
            }
            Change::Created { election, .. } => put(&mut self.created, election, sealed),
            Change::Opened(session) => {
                let id = session.holder.session.number();
                self.sessions.entry(id).or_insert_with(sealed);
            }
            Change::Ended(session) => {
                self.sessions.entry(session.number()).or_insert_with(sealed);
            }
            Change::Floor(floor) => self.floor = self.floor.max(floor),
            Change::Index(index) => self.index = self.index.max(index),
            Change::SessionIds(ids) => self.session_ids = self.session_ids.max(ids),
        }
    }

    /// Adds what is newer.
    pub(super) fn absorb(&mut self, newer: Self) {
        let Self { elections, created, sessions, floor, index, session_ids, starts } = newer;
        self.elections.extend(elections);
        self.created.extend(created);
        self.sessions.extend(sessions);
        self.floor = self.floor.max(floor);
        self.index = self.index.max(index);
        self.session_ids = self.session_ids.max(session_ids);
        self.starts = self.starts.max(starts);
    }

    /// Does to records what a commit of this does.
    #[cfg(feature = "internals")]
    pub(crate) fn apply_to(&self, singles: &mut Singles, records: &mut Records) {
        let mut put = |table, key: &[u8], value: Option<&[u8]>| match value {
            Some(value) => drop(records.insert((table, key.into()), value.into())),
            None => drop(records.remove(&(table, key.into()))),
        };
        each(&self.elections).for_each(|(key, raw)| put(ELECTIONS, key.as_bytes(), raw));
        each(&self.created).for_each(|(key, raw)| put(CREATED, key.as_bytes(), raw));
        for (id, raw) in &self.sessions {
            put(SESSIONS, &id.to_be_bytes(), raw.as_deref());
        }
        singles.floor = singles.floor.max(self.floor);
        singles.index = singles.index.max(self.index);
        singles.sessions = singles.sessions.max(self.session_ids);
    }

    /// How many it puts in or removes.
    pub(super) fn records(&self) -> usize {
        self.elections.len() + self.created.len() + self.sessions.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        let Self { elections, created, sessions, floor, index, session_ids, starts } = self;
        elections.is_empty()
            && created.is_empty()
            && sessions.is_empty()
            && [*floor, *index, *session_ids, *starts] == [0; 4]
    }
}

/// The record of a change, if it is cheap to seal even where a later one replaces it.
pub(in crate::log::durable) fn sealed_early(change: &Change<'_>) -> Option<Vec<u8>> {
    match change {
        Change::Term { term, .. } if term.is_light() => sealed(change),
        _ => None,
    }
}

/// What stands in a table by a change, if anything does.
fn sealed(change: &Change<'_>) -> Option<Vec<u8>> {
    match *change {
        // Who may still believe to lead it is remembered for whoever leads it next.
        Change::Term { term, formers, .. } if term.is_forgotten() && formers.is_empty() => None,
        Change::Term { election, term, formers } => {
            Some(record::sealed_term(ELECTIONS, election, term, formers))
        }
        Change::Created { election, tags } => {
            let tags = tags?.iter().map(|tag| tag.as_ref().into()).collect();
            Some(record::sealed(CREATED, election.as_bytes(), &Created { tags }))
        }
        Change::Opened(session) => {
            let key = session.holder.session.number().to_be_bytes();
            Some(record::sealed(SESSIONS, &key, &Session::of(session)))
        }
        Change::Ended(_) | Change::Floor(_) | Change::Index(_) | Change::SessionIds(_) => None,
    }
}

fn put(
    to: &mut BTreeMap<Box<str>, Option<Vec<u8>>>,
    key: &str,
    record: impl FnOnce() -> Option<Vec<u8>>,
) {
    if !to.contains_key(key) {
        to.insert(key.into(), record());
    }
}

pub(super) fn each(
    changes: &BTreeMap<Box<str>, Option<Vec<u8>>>,
) -> impl ExactSizeIterator<Item = (&str, Option<&[u8]>)> {
    changes.iter().map(|(key, value)| (&**key, value.as_deref()))
}
