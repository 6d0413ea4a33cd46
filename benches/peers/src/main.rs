//! The same questions to Tenure, etcd, ZooKeeper, Redis and NATS, in turn, on one machine. See README.md.

mod args;
mod ask;
mod bare;
mod figures;
mod fleet;
mod hold;
mod machine;
mod net;
mod tell;
mod wire;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use args::{Args, Part};
use ask::Plan;
use figures::{Figures, Question};
use fleet::{Fleet, Places, System};
use tell::Told;

fn main() -> Result<()> {
    let args = Args::parse();
    match &args.part {
        Some(Part::Hold { core, command }) => hold::hold(*core, command),
        Some(Part::Echo) => bare::echo(),
        Some(Part::Keep { path }) => bare::keep(path),
        Some(Part::Fan) => bare::fan(),
        Some(Part::Relay { awake, path }) => bare::relay(path.as_deref(), *awake),
        Some(Part::Lead { system, address, name }) => ask::lead(system, *address, name),
        None => compare(&args),
    }
}

fn compare(args: &Args) -> Result<()> {
    let root = args.root()?;
    let tenure = root.join("target/release/tenure");
    tenure.metadata().context("build Tenure first: cargo build --release --bin tenure")?;
    let systems = fleet::install(&args.systems())?;
    machine::allow_many_connections();
    let places = Places::make(&args.disk(&root), &tenure)?;
    places.end_on_signals()?;
    let told = Told {
        facts: machine::facts(&root),
        versions: fleet::versions(&systems, &tenure),
        command: args.command(),
        rounds: args.plan().rounds,
    };
    machine::pin(places.cores.client)?;
    let figures = measure(&args.plan(), &systems, &places)?;
    tell(args, &root, &told, &figures)
}

fn measure(plan: &Plan, systems: &[System], places: &Places) -> Result<Figures> {
    let mut figures = Figures::default();
    if plan.asks(Question::Memory) {
        ask::memory(&Fleet::in_memory(places, systems)?, plan, &mut figures)?;
    }
    if plan.questions.iter().any(|question| *question != Question::Memory) {
        rounds(&Fleet::in_memory(places, systems)?, plan, places, &mut figures)?;
        rounds(&Fleet::on_disk(places, systems)?, plan, places, &mut figures)?;
    }
    if plan.asks(Question::Fail) {
        let plan = Plan { questions: vec![Question::Fail], ..plan.clone() };
        rounds(&Fleet::tuned(places, systems)?, &plan, places, &mut figures)?;
    }
    Ok(figures)
}

/// Each question to each system in turn, and all of it again.
fn rounds(fleet: &Fleet, plan: &Plan, places: &Places, figures: &mut Figures) -> Result<()> {
    let mut tasks = ask::tasks(fleet, plan, places)?;
    for round in 1..=plan.warming() {
        for task in tasks.iter_mut().filter(|task| task.warms) {
            eprintln!("warming {round} of {}: {}", plan.warming(), task.name);
            // What it fails by, it fails by again, and is told then.
            let _not_counted = task.run(&mut Figures::default());
        }
    }
    let count = tasks.len();
    for round in 1..=plan.rounds {
        for (number, task) in tasks.iter_mut().enumerate() {
            eprintln!("round {round} of {}, {} of {count}: {}", plan.rounds, number + 1, task.name);
            if let Err(why) = task.run(figures) {
                eprintln!("  failed: {why:#}");
                figures.failures.push(format!("{}: {why:#}", task.name));
            }
        }
    }
    Ok(())
}

fn tell(args: &Args, root: &Path, told: &Told, figures: &Figures) -> Result<()> {
    let table = tell::table(figures, told);
    println!("{table}");
    if args.writes() {
        tell::write(root, &table, &tell::plot(figures))?;
        eprintln!("wrote docs/performance.md and docs/peers.svg");
    }
    ensure!(figures.failures.is_empty(), "not all could be measured");
    Ok(())
}
