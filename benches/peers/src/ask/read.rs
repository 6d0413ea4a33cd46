//! Who leads? Closed loops of reads.

use anyhow::{Result, ensure};

use super::{ELECTION, LEADER, Plan, Task};
use crate::figures::{Question, Unit};
use crate::fleet::{Fleet, Instance, Mode, Places, Setup};
use crate::machine::Placement::{self, OneCore, TwoCores};
use crate::net::{Crowd, Cycle, Step};
use crate::wire::grpc::Grpc;
use crate::wire::jute::{self, Jute, Node};
use crate::wire::nats::{self, Nats};
use crate::wire::proto::Message;
use crate::wire::resp::{self, Resp};
use crate::wire::ttrpc::{self, Ttrpc};
use crate::wire::{Dialect, Request, etcd};

type Rows = Vec<(String, Unit, f64)>;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    connections: usize,
    in_flight: usize,
    placement: Placement,
}

const fn shape(connections: usize, in_flight: usize, placement: Placement) -> Shape {
    Shape { connections, in_flight, placement }
}

const ALL: [Shape; 5] = [
    shape(1, 1, OneCore),
    shape(1, 1, TwoCores),
    shape(1, 16, TwoCores),
    shape(64, 1, TwoCores),
    shape(64, 16, TwoCores),
];
/// For those that can keep up with it.
const MANY: [Shape; 2] = [shape(50, 16, TwoCores), shape(8, 128, TwoCores)];
const BUSY: [Shape; 1] = [shape(1, 1, TwoCores)];
/// Reads don't wait for a disk: two shapes show it.
const ON_DISK: [Shape; 2] = [shape(1, 1, TwoCores), shape(64, 16, TwoCores)];

pub(super) fn tasks<'a>(
    fleet: &'a Fleet,
    plan: &Plan,
    _places: &'a Places,
) -> Result<Vec<Task<'a>>> {
    for instance in &fleet.instances {
        prepare(instance)?;
    }
    let shapes = ALL.iter().chain(&MANY);
    Ok(shapes.flat_map(|shape| at_once(fleet, plan, *shape)).collect())
}

/// All that are asked in this shape.
fn at_once<'a>(fleet: &'a Fleet, plan: &Plan, shape: Shape) -> Vec<Task<'a>> {
    let asked = fleet.instances.iter().filter(|instance| is_asked(instance, shape));
    let mut tasks = Vec::new();
    for instance in asked {
        let ways: &[(&'static str, bool)] = match instance.setup {
            Setup::Etcd => &[("etcd, linearizable", false), ("etcd, serializable", true)],
            setup => &[(setup.name(), false)],
        };
        for &(column, serializable) in ways {
            let time = plan.time();
            let run = move |instance: &Instance| match instance.setup {
                Setup::Tenure | Setup::TenureBusy | Setup::Echo => {
                    load::<Ttrpc>(instance, shape, time, ttrpc::get_term(ELECTION))
                }
                Setup::Redis => {
                    load::<Resp>(instance, shape, time, resp::command(&["GET", ELECTION]))
                }
                Setup::Zookeeper => {
                    load::<Jute>(instance, shape, time, jute::get_data("/read", false))
                }
                Setup::Etcd => {
                    load::<Grpc>(instance, shape, time, etcd::range(ELECTION, serializable))
                }
                _ => from_nats(instance, shape, time),
            };
            tasks.push(Task::of(instance, Question::Read, shape.placement, column, run));
        }
    }
    tasks
}

fn is_asked(instance: &Instance, shape: Shape) -> bool {
    let shapes: &[Shape] = match (instance.setup, instance.mode) {
        (Setup::Keep | Setup::Fan | Setup::Relay | Setup::RelayAwake | Setup::RedisAof, _)
        | (Setup::Tenure, Mode::Tmpfs) => return false,
        (Setup::TenureBusy, _) => &BUSY,
        (_, Mode::Disk) => &ON_DISK,
        (Setup::Echo | Setup::Tenure | Setup::Redis, _) if MANY.contains(&shape) => return true,
        _ => &ALL,
    };
    shapes.contains(&shape)
}

