//! Many contend for one election. Whoever learns that it leads withdraws, and stands again at the end.

use anyhow::Result;

use super::conn::{Arrived, Conn};
use super::crowd::{Broken, Crowd, Listener, Rounds, is_vacant};
use super::proto::{self, ELECTIONS, Frame, Message};
use super::report::Plan;
use super::tally::Tally;
use super::target::Server;
use crate::args::bench::{Handover, Learn};

const ELECTION: &str = "bench/handover";
/// Of `tenure.v1.OnConflict`.
const WAIT: u64 = 1;

pub(super) fn run(server: &Server, handover: &Handover) -> Result<(Plan, Tally)> {
    is_vacant(server, ELECTION)?;
    let conns = (0..handover.candidates).map(|_| server.connect()).collect::<Result<_>>()?;
    let mut crowd = Crowd::new(conns, server.patience)?;
    let plan = Plan {
        workload: "handover",
        unit: "handovers",
        connections: handover.candidates,
        in_flight: 1,
        threads: 1,
        rate: None,
        policy: "connection",
        more: vec![
            ("candidates", handover.candidates.to_string()),
            ("learn", format!("{:?}", handover.learn).to_lowercase()),
        ],
    };
    let rounds = Rounds::new(&handover.amount, plan.unit, crowd.clock.now());
    let mut relay = Relay::new(handover, rounds, &crowd);
    let mut broken = relay.line_up(&mut crowd.conns).err();
    while broken.is_none() && !relay.is_over {
        broken = crowd.hear(&mut relay)?.err();
    }
    Ok((plan, relay.rounds.close(broken, crowd.clock.now())))
}

struct Candidate {
    name: String,
    enter: Frame,
    withdraw: Frame,
    /// The stream on which it learns that it leads.
    ear: u32,
}

struct Relay {
    candidates: Vec<Candidate>,
    learn: Learn,
    clock: tenure::Clock,
    rounds: Rounds,
    leader: Option<usize>,
    term: u64,
    is_over: bool,
}

impl Relay {
    fn new(handover: &Handover, rounds: Rounds, crowd: &Crowd) -> Self {
        let candidate = match handover.learn {
            Learn::Observe => observing,
            Learn::Wait => waiting,
        };
        Self {
            candidates: (0..handover.candidates).map(candidate).collect(),
            learn: handover.learn,
            clock: crowd.clock.clone(),
            rounds,
            leader: None,
            term: 0,
            is_over: false,
        }
    }

    fn line_up(&mut self, conns: &mut [Conn]) -> Result<(), Broken> {
        for (conn, candidate) in conns.iter_mut().zip(&mut self.candidates) {
            if self.learn == Learn::Observe {
                let request = Message::new().text(1, ELECTION).uint(2, 1);
                candidate.ear = conn.put_next(&Frame::stream(ELECTIONS, "Observe", request));
            }
            enter(conn, candidate, self.learn);
            conn.flush().map_err(|_| Broken::Lost)?;
        }
        Ok(())
    }

    /// The lead has come to `number`, who knows it now, and passes it on.
    fn leads(&mut self, conns: &mut [Conn], number: usize) -> Result<(), Broken> {
        let now = self.clock.now();
        let before = self.leader.replace(number);
        if before.is_some() {
            self.rounds.end(now);
        }
        if !self.rounds.begin(now) {
            self.is_over = true;
            return Ok(());
        }
        let conn = &mut conns[number];
        conn.put_next(&self.candidates[number].withdraw);
        // Those who wait already come first.
        enter(conn, &mut self.candidates[number], self.learn);
        conn.flush().map_err(|_| Broken::Lost)
    }
}

impl Listener for Relay {
    fn hear(&mut self, conns: &mut [Conn], number: usize, frame: &Arrived) -> Result<(), Broken> {
        let said = conns[number].said(frame).map_err(Broken::Refused)?;
        if self.is_over {
            return Ok(());
        }
        let candidate = &self.candidates[number];
        if frame.stream != candidate.ear {
            self.rounds.tally.answered += 1;
            return Ok(());
        }
        let state = match self.learn {
            Learn::Observe => said,
            Learn::Wait => proto::bytes(said, 1),
        };
        let term = proto::number(state, 2);
        let leader = proto::bytes(proto::bytes(state, 4), 1);
        // Told of a former lead of its own, or of another's: nothing to do.
        if term <= self.term || leader != candidate.name.as_bytes() {
            return Ok(());
        }
        self.term = term;
        self.leads(conns, number)
    }
}

fn enter(conn: &mut Conn, candidate: &mut Candidate, learn: Learn) {
    let stream = conn.put_next(&candidate.enter);
    if learn == Learn::Wait {
        candidate.ear = stream;
    }
}

/// It stands in the queue and is told of each leader.
fn observing(number: usize) -> Candidate {
    let name = format!("{}-{number}", std::process::id());
    let ask = |method| proto::on_candidate(method, ELECTION, &name);
    Candidate { enter: ask("Enter"), withdraw: ask("Withdraw"), name, ear: 0 }
}

/// It wants to stand under the name that all want, and is answered when it does.
fn waiting(_: usize) -> Candidate {
    let name = "leader".to_owned();
    let on = || Message::new().text(2, ELECTION).text(3, &name);
    let enter = Frame::call(ELECTIONS, "Enter", on().uint(5, WAIT));
    Candidate { enter, withdraw: Frame::call(ELECTIONS, "Withdraw", on()), name, ear: 0 }
}
