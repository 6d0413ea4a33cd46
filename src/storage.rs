//! A data directory that no server uses: what is in it, a backup of it, and one made of a backup.
//!
//! A running server is backed up by itself, with [`Engine::backup`](crate::Engine::backup) or
//! `tenure backup`.

use std::io::{self, Read, Write};
use std::path::Path;

use crate::error::Error;
use crate::log::durable::offline;
pub use crate::log::durable::offline::{ElectionKept, Inspection, Restored, SessionKept};

/// What a data directory holds.
///
/// # Errors
/// [`Error::Storage`] for a directory that can't be read, or that a server uses.
pub fn inspect(data_dir: impl AsRef<Path>) -> Result<Inspection, Error> {
    offline::inspect(data_dir.as_ref())
}

/// Writes a backup of a data directory. No secret is in it.
///
/// # Errors
/// Those of `to`; or one around an [`Error::Storage`].
pub fn backup(data_dir: impl AsRef<Path>, to: impl Write) -> io::Result<()> {
    offline::backup(data_dir.as_ref(), to)
}

/// How many elections a backup holds, if it is whole.
///
/// # Errors
/// [`Error::InvalidSetting`] that says what is wrong with it.
pub fn verify(from: impl Read) -> Result<u64, Error> {
    offline::verify(from)
}

/// Makes a data directory of a backup, for a new server: all sessions have ended, everybody has left, and
/// every term and the floor are higher by 2^32, for nobody knows what was told after the backup was made.
///
/// # Errors
/// [`Error::Storage`] for a directory that holds something already, and for what is no whole backup: then
/// nothing is left behind.
pub fn restore(from: impl Read, data_dir: impl AsRef<Path>) -> Result<Restored, Error> {
    offline::restore(from, data_dir.as_ref())
}
