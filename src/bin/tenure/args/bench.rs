//! `tenure bench`: what is measured, how hard, against whom, and how it is told.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Arguments, Subcommand, ValueEnum};

use super::{Failover, Format, To, time};

const HOW_LONG: Duration = Duration::from_secs(5);

#[derive(Debug, Arguments)]
#[command(subcommand_value_name = "WORKLOAD", subcommand_help_heading = "Workloads")]
pub(crate) struct Bench {
    #[command(subcommand)]
    pub(crate) workload: Workload,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Workload {
    /// Read who leads.
    Term(Term),
    /// Enter an election and withdraw, as a pair: who is alone leads in between.
    Enter(Load),
    /// Renew sessions.
    Heartbeat(Heartbeat),
    /// Pass the lead around in one election that many contend for.
    Handover(Handover),
    /// Change one election that many watch, until the last of them has seen it.
    Watch(Watch),
    /// Kill the leader's process, until its successor's knows that it leads.
    Failover(Death),
}

/// Which server, and how the outcome is told.
#[derive(Debug, Arguments)]
pub(crate) struct Target {
    #[command(flatten)]
    pub(crate) to: To,
    /// Start a server for this alone, on a free port of this machine, in memory unless --data-dir is
    /// given, and end it afterwards.
    #[arg(long, conflicts_with = "server")]
    pub(crate) spawn: bool,
    /// Where the server that --spawn starts keeps what it tells.
    #[arg(long, value_name = "DIR", requires = "spawn")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The same as `--output json`.
    #[arg(long, conflicts_with_all = ["csv", "output"])]
    json: bool,
    /// A header and a line of values separated by commas.
    #[arg(long, conflicts_with = "output")]
    csv: bool,
    /// Exit 0 although requests failed. They count as failures all the same.
    #[arg(long)]
    pub(crate) allow_errors: bool,
}

/// How the outcome is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    Json,
    Csv,
}

impl Target {
    pub(crate) fn shape(&self) -> Shape {
        match self.to.output {
            _ if self.csv => Shape::Csv,
            Format::Json => Shape::Json,
            Format::Text if self.json => Shape::Json,
            Format::Text => Shape::Text,
        }
    }
}

/// How much of it.
#[derive(Debug, Arguments)]
pub(crate) struct Amount {
    /// End after so many. [default: 5s' worth]
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "duration")]
    requests: Option<NonZeroU64>,
    /// Begin no more after this time.
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    duration: Option<Duration>,
    /// Do the same for this long before, and don't count it.
    #[arg(long, default_value = "200ms", value_name = "TIME", value_parser = time)]
    pub(crate) warm_up: Duration,
}

/// When to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    Done(u64),
    Over(Duration),
}

impl Amount {
    pub(crate) fn until(&self) -> Until {
        match (self.requests, self.duration) {
            (Some(count), _) => Until::Done(count.get()),
            (None, time) => Until::Over(time.unwrap_or(HOW_LONG)),
        }
    }
}

/// Requests on many connections at once.
#[derive(Debug, Arguments)]
pub(crate) struct Load {
    /// Connections.
    #[arg(short, long, default_value = "8", value_name = "N")]
    pub(crate) connections: NonZeroUsize,
    /// Requests under way on each connection: exactly so many without --rate, at most with it.
    /// [default: 1, or 64 with --rate]
    #[arg(short = 'P', long, value_name = "N")]
    in_flight: Option<NonZeroUsize>,
    /// Requests a second in all, whether or not the answers keep up: an open loop. Times count from when
    /// a request was due, not from when it could be sent. With --duration as many are asked as are due in
    /// that time, however long they take. [default: the next one follows the answer]
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<NonZeroU32>,
    /// Threads that ask. [default: half the cores, at most one a connection]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(crate) amount: Amount,
    #[command(flatten)]
    pub(crate) target: Target,
}

impl Load {
    pub(crate) fn in_flight(&self) -> usize {
        let default = if self.rate.is_some() { 64 } else { 1 };
        self.in_flight.map_or(default, NonZeroUsize::get)
    }

