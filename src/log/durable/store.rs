//! The only file that names the store crate: tables, one commit, and reading all back.
//!
//! Each commit has two phases, so that a power cut between them leaves the one before it whole. No
//! savepoint, no commit without a sync.

use std::collections::BTreeMap;
use std::fmt;

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition,
    WriteTransaction,
};

use super::disk::{self, Disk, Trouble};
use crate::election::Term;
use crate::log::record::{self, BadRecord, Created, Election, Session};
use crate::log::{Change, Former, KeptSession};

/// The version of what is written. A store of a later one is not opened.
pub(crate) const FORMAT: u64 = 1;

/// The oldest that is still read. There is one older than the first for the tests alone: it differs
/// by its number.
const OLDEST: u64 = if cfg!(test) { 0 } else { 1 };

/// Bytes of the file that are kept in memory, at most.
const CACHE: usize = 64 << 20;

const META: &str = "meta";
const ELECTIONS: &str = "elections";
const CREATED: &str = "created";
const SESSIONS: &str = "sessions";

type Named<'a> = TableDefinition<'a, &'static str, &'static [u8]>;
type Numbered<'a> = TableDefinition<'a, u64, &'static [u8]>;

/// One value that there is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Single {
    Format,
    /// No forgotten name starts again at or below this term.
    Floor,
    /// The latch's index stays below this.
    Index,
    /// Session ids at or below this were given to somebody.
    Sessions,
}

fn each(
    changes: &BTreeMap<Box<str>, Option<Vec<u8>>>,
) -> impl ExactSizeIterator<Item = (&str, Option<&[u8]>)> {
    changes.iter().map(|(key, value)| (&**key, value.as_deref()))
}

impl Single {
    const ALL: [Single; 4] = [Single::Format, Single::Floor, Single::Index, Single::Sessions];

    fn key(self) -> &'static str {
        match self {
            Single::Format => "format",
            Single::Floor => "floor",
            Single::Index => "latch-index",
            Single::Sessions => "session-ids",
        }
    }

    fn sealed(self, value: u64) -> Vec<u8> {
        match self {
            // Bare, so that any version can read it.
            Single::Format => value.to_be_bytes().to_vec(),
            _ => record::sealed_bytes(META, self.key().as_bytes(), &value.to_be_bytes()),
        }
    }
}

const SERVER_ID: &str = "server-id";

/// Why the store can't go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// There was no room. Nothing was kept of the batch; it may be tried again.
    #[error("the disk is full")]
    Full,
    /// A later version wrote it.
    #[error("it is in format {found}, and this version reads up to {FORMAT}; use a newer tenure")]
    TooNew { found: u64 },
    /// A record, or the file, is not what was written.
    #[error("{0}")]
    Damaged(String),
    /// The disk failed.
    #[error("{0}")]
    Disk(String),
}

/// What there is one of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Singles {
    pub(crate) format: u64,
    pub(crate) floor: u64,
    pub(crate) index: u64,
    pub(crate) sessions: u64,
    pub(crate) server_id: Box<str>,
}

/// One election, as it is read back.
pub(crate) struct KeptElection {
    pub(crate) name: Box<str>,
    pub(crate) term: Term,
    pub(crate) formers: Vec<Former>,
}

pub(crate) struct Store {
    database: Database,
    trouble: Trouble,
    /// What there is one of and only rises, by its place in `Single::ALL`.
    raised: [u64; Single::ALL.len()],
}

impl Store {
    /// Opens what `file` holds. One that holds nothing becomes an empty store of this server.
    pub(super) fn open(file: impl StorageBackend, server_id: &str) -> Result<Self, Fault> {
        let trouble = Trouble::default();
        let disk = Disk::new(file, trouble.clone());
        let database = Database::builder().set_cache_size(CACHE).create_with_backend(disk);
        let database = database.map_err(|error| fault(&trouble, &error))?;
        let mut store = Self { database, trouble, raised: [0; Single::ALL.len()] };
        match store.format()? {
            Some(OLDEST..=FORMAT) => {}
            Some(found) if found > FORMAT => return Err(Fault::TooNew { found }),
            Some(found) => return Err(Fault::Damaged(format!("there never was a format {found}"))),
            None => store.begin(server_id)?,
        }
        let Singles { format, floor, index, sessions, .. } = store.snapshot()?.singles()?;
        store.raised = [format, floor, index, sessions];
        Ok(store)
    }

