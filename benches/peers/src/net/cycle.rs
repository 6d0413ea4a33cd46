//! The closed loop: each connection keeps so many requests under way, the next one after an answer.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{Conn, Crowd, Listener};
use crate::wire::{Dialect, Heard, Kind, Request};

/// One request of an operation.
#[derive(Clone, Debug)]
pub enum Step {
    Same(Request),
    /// Made from the answer to the step before.
    From(fn(&[u8]) -> Request),
}

/// The operations of each connection: one step or more, each after the last one's answer.
pub struct Cycle {
    steps: Vec<Vec<Step>>,
    in_flight: usize,
    /// Where each connection is, if it has more than one step.
    at: Vec<usize>,
    done: u64,
    sent: Instant,
    taken: Option<Vec<Duration>>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Load {
    pub per_second: f64,
    /// Of one operation at a time.
    pub p50_us: Option<f64>,
}

impl Cycle {
    /// An operation of several steps is for one in flight.
    pub fn new(steps: Vec<Vec<Step>>, in_flight: usize) -> Self {
        let is_alone = steps.len() * in_flight == 1;
        let at = vec![0; steps.len()];
        let taken = is_alone.then(Vec::new);
        Self { steps, in_flight, at, done: 0, sent: Instant::now(), taken }
    }

    /// Warms up for a fifth of the time, and then measures.
    pub fn run<D: Dialect>(mut self, crowd: &mut Crowd<D>, time: Duration) -> Result<Load> {
        self.sent = Instant::now();
        for (conn, steps) in crowd.conns.iter_mut().zip(&self.steps) {
            for _ in 0..self.in_flight {
                if let Some(Step::Same(request)) = steps.first() {
                    conn.put(request);
                }
            }
            conn.flush()?;
        }
        self.go_on_for(crowd, time / 5)?;
        self.done = 0;
        self.taken.iter_mut().for_each(Vec::clear);
        let took = self.go_on_for(crowd, time)?;
        let p50_us = self.taken.as_mut().map(|taken| p50(taken).as_secs_f64() * 1e6);
        Ok(Load { per_second: self.done as f64 / took.as_secs_f64(), p50_us })
    }

    fn go_on_for<D: Dialect>(&mut self, crowd: &mut Crowd<D>, time: Duration) -> Result<Duration> {
        let began = Instant::now();
        loop {
            crowd.turn(self)?;
            let took = began.elapsed();
            if took >= time {
                return Ok(took);
            }
        }
    }

    fn is_done(&mut self) {
        self.done += 1;
        if let Some(taken) = &mut self.taken {
            let now = Instant::now();
            taken.push(now - self.sent);
            self.sent = now;
        }
    }
}

impl<D: Dialect> Listener<D> for Cycle {
    fn hear(&mut self, conns: &mut [Conn<D>], who: usize, heard: &Heard) -> Result<()> {
        if let Kind::Refused(code) = heard.kind {
            bail!("a request was refused: {code}");
        }
        let steps = self.steps[who].len();
        self.at[who] = (self.at[who] + 1) % steps;
        if self.at[who] == 0 {
            self.is_done();
        }
        match &self.steps[who][self.at[who]] {
            Step::Same(request) => conns[who].put(request),
            Step::From(make) => {
                let request = make(conns[who].said(heard));
                conns[who].put(&request)
            }
        };
        Ok(())
    }
}

/// The middle one; sorts them.
pub fn p50(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
