//! What is asked of a server, and about what.

use clap::Subcommand;

use super::{Enter, To, Withdraw};

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
    /// Tell whether a server serves, which one it is, and how much it holds; exit 6 if it does not.
    Status(Status),
    /// Print who leads now, and again after each change.
    Watch {
        #[command(flatten)]
        on: OnElection,
    },
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

#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// Count nothing. Counting asks for a page of each thousand elections and sessions, which is too much
    /// for a check every few seconds.
    #[arg(long)]
    pub(crate) no_counts: bool,
    #[command(flatten)]
    pub(crate) to: To,
}