    fn format(&self) -> Result<Option<u64>, Fault> {
        let read = self.database.begin_read().map_err(|error| self.fault(&error))?;
        let table = match read.open_table(Named::new(META)) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(self.fault(&error)),
        };
        let found = table.get(Single::Format.key()).map_err(|error| self.fault(&error))?;
        // Read before anything else is believed: a later format may seal its records otherwise.
        let Some(raw) = found else { return Err(Fault::Damaged("it has no format".into())) };
        number_of(Single::Format, raw.value()).map(Some)
    }

    /// The format it was written in, if that is an older one.
    pub(super) fn older(&self) -> Option<u64> {
        let format = self.raised[Single::Format as usize];
        (format < FORMAT).then_some(format)
    }

    /// Rewrites what an older version wrote, in one commit.
    pub(super) fn migrate(&mut self) -> Result<(), Fault> {
        let write = self.begin_write()?;
        let raw = Single::Format.sealed(FORMAT);
        let meta = [(Single::Format.key(), Some(&*raw))];
        apply(&write, Named::new(META), meta.into_iter()).map_err(|error| self.fault(&error))?;
        write.commit().map_err(|error| self.fault(&error))?;
        self.raised[Single::Format as usize] = FORMAT;
        Ok(())
    }

    fn begin(&self, server_id: &str) -> Result<(), Fault> {
        let write = self.begin_write()?;
        let begun = (|| {
            for table in [ELECTIONS, CREATED] {
                write.open_table(Named::new(table))?;
            }
            write.open_table(Numbered::new(SESSIONS))?;
            let id = record::sealed_bytes(META, SERVER_ID.as_bytes(), server_id.as_bytes());
            let mut meta = write.open_table(Named::new(META))?;
            meta.insert(SERVER_ID, &*id)?;
            for single in Single::ALL {
                let value = if single == Single::Format { FORMAT } else { 0 };
                meta.insert(single.key(), &*single.sealed(value))?;
            }
            Ok::<_, redb::Error>(())
        })();
        begun.map_err(|error| self.fault(&error))?;
        write.commit().map_err(|error| self.fault(&error))
    }

    #[cfg(test)]
    pub(super) fn pretend_format(&self, format: u64) {
        let write = self.begin_write().unwrap();
        let raw = Single::Format.sealed(format);
        apply(&write, Named::new(META), [(Single::Format.key(), Some(&*raw))].into_iter()).unwrap();
        write.commit().unwrap();
    }

    /// Makes a batch durable: whole, or not at all.
    pub(crate) fn commit(&mut self, batch: &Batch) -> Result<(), Fault> {
        let write = self.begin_write()?;
        let raised = [
            (Single::Floor, batch.floor),
            (Single::Index, batch.index),
            (Single::Sessions, batch.session_ids),
        ];
        let raised = raised.map(|(single, to)| (single, to, to > self.raised[single as usize]));
        let sealed = raised.map(|(single, to, is_new)| (single, is_new.then(|| single.sealed(to))));
        let new = sealed.iter().filter_map(|(single, raw)| Some((single.key(), raw.as_deref()?)));
        let new: Vec<_> = new.map(|(key, raw)| (key, Some(raw))).collect();
        let named = |table| Named::new(table);
        let applied = apply(&write, named(ELECTIONS), each(&batch.elections))
            .and_then(|()| apply(&write, named(CREATED), each(&batch.created)))
            .and_then(|()| {
                let sessions = batch.sessions.iter().map(|(id, raw)| (*id, raw.as_deref()));
                apply(&write, Numbered::new(SESSIONS), sessions)
            })
            .and_then(|()| apply(&write, named(META), new.into_iter()));
        applied.map_err(|error| self.fault(&error))?;
        write.commit().map_err(|error| self.fault(&error))?;
        for (single, to, _) in raised.into_iter().filter(|(.., is_new)| *is_new) {
            self.raised[single as usize] = to;
        }
        Ok(())
    }

    /// Two phases: what a commit points to is on the disk before it points there.
    fn begin_write(&self) -> Result<WriteTransaction, Fault> {
        let mut write = self.database.begin_write().map_err(|error| self.fault(&error))?;
        write.set_two_phase_commit(true);
        Ok(write)
    }

    /// All that is kept now, whatever is kept later.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, Fault> {
        let read = self.database.begin_read().map_err(|error| self.fault(&error))?;
        Ok(Snapshot { read, trouble: self.trouble.clone() })
    }

    fn fault(&self, error: &dyn std::error::Error) -> Fault {
        fault(&self.trouble, error)
    }
}

