//! One change to many watchers: until the last of them has it.

use anyhow::Result;

use super::conn::{Arrived, Conn};
use super::crowd::{Broken, Crowd, Listener, Rounds, is_vacant};
use super::proto::{self, Frame};
use super::report::Plan;
use super::tally::Tally;
use super::target::Server;
use crate::args::bench::Watch;

const ELECTION: &str = "bench/watch";

pub(super) fn run(server: &Server, watch: &Watch) -> Result<(Plan, Tally)> {
    is_vacant(server, ELECTION)?;
    let (watchers, connections) = (watch.watchers.get(), watch.connections());
    // The last one changes what the others watch.
    let mut conns = (0..=connections).map(|_| server.connect()).collect::<Result<Vec<_>>>()?;
    let names = ["a", "b"].map(|name| format!("{}-{name}", std::process::id()));
    let entered = names.each_ref().map(|name| proto::on_candidate("Enter", ELECTION, name));
    let mut term = 0;
    for reply in conns[connections].ask_all(&entered, server.patience)? {
        term = proto::number(proto::bytes(&reply, 1), 1);
    }
    let plan = Plan {
        workload: "watch",
        unit: "changes",
        connections,
        in_flight: 1,
        threads: 1,
        rate: None,
        policy: "connection",
        more: vec![("watchers", watchers.to_string())],
    };
    let mut crowd = Crowd::new(conns, server.patience)?;
    let mut fan = Fan {
        changer: connections,
        watchers,
        changes: names.map(|name| proto::on_candidate("Anoint", ELECTION, &name)).into(),
        term,
        reached: 0,
        is_answered: true,
        clock: crowd.clock.clone(),
        rounds: None,
        is_over: false,
    };
    let mut broken = fan.gather(&mut crowd.conns).err();
    // Until all have the present term, nothing is timed.
    while broken.is_none() && fan.reached < watchers {
        broken = crowd.hear(&mut fan)?.err();
    }
    let mut rounds = Rounds::new(&watch.amount, plan.unit, crowd.clock.now());
    if broken.is_none() && rounds.begin(crowd.clock.now()) {
        fan.rounds = Some(rounds);
        broken = fan.change(&mut crowd.conns).err();
        while broken.is_none() && !fan.is_over {
            broken = crowd.hear(&mut fan)?.err();
        }
        rounds = match fan.rounds.take() {
            Some(rounds) => rounds,
            None => Rounds::new(&watch.amount, plan.unit, crowd.clock.now()),
        };
    }
    Ok((plan, rounds.close(broken, crowd.clock.now())))
}

struct Fan {
    /// The connection that makes the changes.
    changer: usize,
    watchers: usize,
    /// They undo one another; the second is the next.
    changes: Vec<Frame>,
    /// What all are to learn of, how many have, and whether the change itself was answered.
    term: u64,
    reached: usize,
    is_answered: bool,
    clock: tenure::Clock,
    /// Once the watchers are there.
    rounds: Option<Rounds>,
    is_over: bool,
}

impl Fan {
    fn gather(&mut self, conns: &mut [Conn]) -> Result<(), Broken> {
        let watch = proto::watch(ELECTION);
        for number in 0..self.watchers {
            conns[number % self.changer].put_next(&watch);
        }
        conns.iter_mut().try_for_each(|conn| conn.flush().map_err(|_| Broken::Lost))
    }

    fn change(&mut self, conns: &mut [Conn]) -> Result<(), Broken> {
        self.term += 1;
        self.reached = 0;
        self.is_answered = false;
        let conn = &mut conns[self.changer];
        self.changes.rotate_left(1);
        self.changes.iter().take(1).for_each(|change| _ = conn.put_next(change));
        conn.flush().map_err(|_| Broken::Lost)
    }

    /// All have learned of it: the next one, if there is to be one.
    fn reached_all(&mut self, conns: &mut [Conn]) -> Result<(), Broken> {
        let Some(rounds) = &mut self.rounds else { return Ok(()) };
        if !rounds.begin(self.clock.now()) {
            self.is_over = true;
            return Ok(());
        }
        self.change(conns)
    }
}

impl Listener for Fan {
    fn hear(&mut self, conns: &mut [Conn], number: usize, frame: &Arrived) -> Result<(), Broken> {
        let said = conns[number].said(frame).map_err(Broken::Refused)?;
        let term = proto::number(proto::bytes(said, 1), 1);
        if number == self.changer {
            self.is_answered = true;
            if let Some(rounds) = &mut self.rounds {
                rounds.tally.answered += 1;
            }
        } else if term == self.term {
            self.reached += 1;
            let is_last = self.reached == self.watchers;
            if let Some(rounds) = self.rounds.as_mut().filter(|_| is_last) {
                rounds.end(self.clock.now());
            }
        } else {
            return Ok(());
        }
        match self.reached == self.watchers && self.is_answered {
            true => self.reached_all(conns),
            false => Ok(()),
        }
    }
}
