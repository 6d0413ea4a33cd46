//! The log. Lines go to standard error by a thread of their own: a reader that stops reading stops
//! nobody, and what finds no room is dropped, counted and told of later.

use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use crossbeam::atomic::AtomicCell;
use crossbeam::channel::{Receiver, Sender, bounded};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::args::Format;

/// Lines that wait for standard error.
const ROOM: usize = 1024;
/// For the last lines to leave at the end.
const PATIENCE: Duration = Duration::from_millis(500);

/// Lines that found no room, since the start.
static DROPPED: AtomicCell<u64> = AtomicCell::new(0);

/// Lines that were dropped since the start, because standard error took no more.
pub(crate) fn dropped() -> u64 {
    DROPPED.load()
}

/// Held as long as the process logs; dropped, it lets the last lines leave.
pub(crate) struct Log {
    lines: Sender<Item>,
    filter: reload::Handle<EnvFilter, Registry>,
}

enum Item {
    Line(Box<[u8]>),
    /// To be answered when all before it has been written.
    Flush(Sender<()>),
}

impl Log {
    pub(crate) fn start(filter: EnvFilter, format: Format) -> Result<Self> {
        let (lines, items) = bounded(ROOM);
        thread::Builder::new().name("tenure-log".into()).spawn(move || write(&items))?;

        let to = Lines(lines.clone());
        let text =
            fmt::layer().with_writer(move || to.clone()).with_ansi(io::stderr().is_terminal());
        let (filter, handle) = reload::Layer::new(filter);
        let log = tracing_subscriber::registry().with(filter);
        match format {
            Format::Text => log.with(text.boxed()).init(),
            Format::Json => log.with(text.json().boxed()).init(),
        }
        Ok(Self { lines, filter: handle })
    }

    /// From now on, this is what is logged.
    pub(crate) fn change(&self, filter: EnvFilter) -> Result<()> {
        Ok(self.filter.reload(filter)?)
    }
}

/// What is to be logged; `called` is how whoever said so knows it.
pub(crate) fn filter(directives: &str, called: &str) -> Result<EnvFilter> {
    EnvFilter::try_new(directives)
        .with_context(|| format!("{called} {directives:?} is not a filter"))
}

impl Drop for Log {
    fn drop(&mut self) {
        let (written, all) = bounded(1);
        if self.lines.send_timeout(Item::Flush(written), PATIENCE).is_ok() {
            // Nobody reads: the lines are lost, and the process ends all the same.
            let _nobody_reads = all.recv_timeout(PATIENCE);
        }
    }
}

fn write(items: &Receiver<Item>) {
    let mut told = 0;
    for item in items {
        match item {
            // Where nobody is left to read, nobody misses it.
            Item::Line(line) => drop(io::stderr().write_all(&line)),
            Item::Flush(written) => drop(written.try_send(())),
        }
        let lines = dropped() - told;
        if lines > 0 && items.len() < ROOM / 2 {
            told += lines;
            tracing::warn!(lines, "log lines were dropped: standard error took no more");
        }
    }
}

/// What the subscriber writes to, one line at a time.
#[derive(Clone)]
struct Lines(Sender<Item>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.try_send(Item::Line(line.into())).is_err() {
            DROPPED.fetch_add(1);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
