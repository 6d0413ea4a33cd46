//! The data directory: whose it is, how it begins, and the room that is held in reserve.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::backup;
use super::disk::is_full;
use super::journal::PAGES;
use super::medium::Medium;
use super::place::{Place, io_fault};
use super::store::{Batch, Fault, Singles, Store};
use super::witness::{WITNESS, Witness};
use crate::error::Error;

const STORE: &str = "store.redb";
/// A store that is still being made. It never holds anything that was promised.
const NEW: &str = "store.redb.new";
const LOCK: &str = "lock";
const RESERVE: &str = "reserve";

/// Bytes that are held back, so that a full disk still has room to withdraw and to evict.
const RESERVE_BYTES: u64 = 8 << 20;
const RESERVE_ROOM: u64 = RESERVE_BYTES + (1 << 20);

const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(25);

/// A data directory that is this process's, until dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Locked for as long as it is open.
    _lock: File,
}

impl Folder {
    /// Takes hold of the directory, and makes it if it may.
    pub(crate) fn open(path: &Path, must_exist: bool) -> Result<Self, Error> {
        let there = path.join(STORE).try_exists().map_err(|error| cant("read", path, &error))?;
        if must_exist && !there {
            let why = "there is no store in it, and it must exist already; is the volume mounted?";
            return Err(unusable(path, why));
        }
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|error| cant("make", path, &error))?;
        let lock = take_lock(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Opens the store. If there is none, an empty one is made under another name and takes its own
    /// once it is whole: a crash meanwhile leaves nothing.
    pub(crate) fn store(&self, server_id: &str) -> Result<Store, Error> {
        if !self.holds_something()? {
            if self.path.join(WITNESS).exists() {
                let why = format!(
                    "there was a store in it, and there is none now; put it back, or restore a \
                     backup. To begin anew, remove {WITNESS:?}"
                );
                return Err(unusable(&self.path, &why));
            }
            self.begin(server_id, |_| Ok(())).map_err(|fault| self.tell(fault))?;
        }
        self.start().map_err(|fault| self.tell(fault))
    }

    /// Keeps what an older version wrote, before it is changed.
    fn back_up(&self, store: &mut Store, format: u64) -> Result<(), Fault> {
        let path = self.path.join(format!("format-{format}.backup"));
        let new = path.with_extension("backup.new");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&new);
        let mut file = BufWriter::new(file.map_err(io_fault)?);
        backup::write(&store.snapshot()?, &mut file).map_err(io_fault)?;
        let file = file.into_inner().map_err(|error| io_fault(error.into_error()))?;
        file.sync_all().map_err(io_fault)?;
        fs::rename(&new, &path).map_err(io_fault)?;
        self.sync()
    }

    /// Opens the store that is there, to be used.
    fn start(&self) -> Result<Store, Fault> {
        // Who made it may have been stopped before its name was safe.
        self.sync()?;
        let mut store = match self.reopen() {
            Err(Fault::Full) => {
                self.give_up().map_err(io_fault)?;
                self.reopen()?
            }
            opened => opened?,
        };
        let found = store.snapshot()?.singles()?;
        if let Some(witness) = Witness::read(&self.path).map_err(io_fault)? {
            witness.check(&found)?;
        }
        if let Some(format) = store.older() {
            self.back_up(&mut store, format)?;
            store.migrate()?;
        }
        match self.count(&mut store, &found) {
            Ok(()) => Ok(store),
            // Then this start is not counted; a store that has failed once fails ever after.
            Err(Fault::Full) => {
                drop(store);
                self.reopen()
            }
            Err(fault) => Err(fault),
        }
    }

    fn count(&self, store: &mut Store, found: &Singles) -> Result<(), Fault> {
        let witness = Witness::before(found);
        witness.write(&self.path).map_err(io_fault)?;
        self.sync()?;
        store.commit(&mut Batch::start(found.starts + 1))?;
        witness.after().write(&self.path).map_err(io_fault)
    }

    pub(crate) fn holds_something(&self) -> Result<bool, Error> {
        let store = self.path.join(STORE);
        store.try_exists().map_err(|error| cant("read", &store, &error))
    }

    /// Makes a store, with what `fill` puts into it.
    pub(super) fn begin(
        &self,
        server_id: &str,
        fill: impl FnOnce(&mut Store) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let new = self.path.join(NEW);
        remove(&new).map_err(io_fault)?;
        let made = Self::make(&new, server_id, fill);
        if made.is_err() {
            let _left_for_the_next_time = fs::remove_file(&new);
        }
        made?;
        // Of another store that is no longer there.
        remove(&self.path.join(WITNESS)).map_err(io_fault)?;
        fs::rename(&new, self.path.join(STORE)).map_err(io_fault)?;
        self.sync()
    }

