//! Many connections that are heard together, for workloads in which one thing follows another.

use std::time::Duration;

use anyhow::{Result, bail};
use tenure::{Clock, Moment};

use super::conn::{Arrived, Conn};
use super::pace::Pace;
use super::progress::Progress;
use super::proto::{self, Refusal};
use super::socket::Waiter;
use super::tally::Tally;
use super::target::Server;
use crate::args::bench::{Amount, Until};

pub(super) struct Crowd {
    pub(super) conns: Vec<Conn>,
    pub(super) clock: Clock,
    waiter: Waiter,
    patience: Duration,
}

/// Why a round can't be finished.
pub(super) enum Broken {
    Refused(Refusal),
    Lost,
    Overdue,
}

/// Who hears what the connections say.
pub(super) trait Listener {
    /// One whole frame, on one of the connections.
    fn hear(&mut self, crowd: &mut [Conn], number: usize, frame: &Arrived) -> Result<(), Broken>;
}

impl Crowd {
    pub(super) fn new(mut conns: Vec<Conn>, patience: Duration) -> Result<Self> {
        let mut waiter = Waiter::new()?;
        for (number, conn) in conns.iter_mut().enumerate() {
            conn.join(&mut waiter, number)?;
        }
        Ok(Self { conns, clock: Clock::system(), waiter, patience })
    }

    /// Waits, and hands out what came, all of each connection before the next one.
    pub(super) fn hear(&mut self, listener: &mut impl Listener) -> Result<Result<(), Broken>> {
        let mut nobody = true;
        for number in self.waiter.wait(self.patience)? {
            nobody = false;
            if let Err(broken) = drain(&mut self.conns, number, listener) {
                return Ok(Err(broken));
            }
        }
        Ok(if nobody { Err(Broken::Overdue) } else { Ok(()) })
    }
}

fn drain(conns: &mut [Conn], number: usize, listener: &mut impl Listener) -> Result<(), Broken> {
    loop {
        let filled = conns[number].fill();
        while let Some(frame) = conns[number].next().map_err(|_| Broken::Lost)? {
            listener.hear(conns, number, &frame)?;
        }
        if !filled.map_err(|_| Broken::Lost)? {
            return conns[number].flush().map_err(|_| Broken::Lost);
        }
    }
}

/// Rounds, one after another: first those that warm up, then those that count.
pub(super) struct Rounds {
    warm_until: Moment,
    until: Until,
    /// Of the rounds that count, once they have begun.
    pace: Option<Pace>,
    pub(super) tally: Tally,
    began: Moment,
    progress: Progress,
}

impl Rounds {
    pub(super) fn new(amount: &Amount, unit: &str, now: Moment) -> Self {
        Self {
            warm_until: now + amount.warm_up,
            until: amount.until(),
            pace: None,
            tally: Tally::new(now, false),
            began: now,
            progress: Progress::start(amount.until(), unit),
        }
    }

    /// Begins a round, if there is to be another.
    pub(super) fn begin(&mut self, now: Moment) -> bool {
        self.began = now;
        if self.pace.is_none() && now >= self.warm_until {
            self.pace = Some(Pace::new(self.until, None, (0, 1), now));
            self.tally = Tally::new(now, false);
        }
        self.pace.as_mut().is_none_or(|pace| pace.take(now).is_some())
    }

    /// A round has reached its end.
    pub(super) fn end(&mut self, now: Moment) {
        self.tally.is_done(self.began, self.began, now);
        if self.pace.is_some() {
            self.progress.count().fetch_add(1);
        }
    }

    /// All of it, which may have ended early.
    pub(super) fn close(mut self, broken: Option<Broken>, now: Moment) -> Tally {
        match broken {
            Some(Broken::Refused(refusal)) => self.tally.is_refused(refusal),
            Some(Broken::Lost) => self.tally.is_lost(1),
            Some(Broken::Overdue) => self.tally.overdue += 1,
            None => {}
        }
        if self.tally.has_failed() {
            self.tally.ended = now;
            let all = Pace::new(self.until, None, (0, 1), now);
            self.tally.not_begun = self.pace.unwrap_or(all).left();
        }
        self.tally
    }
}

/// Two loads on one election would measure each other.
pub(super) fn is_vacant(server: &Server, election: &str) -> Result<()> {
    let reply = server.connect()?.ask(&proto::get_term(election), server.patience)?;
    let leader = proto::bytes(proto::bytes(&reply, 1), 2);
    if !leader.is_empty() {
        let leader = String::from_utf8_lossy(leader);
        bail!(
            "{leader} leads in {election}, which this needs for itself: is another bench running?"
        );
    }
    Ok(())
}
