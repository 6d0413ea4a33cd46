//! The command line. The comments here are its `--help`.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use tenure::client::Address;

mod place;

pub(crate) use self::place::{Enter, Withdraw};

const EXIT_CODES: &str = "\
Exit codes:
   0  done; also where a watch or a place ended because whoever read its output has left
   1  the server refused, or something failed; standard error says what
   2  the command line makes no sense
   3  nobody leads (term)
   4  the term is stale (check)
   5  the term is unknown to the server (check)
   6  can't reach the server, no answer came in time, or the connection was lost
   7  the place was lost: somebody removed the candidate, or its session is over (enter, withdraw)
   8  the session file is missing, or can't be used (enter, withdraw)
  70  an internal fault
  74  the data directory can't be used, or not any more; standard error says why (serve,
      backup, restore, inspect)
run passes the command's own code through (128 + n if signal n ended it); its own are
  64  the lead was lost, with --once
  65  not won within --wait
  66  the command could not be started
  69  the server refused";

/// Leader election as fast as an atomic load.
#[derive(Debug, Parser)]
#[command(name = "tenure", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// Reads the command line. Every command's help tells the exit codes.
    pub(crate) fn read() -> Self {
        let mut command = Self::command().mut_subcommands(|one| one.after_help(EXIT_CODES));
        let matches = command.get_matches_mut();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a server.
    Serve(Box<Serve>),
    #[command(flatten)]
    Ask(Ask),
    /// Write all that a server keeps to a file. The server goes on meanwhile.
    Backup(Backup),
    /// Make a data directory of a backup: all sessions end, and every term and the floor rise by 2^32,
    /// because nobody knows what was told after the backup was made.
    Restore(Restore),
    /// Tell what a data directory holds. No server may be using it.
    Inspect(Inspect),
    /// Run a command only while leading; contend for the lead until it has ended.
    Run(Run),
    /// See three candidates pass the lead on when one is killed, and when one is stopped. No setup.
    Demo,
    /// Becomes a command that ends with its parent. For `run`.
    #[command(hide = true)]
    Guard {
        parent: i32,
        #[arg(last = true)]
        command: Vec<OsString>,
    },
    /// Contends in the demo. For `demo`.
    #[command(hide = true)]
    DemoCandidate {
        address: Address,
        election: String,
        name: String,
        ttl_millis: u64,
        failover: Failover,
    },
}

/// What a closed connection means to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Failover {
    /// Nothing: it leads until its deadline. Never two acting leaders.
    Exclusive,
    /// The end of its lead, at once: the shortest gap. Overlap is caught by the term alone.
    Fast,
}

impl From<Failover> for tenure::client::OnDisconnect {
    fn from(failover: Failover) -> Self {
        match failover {
            Failover::Exclusive => Self::Exclusive,
            Failover::Fast => Self::Fast,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The election's name.
    pub(crate) election: String,
    /// The command and its arguments, after `--`. It finds TENURE_TERM, TENURE_ELECTION and
    /// TENURE_CANDIDATE in its environment.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
    /// The candidate's name. [default: host, process id and something random]
    #[arg(long, value_name = "NAME")]
    pub(crate) candidate: Option<String>,
    /// How long the lead lasts without a word from this process: 500ms (fast: 100ms) to 24h.
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = time)]
    pub(crate) ttl: Duration,
    /// What a lost connection means.
    #[arg(long, value_enum, default_value_t = Failover::Exclusive)]
    pub(crate) failover: Failover,
    /// Start the command again when it ends by itself, for as long as it leads.
    #[arg(long)]
    pub(crate) restart: bool,
    /// End when the lead is lost, instead of contending again.
    #[arg(long)]
    pub(crate) once: bool,
    /// Give up if the lead is not won in this time. [default: never]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) wait: Option<Duration>,
    #[command(flatten)]
    pub(crate) to: To,
}

