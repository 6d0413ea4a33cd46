//! A server's settings. The long names of these flags are the keys of its configuration file, and make the
//! names of its variables.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction};
use tenure::client::Address;

use super::limits::Limits;
use super::{Format, time};

pub(super) const LONG_ABOUT: &str = "\
Run a server.

Each setting below is a flag, a variable and a key of the file that --config names: --drain 3s, \
TENURE_DRAIN=3s, and drain = \"3s\". A flag stands over a variable, a variable over the file. A switch \
that the file has set is reset by =false. What may be given more than once is a list in the file, and \
has commas in a variable.";

/// Flags of `serve` that are no settings of a server.
const NO_SETTINGS: [&str; 4] = ["config", "check-config", "print-config", "help"];

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Read settings from this TOML file. SIGHUP reads it again, and the log's level changes at once. Also
    /// TENURE_CONFIG.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Check all settings, say so, and exit.
    #[arg(long)]
    pub(crate) check_config: bool,
    /// Print the settings in force as such a file, each with where it comes from, and exit.
    #[arg(long)]
    pub(crate) print_config: bool,

    /// Where to listen: host:port or unix:///path; may be given more than once. Port 0 picks a free
    /// port.
    #[arg(long, default_value = "127.0.0.1:5678", value_name = "ADDRESS")]
    pub(crate) listen: Vec<Address>,
    /// Write the bound addresses to this file, one a line; those of --admin-listen last, as `admin ADDRESS`.
    #[arg(long, value_name = "FILE")]
    pub(crate) ports_file: Option<PathBuf>,
    /// Listen beyond loopback although nothing is encrypted.
    #[arg(long)]
    pub(crate) allow_plaintext: bool,
    /// Keep terms, candidates and sessions in this directory. A reply that was sent survives a crash and
    /// a power cut.
    #[arg(long, default_value = "./tenure-data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Refuse to start if the data directory holds nothing yet: it may be a volume that is not mounted.
    #[arg(long)]
    pub(crate) must_exist: bool,
    /// Begin every election that is not known above this term. For a disk that was lost: give a number
    /// above any term that it told.
    #[arg(long, default_value_t = 0, value_name = "N")]
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
    /// After a change, look this long at most for what comes next before sleeping, once it came that
    /// soon four times in a row. 0s: never.
    #[arg(long, default_value = "200us", value_name = "TIME", value_parser = time)]
    pub(crate) adaptive_poll: Duration,

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

    /// What to log: error, warn, info, debug, trace, or a filter such as tenure=debug. Where neither this
    /// flag nor TENURE_LOG_LEVEL is given, RUST_LOG says it.
    #[arg(long, default_value = "info", value_name = "FILTER")]
    pub(crate) log_level: String,
    /// Text for people, or json for machines, on standard error.
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub(crate) log_format: Format,

    #[command(flatten)]
    pub(crate) web: Web,

    // Last, because its heading holds for all that follows.
    #[command(flatten)]
    pub(crate) limits: Limits,
}

/// What is beside ttrpc on the server's port.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "gRPC and HTTP")]
pub(crate) struct Web {
    /// Serve metrics, probes and changes over HTTP here, and not on the other addresses; may be given more
    /// than once.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin_listen: Vec<Address>,
    /// Take changes over HTTP, too: anoint, promote, demote, evict, end-session and delete.
    #[arg(long)]
    pub(crate) http_write: bool,
    /// A web page's origin that may make changes over HTTP, such as https://ops.example; may be given more
    /// than once.
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) http_origin: Vec<String>,
    /// Elections to show one by one among the metrics: a glob, where * stands for any text and ? for one
    /// character; may be given more than once. [default: none]
    #[arg(long, value_name = "GLOB")]
    pub(crate) metrics_election: Vec<String>,
}

/// The arguments that are settings of a server, in the order of the help.
pub(crate) fn settings(command: &clap::Command) -> impl Iterator<Item = &Arg> {
    let serve = command.find_subcommand("serve").expect("serve is a command");
    serve.get_arguments().filter(|arg| arg.get_long().is_some_and(|it| !NO_SETTINGS.contains(&it)))
}

/// Each switch can also be reset, as in `--memory=false`: what a file sets is not for ever.
pub(super) fn with_switches(serve: clap::Command) -> clap::Command {
    serve.mut_args(|arg| match arg.get_action() {
        ArgAction::SetTrue if arg.get_long().is_some_and(|it| !NO_SETTINGS.contains(&it)) => arg
            .action(ArgAction::Set)
            .value_parser(BoolishValueParser::new())
            .num_args(0..=1)
            .require_equals(true)
            .default_value("false")
            .default_missing_value("true")
            .value_name("BOOL")
            .hide_default_value(true)
            .hide_possible_values(true),
        _ => arg,
    })
}
