//! Tenure: stand in the queue and observe, or wait for a name that all want.

use anyhow::{Result, bail};

use crate::ask::relay::Player;
use crate::net::Conn;
use crate::wire::proto::{bytes, number};
use crate::wire::ttrpc::{self, Ttrpc};
use crate::wire::{Heard, Kind, Request};

/// It stands under its own name and is told of each leader, as Tenure's own clients are.
pub struct Observing {
    name: String,
    observe: Request,
    enter: Request,
    withdraw: Request,
    term: u64,
}

impl Observing {
    pub fn new(election: &str, number: usize) -> Self {
        let name = format!("candidate-{number}");
        Self {
            observe: ttrpc::observe(election),
            enter: ttrpc::on_candidate("Enter", election, &name),
            withdraw: ttrpc::on_candidate("Withdraw", election, &name),
            name,
            term: 0,
        }
    }
}

impl Player<Ttrpc> for Observing {
    fn stand(&mut self, conn: &mut Conn<Ttrpc>) -> Result<()> {
        conn.put(&self.observe);
        conn.put(&self.enter);
        Ok(())
    }

    fn hear(&mut self, conn: &mut Conn<Ttrpc>, heard: &Heard) -> Result<bool> {
        match heard.kind {
            Kind::Notice => {
                let state = conn.said(heard);
                let term = number(state, 2);
                let is_new = term > self.term;
                self.term = self.term.max(term);
                Ok(is_new && bytes(bytes(state, 4), 1) == self.name.as_bytes())
            }
            Kind::Refused(code) => bail!("Tenure refused it: {code}"),
            _ => Ok(false),
        }
    }

    fn pass(&mut self, conn: &mut Conn<Ttrpc>) -> Result<()> {
        conn.put(&self.withdraw);
        conn.put(&self.enter);
        Ok(())
    }
}

/// Its Enter is answered when it leads; nobody else is told.
pub struct Waiting {
    enter: Request,
    withdraw: Request,
    call: u64,
}

impl Waiting {
    pub fn new(election: &str) -> Self {
        let enter = ttrpc::enter_and_wait(election, "leader");
        Self { enter, withdraw: ttrpc::withdraw(election, "leader"), call: 0 }
    }
}

impl Player<Ttrpc> for Waiting {
    fn stand(&mut self, conn: &mut Conn<Ttrpc>) -> Result<()> {
        self.call = conn.put(&self.enter);
        Ok(())
    }

    fn hear(&mut self, _conn: &mut Conn<Ttrpc>, heard: &Heard) -> Result<bool> {
        match heard.kind {
            Kind::Refused(code) => bail!("Tenure refused it: {code}"),
            _ => Ok(heard.id == self.call),
        }
    }

    /// Both in one write: who asks while others wait stands behind them.
    fn pass(&mut self, conn: &mut Conn<Ttrpc>) -> Result<()> {
        conn.put(&self.withdraw);
        self.stand(conn)
    }
}
