//! A disk in memory whose power can be cut, that can fail once, be full, or be slow.
//!
//! What is written is seen at once, and safe only after a sync. When the power is cut, each sector that
//! was written since the last sync is found as it was after any of its writes, or before all of them,
//! whatever the others are; so is the file's length.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use tenure::internals::{Platter, StorageBackend};

const PAGE: usize = 4096;
/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// A file's bytes. A clone shares its pages.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Image {
    len: u64,
    /// `None` was never written, and takes no room.
    pages: Vec<Option<Arc<[u8; PAGE]>>>,
}

impl Image {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut image = Self::default();
        image.set_len(bytes.len() as u64);
        for (at, page) in bytes.chunks(PAGE).enumerate() {
            // What was never written is as good as a hole: nobody looks for damage there.
            if page.iter().any(|byte| *byte != 0) {
                image.write((at * PAGE) as u64, page);
            }
        }
        image
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len as usize];
        self.read(0, &mut bytes).expect("all of it is there");
        bytes
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn flip(&mut self, bit: u64) {
        let mut byte = [0];
        self.read(bit / 8, &mut byte).expect("within the file");
        self.write(bit / 8, &[byte[0] ^ (1 << (bit % 8))]);
    }

    /// Whether anything was ever written around this byte.
    pub(crate) fn is_hole(&self, at: u64) -> bool {
        self.pages.get(at as usize / PAGE).is_none_or(Option::is_none)
    }

    pub(crate) fn set_len(&mut self, len: u64) {
        self.len = len;
        let whole = (len as usize).div_ceil(PAGE);
        self.pages.resize(whole, None);
        let rest = len as usize % PAGE;
        if rest != 0
            && let Some(Some(last)) = self.pages.last_mut()
        {
            Arc::make_mut(last)[rest..].fill(0);
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset + out.len() as u64 > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (at, page, part) in parts(offset, out.len()) {
            let out = &mut out[part.0..part.1];
            match &self.pages[page] {
                Some(page) => out.copy_from_slice(&page[at..at + out.len()]),
                None => out.fill(0),
            }
        }
        Ok(())
    }

    /// What lies behind the end is lost.
    fn write(&mut self, offset: u64, data: &[u8]) {
        let room = self.len.saturating_sub(offset).min(data.len() as u64) as usize;
        for (at, page, part) in parts(offset, room) {
            let page = self.pages[page].get_or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(page)[at..at + part.1 - part.0].copy_from_slice(&data[part.0..part.1]);
        }
    }

    fn used(&self) -> usize {
        self.pages.iter().flatten().count() * PAGE
    }

    /// What a write would use beyond that.
    fn needed(&self, offset: u64, len: usize) -> usize {
        let holes = parts(offset, len)
            .filter(|(_, page, _)| self.pages.get(*page).is_none_or(Option::is_none));
        holes.count() * PAGE
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({} bytes)", self.len)
    }
}

/// The pages of a range: where in the page it begins, which page, and which part of the range it is.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (usize, usize, (usize, usize))> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset as usize + done;
        let part = (PAGE - at % PAGE).min(len - done);
        let found = (part != 0).then_some((at % PAGE, at / PAGE, (done, done + part)));
        done += part;
        found
    })
}

/// What was done to a file.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Write(u64, Box<[u8]>),
    SetLen(u64),
    Sync,
    /// The system gave up what it could not write, and goes on showing it.
    FailedSync,
}

/// What goes wrong, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The write that many operations from now fails.
    Write(usize),
    /// The same of a sync.
    Sync(usize),
}

#[derive(Debug)]
struct State {
    shown: Image,
    journal: Vec<Op>,
    trouble: Option<Trouble>,
    /// How long the journal was when it failed.
    failed: Option<usize>,
    is_off: bool,
    /// Bytes that there is room for.
    room: usize,
    /// Of which are set aside.
    aside: usize,
    sync_takes: Duration,
    syncs: usize,
}

/// The disk. A clone is the same one.
#[derive(Clone, Debug)]
pub(crate) struct Disk(Arc<Mutex<State>>);

const ENDLESS: usize = usize::MAX / 2;
/// What is set aside on it.
const ASIDE: usize = 64 * PAGE;

