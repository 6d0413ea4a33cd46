//! The lead passes from one to another, in one election or in many at once.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::net::{Conn, Crowd, Listener};
use crate::wire::{Dialect, Heard};

/// One who wants to lead, by the recipe of its system.
pub(super) trait Player<D: Dialect> {
    /// Stands for the first time.
    fn stand(&mut self, conn: &mut Conn<D>) -> Result<()>;

    /// True if it knows from this that it leads now.
    fn hear(&mut self, conn: &mut Conn<D>, heard: &Heard) -> Result<bool>;

    /// Gives the lead up and stands again, behind the others.
    fn pass(&mut self, conn: &mut Conn<D>) -> Result<()>;
}

/// Players in a row, so many of them in each election.
pub(super) struct Relay<P> {
    pub(super) players: Vec<P>,
    each: usize,
    /// Of each election, who leads.
    leaders: Vec<Option<usize>>,
    handovers: u64,
}

impl<P> Relay<P> {
    pub(super) fn new(players: Vec<P>, each: usize) -> Self {
        let leaders = vec![None; players.len() / each];
        Self { players, each, leaders, handovers: 0 }
    }

    /// Handovers a second, once all stand and it is warm.
    pub(super) fn run<D: Dialect>(mut self, crowd: &mut Crowd<D>, time: Duration) -> Result<f64>
    where
        P: Player<D>,
    {
        for (player, conn) in self.players.iter_mut().zip(&mut crowd.conns) {
            player.stand(conn)?;
            conn.flush()?;
        }
        self.go_on_for(crowd, time / 5)?;
        self.handovers = 0;
        let took = self.go_on_for(crowd, time)?;
        Ok(self.handovers as f64 / took.as_secs_f64())
    }

    fn go_on_for<D: Dialect>(&mut self, crowd: &mut Crowd<D>, time: Duration) -> Result<Duration>
    where
        P: Player<D>,
    {
        let began = Instant::now();
        loop {
            crowd.turn(self)?;
            let took = began.elapsed();
            if took >= time {
                return Ok(took);
            }
        }
    }
}

impl<D: Dialect, P: Player<D>> Listener<D> for Relay<P> {
    fn hear(&mut self, conns: &mut [Conn<D>], who: usize, heard: &Heard) -> Result<()> {
        if !self.players[who].hear(&mut conns[who], heard)? {
            return Ok(());
        }
        let before = self.leaders[who / self.each].replace(who);
        self.players[who].pass(&mut conns[who])?;
        self.handovers += u64::from(before.is_some_and(|before| before != who));
        Ok(())
    }
}
