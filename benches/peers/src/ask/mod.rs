//! The questions, and how each system is asked.

mod contend;
mod death;
mod fan;
mod memory;
mod read;
mod relay;
mod stand;
mod sync;
mod take;

use std::cell::Cell;
use std::time::Duration;

use anyhow::Result;

pub use death::lead;

use crate::figures::{Figures, Question, Unit};
use crate::fleet::{Fleet, Instance, Mode, Places, Setup};
use crate::machine::Placement;

/// The election that is read, and who leads it.
pub const ELECTION: &str = "billing/cron";
pub const LEADER: &str = "node-a";

/// How much of each.
#[derive(Clone, Debug)]
pub struct Plan {
    pub rounds: usize,
    pub quick: bool,
    pub questions: Vec<Question>,
}

impl Plan {
    pub fn asks(&self, question: Question) -> bool {
        self.questions.contains(&question)
    }

    /// How long a closed loop runs, once it is warm.
    pub fn time(&self) -> Duration {
        Duration::from_millis(if self.quick { 40 } else { 250 })
    }

    /// The same where a disk is waited for.
    pub fn long_time(&self) -> Duration {
        2 * self.time()
    }

    /// Rounds that don't count, of those that compile as they run. ZooKeeper's figures rise for about so many.
    pub fn warming(&self) -> usize {
        self.of(6, 1)
    }

    pub fn of(&self, many: usize, few: usize) -> usize {
        if self.quick { few } else { many }
    }
}

type Run<'a> = Box<dyn FnMut(&mut Figures) -> Result<()> + 'a>;

/// One system's part of one question.
pub struct Task<'a> {
    pub name: String,
    /// Its system compiles as it runs: its first seconds are not what it can do.
    pub warms: bool,
    run: Run<'a>,
}

impl<'a> Task<'a> {
    pub fn new(name: String, run: impl FnMut(&mut Figures) -> Result<()> + 'a) -> Self {
        Self { name, warms: false, run: Box::new(run) }
    }

    /// A measure of one instance, which stands in a row of each of its modes. It gives rows with values.
    fn of(
        instance: &'a Instance,
        question: Question,
        placement: Placement,
        column: &'static str,
        mut run: impl FnMut(&Instance) -> Result<Vec<(String, Unit, f64)>> + 'a,
    ) -> Self {
        let name = format!("{column}, {}, {}", instance.mode.name(), placement.name());
        let warms = instance.setup == Setup::Zookeeper;
        let task = Self::new(name, move |figures| {
            instance.place(placement)?;
            let rows = run(instance)?;
            for mode in modes(instance, question) {
                for (row, unit, value) in &rows {
                    let row = format!("{row}, {}, {}", placement.name(), mode.name());
                    figures.add((question, &row, *unit), column, *value);
                }
            }
            Ok(())
        });
        Self { warms, ..task }
    }

    pub fn run(&mut self, figures: &mut Figures) -> Result<()> {
        (self.run)(figures)
    }
}

/// Where nothing is written, a log makes no row of its own.
fn modes(instance: &Instance, question: Question) -> &'static [Mode] {
    match (question, instance.modes()) {
        (Question::Read | Question::Watch, [Mode::Memory, ..]) => &[Mode::Memory],
        (_, modes) => modes,
    }
}

/// What is asked of these servers, in the order of a round.
pub fn tasks<'a>(fleet: &'a Fleet, plan: &Plan, places: &'a Places) -> Result<Vec<Task<'a>>> {
    let mut tasks = Vec::new();
    for (question, make) in [
        (Question::Read, read::tasks as fn(&'a Fleet, &Plan, &'a Places) -> Result<Vec<Task<'a>>>),
        (Question::Take, take::tasks),
        (Question::Contend, contend::tasks),
        (Question::Watch, fan::tasks),
        (Question::Fail, death::tasks),
    ] {
        if plan.asks(question) {
            let mut made = make(fleet, plan, places)?;
            made.iter_mut().for_each(|task| task.name = format!("{question:?}: {}", task.name));
            tasks.extend(made);
        }
    }
    Ok(tasks)
}

pub use memory::ask as memory;

/// A number that no other run of a question had: names must not meet those of a run before.
fn unique() -> u64 {
    thread_local!(static LAST: Cell<u64> = const { Cell::new(0) });
    LAST.with(|last| {
        last.set(last.get() + 1);
        last.get()
    })
}
