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

#[cfg(feature = "failpoints")]
use super::canary::{self, Canary};
use super::disk::{self, Disk, Trouble};
use super::place;
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
    /// How often the store was opened to be used.
    Starts,
}

fn each(
    changes: &BTreeMap<Box<str>, Option<Vec<u8>>>,
) -> impl ExactSizeIterator<Item = (&str, Option<&[u8]>)> {
    changes.iter().map(|(key, value)| (&**key, value.as_deref()))
}

impl Single {
    const ALL: [Single; 5] =
        [Single::Format, Single::Floor, Single::Index, Single::Sessions, Single::Starts];

    fn key(self) -> &'static str {
        match self {
            Single::Format => "format",
            Single::Floor => "floor",
            Single::Index => "latch-index",
            Single::Sessions => "session-ids",
            Single::Starts => "starts",
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
    pub(crate) starts: u64,
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
    /// Makes an empty store of this server in an empty file.
    pub(crate) fn create(file: Box<dyn StorageBackend>, server_id: &str) -> Result<Self, Fault> {
        let store = Self::over(file)?;
        store.begin(server_id)?;
        Ok(store)
    }

    /// Opens what `file` holds.
    pub(crate) fn open(file: Box<dyn StorageBackend>) -> Result<Self, Fault> {
        // The store crate would begin anew in it, and so would every term.
        if file.len().map_err(place::io_fault)? == 0 {
            return Err(Fault::Damaged("its file is empty, and never was when it was made".into()));
        }
        if !disk::has_whole_header(&*file).map_err(place::io_fault)? {
            let why = "the header of its file is not what was written: it was changed or cut short";
            return Err(Fault::Damaged(why.into()));
        }
        let mut store = Self::over(file)?;
        match store.format()? {
            OLDEST..=FORMAT => {}
            found if found > FORMAT => return Err(Fault::TooNew { found }),
            found => return Err(Fault::Damaged(format!("there never was a format {found}"))),
        }
        let Singles { format, floor, index, sessions, starts, .. } = store.snapshot()?.singles()?;
        store.raised = [format, floor, index, sessions, starts];
        Ok(store)
    }

    fn over(file: Box<dyn StorageBackend>) -> Result<Self, Fault> {
        let trouble = Trouble::default();
        let disk = Disk::new(file, trouble.clone());
        let mut builder = Database::builder();
        // What a clean end has left is otherwise believed as it stands, and a damaged page is a panic.
        builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
        let database = builder.create_with_backend(disk);
        let database = database.map_err(|error| fault(&trouble, &error))?;
        Ok(Self { database, trouble, raised: [0; Single::ALL.len()] })
    }

    fn format(&self) -> Result<u64, Fault> {
        let read = self.database.begin_read().map_err(|error| self.fault(&error))?;
        let table = read.open_table(Named::new(META)).map_err(|error| self.fault(&error))?;
        let found = table.get(Single::Format.key()).map_err(|error| self.fault(&error))?;
        // Read before anything else is believed: a later format may seal its records otherwise.
        let Some(raw) = found else { return Err(Fault::Damaged("it has no format".into())) };
        number_of(Single::Format, raw.value())
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

    /// Says that this is in another format than it is.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn claim(&self, format: u64) -> Result<(), Fault> {
        let write = self.begin_write()?;
        let raw = Single::Format.sealed(format);
        let claim = [(Single::Format.key(), Some(&*raw))].into_iter();
        apply(&write, Named::new(META), claim).map_err(|error| self.fault(&error))?;
        write.commit().map_err(|error| self.fault(&error))
    }

    /// Makes a batch durable: whole, or not at all.
    pub(crate) fn commit(&mut self, batch: &Batch) -> Result<(), Fault> {
        let write = self.begin_write()?;
        let raised = [
            (Single::Floor, batch.floor),
            (Single::Index, batch.index),
            (Single::Sessions, batch.session_ids),
            (Single::Starts, batch.starts),
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
        self.trouble.forget();
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
        let floor = single(Single::Floor)?;
        #[cfg(feature = "failpoints")]
        let floor = if canary::sings(Canary::FloorForgotten) { 0 } else { floor };
        Ok(Singles {
            format: single(Single::Format)?,
            floor,
            index: single(Single::Index)?,
            sessions: single(Single::Sessions)?,
            starts: single(Single::Starts)?,
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
            #[cfg(feature = "failpoints")]
            if term.leader().is_none() && canary::sings(Canary::VacantForgotten) {
                return Ok(());
            }
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

    /// All records as they stand, behind their checksums, by table and key; and all that there is one of.
    #[cfg(feature = "internals")]
    pub(crate) fn records(&self) -> Result<(Singles, Records), Fault> {
        self.elections(|_| {})?;
        self.created(|_, _| {})?;
        self.sessions()?;
        let mut records = Records::new();
        for table in [ELECTIONS, CREATED] {
            self.named(table, |key, raw| {
                records.insert((table, key.as_bytes().into()), raw.into());
                Ok(())
            })?;
        }
        let table =
            self.read.open_table(Numbered::new(SESSIONS)).map_err(|error| self.fault(&error))?;
        for entry in table.iter().map_err(|error| self.fault(&error))? {
            let (id, raw) = entry.map_err(|error| self.fault(&error))?;
            records.insert((SESSIONS, id.value().to_be_bytes().into()), raw.value().into());
        }
        Ok((self.singles()?, records))
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

/// Records by their table and key.
#[cfg(feature = "internals")]
pub(crate) type Records = BTreeMap<(&'static str, Box<[u8]>), Box<[u8]>>;

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
    starts: u64,
}

impl Batch {
    /// That the store is opened to be used, for the so manieth time.
    pub(super) fn start(starts: u64) -> Self {
        Self { starts, ..Self::default() }
    }

    pub(crate) fn keep(&mut self, change: &Change<'_>) {
        match *change {
            // Who may still believe to lead it is remembered for whoever leads it next.
            Change::Term { election, term, formers }
                if term.is_forgotten() && formers.is_empty() =>
            {
                self.elections.insert(election.into(), None);
                self.floor = self.floor.max(term.number());
            }
            Change::Term { election, term, formers } => {
                if term.is_forgotten() {
                    self.floor = self.floor.max(term.number());
                }
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

    pub(crate) fn is_empty(&self) -> bool {
        let Self { elections, created, sessions, floor, index, session_ids, starts } = self;
        elections.is_empty()
            && created.is_empty()
            && sessions.is_empty()
            && [*floor, *index, *session_ids, *starts] == [0; 4]
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
    match trouble.first() {
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
