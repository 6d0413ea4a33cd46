//! The leader is killed with SIGKILL: until its successor knows that it leads.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{Plan, Task, take, unique};
use crate::figures::{Figures, Question, Unit};
use crate::fleet::{Fleet, Instance, Mode, Places, Running, Setup};
use crate::hold::held;
use crate::machine::Placement;
use crate::net::{Conn, Crowd};
use crate::wire::grpc::Grpc;
use crate::wire::jute::{self, Jute, Node};
use crate::wire::{Dialect, Heard, Kind, etcd};

const LEADS: &str = "leads";
/// Longer than any failover takes.
const PATIENCE: Duration = Duration::from_secs(15);
/// The tuned ZooKeeper's ticks allow from 200 ms to 2 s.
const SUCCESSOR_MILLIS: i32 = 30_000;

pub(super) fn tasks<'a>(
    fleet: &'a Fleet,
    plan: &Plan,
    places: &'a Places,
) -> Result<Vec<Task<'a>>> {
    let kills = plan.of(40, 2);
    let mut tasks = Vec::new();
    for instance in fleet.instances.iter().filter(|instance| instance.mode != Mode::Disk) {
        match (instance.setup, instance.mode) {
            (Setup::Tenure, Mode::Memory) => {
                tasks.push(of_tenure(instance, places, "fast", kills));
                tasks.push(of_tenure(instance, places, "exclusive", plan.of(8, 1)));
            }
            (Setup::Etcd | Setup::EtcdTuned | Setup::Zookeeper | Setup::ZookeeperTuned, _) => {
                tasks.push(of_peer(instance));
            }
            _ => {}
        }
    }
    Ok(tasks)
}

const ROW: (Question, &str, Unit) =
    (Question::Fail, "SIGKILL of the leader to its successor's knowing, p50", Unit::Millis);

/// By its own load generator, which kills processes that use its own client.
fn of_tenure<'a>(
    instance: &'a Instance,
    places: &'a Places,
    policy: &'static str,
    kills: usize,
) -> Task<'a> {
    let column = if policy == "fast" { "Tenure, fast" } else { "Tenure, exclusive" };
    Task::new(column.to_owned(), move |figures: &mut Figures| {
        instance.place(Placement::TwoCores)?;
        let mut command = Command::new(&places.tenure);
        command.args(["bench", "failover", "--json", "--failover", policy]);
        command.args(["-n", &kills.to_string(), "--server", &instance.address.to_string()]);
        let out = command.output().context("can't run tenure bench")?;
        let said = String::from_utf8_lossy(&out.stdout);
        ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let measured = said.split("\"measured_us\":").nth(1).context("no times")?;
        figures.add(ROW, column, value(measured, "p50")? / 1e3);
        let p99 = (Question::Fail, "the same, p99", Unit::Millis);
        figures.add(p99, column, value(measured, "p99")? / 1e3);
        Ok(())
    })
}

/// The first number of this name in a JSON object.
fn value(json: &str, name: &str) -> Result<f64> {
    let rest = json.split(&format!("\"{name}\":")).nth(1).with_context(|| format!("no {name}"))?;
    let end = rest.find([',', '}']).unwrap_or(rest.len());
    Ok(rest[..end].trim().parse()?)
}

fn of_peer(instance: &Instance) -> Task<'_> {
    let column = instance.setup.name();
    Task::new(column.to_owned(), move |figures: &mut Figures| {
        instance.place(Placement::TwoCores)?;
        let took = match instance.setup {
            Setup::Etcd | Setup::EtcdTuned => on_etcd(instance)?,
            _ => on_zookeeper(instance)?,
        };
        figures.add(ROW, column, took.as_secs_f64() * 1e3);
        Ok(())
    })
}

/// A process that leads, and keeps its session, until it is killed.
fn leader(instance: &Instance, name: &str) -> Result<Running> {
    let mut command = held(instance.cores().client, &std::env::current_exe()?)?;
    let system = match instance.setup {
        Setup::Etcd | Setup::EtcdTuned => "etcd",
        _ => "zookeeper",
    };
    command.args(["lead", system, &instance.address.to_string(), name]).stdout(Stdio::piped());
    let mut leader = Running::spawn(&mut command)?;
    ensure!(leader.line()? == LEADS, "it does not lead");
    Ok(leader)
}