    pub(crate) fn threads(&self) -> usize {
        let half = || std::thread::available_parallelism().map_or(1, |cores| cores.get() / 2);
        let threads = self.threads.map_or_else(half, NonZeroUsize::get);
        threads.clamp(1, self.connections.get())
    }
}

#[derive(Debug, Arguments)]
pub(crate) struct Term {
    /// Elections that are read, in turn.
    #[arg(long, default_value = "1", value_name = "N")]
    pub(crate) elections: NonZeroUsize,
    /// Candidates that stand in each.
    #[arg(long, default_value = "1", value_name = "N")]
    pub(crate) candidates: NonZeroUsize,
    #[command(flatten)]
    pub(crate) load: Load,
}

#[derive(Debug, Arguments)]
pub(crate) struct Heartbeat {
    /// Sessions that are renewed, in turn; at least one a connection.
    #[arg(long, default_value = "1000", value_name = "N")]
    pub(crate) sessions: NonZeroUsize,
    #[command(flatten)]
    pub(crate) load: Load,
}

/// How a candidate learns that its turn has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Learn {
    /// It observes the election, as Tenure's own clients do: each candidate is told of each leader.
    Observe,
    /// It waits for the answer to its Enter, for one name that all want: only who leads is told.
    Wait,
}

#[derive(Debug, Arguments)]
pub(crate) struct Handover {
    /// Candidates, each with a connection of its own; 2 at least.
    #[arg(long, default_value = "64", value_name = "N", value_parser = at_least_two)]
    pub(crate) candidates: usize,
    /// How a candidate learns that it leads.
    #[arg(long, value_enum, default_value_t = Learn::Observe)]
    pub(crate) learn: Learn,
    #[command(flatten)]
    pub(crate) amount: Amount,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Arguments)]
pub(crate) struct Watch {
    /// Watches on the election.
    #[arg(long, default_value = "1000", value_name = "N")]
    pub(crate) watchers: NonZeroUsize,
    /// Connections that they share. [default: one for each]
    #[arg(short, long, value_name = "N")]
    connections: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(crate) amount: Amount,
    #[command(flatten)]
    pub(crate) target: Target,
}

impl Watch {
    pub(crate) fn connections(&self) -> usize {
        self.connections.unwrap_or(self.watchers).min(self.watchers).get()
    }
}

#[derive(Debug, Arguments)]
pub(crate) struct Death {
    /// What a closed connection means to the candidates' sessions.
    #[arg(long, value_enum, default_value_t = Failover::Fast)]
    pub(crate) failover: Failover,
    /// How long their sessions last without a word. [default: 500ms, or 10s with --failover fast]
    #[arg(long, value_name = "TIME", value_parser = time)]
    ttl: Option<Duration>,
    /// How often a leader is killed. [default: 20, or 100 with --failover fast]
    #[arg(short = 'n', long, value_name = "N")]
    requests: Option<NonZeroU64>,
    #[command(flatten)]
    pub(crate) target: Target,
}

impl Death {
    pub(crate) fn ttl(&self) -> Duration {
        let default = match self.failover {
            Failover::Exclusive => Duration::from_millis(500),
            Failover::Fast => Duration::from_secs(10),
        };
        self.ttl.unwrap_or(default)
    }

    pub(crate) fn kills(&self) -> u64 {
        let default = match self.failover {
            Failover::Exclusive => 20,
            Failover::Fast => 100,
        };
        self.requests.map_or(default, NonZeroU64::get)
    }
}

fn some_time(text: &str) -> Result<Duration, String> {
    match time(text)? {
        Duration::ZERO => Err("nothing can be measured in no time".to_owned()),
        time => Ok(time),
    }
}

fn at_least_two(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 2..) => Ok(count),
        Ok(_) => Err("the lead passes from one to another: give 2 or more".to_owned()),
        Err(error) => Err(format!("{error}; give a number, 2 or more")),
    }
}
