//! The file that the store writes, and what failed about it.
//!
//! The store crate's header says, in one bit that nothing covers, which of its last two commits counts: a
//! bit that flips on the disk would silently undo one. So a checksum of ours stands behind the header, in
//! the same sector and written with it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use redb::StorageBackend;

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
    trouble: Trouble,
}

impl Disk {
    pub(super) fn new(file: Box<dyn StorageBackend>, trouble: Trouble) -> Self {
        Self { file, trouble }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.trouble.note(self.file.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.trouble.note(self.file.read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.trouble.note(self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        // What the system could not write it may forget, so no later sync says anything: a disk that
        // is full only now is a disk that failed.
        let synced = self.file.sync_data().map_err(|error| match is_full(&error) {
            true => io::Error::other(format!("a sync failed: {error}")),
            false => error,
        });
        self.trouble.note_last(synced)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let written = match (offset, data.len()) {
            (0, HEADER) => self.file.write(0, &[data, &checksum(data)].concat()),
            (offset, _) if offset < PAGE => {
                Err(io::Error::other("the store's header is not what this version knows"))
            }
            _ => self.file.write(offset, data),
        };
        self.trouble.note(written)
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

/// Whether the header of a store is what was written.
pub(super) fn has_whole_header(file: &dyn StorageBackend) -> io::Result<bool> {
    let mut header = [0; HEADER + 4];
    if file.len()? < PAGE {
        return Ok(false);
    }
    file.read(0, &mut header)?;
    Ok(header.split_last_chunk().is_some_and(|(header, sum)| *sum == checksum(header)))
}

/// A file of the system's.
#[derive(Debug)]
pub(super) struct OsFile(pub(super) File);

impl StorageBackend for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}
