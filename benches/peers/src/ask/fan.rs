//! One change to many watchers: until the last of them has it.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{Plan, Task, unique};
use crate::figures::{Question, Unit};
use crate::fleet::{Fleet, Instance, Mode, Places, Setup};
use crate::machine::Placement;
use crate::net::{Conn, Crowd, Listener, p50};
use crate::wire::grpc::Grpc;
use crate::wire::jute::{self, Jute, Node};
use crate::wire::nats::{self, Nats};
use crate::wire::proto::bytes;
use crate::wire::resp::{self, Resp};
use crate::wire::ttrpc::{self, Ttrpc};
use crate::wire::{Dialect, Heard, Kind, Request, etcd};

const NAMES: [&str; 2] = ["watch-a", "watch-b"];

/// How a system is watched and changed. A watch, once there, is told with one frame.
struct Script {
    /// What the one who changes asks for first.
    before: Vec<Request>,
    watch: Request,
    is_change: fn(Kind, &[u8]) -> bool,
    /// What a watcher has to ask again after each change.
    again: Option<Request>,
    /// They undo one another, and are answered once each.
    changes: [Request; 2],
}

#[derive(Clone, Copy)]
struct Size {
    watchers: usize,
    connections: usize,
    changes: usize,
}

pub(super) fn tasks<'a>(
    fleet: &'a Fleet,
    plan: &Plan,
    _places: &'a Places,
) -> Result<Vec<Task<'a>>> {
    let (watchers, changes) = (plan.of(1000, 100), plan.of(20, 3));
    let mut tasks = Vec::new();
    for connections in [watchers, 10] {
        let is_shared = connections < watchers;
        let size = Size { watchers, connections, changes };
        for instance in fleet.instances.iter().filter(|instance| is_asked(instance, is_shared)) {
            let on = if is_shared { "10 connections" } else { "their own connections" };
            let row = format!("{watchers} watchers on {on}");
            let run = move |instance: &Instance| {
                Ok(vec![(row.clone(), Unit::Micros, ask(instance, size)?)])
            };
            let column = instance.setup.name();
            tasks.push(Task::of(instance, Question::Watch, Placement::TwoCores, column, run));
        }
    }
    Ok(tasks)
}

fn is_asked(instance: &Instance, is_shared: bool) -> bool {
    match (instance.setup, instance.mode) {
        (_, Mode::Disk) => false,
        (Setup::Tenure, Mode::Memory) | (Setup::Etcd, _) => true,
        (Setup::Fan | Setup::Redis | Setup::Zookeeper | Setup::Nats, _) => !is_shared,
        _ => false,
    }
}

/// The middle one of the times, in microseconds.
fn ask(instance: &Instance, size: Size) -> Result<f64> {
    let name = format!("watch-{}", unique());
    match instance.setup {
        Setup::Redis => run::<Resp>(instance, on_redis(&name), size),
        Setup::Nats => run::<Nats>(instance, on_nats(&name), size),
        Setup::Etcd => run::<Grpc>(instance, on_etcd(&name), size),
        Setup::Zookeeper => run::<Jute>(instance, on_zookeeper(&format!("/{name}")), size),
        Setup::Tenure => run::<Ttrpc>(instance, on_tenure(&name), size),
        _ => run::<Ttrpc>(instance, on_bare(), size),
    }
}

fn on_redis(name: &str) -> Script {
    Script {
        before: Vec::new(),
        watch: resp::command(&["SUBSCRIBE", name]),
        is_change: |_, said| said.starts_with(b"*3\r\n$7\r\nmessage"),
        again: None,
        changes: NAMES.map(|leader| resp::command(&["PUBLISH", name, leader])),
    }
}

/// A ping after each, for NATS answers nothing else.
fn on_nats(name: &str) -> Script {
    let with_ping = |request: Request| Request::new([request.bytes, nats::ping().bytes].concat());
    Script {
        before: Vec::new(),
        watch: with_ping(nats::subscribe(name)),
        is_change: |kind, _| kind == Kind::Notice,
        again: None,
        changes: NAMES.map(|leader| with_ping(nats::publish(name, "", leader))),
    }
}