impl Disk {
    pub(crate) fn of(image: Image) -> Self {
        Self(Arc::new(Mutex::new(State {
            shown: image,
            journal: Vec::new(),
            trouble: None,
            failed: None,
            is_off: false,
            room: ENDLESS,
            aside: 0,
            sync_takes: Duration::ZERO,
            syncs: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn shown(&self) -> Image {
        self.state().shown.clone()
    }

    /// What was done to it so far.
    pub(crate) fn journal(&self) -> Vec<Op> {
        self.state().journal.clone()
    }

    pub(crate) fn syncs(&self) -> usize {
        self.state().syncs
    }

    /// From now on it does nothing any more.
    pub(crate) fn cut(&self) {
        self.state().is_off = true;
    }

    pub(crate) fn plan(&self, trouble: Trouble) {
        self.state().trouble = Some(trouble);
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.state().failed.is_some()
    }

    /// Whether it does all that it is asked for.
    pub(crate) fn is_well(&self) -> bool {
        let state = self.state();
        state.failed.is_none() && state.room == ENDLESS
    }

    /// How much was done to it since it failed.
    pub(crate) fn since_failure(&self) -> usize {
        let state = self.state();
        state.failed.map_or(0, |failed| state.journal.len() - failed)
    }

    /// Leaves room for so many bytes more, and what is set aside.
    pub(crate) fn leave_room(&self, bytes: usize) {
        let mut state = self.state();
        state.room = state.shown.used() + state.aside + bytes;
    }

    pub(crate) fn make_room(&self) {
        self.state().room = ENDLESS;
    }

    pub(crate) fn slow_down(&self, sync_takes: Duration) {
        self.state().sync_takes = sync_takes;
    }
}

impl State {
    fn check(&self) -> io::Result<()> {
        if self.is_off { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    /// Whether what was planned happens now.
    fn fails(&mut self, is_sync: bool) -> bool {
        let (left, of_syncs) = match &mut self.trouble {
            Some(Trouble::Write(left)) => (left, false),
            Some(Trouble::Sync(left)) => (left, true),
            None => return false,
        };
        if of_syncs != is_sync {
            return false;
        }
        if *left > 0 {
            *left -= 1;
            return false;
        }
        self.trouble = None;
        true
    }
}

impl Platter for Disk {
    fn file(&self) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(self.clone()))
    }

    fn hold_back(&self) -> bool {
        let mut state = self.state();
        if state.aside == 0 && state.shown.used() + ASIDE <= state.room {
            state.aside = ASIDE;
        }
        state.aside != 0
    }

    fn give_up(&self) {
        self.state().aside = 0;
    }

    fn moment(&self) -> usize {
        self.state().journal.len()
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        let state = self.state();
        state.check()?;
        Ok(state.shown.len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        state.check()?;
        state.shown.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.check()?;
        state.shown.set_len(len);
        state.journal.push(Op::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let wait = self.state().sync_takes;
        if !wait.is_zero() {
            thread::sleep(wait);
        }
        let mut state = self.state();
        state.check()?;
        if state.fails(true) {
            state.journal.push(Op::FailedSync);
            state.failed = Some(state.journal.len());
            return Err(io::Error::from_raw_os_error(5));
        }
        state.syncs += 1;
        state.journal.push(Op::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.check()?;
        let room = state.room - state.aside;
        if state.shown.used() + state.shown.needed(offset, data.len()) > room {
            return Err(io::Error::from_raw_os_error(28));
        }
        let fails = state.fails(false);
        // One that fails may have written the half of it, in whole sectors.
        let half = data.len() / 2 / SECTOR * SECTOR;
        let data = if fails { &data[..half] } else { data };
        state.shown.write(offset, data);
        state.journal.push(Op::Write(offset, data.into()));
        if fails {
            state.failed = Some(state.journal.len());
        }
        if fails { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

/// Follows a journal, and knows what the disk may hold if the power is cut now.
pub(crate) struct Cuts<'a> {
    safe: Image,
    pending: Vec<&'a Op>,
}

impl<'a> Cuts<'a> {
    pub(crate) fn of(safe: Image) -> Self {
        Self { safe, pending: Vec::new() }
    }

    pub(crate) fn after(safe: Image, ops: &'a [Op], rng: &mut Rng) -> Self {
        let mut cuts = Self::of(safe);
        ops.iter().for_each(|op| cuts.go_on(op, rng));
        cuts
    }

    pub(crate) fn go_on(&mut self, op: &'a Op, rng: &mut Rng) {
        match op {
            Op::Write(..) | Op::SetLen(_) => self.pending.push(op),
            Op::Sync => {
                for op in self.pending.drain(..) {
                    match op {
                        Op::Write(offset, data) => self.safe.write(*offset, data),
                        Op::SetLen(len) => self.safe.set_len(*len),
                        Op::Sync | Op::FailedSync => unreachable!("not pending"),
                    }
                }
            }
            Op::FailedSync => {
                self.safe = self.cut(rng);
                self.pending.clear();
            }
        }
    }

    /// What is found after a cut.
    pub(crate) fn cut(&self, rng: &mut Rng) -> Image {
        let mut found = self.safe.clone();
        let mut lens = vec![found.len];
        let mut writes: BTreeMap<u64, Vec<(u64, &[u8])>> = BTreeMap::new();
        for op in &self.pending {
            match op {
                Op::SetLen(len) => lens.push(*len),
                Op::Write(offset, data) => {
                    let mut done = 0;
                    while done < data.len() {
                        let at = offset + done as u64;
                        let part = (SECTOR - at as usize % SECTOR).min(data.len() - done);
                        let sector = writes.entry(at / SECTOR as u64).or_default();
                        sector.push((at, &data[done..done + part]));
                        done += part;
                    }
                }
                Op::Sync | Op::FailedSync => {}
            }
        }
        // A disk may also have written all but one, or one alone.
        let share = *rng.choice([0.0, 0.02, 0.5, 0.5, 0.98, 1.0].iter()).expect("some");
        let lands = |rng: &mut Rng| rng.f64() < share;
        let len = if lands(rng) { lens.len() - 1 } else { rng.usize(..lens.len()) };
        found.set_len(lens[len]);
        for versions in writes.values() {
            let until = if lands(rng) { versions.len() } else { rng.usize(..versions.len()) };
            versions[..until].iter().for_each(|(at, data)| found.write(*at, data));
        }
        found
    }
}