/// What is asked of a server.
#[derive(Debug, Subcommand)]
pub(crate) enum Ask {
    /// Hold a place in an election until interrupted, printing each term; then withdraw.
    ///
    /// The place survives a lost connection for as long as --ttl. With --detach it is left behind
    /// instead, and lasts for --ttl from the last renewal.
    Enter(Enter),
    /// Give up a place that `enter --detach` left behind, end its session, and remove its file.
    Withdraw(Withdraw),
    /// Make a candidate the leader.
    Anoint {
        #[command(flatten)]
        on: OnCandidate,
    },
    /// Swap a candidate with the one before it.
    Promote {
        #[command(flatten)]
        on: OnCandidate,
    },
    /// Swap a candidate with the one behind it.
    Demote {
        #[command(flatten)]
        on: OnCandidate,
    },
    /// Remove a candidate, whoever holds it.
    Evict {
        #[command(flatten)]
        on: OnCandidate,
    },
    /// Print who leads; exit 3 when nobody does.
    Term {
        #[command(flatten)]
        on: OnElection,
    },
    /// List the elections whose name begins with PREFIX.
    List {
        #[command(flatten)]
        on: Prefix,
    },
    /// Tell all about an election: who leads since when and why, who waits, with their sessions.
    Describe {
        #[command(flatten)]
        on: OnElection,
    },
    /// Print who led, newest first.
    History {
        #[command(flatten)]
        on: OnElection,
    },
    /// Tell whether somebody leads in a term: exit 0 if so, 4 if it is stale, 5 if it is unknown.
    Check {
        #[command(flatten)]
        on: OnTerm,
    },
    /// List the sessions.
    Sessions {
        #[command(flatten)]
        to: To,
    },
    /// End somebody's session; its candidates leave.
    EndSession {
        #[command(flatten)]
        on: SessionRemoval,
    },
    /// Delete an election: all leave, and no election starts at or below its term again.
    Delete {
        #[command(flatten)]
        on: Removal,
    },
    /// Print who leads now, and again after each change.
    Watch {
        #[command(flatten)]
        on: OnElection,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    /// The file to write; one that is there is replaced once the new one is whole.
    pub(crate) file: PathBuf,
    /// Back up this data directory, which no server is using, instead of asking a server.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) to: To,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// A file that `tenure backup` wrote.
    pub(crate) file: PathBuf,
    /// The directory to make; it must not hold a server's data.
    #[arg(long, default_value = "./tenure-data", value_name = "DIR", env = "TENURE_DATA_DIR")]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// The data directory.
    pub(crate) data_dir: PathBuf,
    /// List the elections and sessions, too.
    #[arg(long)]
    pub(crate) all: bool,
    /// Text for people, or json for machines: one object a line.
    #[arg(short, long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub(crate) output: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Prefix {
    /// What the elections' names begin with.
    #[arg(default_value = "")]
    pub(crate) prefix: String,
    #[command(flatten)]
    pub(crate) to: To,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OnTerm {
    /// The election's name.
    pub(crate) election: String,
    /// The term.
    pub(crate) term: u64,
    #[command(flatten)]
    pub(crate) to: To,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Removal {
    /// The election's name.
    pub(crate) election: String,
    /// Why, for people.
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) to: To,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SessionRemoval {
    /// The session's public id.
    pub(crate) session: u64,
    /// Why, for people: its owner is told.
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) to: To,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OnElection {
    /// The election's name.
    pub(crate) election: String,
    #[command(flatten)]
    pub(crate) to: To,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OnCandidate {
    /// The election's name.
    pub(crate) election: String,
    /// The candidate's name.
    pub(crate) candidate: String,
    #[command(flatten)]
    pub(crate) to: To,
}

/// Which server, and how to print.
#[derive(Debug, clap::Args)]
pub(crate) struct To {
    /// The server: host:port or unix:///path.
    #[arg(long, env = "TENURE_SERVER", default_value = "127.0.0.1:5678", value_name = "ADDRESS")]
    pub(crate) server: Address,
    /// How long to try to connect.
    #[arg(long, default_value = "5s", value_name = "TIME", value_parser = time)]
    pub(crate) connect_timeout: Duration,
    /// How long to wait for an answer. A watch waits so long for the first state; run and enter wait
    /// for no answer longer than for a connection.
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = time)]
    pub(crate) timeout: Duration,
    /// Text for people, or json for machines: one object a line.
    #[arg(short, long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub(crate) output: Format,
}

impl To {
    /// For those who keep a session: what one patience may be, to connect and for each answer.
    pub(crate) fn patience(&self) -> Duration {
        self.connect_timeout.min(self.timeout)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Where to listen: host:port or unix:///path; may be given more than once. Port 0 picks a free
    /// port.
    #[arg(long, default_value = "127.0.0.1:5678", value_name = "ADDRESS")]
    pub(crate) listen: Vec<Address>,
    /// Write the bound addresses to this file, one a line.
    #[arg(long, value_name = "FILE")]
    pub(crate) ports_file: Option<PathBuf>,
    /// Listen beyond loopback although nothing is encrypted.
    #[arg(long)]
    pub(crate) allow_plaintext: bool,
    /// Keep terms, candidates and sessions in this directory. A reply that was sent survives a crash and
    /// a power cut.
    #[arg(long, default_value = "./tenure-data", value_name = "DIR", env = "TENURE_DATA_DIR")]
    pub(crate) data_dir: PathBuf,
    /// Refuse to start if the data directory holds nothing yet: it may be a volume that is not mounted.
    #[arg(long, conflicts_with = "memory")]
    pub(crate) must_exist: bool,
    /// Begin every election that is not known above this term. For a disk that was lost: give a number
    /// above any term that it told.
    #[arg(long, default_value_t = 0, value_name = "N", conflicts_with = "memory")]
    pub(crate) min_term: u64,
    /// Keep everything in memory: terms, candidates and sessions are lost when the server stops, and
    /// terms begin again at 1.
    #[arg(long)]
    pub(crate) memory: bool,

    /// Threads that serve connections. [default: half the cores]
    #[arg(long, value_name = "N")]
    pub(crate) reactors: Option<NonZeroUsize>,
    /// Parts the elections are spread over, 1 to 64. [default: four for each core]
    #[arg(long, value_name = "N")]
    pub(crate) shards: Option<NonZeroUsize>,
    /// Spin this long for more work before sleeping: lower latency for a busy core.
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = time)]
    pub(crate) busy_poll: Duration,

    /// How long a closed connection's candidates stay.
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = time)]
    pub(crate) disconnect_grace: Duration,
    /// Close a connection that sends no request for this long. 0s: never.
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = time)]
    pub(crate) connection_idle: Duration,
    /// Close a connection whose peer's host is silent for this long (not a stopped process: its host
    /// still answers), or that takes none of its output for this long. 0s: never.
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = time)]
    pub(crate) silence: Duration,
    /// Close a connection that takes this long over one frame.
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = time)]
    pub(crate) frame_time: Duration,
    /// Close a connection that takes none of its output for this long. Over TCP never longer than
    /// --silence: the system counts a full peer as a silent one.
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = time)]
    pub(crate) stall_time: Duration,
    /// How long to let clients finish after SIGTERM or SIGINT. A second signal ends at once.
    #[arg(long, default_value = "5s", value_name = "TIME", value_parser = time)]
    pub(crate) drain: Duration,

    /// Elections to show one by one among the metrics: a glob, where * stands for any text and ? for one
    /// character; may be given more than once.
    #[arg(long, value_name = "GLOB")]
    pub(crate) metrics_election: Vec<String>,

    /// What to log: error, warn, info, debug, trace, or a filter such as tenure=debug.
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "FILTER")]
    pub(crate) log_level: String,
    /// Text for people, or json for machines, on standard error.
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub(crate) log_format: Format,

    // Last, because its heading holds for all that follows.
    #[command(flatten)]
    pub(crate) limits: Limits,
}

