//! An engine over a disk that a test makes, and a record of what it handed to its log.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use redb::StorageBackend;

use crate::engine::{Engine, EngineBuilder};
use crate::error::Error;
use crate::log::durable::medium::Medium;
use crate::log::durable::place::Place;
use crate::log::durable::store::{Batch, Records, Singles, Store};
use crate::log::{Change, Log, Unit};

#[cfg(feature = "failpoints")]
pub use crate::log::durable::canary as log_canary;

/// A disk with one file, and room that may be set aside.
pub trait Platter: fmt::Debug + Send + Sync {
    /// The file, opened once more.
    ///
    /// # Errors
    /// As a disk's.
    fn file(&self) -> io::Result<Box<dyn StorageBackend>>;

    /// Sets room aside. False if there is none.
    fn hold_back(&self) -> bool {
        true
    }

    /// Gives it back.
    fn give_up(&self) {}

    /// Tells moments apart: it rises with whatever is done to the file.
    fn moment(&self) -> usize;
}

/// A table, and a key in it.
pub type RecordKey = (&'static str, Box<[u8]>);

/// All that a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the store's own
pub struct KeptFacts {
    pub server_id: String,
    pub floor: u64,
    pub index: u64,
    pub session_ids: u64,
    /// By table and key.
    pub records: BTreeMap<RecordKey, Box<[u8]>>,
}

impl KeptFacts {
    fn of((singles, records): (Singles, Records)) -> Self {
        Self {
            server_id: singles.server_id.into(),
            floor: singles.floor,
            index: singles.index,
            session_ids: singles.sessions,
            records,
        }
    }

    /// What this becomes by a unit.
    #[must_use]
    pub fn after(&self, unit: &UnitFacts) -> Self {
        let mut singles = Singles {
            format: 0,
            floor: self.floor,
            index: self.index,
            sessions: self.session_ids,
            starts: 0,
            entry: 0,
            server_id: self.server_id.as_str().into(),
        };
        let mut records = self.records.clone();
        unit.batch.apply_to(&mut singles, &mut records);
        Self::of((singles, records))
    }
}

/// What was handed to the log together.
#[derive(Debug)]
pub struct UnitFacts {
    batch: Batch,
    /// When it was handed over.
    pub handed_over: usize,
    /// When its effects became visible, if they did.
    pub released: Option<usize>,
}

impl UnitFacts {
    /// Whether there was nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }
}

/// Makes an empty store in an empty file, with a small journal, so that it is full soon.
///
/// # Errors
/// What is wrong, in words.
pub fn create_store(file: Box<dyn StorageBackend>, server_id: &str) -> Result<(), String> {
    Store::create(file.into(), JOURNAL, server_id).map(drop).map_err(|fault| fault.to_string())
}

/// Pages of its journal.
const JOURNAL: u32 = 12;

/// Opens a store and reads all that it holds.
///
/// # Errors
/// What is wrong, in words.
pub fn read_store(file: Box<dyn StorageBackend>) -> Result<KeptFacts, String> {
    let read = Store::open(file.into()).and_then(|mut store| store.snapshot()?.records());
    read.map(KeptFacts::of).map_err(|fault| fault.to_string())
}

/// Writes another format's number into a store.
///
/// # Errors
/// What is wrong, in words.
pub fn claim_format(file: Box<dyn StorageBackend>, format: u64) -> Result<(), String> {
    let claimed = Store::open(file.into()).and_then(|store| store.claim(format));
    claimed.map_err(|fault| fault.to_string())
}

/// What an engine handed to its log, in that order.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Vec<UnitFacts>>>);

impl Ledger {
    /// Takes what stands in it.
    pub fn take(&self) -> Vec<UnitFacts> {
        std::mem::take(&mut *self.units())
    }

    fn units(&self) -> MutexGuard<'_, Vec<UnitFacts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens an engine over what is on `platter`, and writes in the ledger what it hands over.
///
/// # Errors
/// As [`EngineBuilder::open`].
pub fn open_on(
    builder: EngineBuilder,
    platter: Arc<dyn Platter>,
    ledger: Ledger,
) -> Result<Engine, Error> {
    let place: Box<dyn Place> = Box::new(OnPlatter(platter.clone()));
    let store = place.reopen().map_err(|fault| place.tell(fault))?;
    builder.open_at(place, store, |log| {
        Arc::new(Listed { log, order: Mutex::default(), platter, ledger })
    })
}

#[derive(Debug)]
struct OnPlatter(Arc<dyn Platter>);

impl Place for OnPlatter {
    fn path(&self) -> &Path {
        Path::new("platter")
    }

    fn file(&self) -> io::Result<Medium> {
        self.0.file().map(Medium::from)
    }

    fn hold_back(&self) -> io::Result<bool> {
        Ok(self.0.hold_back())
    }

    fn give_up(&self) -> io::Result<()> {
        self.0.give_up();
        Ok(())
    }
}

/// A log that writes in a ledger what passes through it.
struct Listed<L> {
    log: Arc<L>,
    /// Held from the ledger to the log, so that both have one order.
    order: Mutex<()>,
    platter: Arc<dyn Platter>,
    ledger: Ledger,
}

impl<L: Log> Log for Listed<L> {
    fn commit(&self, unit: &mut dyn Unit) {
        let mut batch = Batch::default();
        unit.changes(&mut |change| batch.keep(&change));
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let mut units = self.ledger.units();
        let number = units.len();
        let handed_over = self.platter.moment();
        units.push(UnitFacts { batch, handed_over, released: None });
        let (platter, ledger) = (self.platter.clone(), self.ledger.clone());
        let mut listed = ListedUnit { unit: unit.detach(), number, platter, ledger };
        drop(units);
        self.log.commit(&mut listed);
    }

    fn help(&self) {
        self.log.help();
    }

    fn backlog(&self, shard: usize) -> usize {
        self.log.backlog(shard)
    }

    fn admit(&self, grows: bool) -> Result<(), Error> {
        self.log.admit(grows)
    }

    fn is_durable(&self) -> bool {
        true
    }
}

struct ListedUnit {
    unit: Box<dyn Unit>,
    number: usize,
    platter: Arc<dyn Platter>,
    ledger: Ledger,
}

impl Unit for ListedUnit {
    fn shard(&self) -> Option<usize> {
        self.unit.shard()
    }

    fn replies(&self) -> usize {
        self.unit.replies()
    }

    fn changes(&self, keep: &mut dyn FnMut(Change<'_>)) {
        self.unit.changes(keep);
    }

    fn release(&mut self) {
        let moment = self.platter.moment();
        if let Some(unit) = self.ledger.units().get_mut(self.number) {
            unit.released.get_or_insert(moment);
        }
        self.unit.release();
    }

    fn refuse(&mut self, error: &Error) {
        self.unit.refuse(error);
    }

    fn detach(&mut self) -> Box<dyn Unit> {
        let unit = self.unit.detach();
        let (platter, ledger) = (self.platter.clone(), self.ledger.clone());
        Box::new(ListedUnit { unit, number: self.number, platter, ledger })
    }
}
