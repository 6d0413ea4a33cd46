//! A file beside the store that says whose it is and how often it was opened: so that another store in
//! its place, an older one or none is not taken for it.
//!
//! While the store counts a start it names two counts, and either may stand in the store.
//! A store without one, such as a backup that was restored, is believed and gets one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::store::{Fault, Singles};

/// Its name in the data directory.
pub(super) const WITNESS: &str = "witness";
const NEW: &str = "witness.new";

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Witness {
    server_id: Box<str>,
    starts: (u64, u64),
}

impl Witness {
    /// Of a store that is about to count one more start.
    pub(super) fn before(singles: &Singles) -> Self {
        let starts = (singles.starts, singles.starts + 1);
        Self { server_id: singles.server_id.clone(), starts }
    }

    /// Of one that has counted it.
    pub(super) fn after(self) -> Self {
        let (_, after) = self.starts;
        Self { starts: (after, after), ..self }
    }

    pub(super) fn read(folder: &Path) -> io::Result<Option<Self>> {
        match fs::read_to_string(folder.join(WITNESS)) {
            Ok(text) => match Self::parse(&text) {
                Some(witness) => Ok(Some(witness)),
                None => Err(io::Error::other(format!("its file {WITNESS:?} is damaged"))),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts it in the place of the one before. The folder's names are not synced yet.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let new = folder.join(NEW);
        let mut options = OpenOptions::new();
        let mut file: File =
            options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(self.text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, folder.join(WITNESS))
    }

    /// Refuses a store that is not the one it was written for.
    pub(super) fn check(&self, found: &Singles) -> Result<(), Fault> {
        let (before, after) = self.starts;
        let why = if found.server_id != self.server_id {
            format!("the store is another server's ({}, not {})", found.server_id, self.server_id)
        } else if found.starts < before {
            format!("the store is an older one: it was opened {} times, not {before}", found.starts)
        } else if found.starts > after {
            format!("its file {WITNESS:?} is an older one")
        } else {
            return Ok(());
        };
        let advice = format!(
            "put the right one back, or restore a backup; what it promised \
             meanwhile is not in it. To use it all the same, remove {WITNESS:?}"
        );
        Err(Fault::Damaged(format!("{why}; {advice}")))
    }

    fn text(&self) -> String {
        let (before, after) = self.starts;
        let lines = format!("server {}\nstarts {before} {after}\n", self.server_id);
        format!("{lines}checksum {:08x}\n", crc32fast::hash(lines.as_bytes()))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let mut after = |name| words.find(|word| *word == name).and_then(|_| words.next());
        let server_id = after("server")?.into();
        let before = after("starts")?.parse().ok()?;
        let starts = (before, words.next()?.parse().ok()?);
        let witness = Self { server_id, starts };
        (witness.text() == text).then_some(witness)
    }
}
