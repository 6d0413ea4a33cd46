//! A journal and tables in one file: a batch is appended to the journal by one write and one sync, and goes
//! into the tables with many others, by one commit of the store crate's. All comes back from a snapshot.
//!
//! Each commit of the tables has two phases, so that a power cut between them leaves the one before it
//! whole. No savepoint, no commit without a sync.

mod batch;
mod entry;
mod snapshot;

pub(crate) use self::batch::Batch;
#[cfg(feature = "internals")]
pub(crate) use self::batch::Records;
use self::batch::each;
pub(super) use self::batch::sealed_early;
pub(crate) use self::snapshot::{KeptElection, Singles, Snapshot};

use std::fmt;
use std::sync::Arc;

use redb::{Database, ReadTransaction, ReadableDatabase, TableDefinition, WriteTransaction};

#[cfg(feature = "failpoints")]
use super::canary::{self, Canary};
use super::disk::{self, Disk, Tables, Trouble};
use super::journal::Journal;
use super::medium::Medium;
use super::place;
use crate::log::record::{self, BadRecord};

/// The version of what is written. A store of a later one is not opened.
pub(crate) const FORMAT: u64 = 1;

/// The oldest that is still read. There is one older than the first for the tests alone: it differs
/// by its number.
const OLDEST: u64 = if cfg!(test) { 0 } else { 1 };

/// Records of the journal that the tables have not, at most: the pages that they change fit the folder's reserve.
const WAITING: usize = 1_000;

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
    /// The latch's index stays at or below this.
    Index,
    /// Session ids at or below this were given to somebody.
    Sessions,
    /// How often the store was opened to be used.
    Starts,
    /// The last entry of the journal that the tables hold.
    Entry,
}

impl Single {
    const ALL: [Single; 6] = [
        Single::Format,
        Single::Floor,
        Single::Index,
        Single::Sessions,
        Single::Starts,
        Single::Entry,
    ];

