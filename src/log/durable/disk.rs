//! The file that the store writes, and what failed about it.
//!
//! The journal stands in front, the store crate's tables behind it.
//!
//! The store crate's header says, in one bit that nothing covers, which of its last two commits counts: a
//! bit that flips on the disk would silently undo one. So a checksum of ours stands behind the header, in
//! the same sector and written with it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam::atomic::AtomicCell;
use redb::StorageBackend;

use super::medium::{Medium, Through};

/// What the disk refused first. The store goes on failing after that.
#[derive(Clone, Debug, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<io::Error>>>);

impl Trouble {
    /// Takes note of a failure, unless there was one before.
    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| {
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| again(error));
        })
    }

    /// A sync that failed is the last word about a file, whatever failed before.
    fn note_last<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(again(error));
        })
    }

    /// What failed, for everybody who meets it.
    pub(super) fn first(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(again)
    }

    /// What failed before, and did no harm, is no reason for what fails next.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// Whether there was no room, and nothing else was wrong.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A file, read and written at places, that remembers its first failure.
#[derive(Debug)]
pub(super) struct Disk {
    file: Box<dyn StorageBackend>,
    /// None where the system has no such way, or had none once.
    through: Mutex<Option<Through>>,
    pub(super) trouble: Trouble,
    is_given_up: AtomicCell<bool>,
}

impl Disk {
    pub(super) fn new(medium: Medium) -> Arc<Self> {
        let Medium { file, through } = medium;
        let (trouble, is_given_up) = (Trouble::default(), AtomicCell::new(false));
        Arc::new(Self { file, through: Mutex::new(through), trouble, is_given_up })
    }

    /// From now on nothing is written: the store crate doesn't know what failed beside it, and would end in
    /// order.
    pub(super) fn give_up(&self) {
        self.is_given_up.store(true);
    }

    fn may_write(&self) -> io::Result<()> {
        let given_up = self.is_given_up.load();
        if given_up { Err(io::Error::other("a write or a sync failed before")) } else { Ok(()) }
    }

    pub(super) fn len(&self) -> io::Result<u64> {
        self.trouble.note(self.file.len())
    }

    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.trouble.note(self.file.read(offset, out))
    }

    pub(super) fn set_len(&self, len: u64) -> io::Result<()> {
        self.trouble.note(self.may_write().and_then(|()| self.file.set_len(len)))
    }

    pub(super) fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.trouble.note(self.may_write().and_then(|()| self.file.write(offset, data)))
    }

    /// Writes whole blocks, and returns when they are safe.
    pub(super) fn write_through(&self, offset: u64, blocks: &[u8]) -> io::Result<()> {
        let mut through = self.through.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(way) = &mut *through {
            let written = self.may_write().and_then(|()| way.write(offset, blocks));
            if self.trouble.note(written)? {
                return Ok(());
            }
            *through = None;
        }
        self.write(offset, blocks)?;
        self.sync()
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        // What the system could not write it may forget, so no later sync says anything: a disk that
        // is full only now is a disk that failed.
        let synced = self.may_write().and_then(|()| self.file.sync_data()).map_err(|error| {
            match is_full(&error) {
                true => io::Error::other(format!("a sync failed: {error}")),
                false => error,
            }
        });
        self.trouble.note_last(synced)
    }
}

/// The part of the file behind the journal, which the store crate takes for a file of its own.
#[derive(Debug)]
pub(super) struct Tables {
    disk: Arc<Disk>,
    from: u64,
}

impl Tables {
    pub(super) fn new(disk: Arc<Disk>, from: u64) -> Self {
        Self { disk, from }
    }

    /// Whether the header is what was written.
    pub(super) fn has_whole_header(&self) -> io::Result<bool> {
        let mut header = [0; HEADER + 4];
        if StorageBackend::len(self)? < PAGE {
            return Ok(false);
        }
        self.disk.read(self.from, &mut header)?;
        Ok(header.split_last_chunk().is_some_and(|(header, sum)| *sum == checksum(header)))
    }
}

impl StorageBackend for Tables {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.len()?.saturating_sub(self.from))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.read(self.from + offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.set_len(self.from + len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        match (offset, data.len()) {
            (0, HEADER) => self.disk.write(self.from, &[data, &checksum(data)].concat()),
            (offset, _) if offset < PAGE => {
                let why = "the store's header is not what this version knows";
                self.disk.trouble.note(Err(io::Error::other(why)))
            }
            _ => self.disk.write(self.from + offset, data),
        }
    }
}

/// Bytes that the store crate has its header in, and what it leaves to that alone.
const HEADER: usize = 320;
const PAGE: u64 = 4096;

fn checksum(header: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(b"the header of a tenure store");
    hasher.update(header);
    hasher.finalize().to_be_bytes()
}
