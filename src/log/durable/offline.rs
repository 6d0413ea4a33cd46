//! What is done to a data directory that no server uses.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use super::backup::{self, Item, RAISE};
use super::folder::Folder;
use super::place::Place;
use super::store::{Batch, Fault, Store};
use crate::clock::Clock;
use crate::election::Term;
use crate::error::Error;
use crate::id::{SessionId, SessionKind};
use crate::log::{Change, Former};

/// What a data directory holds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// The version of what is written.
    pub format: u64,
    /// The server it is.
    pub server_id: Box<str>,
    /// No election that is not known begins at or below this term.
    pub floor: u64,
    /// Elections, in the order of their names' bytes.
    pub elections: Vec<ElectionKept>,
    /// Elections that were created by name.
    pub created: usize,
    /// Explicit sessions, in the order of their ids.
    pub sessions: Vec<SessionKept>,
}

/// One election, as it is kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ElectionKept {
    /// Its name.
    pub name: Box<str>,
    /// Its term, with the candidates as they stood: those of connections leave when a server starts.
    pub term: std::sync::Arc<Term>,
    /// How many may still believe that they lead.
    pub formers: usize,
}

/// One explicit session, as it is kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionKept {
    /// Its public id.
    pub id: SessionId,
    /// What keeps it alive.
    pub kind: SessionKind,
    /// How long it lives after each renewal.
    pub ttl: Duration,
    /// Who it is, in the words of whoever opened it; may be empty.
    pub owner: Box<str>,
}

/// What a backup became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// Elections.
    pub elections: u64,
    /// Sessions that ended by it.
    pub sessions: u64,
    /// By how much each term and the floor were raised.
    pub raised: u64,
    /// The floor now.
    pub floor: u64,
}

pub(crate) fn inspect(path: &Path) -> Result<Inspection, Error> {
    let folder = Folder::open(path, true)?;
    let read = || {
        let mut store = folder.reopen()?;
        let kept = store.snapshot()?;
        let singles = kept.singles()?;
        let mut inspection = Inspection {
            format: singles.format,
            server_id: singles.server_id,
            floor: singles.floor,
            elections: Vec::new(),
            created: 0,
            sessions: Vec::new(),
        };
        for it in kept.sessions()? {
            let (id, kind) = (it.holder.session, it.holder.kind);
            inspection.sessions.push(SessionKept { id, kind, ttl: it.ttl, owner: it.owner });
        }
        kept.elections(|it| {
            if it.term.is_forgotten() {
                return;
            }
            let (term, formers) = (it.term.into(), it.formers.len());
            inspection.elections.push(ElectionKept { name: it.name, term, formers });
        })?;
        kept.created(|_, _| inspection.created += 1)?;
        Ok(inspection)
    };
    read().map_err(|fault| folder.tell(fault))
}

pub(crate) fn backup(path: &Path, to: impl Write) -> io::Result<()> {
    let folder = Folder::open(path, true).map_err(io::Error::other)?;
    let tell = |fault| io::Error::other(folder.tell(fault));
    let mut store = folder.reopen().map_err(tell)?;
    backup::write(&store.snapshot().map_err(tell)?, to)
}

pub(crate) fn restore(from: impl Read, path: &Path) -> Result<Restored, Error> {
    let folder = Folder::open(path, false)?;
    if folder.holds_something()? {
        let why = "it holds a server's data already; restore into a new directory".into();
        return Err(Error::Storage { path: path.to_owned(), why });
    }
    let server_id = crate::random::random_hex()?;
    let mut restored = None;
    let made = folder.begin(&server_id, |store| {
        restored = Some(fill(store, from)?);
        Ok(())
    });
    made.map_err(|fault| folder.tell(fault))?;
    Ok(restored.expect("it was filled"))
}

/// How many elections a backup holds, if it is whole.
pub(crate) fn verify(from: impl Read) -> Result<u64, Error> {
    let mut elections = 0;
    let read = backup::read(from, |item| {
        // A deleted one is kept only for who may still believe to lead it.
        elections += u64::from(matches!(item, Item::Election(_, it) if !it.is_deleted()));
        Ok(())
    });
    let why = |fault: Fault| Error::InvalidSetting { setting: "backup", why: fault.to_string() };
    read.map(|()| elections).map_err(why)
}

/// Records in one commit.
const AT_A_TIME: u64 = 10_000;

/// Puts a backup into an empty store.
fn fill(store: &mut Store, from: impl Read) -> Result<Restored, Fault> {
    let at = Clock::system().wall_micros();
    let mut restored = Restored { elections: 0, sessions: 0, raised: RAISE, floor: 0 };
    let mut ttls: HashMap<SessionId, Duration> = HashMap::new();
    let (mut batch, mut records) = (Batch::default(), 0);
    backup::read(from, |item| {
        match item {
            Item::Numbers(numbers) => {
                restored.floor = numbers.floor.saturating_add(RAISE);
                batch.keep(&Change::Floor(restored.floor));
                batch.keep(&Change::Index(numbers.index.saturating_add(RAISE)));
                batch.keep(&Change::SessionIds(numbers.sessions.saturating_add(RAISE)));
            }
            Item::Session(session) => {
                restored.sessions += 1;
                ttls.insert(session.holder.session, session.ttl);
            }
            Item::Election(name, election) => {
                let damaged =
                    |why: &dyn std::fmt::Display| Fault::Damaged(format!("{name}: {why}"));
                let (term, mut formers) = election.restored().map_err(|bad| damaged(&bad))?;
                // Whoever led may still act, until its own deadline.
                let leader = term.leading_holder().filter(|it| it.kind == SessionKind::Exclusive);
                formers.extend(leader.and_then(|holder| {
                    let ttl = *ttls.get(&holder.session)?;
                    Some(Former { holder, term: term.number(), ttl })
                }));
                if term.is_forgotten() {
                    batch.keep(&Change::Term { election: &name, term: &term, formers: &formers });
                    return Ok(());
                }
                let term = term.raised(RAISE, at).map_err(|error| damaged(&error))?;
                batch.keep(&Change::Term { election: &name, term: &term, formers: &formers });
                restored.elections += 1;
            }
            Item::Created(name, tags) => {
                batch.keep(&Change::Created { election: &name, tags: Some(&tags) });
            }
        }
        records += 1;
        if records % AT_A_TIME == 0 {
            store.commit(&mut batch)?;
        }
        Ok(())
    })?;
    store.commit(&mut batch)?;
    Ok(restored)
}
