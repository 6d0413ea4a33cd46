//! `tenure bench`: how fast a server is, told with all that has to be known to believe it.
//!
//! The load comes from raw sockets that never block, with frames that were built beforehand, so that the
//! client is not what is measured. A refusal, a lost connection or a missing answer is never a success.

mod conn;
mod crowd;
mod drive;
mod failover;
mod handover;
mod load;
mod machine;
mod pace;
mod progress;
mod proto;
mod report;
mod socket;
mod tally;
mod target;
mod watch;

use anyhow::Result;

pub(crate) use self::failover::candidate;

use self::machine::Machine;
use self::report::Report;
use self::target::Server;
use crate::args::bench::{Bench, Target, Workload};
use crate::{Exit, output};

pub(crate) fn run(bench: &Bench) -> Result<Exit> {
    let target = target(&bench.workload);
    let server = Server::of(target)?;
    let (plan, tally) = match &bench.workload {
        Workload::Term(term) => load::term(&server, term)?,
        Workload::Enter(load) => load::enter(&server, load)?,
        Workload::Heartbeat(heartbeat) => load::heartbeat(&server, heartbeat)?,
        Workload::Handover(handover) => handover::run(&server, handover)?,
        Workload::Watch(watch) => watch::run(&server, watch)?,
        Workload::Failover(death) => failover::run(&server, death)?,
    };
    let is_stream = !matches!(bench.workload, Workload::Failover(_));
    let report = Report {
        corrected: is_stream.then(|| tally.corrected()),
        plan: &plan,
        tally: &tally,
        server: &server,
        machine: Machine::here(),
        command: machine::command(),
    };
    output::line(&report.shaped(target.shape()))?;
    let is_good = !tally.has_failed() || target.allow_errors;
    Ok(if is_good { Exit::Ok } else { Exit::Failed })
}

fn target(workload: &Workload) -> &Target {
    match workload {
        Workload::Term(term) => &term.load.target,
        Workload::Enter(load) => &load.target,
        Workload::Heartbeat(heartbeat) => &heartbeat.load.target,
        Workload::Handover(handover) => &handover.target,
        Workload::Watch(watch) => &watch.target,
        Workload::Failover(death) => &death.target,
    }
}