fn on_etcd(name: &str) -> Script {
    Script {
        before: Vec::new(),
        watch: etcd::watch(name),
        is_change: |_, said| etcd::is_event(said),
        again: None,
        changes: NAMES.map(|leader| etcd::put(name, leader)),
    }
}

/// Until the event: the read of what it is about, which sets the next watch, is not counted.
fn on_zookeeper(path: &str) -> Script {
    Script {
        before: vec![jute::create(path, "", Node::Kept)],
        watch: jute::get_data(path, true),
        is_change: |kind, _| kind == Kind::Notice,
        again: Some(jute::get_data(path, true)),
        changes: NAMES.map(|leader| jute::set_data(path, leader)),
    }
}

fn on_tenure(name: &str) -> Script {
    let ask = |method, leader| ttrpc::on_candidate(method, name, leader);
    Script {
        before: NAMES.map(|leader| ask("Enter", leader)).into(),
        watch: ttrpc::watch(name),
        is_change: |kind, said| kind == Kind::Notice && !bytes(said, 1).is_empty(),
        again: None,
        // The first one leads by now.
        changes: ["watch-b", "watch-a"].map(|leader| ask("Anoint", leader)),
    }
}

fn on_bare() -> Script {
    Script {
        before: Vec::new(),
        watch: ttrpc::watch("bare"),
        is_change: |kind, _| kind == Kind::Notice,
        again: None,
        changes: NAMES.map(ttrpc::get_term),
    }
}

fn run<D: Dialect + Default>(instance: &Instance, script: Script, size: Size) -> Result<f64> {
    let mut crowd = Crowd::<D>::open(instance.address, size.connections + 1)?;
    for request in &script.before {
        crowd.ask(size.connections, request)?;
    }
    for watcher in 0..size.watchers {
        crowd.conns[watcher % size.connections].put(&script.watch);
    }
    crowd.conns.iter_mut().try_for_each(Conn::flush)?;
    let mut fan = Fan::new(script, size);
    while fan.others < size.watchers {
        crowd.turn(&mut fan)?;
    }
    fan.is_set = true;
    let mut times = Vec::with_capacity(size.changes);
    for change in 0..size.changes {
        fan.change(&mut crowd.conns, change)?;
        while !fan.is_over() {
            crowd.turn(&mut fan)?;
        }
        times.extend(fan.took);
    }
    crowd.close();
    Ok(p50(&mut times).as_secs_f64() * 1e6)
}

struct Fan {
    script: Script,
    size: Size,
    began: Instant,
    /// Watchers that have the change.
    reached: usize,
    /// Frames that are no change: watches that were set, and the change's own answer.
    others: usize,
    took: Option<Duration>,
    /// All watches are: what is heard before that is no change.
    is_set: bool,
}

impl Fan {
    fn new(script: Script, size: Size) -> Self {
        let began = Instant::now();
        Self { script, size, began, reached: 0, others: 0, took: None, is_set: false }
    }

    fn change<D: Dialect>(&mut self, conns: &mut [Conn<D>], number: usize) -> Result<()> {
        (self.reached, self.others, self.took) = (0, 0, None);
        self.began = Instant::now();
        conns[self.size.connections].send(&self.script.changes[number % 2])?;
        Ok(())
    }

    fn is_over(&self) -> bool {
        let again = if self.script.again.is_some() { self.size.watchers } else { 0 };
        self.took.is_some() && self.others > again
    }
}

impl<D: Dialect> Listener<D> for Fan {
    fn hear(&mut self, conns: &mut [Conn<D>], who: usize, heard: &Heard) -> Result<()> {
        if let Kind::Refused(code) = heard.kind {
            bail!("a request was refused: {code}");
        }
        let is_watcher = who < self.size.connections;
        if !self.is_set
            || !is_watcher
            || !(self.script.is_change)(heard.kind, conns[who].said(heard))
        {
            self.others += 1;
            return Ok(());
        }
        self.reached += 1;
        if let Some(again) = &self.script.again {
            conns[who].put(again);
        }
        if self.reached == self.size.watchers {
            self.took = Some(self.began.elapsed());
        }
        Ok(())
    }
}
