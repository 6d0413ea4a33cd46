//! What comes in on one connection, and when: who is silent, slow, or only makes noise.

use std::task::Context;

use atomic_waker::AtomicWaker;
use crossbeam::atomic::AtomicCell;

use crate::clock::{Clock, Moment};

/// Bytes that may come in for the headers of one request.
const FOR_A_REQUEST: u64 = 16 << 10;
/// Bytes of other frames that may come in at a beat: pings, settings, windows.
const FOR_A_BEAT: u64 = 64 << 10;

/// Shared by a connection's socket, its requests and its watchdog.
pub(super) struct Meter {
    clock: Clock,
    read: AtomicCell<u64>,
    written: AtomicCell<u64>,
    /// What of both was counted.
    counted: AtomicCell<(u64, u64)>,
    /// As many bytes have a reason.
    allowed: AtomicCell<u64>,
    /// When something came in last.
    heard: AtomicCell<Moment>,
    /// Bytes up to the beginning of the last request.
    begun: AtomicCell<u64>,
    /// When the first byte behind that came in.
    owed_since: AtomicCell<Moment>,
    answer: AtomicCell<Owed>,
    /// Whoever reads, to be told that the answer has left.
    reader: AtomicWaker,
}

/// How far the answer to a request that came whole is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    Nothing,
    Answer,
    /// No more than the next flush brings out.
    Flush,
}

impl Meter {
    pub(super) fn new(clock: Clock) -> Self {
        let now = AtomicCell::new(clock.now());
        Self {
            read: AtomicCell::new(0),
            written: AtomicCell::new(0),
            counted: AtomicCell::new((0, 0)),
            allowed: AtomicCell::new(4 * FOR_A_BEAT),
            heard: AtomicCell::new(now.load()),
            begun: AtomicCell::new(0),
            owed_since: now,
            answer: AtomicCell::new(Owed::Nothing),
            reader: AtomicWaker::new(),
            clock,
        }
    }

    /// The socket gave so many bytes.
    pub(super) fn read(&self, count: usize) {
        let now = self.clock.now();
        self.heard.store(now);
        if self.read.fetch_add(count as u64) == self.begun.load() {
            self.owed_since.store(now);
        }
    }

    /// The socket took so many bytes.
    pub(super) fn wrote(&self, count: usize) {
        self.written.fetch_add(count as u64);
    }

    /// Bytes that came in and went out since the last time.
    pub(super) fn take_counts(&self) -> (u64, u64) {
        let now = (self.read.load(), self.written.load());
        let before = self.counted.swap(now);
        (now.0 - before.0, now.1 - before.1)
    }

    /// A request began.
    pub(super) fn request(&self) {
        self.begun.store(self.read.load());
        self.allowed.fetch_add(FOR_A_REQUEST);
    }

    /// A request was answered: whatever came in belonged to it.
    pub(super) fn answered(&self) {
        self.begun.store(self.read.load());
    }

    /// A request came whole, and its answer is owed also to a peer that says nothing more.
    pub(super) fn owe_answer(&self) {
        self.answer.store(Owed::Answer);
    }

    /// The answer was handed over, to be flushed.
    pub(super) fn handed_over(&self) {
        let _other = self.answer.compare_exchange(Owed::Answer, Owed::Flush);
    }

    /// Everything that was handed over has left.
    pub(super) fn flushed(&self) {
        if self.answer.compare_exchange(Owed::Flush, Owed::Nothing).is_ok() {
            self.reader.wake();
        }
    }

    /// The answer has no end: it goes on only for a peer that stays.
    pub(super) fn owe_while_here(&self) {
        self.answer.store(Owed::Nothing);
        self.reader.wake();
    }

    /// True while the peer's last word is to be kept back; `cx` is woken when that is over.
    pub(super) fn owes_answer(&self, cx: &Context<'_>) -> bool {
        self.reader.register(cx.waker());
        self.answer.load() != Owed::Nothing
    }

    /// So many bytes were part of a request's message.
    pub(super) fn message(&self, count: usize) {
        self.allowed.fetch_add(count as u64);
    }

    /// The peer took so many bytes, and says so now and then.
    pub(super) fn taken(&self, count: usize) {
        self.allowed.fetch_add(count as u64 / 16);
    }

    /// A beat has passed. True if there was nothing but noise for too long: pings and settings cost who
    /// sends them next to nothing.
    pub(super) fn is_noise(&self) -> bool {
        let read = self.read.load();
        let allowed = self.allowed.load();
        // What was not used is not saved up without end.
        self.allowed.store(allowed.min(read + 4 * FOR_A_BEAT).max(FOR_A_BEAT) + FOR_A_BEAT);
        read > allowed
    }

    pub(super) fn total(&self) -> u64 {
        self.read.load()
    }

    pub(super) fn last_heard(&self) -> Moment {
        self.heard.load()
    }

    /// Since when the peer owes the rest of a request that it has begun, if it does.
    pub(super) fn owed_since(&self) -> Option<Moment> {
        (self.read.load() > self.begun.load()).then(|| self.owed_since.load())
    }
}
