//! The log. Lines go to standard error by a thread of their own: a reader that stops reading stops
//! nobody, and what finds no room is dropped, counted and told of later.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use crossbeam::atomic::AtomicCell;
use crossbeam::channel::{Receiver, Sender, bounded};
use tracing_subscriber::EnvFilter;

use crate::args::Format;

/// Lines that wait for standard error.
const ROOM: usize = 1024;
/// For the last lines to leave at the end.
const PATIENCE: Duration = Duration::from_millis(500);

/// Held as long as the process logs; dropped, it lets the last lines leave.
pub(crate) struct Log {
    to: Sender<Item>,
    /// Lines that found no room since the start.
    lost: Arc<AtomicCell<u64>>,
}

enum Item {
    Line(Box<[u8]>),
    /// To be answered when all before it has been written.
    Flush(Sender<()>),
}

impl Log {
    pub(crate) fn start(filter: &str, format: Format) -> Result<Self> {
        let filter = EnvFilter::try_new(filter)
            .with_context(|| format!("--log-level {filter:?} is not a filter"))?;
        let (to, items) = bounded(ROOM);
        let lines = Lines { to: to.clone(), dropped: Arc::default(), lost: Arc::default() };
        let lost = lines.lost.clone();
        let dropped = lines.dropped.clone();
        thread::Builder::new().name("tenure-log".into()).spawn(move || write(&items, &dropped))?;

        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(move || lines.clone())
            .with_ansi(io::stderr().is_terminal());
        match format {
            Format::Text => log.init(),
            Format::Json => log.json().init(),
        }
        Ok(Self { to, lost })
    }

    /// Tells how many lines have found no room since the start.
    pub(crate) fn lost(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let lost = self.lost.clone();
        move || lost.load()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let (written, all) = bounded(1);
        if self.to.send_timeout(Item::Flush(written), PATIENCE).is_ok() {
            // Nobody reads: the lines are lost, and the process ends all the same.
            let _nobody_reads = all.recv_timeout(PATIENCE);
        }
    }
}

fn write(items: &Receiver<Item>, dropped: &AtomicCell<u64>) {
    for item in items {
        match item {
            // Where nobody is left to read, nobody misses it.
            Item::Line(line) => drop(io::stderr().write_all(&line)),
            Item::Flush(written) => drop(written.try_send(())),
        }
        if dropped.load() > 0 && items.len() < ROOM / 2 {
            let lines = dropped.swap(0);
            tracing::warn!(lines, "log lines were dropped: standard error took no more");
        }
    }
}

/// What the subscriber writes to, one line at a time.
#[derive(Clone)]
struct Lines {
    to: Sender<Item>,
    /// Not told of yet.
    dropped: Arc<AtomicCell<u64>>,
    lost: Arc<AtomicCell<u64>>,
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.to.try_send(Item::Line(line.into())).is_err() {
            self.dropped.fetch_add(1);
            self.lost.fetch_add(1);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
