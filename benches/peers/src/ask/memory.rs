//! What an election takes: bytes more in memory after very many of them, with one who leads each.

use std::process::Command;

use anyhow::{Result, bail, ensure};

use super::{LEADER, Plan};
use crate::figures::{Figures, Question, Unit};
use crate::fleet::{Fleet, Instance, Mode, Setup};
use crate::machine::resident;
use crate::net::{Conn, Crowd};
use crate::wire::grpc::Grpc;
use crate::wire::jute::{self, Jute, Node};
use crate::wire::resp::{self, Resp};
use crate::wire::ttrpc::{self, Ttrpc};
use crate::wire::{Dialect, Heard, Kind, Request, etcd};

/// Requests under way at a time.
const WINDOW: usize = 256;

/// Once, of servers that were not asked for anything before.
pub fn ask(fleet: &Fleet, plan: &Plan, figures: &mut Figures) -> Result<()> {
    let count = plan.of(100_000, 2_000);
    for instance in &fleet.instances {
        let is_asked = match instance.setup {
            Setup::Tenure => instance.mode != Mode::Disk,
            Setup::Redis | Setup::Zookeeper | Setup::Etcd => true,
            _ => false,
        };
        if !is_asked {
            continue;
        }
        eprintln!("Memory: {}, {}", instance.setup.name(), instance.mode.name());
        let heap = if instance.setup == Setup::Zookeeper { heap(instance) } else { None };
        let before = resident(instance.process.id())?;
        // Held until all is read: with the connection, or the session, its elections would go.
        let _held = fill(instance, count)?;
        let after = resident(instance.process.id())?;
        let mode = instance.modes()[0].name();
        let each = |before: u64, after: u64| after.saturating_sub(before) as f64 / count as f64;
        let row = format!("resident bytes each, of {count}, {mode}");
        let column = instance.setup.name();
        figures.add((Question::Memory, &row, Unit::Bytes), column, each(before, after));
        if let Some((before, after)) = heap.zip(heap_again(instance)) {
            let row = format!("bytes of heap after a collection each, of {count}, {mode}");
            figures.add((Question::Memory, &row, Unit::Bytes), column, each(before, after));
        }
    }
    Ok(())
}

fn heap_again(instance: &Instance) -> Option<u64> {
    (instance.setup == Setup::Zookeeper).then(|| heap(instance)).flatten()
}

/// Of a JVM, what is left after a full collection; nothing if there is no `jcmd`.
fn heap(instance: &Instance) -> Option<u64> {
    let process = instance.process.id().to_string();
    let out = Command::new("jcmd").args([&process, "GC.class_histogram"]).output().ok()?;
    total(&String::from_utf8_lossy(&out.stdout))
}

/// `Total  <objects>  <bytes>`
fn total(histogram: &str) -> Option<u64> {
    let line = histogram.lines().find(|line| line.starts_with("Total"))?;
    line.split_whitespace().nth(2)?.parse().ok()
}

/// What keeps them there.
type Held = Box<dyn std::any::Any>;

fn fill(instance: &Instance, count: usize) -> Result<Held> {
    let name = |n: usize| format!("memory/{n:06}");
    let node = |n: usize| format!("/memory-{n:06}");
    Ok(match instance.setup {
        Setup::Redis => {
            Box::new(send::<Resp>(instance, count, |n| resp::command(&["SET", &name(n), LEADER]))?)
        }
        Setup::Etcd => Box::new(send::<Grpc>(instance, count, |n| etcd::put(&name(n), LEADER))?),
        Setup::Zookeeper => Box::new(send::<Jute>(instance, count, |n| {
            jute::create(&node(n), LEADER, Node::Ephemeral)
        })?),
        _ => Box::new(send::<Ttrpc>(instance, count, |n| {
            ttrpc::on_candidate("Enter", &name(n), LEADER)
        })?),
    })
}

fn send<D: Dialect + Default>(
    instance: &Instance,
    count: usize,
    request: impl Fn(usize) -> Request,
) -> Result<Crowd<D>> {
    let mut crowd = Crowd::<D>::open(instance.address, 1)?;
    let (mut sent, mut answered) = (WINDOW.min(count), 0);
    (0..sent).for_each(|n| _ = crowd.conns[0].put(&request(n)));
    crowd.conns[0].flush()?;
    while answered < count {
        crowd.turn(&mut |conns: &mut [Conn<D>], _: usize, heard: &Heard| {
            if let Kind::Refused(code) = heard.kind {
                bail!("a request was refused: {code}");
            }
            answered += 1;
            if sent < count {
                conns[0].put(&request(sent));
                sent += 1;
            }
            Ok(())
        })?;
    }
    ensure!(answered == count, "answers that nobody asked for");
    Ok(crowd)
}

#[cfg(test)]
mod tests {
    use super::total;

    #[test]
    fn the_last_line_of_a_histogram() {
        let said = " num     #instances         #bytes\n   1:  10  240  [B\nTotal         10            240\n";
        assert_eq!(total(said), Some(240));
        assert_eq!(total("no such process"), None);
    }
}
