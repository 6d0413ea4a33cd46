//! The command line. The comments here are its `--help`.

use std::ffi::OsString;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use tenure::client::Address;

mod ask;
pub(crate) mod bench;
mod kept;
mod limits;
mod place;
mod run;
mod serve;

pub(crate) use self::ask::{
    Ask, OnCandidate, OnElection, OnTerm, Prefix, Removal, SessionRemoval, Status,
};
pub(crate) use self::bench::Bench;
pub(crate) use self::kept::{Backup, Inspect, Restore};
pub(crate) use self::place::{Enter, Withdraw};
pub(crate) use self::run::Run;
pub(crate) use self::serve::{Serve, settings};

pub(crate) const EXIT_CODES: &str = "\
Exit codes:
   0  done; also where a watch or a place ended because whoever read its output has left
   1  the server refused, or something failed; standard error says what
   2  the command line or the configuration makes no sense
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

/// All there is to say to `tenure`. Every command's help tells the exit codes.
pub(crate) fn command() -> clap::Command {
    Args::command()
        .mut_subcommand("serve", serve::with_switches)
        .mut_subcommands(|one| one.after_help(EXIT_CODES))
}

impl Args {
    /// Reads the command line.
    pub(crate) fn read() -> Self {
        let mut command = command();
        let matches = command.get_matches_mut();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a server.
    #[command(long_about = serve::LONG_ABOUT)]
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
    /// Print what completes this command's line in a shell.
    ///
    /// Bash: `tenure completions bash > /usr/share/bash-completion/completions/tenure`.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print a manual page: of the command, or of one of its subcommands.
    ///
    /// `tenure man serve | man -l -` shows one.
    Man {
        /// A subcommand, such as serve.
        #[arg(value_name = "COMMAND")]
        of: Option<String>,
    },
    /// Measure a server: requests a second and percentiles, the errors, and what it ran on.
    Bench(Bench),
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
    /// Contends, and says when it leads. For `bench failover`.
    #[command(hide = true)]
    BenchCandidate {
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
        command().debug_assert();
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
