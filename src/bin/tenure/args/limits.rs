//! A server's bounds.

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
