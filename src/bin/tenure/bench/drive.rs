//! Keeps requests under way on many connections, on one thread, and times them.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use anyhow::Result;
use crossbeam::atomic::AtomicCell;
use tenure::{Clock, Moment};

use super::conn::{Arrived, Conn};
use super::pace::Pace;
use super::proto::Frame;
use super::socket::Waiter;
use super::tally::Tally;

/// How exactly a sleep ends when it should: the rest is spent awake.
const SLEEPY: Duration = Duration::from_micros(80);

/// Requests that follow one another, each after the last one's answer.
pub(super) type Operation = Vec<Frame>;

/// A place for one operation under way.
struct Slot {
    operation: usize,
    step: usize,
    due: Moment,
    sent: Moment,
    is_busy: bool,
}

struct Member {
    conn: Conn,
    operations: Vec<Operation>,
    slots: Vec<Slot>,
    is_lost: bool,
    /// Something is to be sent.
    is_due: bool,
}

/// One thread's connections.
pub(super) struct Driver {
    waiter: Waiter,
    clock: Clock,
    members: Vec<Member>,
    /// Places that are free: of which connection, and which of its.
    idle: VecDeque<(usize, usize)>,
    busy: u64,
    patience: Duration,
}

impl Driver {
    /// Each connection comes with its operations, which it does in turn; where there are as many as
    /// `in_flight`, each place sticks to its own.
    pub(super) fn new(
        conns: Vec<(Conn, Vec<Operation>)>,
        in_flight: usize,
        patience: Duration,
    ) -> Result<Self> {
        let mut waiter = Waiter::new()?;
        let mut members = Vec::with_capacity(conns.len());
        for (number, (mut conn, operations)) in conns.into_iter().enumerate() {
            conn.join(&mut waiter, number)?;
            let slots = (0..in_flight).map(|at| Slot::free(at % operations.len())).collect();
            members.push(Member { conn, operations, slots, is_lost: false, is_due: false });
        }
        // One of each connection first: a load that does not fill them all is spread.
        let places = (0..in_flight).flat_map(|at| (0..members.len()).map(move |who| (who, at)));
        let idle = places.collect();
        Ok(Self { waiter, clock: Clock::system(), members, idle, busy: 0, patience })
    }

    /// Does as much as `pace` says, and waits for the last answer.
    pub(super) fn run(
        &mut self,
        pace: impl FnOnce(Moment) -> Pace,
        progress: &AtomicCell<u64>,
    ) -> Result<Tally> {
        let began = self.clock.now();
        let mut pace = pace(began);
        let mut tally = Tally::new(began, pace.has_schedule());
        let mut heard = began;
        self.begin(&mut pace, began, &mut tally);
        while self.busy > 0 || (pace.next_due().is_some() && !self.is_alone()) {
            let now = self.clock.now();
            if self.busy > 0 && now - heard >= self.patience {
                self.give_up(&mut tally);
                break;
            }
            let before = tally.done;
            if self.look(self.rest(&pace, now, heard), &mut pace, &mut tally)? {
                heard = self.clock.now();
            }
            let now = self.clock.now();
            if self.busy == 0 {
                // Nothing was waited for until now.
                heard = now;
            }
            self.begin(&mut pace, now, &mut tally);
            progress.fetch_add(tally.done - before);
        }
        tally.not_begun = pace.left();
        Ok(tally)
    }

    /// Every connection is lost.
    pub(super) fn is_alone(&self) -> bool {
        self.members.iter().all(|member| member.is_lost)
    }

    /// How long there is nothing to do but wait for sockets.
    fn rest(&self, pace: &Pace, now: Moment, heard: Moment) -> Duration {
        let overdue = self.patience.saturating_sub(now - heard);
        match pace.next_due() {
            Some(due) if !self.idle.is_empty() => (due - now).saturating_sub(SLEEPY).min(overdue),
            _ => overdue,
        }
    }

    /// Takes what came. True if anything did.
    fn look(&mut self, rest: Duration, pace: &mut Pace, tally: &mut Tally) -> Result<bool> {
        let mut has_come = false;
        for number in self.waiter.wait(rest)? {
            let Some(member) = self.members.get_mut(number).filter(|it| !it.is_lost) else {
                continue;
            };
            let mut hearing = Hearing {
                number,
                clock: &self.clock,
                pace,
                tally,
                idle: &mut self.idle,
                busy: &mut self.busy,
            };
            match member.hear(&mut hearing) {
                Ok(came) => has_come |= came,
                Err(_ended) => {
                    lose(member, number, &mut self.idle, &mut self.busy, tally);
                    has_come = true;
                }
            }
        }
        Ok(has_come)
    }