    fn make(
        new: &Path,
        server_id: &str,
        fill: impl FnOnce(&mut Store) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let medium = Medium::create(new).map_err(io_fault)?;
        fill(&mut Store::create(medium, PAGES, server_id)?)?;
        File::open(new).and_then(|file| file.sync_all()).map_err(io_fault)
    }

    /// Makes names in the directory durable, and its own name in the one around it; also those around that,
    /// which may have been made with it, as far as they can be opened.
    fn sync(&self) -> Result<(), Fault> {
        let whole = fs::canonicalize(&self.path).map_err(io_fault)?;
        for (depth, directory) in whole.ancestors().enumerate() {
            let synced = File::open(directory).and_then(|it| it.sync_all());
            if depth < 2 {
                synced.map_err(io_fault)?;
            }
        }
        Ok(())
    }
}

impl Place for Folder {
    fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self) -> io::Result<Medium> {
        Medium::open(&self.path.join(STORE))
    }

    fn hold_back(&self) -> io::Result<bool> {
        let path = self.path.join(RESERVE);
        if fs::metadata(&path).is_ok_and(|it| it.len() == RESERVE_BYTES) {
            return Ok(true);
        }
        if !self.has_room()? {
            return Ok(false);
        }
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        let written = fill(&mut file, RESERVE_BYTES).and_then(|()| file.sync_all());
        match written {
            Ok(()) => Ok(true),
            Err(error) if is_full(&error) => {
                self.give_up()?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Room for the reserve, and a little more: whoever looks is not to take the last of it.
    fn has_room(&self) -> io::Result<bool> {
        let system = rustix::fs::statvfs(&self.path)?;
        Ok(system.f_bavail.saturating_mul(system.f_frsize) >= RESERVE_ROOM)
    }

    fn give_up(&self) -> io::Result<()> {
        remove(&self.path.join(RESERVE))
    }
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Written, not only reserved: some file systems promise room and don't have it.
fn fill(file: &mut File, bytes: u64) -> io::Result<()> {
    let zeros = [0; 64 << 10];
    for _ in 0..bytes / zeros.len() as u64 {
        file.write_all(&zeros)?;
    }
    Ok(())
}

fn take_lock(path: &Path) -> Result<File, Error> {
    let name = path.join(LOCK);
    let mut options = OpenOptions::new();
    let opened =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&name);
    let mut lock = opened.map_err(|error| cant("write to", path, &error))?;
    match try_for_a_while(&lock) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _unknown = lock.read_to_string(&mut holder);
            let holder = holder.trim();
            let why = format!("another process ({holder}) uses it; each server needs its own");
            return Err(unusable(path, &why));
        }
        Err(TryLockError::Error(error)) => return Err(cant("lock", path, &error)),
    }
    let told = lock.set_len(0).and_then(|()| lock.rewind());
    let told = told.and_then(|()| writeln!(lock, "process {}", std::process::id()));
    // For people only: a full disk is told of elsewhere.
    told.or_else(|error| if is_full(&error) { Ok(()) } else { Err(error) })
        .map_err(|error| cant("write to", path, &error))?;
    Ok(lock)
}

/// A child that this process, or the one before, was just starting holds its files too, until it has become
/// what it is to be.
fn try_for_a_while(lock: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_TRIES {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            locked => return locked,
        }
    }
    lock.try_lock()
}

fn cant(what: &str, path: &Path, error: &io::Error) -> Error {
    unusable(path, &format!("can't {what} it: {error}"))
}

fn unusable(path: &Path, why: &str) -> Error {
    Error::Storage { path: path.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Change;
    use crate::log::durable::offline;
    use crate::log::durable::store::{Batch, FORMAT};

    /// Before the format changes, what the older version wrote is put aside, whole.
    #[test]
    fn an_older_format_is_backed_up_and_rewritten() {
        let around = tempfile::tempdir().unwrap();
        let folder = Folder::open(&around.path().join("data"), false).unwrap();
        let mut store = folder.store("a-server").unwrap();
        let mut batch = Batch::default();
        batch.keep(&Change::Floor(77));
        store.commit(&mut batch).unwrap();
        store.claim(0).unwrap();
        drop(store);
        let kept = folder.store("").unwrap().snapshot().unwrap().singles().unwrap();
        assert_eq!((kept.format, kept.floor, &*kept.server_id), (FORMAT, 77, "a-server"));
        let backup = File::open(folder.path().join("format-0.backup")).unwrap();
        let restored = offline::restore(backup, &around.path().join("again")).unwrap();
        assert_eq!(restored.floor, 77 + restored.raised);
    }

    #[test]
    fn a_newer_format_is_not_opened() {
        let around = tempfile::tempdir().unwrap();
        let folder = Folder::open(&around.path().join("data"), false).unwrap();
        folder.store("a-server").unwrap().claim(FORMAT + 1).unwrap();
        let refused = folder.store("").unwrap_err().to_string();
        assert!(refused.contains("format 2") && refused.contains("newer tenure"), "{refused}");
    }
}