/// At some point between two signs of life, as it happens.
fn live_a_while() {
    std::thread::sleep(Duration::from_millis(300 + 137 * (unique() % 8)));
}

fn on_etcd(instance: &Instance) -> Result<Duration> {
    let name = format!("death-{}", unique());
    let mut leader = leader(instance, &name)?;
    let mut crowd = Crowd::<Grpc>::open(instance.address, 1)?;
    crowd.conns[0].send(&etcd::campaign(&name, take::lease(instance)?, "successor"))?;
    live_a_while();
    let killed = Instant::now();
    leader.kill();
    await_frame(&mut crowd)?;
    Ok(killed.elapsed())
}

/// It watches the leader's node, and makes its own when that goes.
fn on_zookeeper(instance: &Instance) -> Result<Duration> {
    let path = format!("/death-{}", unique());
    let mut leader = leader(instance, &path)?;
    let session = || Jute::with_timeout(SUCCESSOR_MILLIS);
    let mut crowd = Crowd::open_as(instance.address, [session()].into_iter())?;
    crowd.ask(0, &jute::exists(&path, true))?;
    live_a_while();
    let killed = Instant::now();
    leader.kill();
    await_frame(&mut crowd)?;
    crowd.ask(0, &jute::create(&path, "successor", Node::Ephemeral))?;
    let took = killed.elapsed();
    crowd.close();
    Ok(took)
}

/// The next thing that is said, which must be no refusal.
fn await_frame<D: Dialect>(crowd: &mut Crowd<D>) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    let mut has_come = false;
    while !has_come && Instant::now() < until {
        crowd.turn_within(PATIENCE, &mut |_: &mut [Conn<D>], _: usize, heard: &Heard| {
            if let Kind::Refused(code) = heard.kind {
                bail!("a request was refused: {code}");
            }
            has_come = true;
            Ok(())
        })?;
    }
    ensure!(has_come, "nobody led within {PATIENCE:?}");
    Ok(())
}

/// The other process.
pub fn lead(system: &str, address: SocketAddr, name: &str) -> Result<()> {
    match system {
        "etcd" => lead_in_etcd(address, name),
        _ => lead_in_zookeeper(address, name),
    }
}

/// With the shortest lease that the server grants.
fn lead_in_etcd(address: SocketAddr, name: &str) -> Result<()> {
    let mut crowd = Crowd::<Grpc>::open(address, 1)?;
    let (lease, seconds) = etcd::granted(&crowd.ask(0, &etcd::grant_lease(1))?);
    crowd.ask(0, &etcd::campaign(name, lease, "leader"))?;
    println!("{LEADS}");
    loop {
        crowd.ask(0, &etcd::keep_alive(lease))?;
        std::thread::sleep(Duration::from_secs(seconds) / 3);
    }
}

/// With the shortest session that the server gives.
fn lead_in_zookeeper(address: SocketAddr, path: &str) -> Result<()> {
    let mut crowd = Crowd::open_as(address, [Jute::with_timeout(1)].into_iter())?;
    crowd.ask(0, &jute::create(path, "leader", Node::Ephemeral))?;
    println!("{LEADS}");
    loop {
        let conn = &mut crowd.conns[0];
        conn.out.extend(jute::ping());
        conn.flush()?;
        let rest = conn.dialect.timeout() / 3;
        crowd.turn_within(rest, &mut |_: &mut [Conn<Jute>], _: usize, _: &Heard| Ok(()))?;
        std::thread::sleep(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn numbers_out_of_a_report() {
        let json = r#"{"min":1.5,"p50":480.25,"p99":503}}"#;
        assert_eq!(value(json, "p50").unwrap(), 480.25);
        assert_eq!(value(json, "p99").unwrap(), 503.0);
        assert!(value(json, "p90").is_err());
    }
}