/// What was kept at one moment. It can be read for as long as the store is open.
pub(crate) struct Snapshot {
    read: ReadTransaction,
    trouble: Trouble,
}

impl Snapshot {
    pub(crate) fn singles(&self) -> Result<Singles, Fault> {
        let table = self.read.open_table(Named::new(META)).map_err(|error| self.fault(&error))?;
        let raw = |key: &str| -> Result<Vec<u8>, Fault> {
            let found = table.get(key).map_err(|error| self.fault(&error))?;
            let missing = || Fault::Damaged(format!("{META}/{key} is missing"));
            Ok(found.ok_or_else(missing)?.value().to_vec())
        };
        let single = |single: Single| raw(single.key()).and_then(|raw| number_of(single, &raw));
        let id = raw(SERVER_ID)?;
        let id = record::opened_bytes(META, SERVER_ID.as_bytes(), &id);
        let id = id.map_err(|bad| damaged(META, SERVER_ID, &bad))?.to_vec();
        Ok(Singles {
            format: single(Single::Format)?,
            floor: single(Single::Floor)?,
            index: single(Single::Index)?,
            sessions: single(Single::Sessions)?,
            server_id: String::from_utf8(id)
                .map_err(|_| Fault::Damaged(format!("{META}/{SERVER_ID} is no text")))?
                .into(),
        })
    }

    /// Calls `each` with every election.
    pub(crate) fn elections(&self, mut each: impl FnMut(KeptElection)) -> Result<(), Fault> {
        self.named(ELECTIONS, |name, raw| {
            let election: Election = record::opened(ELECTIONS, name.as_bytes(), raw)?;
            let (term, formers) = election.restored()?;
            each(KeptElection { name: name.into(), term, formers });
            Ok(())
        })
    }

    /// Calls `each` with every election that was created, and its tags.
    pub(crate) fn created(&self, mut each: impl FnMut(&str, Vec<Box<str>>)) -> Result<(), Fault> {
        self.named(CREATED, |name, raw| {
            let created: Created = record::opened(CREATED, name.as_bytes(), raw)?;
            each(name, created.tags.into_iter().map(Into::into).collect());
            Ok(())
        })
    }

    /// Calls `each` with every election's record (true) and every creation's (false), as they are written,
    /// until it returns false.
    pub(crate) fn raw(&self, mut each: impl FnMut(bool, &str, &[u8]) -> bool) -> Result<(), Fault> {
        for (table, is_election) in [(ELECTIONS, true), (CREATED, false)] {
            let mut goes_on = true;
            self.named(table, |name, raw| {
                // What is damaged is not carried on.
                record::opened_bytes(table, name.as_bytes(), raw)?;
                goes_on = goes_on && each(is_election, name, raw);
                Ok(())
            })?;
        }
        Ok(())
    }

    pub(crate) fn sessions(&self) -> Result<Vec<KeptSession>, Fault> {
        let table =
            self.read.open_table(Numbered::new(SESSIONS)).map_err(|error| self.fault(&error))?;
        let mut sessions = Vec::new();
        for entry in table.iter().map_err(|error| self.fault(&error))? {
            let (id, raw) = entry.map_err(|error| self.fault(&error))?;
            let id = id.value();
            let session: Result<Session, _> =
                record::opened(SESSIONS, &id.to_be_bytes(), raw.value());
            let restored = session.and_then(|session| session.restored(id));
            sessions.push(restored.map_err(|bad| damaged(SESSIONS, id, &bad))?);
        }
        Ok(sessions)
    }

