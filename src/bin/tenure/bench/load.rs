//! Many requests on many connections: reads, pairs of enter and withdraw, renewals.

use std::sync::Barrier;
use std::thread;

use anyhow::{Context, Result, bail};
use crossbeam::atomic::AtomicCell;

use super::conn::Conn;
use super::drive::{Driver, Operation};
use super::pace::Pace;
use super::progress::Progress;
use super::proto::{self, Frame, Message, SESSIONS};
use super::report::Plan;
use super::tally::Tally;
use super::target::Server;
use crate::args::bench::{Heartbeat, Load, Term, Until};

/// Longer than any load rests between two renewals of a session.
const TTL_MICROS: u64 = 3_600_000_000;
const FAST: u64 = 1;

type Loaded = Vec<(Conn, Vec<Operation>)>;

pub(super) fn term(server: &Server, term: &Term) -> Result<(Plan, Tally)> {
    let load = &term.load;
    let name = |n: usize| format!("bench/term/{n}");
    let mut keeper = server.connect()?;
    let pid = std::process::id();
    let enters = (0..term.elections.get()).flat_map(|n| {
        (0..term.candidates.get()).map(move |candidate| {
            proto::on_candidate("Enter", &name(n), &format!("{pid}-{candidate}"))
        })
    });
    keeper.ask_all(&enters.collect::<Vec<_>>(), server.patience)?;
    let reads: Vec<_> =
        (0..term.elections.get()).map(|n| vec![proto::get_term(&name(n))]).collect();
    let conns = open(server, load, |_, _| Ok(reads.clone()))?;
    let mut plan = plan("term", "reads", "connection", load);
    plan.more.push(("elections", term.elections.to_string()));
    plan.more.push(("candidates", term.candidates.to_string()));
    let tally = run(server, load, plan.unit, conns)?;
    Ok((plan, tally))
}

pub(super) fn enter(server: &Server, load: &Load) -> Result<(Plan, Tally)> {
    let pid = std::process::id();
    let conns = open(server, load, |_, number| {
        let places = (0..load.in_flight()).map(|at| number * load.in_flight() + at);
        Ok(places
            .map(|place| {
                let (election, candidate) =
                    (format!("bench/enter/{place}"), format!("{pid}-{place}"));
                let ask = |method| proto::on_candidate(method, &election, &candidate);
                vec![ask("Enter"), ask("Withdraw")]
            })
            .collect())
    })?;
    let plan = plan("enter", "pairs of enter and withdraw", "connection", load);
    let tally = run(server, load, plan.unit, conns)?;
    Ok((plan, tally))
}

pub(super) fn heartbeat(server: &Server, heartbeat: &Heartbeat) -> Result<(Plan, Tally)> {
    let load = &heartbeat.load;
    let connections = load.connections.get();
    let sessions = heartbeat.sessions.get().max(connections);
    let conns = open(server, load, |conn, number| {
        let share = sessions / connections + usize::from(number < sessions % connections);
        renewals(server, conn, share)
    })?;
    let mut plan = plan("heartbeat", "renewals", "fast", load);
    plan.more.push(("sessions", sessions.to_string()));
    let tally = run(server, load, plan.unit, conns)?;
    Ok((plan, tally))
}

/// Sessions that end with their connection, each with the request that renews it.
fn renewals(server: &Server, conn: &mut Conn, count: usize) -> Result<Vec<Operation>> {
    let open = Message::new().uint(1, TTL_MICROS).uint(2, FAST).text(4, "tenure bench");
    let open = Frame::call(SESSIONS, "Open", open);
    let opened = conn.ask_all(&vec![open; count], server.patience)?;
    let renewal = |reply: &Vec<u8>| {
        let session = Message::new().uint(1, proto::number(reply, 1));
        vec![Frame::call(SESSIONS, "KeepAlive", session)]
    };
    Ok(opened.iter().map(renewal).collect())
}

fn plan(workload: &'static str, unit: &'static str, policy: &'static str, load: &Load) -> Plan {
    Plan {
        workload,
        unit,
        connections: load.connections.get(),
        in_flight: load.in_flight(),
        threads: load.threads(),
        rate: load.rate.map(u32::from),
        policy,
        more: Vec::new(),
    }
}

fn open(
    server: &Server,
    load: &Load,
    mut operations: impl FnMut(&mut Conn, usize) -> Result<Vec<Operation>>,
) -> Result<Loaded> {
    (0..load.connections.get())
        .map(|number| {
            let mut conn = server.connect()?;
            let operations = operations(&mut conn, number)?;
            Ok((conn, operations))
        })
        .collect()
}

/// Deals the connections to threads, which begin each phase together.
fn run(server: &Server, load: &Load, unit: &str, conns: Loaded) -> Result<Tally> {
    let threads = load.threads();
    let mut hands: Vec<Loaded> = (0..threads).map(|_| Vec::new()).collect();
    for (number, conn) in conns.into_iter().enumerate() {
        hands[number % threads].push(conn);
    }
    let drivers = hands
        .into_iter()
        .map(|hand| Driver::new(hand, load.in_flight(), server.patience))
        .collect::<Result<Vec<_>>>()?;
    let gate = Barrier::new(threads);
    let progress = Progress::start(load.amount.until(), unit);
    let tallies = thread::scope(|scope| {
        let share = |thread| (thread as u64, threads as u64);
        let spawn = |(thread, driver)| {
            let (gate, count) = (&gate, progress.count());
            scope.spawn(move || phases(driver, load, share(thread), gate, count))
        };
        let running: Vec<_> = drivers.into_iter().enumerate().map(spawn).collect();
        running.into_iter().map(|thread| thread.join().map_err(|_| ())).collect::<Vec<_>>()
    });
    let mut all: Option<Tally> = None;
    for tally in tallies {
        let Ok(tally) = tally else { bail!("a thread of the load failed") };
        let tally = tally?;
        match &mut all {
            Some(all) => all.merge(tally),
            None => all = Some(tally),
        }
    }
    all.context("there was no thread to do it")
}

/// The warm-up, and what counts.
fn phases(
    mut driver: Driver,
    load: &Load,
    share: (u64, u64),
    gate: &Barrier,
    count: &AtomicCell<u64>,
) -> Result<Tally> {
    let rate = load.rate.map(u32::from);
    let warm_up = Until::Over(load.amount.warm_up);
    gate.wait();
    let warm = driver.run(|now| Pace::new(warm_up, rate, share, now), &AtomicCell::new(0));
    gate.wait();
    let warm = warm?;
    if warm.has_failed() && driver.is_alone() {
        return Ok(warm);
    }
    let mut tally = driver.run(|now| Pace::new(load.amount.until(), rate, share, now), count)?;
    tally.lost_connections += warm.lost_connections;
    Ok(tally)
}
