//! Where a store's file is, and the room that is set aside beside it.

use std::fmt;
use std::io;
use std::path::Path;

use super::disk::is_full;
use super::medium::Medium;
use super::store::{Fault, Store};
use crate::error::Error;

/// A directory, or what stands for one in a test of disks that fail.
pub(crate) trait Place: fmt::Debug + Send {
    /// What it is called in errors.
    fn path(&self) -> &Path;

    /// The store's file, which is there.
    fn file(&self) -> io::Result<Medium>;

    /// Sets room aside, unless it is already. False if there is none.
    fn hold_back(&self) -> io::Result<bool>;

    /// Whether it is worth a try, as far as the file system tells.
    fn has_room(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Gives the room back that was set aside.
    fn give_up(&self) -> io::Result<()>;

    /// Opens the store that is there.
    fn reopen(&self) -> Result<Store, Fault> {
        Store::open(self.file().map_err(io_fault)?)
    }

    /// A fault in words that say where.
    fn tell(&self, fault: Fault) -> Error {
        let path = self.path().to_owned();
        match fault {
            Fault::Full => Error::StorageFull { path },
            fault => Error::Storage { path, why: fault.to_string() },
        }
    }
}

pub(super) fn io_fault(error: io::Error) -> Fault {
    if is_full(&error) { Fault::Full } else { Fault::Disk(error.to_string()) }
}
