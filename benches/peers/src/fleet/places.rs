//! Folders for the servers' data, on disk and on tmpfs, which go when all is over.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::Mode;
use crate::machine::Cores;

const TMPFS: &str = "/dev/shm";

pub struct Places {
    disk: TempDir,
    tmpfs: TempDir,
    /// The program that is measured.
    pub tenure: PathBuf,
    pub cores: Cores,
}

impl Places {
    pub fn make(disk: &Path, tenure: &Path) -> Result<Self> {
        std::fs::create_dir_all(disk)?;
        let make = |under: &Path| {
            let made = tempfile::Builder::new().prefix("tenure-peers-").tempdir_in(under);
            made.with_context(|| format!("can't make a folder in {}", under.display()))
        };
        let (disk, tmpfs) = (make(disk)?, make(Path::new(TMPFS))?);
        Ok(Self { disk, tmpfs, tenure: tenure.to_owned(), cores: Cores::find()? })
    }

    /// A new one.
    pub fn folder(&self, mode: Mode) -> Result<PathBuf> {
        let under = if mode == Mode::Disk { &self.disk } else { &self.tmpfs };
        Ok(tempfile::tempdir_in(under)?.keep())
    }

    /// On Ctrl-C, removes them and ends; the servers end with this process.
    pub fn end_on_signals(&self) -> Result<()> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM])?;
        let folders = [self.disk.path().to_owned(), self.tmpfs.path().to_owned()];
        std::thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                for folder in &folders {
                    let _gone = std::fs::remove_dir_all(folder);
                }
                std::process::exit(128 + signal);
            }
        });
        Ok(())
    }
}