    fn named(
        &self,
        name: &'static str,
        mut each: impl FnMut(&str, &[u8]) -> Result<(), BadRecord>,
    ) -> Result<(), Fault> {
        let table = self.read.open_table(Named::new(name)).map_err(|error| self.fault(&error))?;
        for entry in table.iter().map_err(|error| self.fault(&error))? {
            let (key, raw) = entry.map_err(|error| self.fault(&error))?;
            let key = key.value();
            each(key, raw.value()).map_err(|bad| damaged(name, key, &bad))?;
        }
        Ok(())
    }

    fn fault(&self, error: &dyn std::error::Error) -> Fault {
        fault(&self.trouble, error)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

/// Changes that are kept together: of each key, the last one.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    elections: BTreeMap<Box<str>, Option<Vec<u8>>>,
    created: BTreeMap<Box<str>, Option<Vec<u8>>>,
    sessions: BTreeMap<u64, Option<Vec<u8>>>,
    /// At least these.
    floor: u64,
    index: u64,
    session_ids: u64,
}

impl Batch {
    pub(crate) fn keep(&mut self, change: &Change<'_>) {
        match *change {
            Change::Term { election, term, .. } if term.is_forgotten() => {
                self.elections.insert(election.into(), None);
                self.floor = self.floor.max(term.number());
            }
            Change::Term { election, term, ref formers } => {
                let sealed = record::sealed_term(ELECTIONS, election, term, formers);
                self.elections.insert(election.into(), Some(sealed));
            }
            Change::Created { election, tags } => {
                let sealed = tags.map(|tags| {
                    let tags = tags.iter().map(|tag| tag.as_ref().into()).collect();
                    record::sealed(CREATED, election.as_bytes(), &Created { tags })
                });
                self.created.insert(election.into(), sealed);
            }
            Change::Opened(session) => {
                let id = session.holder.session.number();
                let sealed = record::sealed(SESSIONS, &id.to_be_bytes(), &Session::of(session));
                self.sessions.insert(id, Some(sealed));
            }
            Change::Ended(session) => {
                self.sessions.insert(session.number(), None);
            }
            Change::Floor(floor) => self.floor = self.floor.max(floor),
            Change::Index(index) => self.index = self.index.max(index),
            Change::SessionIds(ids) => self.session_ids = self.session_ids.max(ids),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        let Self { elections, created, sessions, floor, index, session_ids } = self;
        elections.is_empty()
            && created.is_empty()
            && sessions.is_empty()
            && [*floor, *index, *session_ids] == [0; 3]
    }
}

/// Puts in what is there and removes what is not.
fn apply<'k, K: redb::Key + 'static>(
    write: &WriteTransaction,
    table: TableDefinition<'_, K, &'static [u8]>,
    changes: impl ExactSizeIterator<Item = (K::SelfType<'k>, Option<&'k [u8]>)>,
) -> Result<(), redb::Error> {
    if changes.len() == 0 {
        return Ok(());
    }
    let mut table = write.open_table(table)?;
    for (key, value) in changes {
        match value {
            Some(value) => drop(table.insert(key, value)?),
            None => drop(table.remove(key)?),
        }
    }
    Ok(())
}

/// What the store's error means: the disk's own first word about it counts.
fn fault(trouble: &Trouble, error: &dyn std::error::Error) -> Fault {
    match trouble.take() {
        Some(first) if disk::is_full(&first) => Fault::Full,
        Some(first) => Fault::Disk(first.to_string()),
        None => Fault::Damaged(error.to_string()),
    }
}

fn damaged(table: &str, key: impl fmt::Display, bad: &BadRecord) -> Fault {
    Fault::Damaged(format!("{table}/{key}: {bad}"))
}

fn number_of(single: Single, raw: &[u8]) -> Result<u64, Fault> {
    let key = single.key();
    let body = match single {
        Single::Format => raw,
        _ => record::opened_bytes(META, key.as_bytes(), raw)
            .map_err(|bad| damaged(META, key, &bad))?,
    };
    let number = body.try_into().map(u64::from_be_bytes);
    number.map_err(|_| Fault::Damaged(format!("{META}/{key} is no number")))
}