fn load<D: Dialect + Default>(
    instance: &Instance,
    shape: Shape,
    time: std::time::Duration,
    request: Request,
) -> Result<Rows> {
    let mut crowd = Crowd::<D>::open(instance.address, shape.connections)?;
    // Half of a round trip's time is the client's own waking.
    crowd.spins = instance.setup == Setup::TenureBusy;
    measure(crowd, shape, time, |_| request.clone())
}

fn measure<D: Dialect>(
    mut crowd: Crowd<D>,
    shape: Shape,
    time: std::time::Duration,
    request: impl Fn(usize) -> Request,
) -> Result<Rows> {
    let steps = (0..shape.connections).map(|who| vec![Step::Same(request(who))]).collect();
    let load = Cycle::new(steps, shape.in_flight).run(&mut crowd, time)?;
    crowd.close();
    let name = format!("{} x {}", shape.connections, shape.in_flight);
    let mut rows = vec![(name.clone(), Unit::PerSecond, load.per_second)];
    rows.extend(load.p50_us.map(|p50| (format!("{name}, p50"), Unit::Micros, p50)));
    Ok(rows)
}

/// A key of a bucket, as its clients get it from 2.9 on: a message to the stream behind it, whose answer
/// comes to an inbox.
fn from_nats(instance: &Instance, shape: Shape, time: std::time::Duration) -> Result<Rows> {
    let mut crowd = Crowd::<Nats>::open(instance.address, shape.connections)?;
    let inbox = |who| format!("_INBOX.{}.{who}", std::process::id());
    for who in 0..shape.connections {
        crowd.conns[who].put(&nats::subscribe(&inbox(who)));
        crowd.ask(who, &nats::ping())?;
    }
    let subject = "$JS.API.DIRECT.GET.KV_read.$KV.read.leader";
    measure(crowd, shape, time, |who| nats::publish(subject, &inbox(who), ""))
}

/// Somebody leads.
fn prepare(instance: &Instance) -> Result<()> {
    let address = instance.address;
    match instance.setup {
        Setup::Tenure | Setup::TenureBusy => {
            let mut crowd = Crowd::<Ttrpc>::open(address, 1)?;
            crowd.ask(0, &ttrpc::on_candidate("Enter", ELECTION, LEADER))?;
            let raw = ttrpc::get_term(ELECTION);
            let answer = crowd.ask(0, &raw)?;
            let term = Message::new().uint(1, 1).text(2, LEADER);
            let echoed = Message::new().message(1, term).0.len();
            ensure!(answer.len() == echoed, "the echo's answer is not as long as Tenure's");
            // It leads as long as its connection lasts.
            std::mem::forget(crowd);
        }
        Setup::Redis | Setup::RedisAof => {
            let set = resp::command(&["SET", ELECTION, LEADER]);
            Crowd::<Resp>::open(address, 1)?.ask(0, &set)?;
        }
        Setup::Zookeeper => {
            let mut crowd = Crowd::<Jute>::open(address, 1)?;
            crowd.ask(0, &jute::create("/read", LEADER, Node::Kept))?;
            crowd.close();
        }
        Setup::Etcd => drop(Crowd::<Grpc>::open(address, 1)?.ask(0, &etcd::put(ELECTION, LEADER))?),
        Setup::Nats => bucket(address)?,
        _ => {}
    }
    Ok(())
}

/// As its clients make one, with direct reads.
fn bucket(address: std::net::SocketAddr) -> Result<()> {
    let mut crowd = Crowd::<Nats>::open(address, 1)?;
    crowd.conns[0].put(&nats::subscribe("_INBOX.setup"));
    let stream = "{\"name\":\"KV_read\",\"subjects\":[\"$KV.read.>\"],\"max_msgs_per_subject\":1,\
                  \"discard\":\"new\",\"allow_rollup_hdrs\":true,\"allow_direct\":true,\
                  \"storage\":\"file\",\"num_replicas\":1}";
    let create = nats::publish("$JS.API.STREAM.CREATE.KV_read", "_INBOX.setup", stream);
    let made = crowd.ask(0, &create)?;
    ensure!(!made.windows(7).any(|it| it == b"\"error\""), "{}", String::from_utf8_lossy(&made));
    crowd.ask(0, &nats::publish("$KV.read.leader", "_INBOX.setup", LEADER))?;
    Ok(())
}