    fn key(self) -> &'static str {
        match self {
            Single::Format => "format",
            Single::Floor => "floor",
            Single::Index => "latch-index",
            Single::Sessions => "session-ids",
            Single::Starts => "starts",
            Single::Entry => "journal-entry",
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

pub(crate) struct Store {
    /// The state of the last commit. While somebody may read that, the next one frees no pages of it when it
    /// is done; the one after does, before it writes: so nobody waits for it.
    pin: Option<ReadTransaction>,
    database: Database,
    trouble: Trouble,
    /// What there is one of and only rises, by its place in `Single::ALL`.
    raised: [u64; Single::ALL.len()],
    journal: Journal,
    /// What is in the journal, and not in the tables yet.
    pending: Batch,
}

impl Store {
    /// Makes an empty store of this server in an empty file, with a journal of so many pages.
    pub(crate) fn create(medium: Medium, pages: u32, server_id: &str) -> Result<Self, Fault> {
        let disk = Disk::new(medium);
        let journal = Journal::create(disk.clone(), pages)?;
        let store = Self::over(disk, journal)?;
        store.begin(server_id)?;
        Ok(store)
    }

    /// Opens what `medium` holds. What stands in the journal goes into the tables first.
    pub(crate) fn open(medium: Medium) -> Result<Self, Fault> {
        // The store crate would begin anew in it, and so would every term.
        if medium.file.len().map_err(place::io_fault)? == 0 {
            return Err(Fault::Damaged("its file is empty, and never was when it was made".into()));
        }
        let disk = Disk::new(medium);
        let journal = Journal::open(disk.clone())?;
        if !Tables::new(disk.clone(), journal.end()).has_whole_header().map_err(place::io_fault)? {
            let why =
                "the header of its tables is not what was written: it was changed or cut short";
            return Err(Fault::Damaged(why.into()));
        }
        let mut store = Self::over(disk, journal)?;
        match store.tables()?.single(Single::Format)? {
            OLDEST..=FORMAT => {}
            found if found > FORMAT => return Err(Fault::TooNew { found }),
            found => return Err(Fault::Damaged(format!("there never was a format {found}"))),
        }
        let Singles { format, floor, index, sessions, starts, entry, .. } =
            store.tables()?.singles()?;
        store.raised = [format, floor, index, sessions, starts, entry];
        #[cfg(feature = "failpoints")]
        if canary::sings(Canary::JournalForgotten) {
            return Ok(store);
        }
        for found in store.journal.recover(entry)? {
            let batch = entry::read(&found.body);
            let unknown = || Fault::Damaged(format!("entry {} of its journal", found.number));
            store.pending.absorb(batch.ok_or_else(unknown)?);
        }
        store.settle()?;
        Ok(store)
    }

    fn over(disk: Arc<Disk>, journal: Journal) -> Result<Self, Fault> {
        let trouble = disk.trouble.clone();
        let mut builder = Database::builder();
        // What a clean end has left is otherwise believed as it stands, and a damaged page is a panic.
        builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
        let database = builder.create_with_backend(Tables::new(disk, journal.end()));
        let database = database.map_err(|error| fault(&trouble, &error))?;
        let (raised, pending) = ([0; Single::ALL.len()], Batch::default());
        Ok(Self { pin: None, database, trouble, raised, journal, pending })
    }

    /// The format it was written in, if that is an older one.
    pub(super) fn older(&self) -> Option<u64> {
        let format = self.raised[Single::Format as usize];
        (format < FORMAT).then_some(format)
    }

    /// Rewrites what an older version wrote, in one commit.
    pub(super) fn migrate(&mut self) -> Result<(), Fault> {
        self.claim(FORMAT)?;
        self.raised[Single::Format as usize] = FORMAT;
        Ok(())
    }

    /// Says that this is in that format.
    pub(crate) fn claim(&self, format: u64) -> Result<(), Fault> {
        let write = self.begin_write()?;
        let raw = Single::Format.sealed(format);
        let claim = [(Single::Format.key(), Some(&*raw))].into_iter();
        apply(&write, Named::new(META), claim).map_err(|error| self.fault(&error))?;
        write.commit().map_err(|error| self.fault(&error))
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

    /// Makes a batch durable: whole, or not at all. It is empty then; after a fault it is as it was.
    pub(crate) fn commit(&mut self, batch: &mut Batch) -> Result<(), Fault> {
        let (len, records) = (entry::len(batch), batch.records());
        if !self.journal.has_room(len, false) || self.pending.records() + records > WAITING {
            self.settle()?;
        }
        if self.journal.has_room(len, true) && records <= WAITING {
            self.trouble.forget();
            self.journal.append(|out| entry::put(batch, out))?;
            self.pending.absorb(std::mem::take(batch));
            return Ok(());
        }
        self.enter(batch)?;
        *batch = Batch::default();
        Ok(())
    }

    /// Puts what is in the journal into the tables.
    pub(crate) fn settle(&mut self) -> Result<(), Fault> {
        if self.journal.last() > self.raised[Single::Entry as usize] {
            let pending = std::mem::take(&mut self.pending);
            if let Err(fault) = self.enter(&pending) {
                self.pending = pending;
                return Err(fault);
            }
        }
        self.journal.restart();
        Ok(())
    }

    /// Puts a batch into the tables, with all that the journal has.
    fn enter(&mut self, batch: &Batch) -> Result<(), Fault> {
        let write = self.begin_write()?;
        let raised = [
            (Single::Floor, batch.floor),
            (Single::Index, batch.index),
            (Single::Sessions, batch.session_ids),
            (Single::Starts, batch.starts),
            (Single::Entry, self.journal.last()),
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
        self.pin = Some(self.database.begin_read().map_err(|error| self.fault(&error))?);
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
    pub(crate) fn snapshot(&mut self) -> Result<Snapshot, Fault> {
        self.settle()?;
        self.tables()
    }

    /// What the tables hold.
    fn tables(&self) -> Result<Snapshot, Fault> {
        let read = self.database.begin_read().map_err(|error| self.fault(&error))?;
        Ok(Snapshot::of(read, self.trouble.clone()))
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

#[cfg(test)]
mod tests {
    use redb::StorageBackend;
    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::log::durable::journal::PAGES;

    fn batch(from: usize, to: usize) -> Batch {
        let record = |at| (format!("e{at}").into(), Some(vec![7; 100]));
        Batch { elections: (from..to).map(record).collect(), ..Batch::default() }
    }

    /// Or a disk that becomes full then may have no room for the pages that they change, reserve or not.
    #[test]
    fn d5_what_the_tables_have_not_is_bounded() {
        let file: Box<dyn StorageBackend> = Box::new(InMemoryBackend::new());
        let mut store = Store::create(file.into(), PAGES, "id").unwrap();
        for (from, to, waiting) in
            [(0, 600, 600), (600, 1_000, 1_000), (1_000, 1_001, 1), (1_001, 2_002, 0), (0, 1, 1)]
        {
            store.commit(&mut batch(from, to)).unwrap();
            assert_eq!(store.pending.records(), waiting, "{from} to {to}");
        }
    }
}
