//! Take the lead and release it: one client, alone.

use std::time::Duration;

use anyhow::Result;

use super::{ELECTION, LEADER, Plan, Task, sync, unique};
use crate::figures::{Question, Unit};
use crate::fleet::{Fleet, Instance, Mode, Places, Setup};
use crate::machine::Placement;
use crate::net::{Crowd, Cycle, Step};
use crate::wire::grpc::Grpc;
use crate::wire::jute::{self, Jute, Node};
use crate::wire::resp::{self, Resp};
use crate::wire::ttrpc::{self, Ttrpc};
use crate::wire::{Dialect, etcd};

pub(super) const LEASE_SECONDS: u64 = 60;

pub(super) fn tasks<'a>(
    fleet: &'a Fleet,
    plan: &Plan,
    places: &'a Places,
) -> Result<Vec<Task<'a>>> {
    let mut tasks = Vec::new();
    for placement in [Placement::OneCore, Placement::TwoCores] {
        for instance in fleet.instances.iter().filter(|it| is_asked(it, placement)) {
            let is_kept = instance.mode != Mode::Memory;
            let time = if is_kept { plan.long_time() } else { plan.time() };
            let run = move |instance: &Instance| take(instance, time);
            let column = instance.setup.name();
            tasks.push(Task::of(instance, Question::Take, placement, column, run));
        }
    }
    if fleet.instances.iter().any(|instance| instance.mode == Mode::Disk) {
        let count = plan.of(500, 50);
        tasks.push(Task::new("fdatasync".into(), move |figures| {
            let row = (Question::Take, "one fdatasync of 4 KiB more, p50", Unit::Micros);
            figures.add(row, "bare disk", sync::p50_us(places, count)?);
            Ok(())
        }));
    }
    Ok(tasks)
}

fn is_asked(instance: &Instance, placement: Placement) -> bool {
    let is_shown = placement == Placement::TwoCores || instance.mode != Mode::Disk;
    let is_for_others = matches!(
        instance.setup,
        Setup::Echo
            | Setup::Fan
            | Setup::Relay
            | Setup::RelayAwake
            | Setup::TenureBusy
            | Setup::Nats
    );
    is_shown && !is_for_others
}

fn take(instance: &Instance, time: Duration) -> Result<Vec<(String, Unit, f64)>> {
    let name = format!("take-{}", unique());
    match instance.setup {
        Setup::Redis | Setup::RedisAof => {
            let take = resp::command(&["SET", &name, LEADER, "NX", "PX", "30000"]);
            pairs::<Resp>(instance, time, take, Step::Same(resp::command(&["DEL", &name])))
        }
        Setup::Zookeeper => {
            let path = format!("/{name}");
            let take = jute::create(&path, LEADER, Node::Ephemeral);
            pairs::<Jute>(instance, time, take, Step::Same(jute::delete(&path)))
        }
        Setup::Etcd => {
            let lease = lease(instance)?;
            let take = etcd::campaign(&name, lease, LEADER);
            pairs::<Grpc>(instance, time, take, Step::From(etcd::resign))
        }
        Setup::Keep => {
            let any = ttrpc::get_term(ELECTION);
            pairs::<Ttrpc>(instance, time, any.clone(), Step::Same(any))
        }
        _ => {
            let ask = |method| ttrpc::on_candidate(method, &name, LEADER);
            pairs::<Ttrpc>(instance, time, ask("Enter"), Step::Same(ask("Withdraw")))
        }
    }
}

/// One that lasts longer than it is used.
pub(super) fn lease(instance: &Instance) -> Result<u64> {
    let mut crowd = Crowd::<Grpc>::open(instance.address, 1)?;
    Ok(etcd::granted(&crowd.ask(0, &etcd::grant_lease(LEASE_SECONDS))?).0)
}

fn pairs<D: Dialect + Default>(
    instance: &Instance,
    time: Duration,
    take: crate::wire::Request,
    release: Step,
) -> Result<Vec<(String, Unit, f64)>> {
    let mut crowd = Crowd::<D>::open(instance.address, 1)?;
    let load = Cycle::new(vec![vec![Step::Same(take), release]], 1).run(&mut crowd, time)?;
    crowd.close();
    let mut rows = vec![("take and release".to_owned(), Unit::PerSecond, load.per_second)];
    rows.extend(load.p50_us.map(|p50| ("take and release, p50".to_owned(), Unit::Micros, p50)));
    Ok(rows)
}
