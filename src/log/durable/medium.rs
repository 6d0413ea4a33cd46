//! The file of the system's that everything is in, and a second way into it for the journal.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use redb::StorageBackend;

/// What a store is kept in.
#[derive(Debug)]
pub(crate) struct Medium {
    pub(super) file: Box<dyn StorageBackend>,
    pub(super) through: Option<Through>,
}

impl Medium {
    /// Opens a file that is there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self { file: Box::new(OsFile(file)), through: Through::open(path) })
    }

    /// Makes it; it must not be there yet.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        Ok(Self { file: Box::new(OsFile(options.open(path)?)), through: None })
    }
}

impl From<Box<dyn StorageBackend>> for Medium {
    fn from(file: Box<dyn StorageBackend>) -> Self {
        Self { file, through: None }
    }
}

/// The same file, where a write goes past the system's cache and is done once it is safe. That is a sixth
/// quicker than a write and a sync, and one that fails leaves nothing behind that a later sync forgets.
#[derive(Debug)]
pub(super) struct Through {
    file: File,
    bounce: Vec<u8>,
}

/// What addresses and lengths are multiples of: as much as any disk asks for.
const BLOCK: usize = 4096;

impl Through {
    #[cfg(target_os = "linux")]
    fn open(path: &Path) -> Option<Self> {
        use rustix::fs::OFlags;

        let flags = (OFlags::DIRECT | OFlags::DSYNC).bits() as i32;
        let file = OpenOptions::new().write(true).custom_flags(flags).open(path).ok()?;
        Some(Self { file, bounce: Vec::new() })
    }

    #[cfg(not(target_os = "linux"))]
    fn open(_: &Path) -> Option<Self> {
        None
    }

    /// Makes whole blocks durable. False if the file system can't do it in this way: then nothing is known
    /// of them.
    pub(super) fn write(&mut self, offset: u64, blocks: &[u8]) -> io::Result<bool> {
        let room = blocks.len() + BLOCK;
        if self.bounce.len() < room {
            self.bounce.resize(room, 0);
        }
        let start = self.bounce.as_ptr().align_offset(BLOCK);
        let Some(aligned) = self.bounce.get_mut(start..start + blocks.len()) else {
            return Ok(false);
        };
        aligned.copy_from_slice(blocks);
        loop {
            return match self.file.write_at(aligned, offset) {
                Ok(written) => Ok(written == blocks.len()),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::InvalidInput => Ok(false),
                    _ => Err(error),
                },
            };
        }
    }
}

/// A file of the system's.
#[derive(Debug)]
struct OsFile(File);

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::durable::disk::Disk;

    /// Also where the file system refuses the way past its cache: blocks of such a size it does refuse, if
    /// it cares.
    #[test]
    fn what_is_written_through_is_there_for_who_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        Medium::create(&path).unwrap().file.set_len(4 * BLOCK as u64).unwrap();
        let disk = Disk::new(Medium::open(&path).unwrap());
        let block = [7; BLOCK];
        for (offset, len) in [(0, BLOCK), (BLOCK, BLOCK), (17, 100), (2 * BLOCK, BLOCK), (5, 1)] {
            disk.write_through(offset as u64, &block[..len]).unwrap();
            let mut found = vec![0; len];
            disk.read(offset as u64, &mut found).unwrap();
            assert_eq!(found, block[..len], "{len} bytes at {offset}");
        }
    }
}
