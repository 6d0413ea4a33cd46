//! Many want to lead: handovers a second.

use std::time::Duration;

use anyhow::Result;

use super::relay::{Player, Relay};
use super::stand::{Campaigner, Listening, Observing, Popping, Sequential, Waiting};
use super::{Plan, Task, take, unique};
use crate::figures::{Question, Unit};
use crate::fleet::{Fleet, Instance, Mode, Places, Setup};
use crate::machine::Placement::{self, OneCore, TwoCores};
use crate::net::Crowd;
use crate::wire::Dialect;
use crate::wire::jute::{self, Jute, Node};

/// So many elections at once, so many candidates in each; each has a connection of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Field {
    elections: usize,
    each: usize,
}

const ONE: Field = Field { elections: 1, each: 64 };
const MANY: Field = Field { elections: 64, each: 2 };

impl Field {
    fn name(self) -> &'static str {
        if self == ONE { "64 in one election" } else { "64 elections at once, 2 in each" }
    }

    fn connections(self) -> usize {
        self.elections * self.each
    }
}

#[derive(Clone, Copy)]
enum Way {
    Observe,
    Wait,
    Pop,
    Listen,
    Sequence,
    Campaign,
}

pub(super) fn tasks<'a>(
    fleet: &'a Fleet,
    plan: &Plan,
    places: &'a Places,
) -> Result<Vec<Task<'a>>> {
    let mut tasks = Vec::new();
    for (field, placement) in [(ONE, OneCore), (ONE, TwoCores), (MANY, TwoCores)] {
        let asked = |instance: &&Instance| is_asked(instance, field, placement);
        for instance in fleet.instances.iter().filter(asked) {
            let time = if instance.mode == Mode::Memory { plan.time() } else { plan.long_time() };
            for &(column, way) in ways(instance.setup) {
                let run = move |instance: &Instance| {
                    let rate = contend(instance, field, way, time, places)?;
                    Ok(vec![(field.name().to_owned(), Unit::PerSecond, rate)])
                };
                tasks.push(Task::of(instance, Question::Contend, placement, column, run));
            }
        }
    }
    Ok(tasks)
}

/// On disk it is the disk that takes the time, and many at once are about who shares its syncs.
fn is_asked(instance: &Instance, field: Field, placement: Placement) -> bool {
    match (instance.mode, instance.setup) {
        // With two in each of many elections, etcd 3.4 comes to a standstill now and then.
        (_, Setup::Etcd) => field == ONE && placement == TwoCores,
        // Who polls has to have its core for itself.
        (_, Setup::TenureBusy) => field == ONE && placement == TwoCores,
        (_, Setup::Relay) => field == ONE && placement == OneCore,
        (Mode::Memory, Setup::RelayAwake) => field == ONE && placement == TwoCores,
        (Mode::Disk, _) => placement == TwoCores,
        _ => field == ONE,
    }
}

/// Each with its column.
fn ways(setup: Setup) -> &'static [(&'static str, Way)] {
    match setup {
        Setup::Tenure => &[("Tenure", Way::Observe), ("Tenure, waiting", Way::Wait)],
        Setup::Relay | Setup::RelayAwake => &[("bare server", Way::Wait)],
        Setup::TenureBusy => &[("Tenure, waiting, busy polling", Way::Wait)],
        Setup::Redis => &[("Redis", Way::Pop), ("Redis, pub/sub", Way::Listen)],
        Setup::RedisAof => &[("Redis, AOF always", Way::Pop), ("Redis, AOF, pub/sub", Way::Listen)],
        Setup::Zookeeper => &[("ZooKeeper", Way::Sequence)],
        Setup::Etcd => &[("etcd", Way::Campaign)],
        _ => &[],
    }
}

fn contend(
    instance: &Instance,
    field: Field,
    way: Way,
    time: Duration,
    places: &Places,
) -> Result<f64> {
    let run = unique();
    let name = move |who: usize| format!("contend-{run}-{}", who / field.each);
    match way {
        Way::Observe => relay(instance, field, time, |who| Ok(Observing::new(&name(who), who))),
        Way::Wait => relay(instance, field, time, |who| Ok(Waiting::new(&name(who)))),
        Way::Pop => relay(instance, field, time, |who| Ok(Popping::new(&name(who), who))),
        Way::Listen => relay(instance, field, time, |who| Ok(Listening::new(&name(who), who))),
        Way::Sequence => {
            let folder = |who| format!("/{}", name(who));
            let mut crowd = Crowd::<Jute>::open(instance.address, 1)?;
            for election in 0..field.elections {
                let create = jute::create(&folder(election * field.each), "", Node::Kept);
                crowd.ask(0, &create)?;
            }
            crowd.close();
            relay(instance, field, time, |who| Ok(Sequential::new(&folder(who))))
        }
        Way::Campaign => {
            // One of its own: once campaigns that waited were cut off, etcd 3.4 answers no others that wait.
            let own = Fleet::again(instance, places)?;
            let player = |who| Ok(Campaigner::new(&name(who), take::lease(&own)?));
            relay(&own, field, time, player)
        }
    }
}

fn relay<D: Dialect + Default, P: Player<D>>(
    instance: &Instance,
    field: Field,
    time: Duration,
    player: impl Fn(usize) -> Result<P>,
) -> Result<f64> {
    let players = (0..field.connections()).map(player).collect::<Result<_>>()?;
    let mut crowd = Crowd::<D>::open(instance.address, field.connections())?;
    let rate = Relay::new(players, field.each).run(&mut crowd, time)?;
    crowd.close();
    Ok(rate)
}
