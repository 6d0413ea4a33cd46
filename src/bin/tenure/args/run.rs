//! A command that runs only while it leads.

use std::ffi::OsString;
use std::time::Duration;

use super::{Failover, To, time};

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
