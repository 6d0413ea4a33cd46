//! A server's settings. The long names of these flags are the keys of its configuration file, and make the
//! names of its variables.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use tenure::client::Address;

use super::limits::Limits;
use super::{Format, time};

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
