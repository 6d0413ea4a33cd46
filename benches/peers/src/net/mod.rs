//! Many connections on one thread: one driver for every protocol.

mod conn;
mod cycle;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mio::{Events, Interest, Poll, Token};

pub use conn::Conn;
pub use cycle::{Cycle, Step, p50};

use crate::wire::{Dialect, Heard, Kind, Request};

/// Nothing takes longer in a sound run.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// A server that is just starting may take a connection and never answer on it.
const GREETING: Duration = Duration::from_secs(4);

pub struct Crowd<D> {
    poll: Poll,
    events: Events,
    /// Looks again and again, where it would sleep: on a core of its own nobody has to wake it then.
    pub spins: bool,
    pub conns: Vec<Conn<D>>,
}

/// Who hears what the connections say.
pub trait Listener<D> {
    fn hear(&mut self, conns: &mut [Conn<D>], who: usize, heard: &Heard) -> Result<()>;
}

impl<D, F> Listener<D> for F
where
    F: FnMut(&mut [Conn<D>], usize, &Heard) -> Result<()>,
{
    fn hear(&mut self, conns: &mut [Conn<D>], who: usize, heard: &Heard) -> Result<()> {
        self(conns, who, heard)
    }
}

impl<D: Dialect + Default> Crowd<D> {
    /// As many connections, greeted and ready.
    pub fn open(address: SocketAddr, count: usize) -> Result<Self> {
        Self::open_as(address, (0..count).map(|_| D::default()))
    }
}

impl<D: Dialect> Crowd<D> {
    pub fn open_as(address: SocketAddr, dialects: impl Iterator<Item = D>) -> Result<Self> {
        let poll = Poll::new()?;
        let mut conns = Vec::new();
        for (number, dialect) in dialects.enumerate() {
            let mut conn = Conn::open(address, dialect)?;
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut conn.socket, Token(number), both)?;
            conn.flush()?;
            conns.push(conn);
        }
        let events = Events::with_capacity(1024);
        let mut crowd = Self { poll, events, spins: false, conns };
        while crowd.conns.iter().any(|conn| !conn.dialect.is_ready()) {
            crowd.turn_within(GREETING, &mut ignore)?;
            ensure!(!crowd.events.is_empty(), "no greeting was answered for {GREETING:?}");
        }
        Ok(crowd)
    }

    /// Waits, and hands out what came, all of each connection before the next one.
    pub fn turn(&mut self, listener: &mut impl Listener<D>) -> Result<()> {
        self.turn_within(PATIENCE, listener)?;
        ensure!(!self.events.is_empty(), "nothing was heard for {PATIENCE:?}");
        Ok(())
    }

    /// The same, or not, if nothing comes.
    pub fn turn_within(
        &mut self,
        patience: Duration,
        listener: &mut impl Listener<D>,
    ) -> Result<()> {
        let until = Instant::now() + patience;
        loop {
            let rest = if self.spins { Duration::ZERO } else { patience };
            self.poll.poll(&mut self.events, Some(rest)).context("can't wait for sockets")?;
            if !self.events.is_empty() || !self.spins || Instant::now() >= until {
                break;
            }
        }
        for event in &self.events {
            drain(&mut self.conns, event.token().0, listener)?;
        }
        Ok(())
    }

    /// Asks on one connection and waits for the answer: for setting up.
    pub fn ask(&mut self, who: usize, request: &Request) -> Result<Vec<u8>> {
        self.conns[who].send(request)?;
        let mut answer = None;
        while answer.is_none() {
            self.turn(&mut |conns: &mut [Conn<D>], number: usize, heard: &Heard| {
                match heard.kind {
                    Kind::Answer | Kind::Notice if number == who && answer.is_none() => {
                        answer = Some(conns[who].said(heard).to_vec());
                    }
                    Kind::Refused(code) => bail!("a request was refused: {code}"),
                    _ => {}
                }
                Ok(())
            })?;
        }
        answer.context("no answer came")
    }

    /// Says goodbye and waits until the other side ends what it is to end.
    pub fn close(mut self) {
        let mut leaving = 0;
        for conn in &mut self.conns {
            leaving += usize::from(conn.dialect.part(&mut conn.out) && conn.flush().is_ok());
        }
        let until = Instant::now() + Duration::from_secs(5);
        while leaving > 0 && Instant::now() < until {
            if self.poll.poll(&mut self.events, Some(Duration::from_millis(100))).is_err() {
                return;
            }
            for event in &self.events {
                leaving = leaving.saturating_sub(self.conns[event.token().0].has_ended().into());
            }
        }
    }
}

fn ignore<D>(_: &mut [Conn<D>], _: usize, _: &Heard) -> Result<()> {
    Ok(())
}

fn drain<D: Dialect>(
    conns: &mut [Conn<D>],
    who: usize,
    listener: &mut impl Listener<D>,
) -> Result<()> {
    loop {
        let may_have_more = conns[who].fill()?;
        while let Some(heard) = conns[who].next()? {
            listener.hear(conns, who, &heard)?;
        }
        if !may_have_more {
            return conns[who].flush();
        }
    }
}