/// The bounds. At one of them the answer is an error that names it, and nothing else suffers.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Limits {
    /// Bytes of an election's or a candidate's name.
    #[arg(long, default_value_t = 512, value_name = "BYTES")]
    max_name_bytes: usize,
    /// Candidates in one election.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    max_candidates: usize,
    /// Bytes of all candidates' names in one election.
    #[arg(long, default_value_t = 1 << 20, value_name = "BYTES")]
    max_candidate_bytes: usize,
    /// Bytes of what all candidates in one election say of themselves.
    #[arg(long, default_value_t = 1 << 20, value_name = "BYTES")]
    max_election_metadata_bytes: usize,
    /// Elections.
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    max_elections: usize,
    /// Sessions.
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    max_sessions: usize,
    /// Commands that wait in one shard's mailbox.
    #[arg(long, default_value_t = 65_536, value_name = "N")]
    max_mailbox: usize,
    /// Connections.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    max_connections: usize,
    /// Live streams on one connection.
    #[arg(long, default_value_t = 1_024, value_name = "N")]
    max_streams: usize,
    /// Bytes of one frame.
    #[arg(long, default_value_t = 4 << 20, value_name = "BYTES")]
    max_frame_bytes: usize,
    /// Bytes of pending output over which a connection's requests wait.
    #[arg(long, default_value_t = 1 << 20, value_name = "BYTES")]
    pause_output_bytes: usize,
    /// Bytes of pending output over which a connection is closed.
    #[arg(long, default_value_t = 8 << 20, value_name = "BYTES")]
    max_output_bytes: usize,
}

impl Limits {
    pub(crate) fn to_engine(&self) -> tenure::Limits {
        tenure::Limits {
            name_bytes: self.max_name_bytes,
            candidates: self.max_candidates,
            candidate_bytes: self.max_candidate_bytes,
            election_metadata_bytes: self.max_election_metadata_bytes,
            elections: self.max_elections,
            sessions: self.max_sessions,
            mailbox: self.max_mailbox,
            connections: self.max_connections,
            streams: self.max_streams,
            frame_bytes: self.max_frame_bytes,
            output_pause_bytes: self.pause_output_bytes,
            output_bytes: self.max_output_bytes,
        }
    }
}

/// A duration with its unit: `50us`, `3s`, `1m 30s`.
fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; give a number with a unit, such as 50us, 10s or 1m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_duration_takes_a_unit() {
        assert_eq!(time("50us"), Ok(Duration::from_micros(50)));
        assert!(time("50").unwrap_err().contains("such as 50us"));
    }

    #[test]
    fn the_documented_limits_are_the_defaults() {
        let Command::Serve(serve) = Args::parse_from(["tenure", "serve"]).command else {
            panic!("serve is serve")
        };
        assert_eq!(serve.limits.to_engine(), tenure::Limits::default());
    }
}