    /// Begins what may begin, on the places that are free.
    fn begin(&mut self, pace: &mut Pace, now: Moment, tally: &mut Tally) {
        let mut first = None;
        while let Some(&(who, at)) = self.idle.front() {
            let Some(due) = pace.take(now) else { break };
            self.idle.pop_front();
            self.members[who].start(at, due, now);
            self.busy += 1;
            first.get_or_insert(who);
        }
        if first.is_none() {
            return;
        }
        for (number, member) in self.members.iter_mut().enumerate() {
            if member.is_due && !member.is_lost && member.flush().is_err() {
                lose(member, number, &mut self.idle, &mut self.busy, tally);
            }
        }
    }

    /// Nothing was heard for too long.
    fn give_up(&mut self, tally: &mut Tally) {
        tally.overdue += self.busy;
        self.busy = 0;
        self.idle.clear();
        self.members.iter_mut().for_each(|member| member.is_lost = true);
        tally.ended = self.clock.now();
    }
}

impl Slot {
    fn free(operation: usize) -> Self {
        let never = Moment::default();
        Self { operation, step: 0, due: never, sent: never, is_busy: false }
    }
}

/// What an answer may change beside its own connection.
struct Hearing<'a> {
    number: usize,
    clock: &'a Clock,
    pace: &'a mut Pace,
    tally: &'a mut Tally,
    idle: &'a mut VecDeque<(usize, usize)>,
    busy: &'a mut u64,
}

impl Member {
    fn start(&mut self, at: usize, due: Moment, now: Moment) {
        let slot = &mut self.slots[at];
        (slot.step, slot.due, slot.sent, slot.is_busy) = (0, due, now, true);
        self.send(at);
    }

    fn send(&mut self, at: usize) {
        let slot = &self.slots[at];
        // A stream for each place: it is free again once its answer has come.
        self.conn.put(&self.operations[slot.operation][slot.step], 2 * at as u32 + 1);
        self.is_due = true;
    }

    fn flush(&mut self) -> io::Result<()> {
        self.is_due = false;
        self.conn.flush()
    }

    /// Reads all there is, and sends what follows from it. True if anything came.
    fn hear(&mut self, hearing: &mut Hearing<'_>) -> io::Result<bool> {
        let mut has_come = false;
        loop {
            let filled = self.conn.fill();
            let now = hearing.clock.now();
            while let Some(arrived) = self.conn.next()? {
                has_come = true;
                self.answered(&arrived, now, hearing);
            }
            if !filled? {
                break;
            }
        }
        self.flush()?;
        Ok(has_come)
    }

    fn answered(&mut self, arrived: &Arrived, now: Moment, hearing: &mut Hearing<'_>) {
        let at = (arrived.stream / 2) as usize;
        let Some(slot) = self.slots.get_mut(at).filter(|slot| slot.is_busy) else {
            return hearing.tally.is_refused((2, "an answer to nothing came".to_owned()));
        };
        match self.conn.said(arrived) {
            Ok(_) => {
                hearing.tally.answered += 1;
                slot.step += 1;
                if slot.step < self.operations[slot.operation].len() {
                    return self.send(at);
                }
                hearing.tally.is_done(slot.due, slot.sent, now);
            }
            Err(refusal) => hearing.tally.is_refused(refusal),
        }
        hearing.tally.ended = now;
        self.go_on(at, now, hearing);
    }

    /// The next operation on a place whose last one has ended.
    fn go_on(&mut self, at: usize, now: Moment, hearing: &mut Hearing<'_>) {
        let places = self.slots.len();
        let slot = &mut self.slots[at];
        slot.operation = (slot.operation + places) % self.operations.len();
        slot.is_busy = false;
        match hearing.pace.take(now) {
            Some(due) => self.start(at, due, now),
            None => {
                hearing.idle.push_back((hearing.number, at));
                *hearing.busy -= 1;
            }
        }
    }
}

/// A connection has ended, and with it all that was under way on it. Others go on.
fn lose(
    member: &mut Member,
    number: usize,
    idle: &mut VecDeque<(usize, usize)>,
    busy: &mut u64,
    tally: &mut Tally,
) {
    member.is_lost = true;
    let under_way = member.slots.iter().filter(|slot| slot.is_busy).count() as u64;
    idle.retain(|&(who, _)| who != number);
    *busy -= under_way;
    tally.is_lost(under_way);
}
