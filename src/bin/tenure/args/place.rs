//! A place in an election: held by this process, or left behind with its session's key in a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::{Args, Failover, OnCandidate, time};

const HELD: Duration = Duration::from_secs(3);
const DETACHED: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(crate) struct Enter {
    #[command(flatten)]
    pub(crate) on: OnCandidate,
    /// How long the place lasts without a word from here: 500ms (fast: 100ms) to 24h.
    /// [default: 3s, or 30s with --detach]
    #[arg(long, value_name = "TIME", value_parser = time)]
    ttl: Option<Duration>,
    /// What a lost connection means.
    #[arg(long, value_enum, default_value_t = Failover::Exclusive)]
    pub(crate) failover: Failover,
    /// Enter, print the term, and exit; the place stays until --ttl has passed, unless it is renewed by
    /// the same command.
    #[arg(long, requires = "session_file")]
    pub(crate) detach: bool,
    /// The file with the session's key: whoever reads it owns the place. If it exists, its place is
    /// renewed, with or without --detach; it is never entered anew, so that a place once lost (exit 7) is
    /// not mistaken for one that was kept: remove the file for that. If it does not, --detach makes it,
    /// for this user alone. One file holds one place.
    #[arg(long, value_name = "FILE")]
    session_file: Option<PathBuf>,
}

impl Enter {
    /// The file of a place that is not held by this process. Ends it with exit code 2 if that can't be.
    pub(crate) fn session_file(&self) -> Option<&Path> {
        let file = self.session_file.as_deref()?;
        if self.failover == Failover::Fast {
            let why = "a fast session ends with its connection, so its place can't be left behind; \
                       leave --failover fast or --session-file away";
            Args::command().error(ErrorKind::ArgumentConflict, why).exit();
        }
        Some(file)
    }

    /// The TTL, if one was asked for.
    pub(crate) fn asked_ttl(&self) -> Option<Duration> {
        self.ttl
    }

    pub(crate) fn ttl(&self) -> Duration {
        self.ttl.unwrap_or(if self.detach { DETACHED } else { HELD })
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Withdraw {
    #[command(flatten)]
    pub(crate) on: OnCandidate,
    /// The file that `enter --detach` made. It is removed with the place.
    #[arg(long, value_name = "FILE")]
    pub(crate) session_file: PathBuf,
}
