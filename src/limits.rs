//! Every bound in one place, with its unit, and how the bounds hang together.

use std::time::Duration;

use crate::error::Error;

/// The bounds of an engine and its server. The defaults are the documented ones.
///
/// ```
/// let limits = tenure::Limits { elections: 5_000_000, ..tenure::Limits::default() };
/// # assert_eq!(limits.candidates, 10_000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an election's or a candidate's name.
    pub name_bytes: usize,
    /// Candidates in one election.
    pub candidates: usize,
    /// Bytes of all candidates' names in one election together.
    pub candidate_bytes: usize,
    /// Bytes of what all candidates in one election say of themselves together.
    pub election_metadata_bytes: usize,
    /// Elections in the engine.
    pub elections: usize,
    /// Live sessions in the engine.
    pub sessions: usize,
    /// Commands waiting in one shard's mailbox.
    pub mailbox: usize,
    /// Connections of a server.
    pub connections: usize,
    /// Live streams on one connection: watches, and calls whose outcome is still to come.
    pub streams: usize,
    /// Bytes of one frame's payload.
    pub frame_bytes: usize,
    /// Bytes of pending output on one connection over which its requests are no longer read.
    pub output_pause_bytes: usize,
    /// Bytes of pending output on one connection over which it is closed.
    pub output_bytes: usize,
}

impl Limits {
    /// The documented defaults.
    pub const DEFAULT: Limits = Limits {
        name_bytes: 512,
        candidates: 10_000,
        candidate_bytes: 1 << 20,
        election_metadata_bytes: 1 << 20,
        elections: 1_000_000,
        sessions: 100_000,
        mailbox: 65_536,
        connections: 10_000,
        streams: 1_024,
        frame_bytes: 4 << 20,
        output_pause_bytes: 1 << 20,
        output_bytes: 8 << 20,
    };
}

impl Limits {
    /// Whether the bounds hang together.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |setting, why: &str| Err(Error::InvalidSetting { setting, why: why.into() });
        match self {
            it if it.name_bytes == 0 || it.name_bytes >= NAME_BOUND => {
                wrong("name_bytes", "give at least 1 and less than 16 MiB")
            }
            it if it.candidates >= STANDING_BOUND => {
                wrong("candidates", "give less than 268,435,456")
            }
            it if it.streams == 0 => wrong("streams", "give at least 1, or nothing is answered"),
            it if it.frame_bytes == 0 || it.frame_bytes >= FRAME_CLOSE_BYTES => {
                wrong("frame_bytes", "give at least 1 and less than 16 MiB")
            }
            it if it.output_pause_bytes >= it.output_bytes => {
                wrong("output_pause_bytes", "give less than output_bytes")
            }
            it if it.candidate_bytes > u32::MAX as usize => {
                wrong("candidate_bytes", "give less than 4 GiB")
            }
            _ => Ok(()),
        }
    }
}

impl Limits {
    /// Bytes of an election as it is told when it is full: as many candidates as may stand, each with all
    /// that it may say.
    pub(crate) const fn full_state(&self) -> usize {
        let described = DESCRIBED_OVERHEAD + LABELS * LABEL_OVERHEAD;
        let said = self.candidate_bytes.saturating_add(self.election_metadata_bytes);
        said.saturating_add(self.candidates.saturating_mul(described)).saturating_add(HEAD_BYTES)
    }

    /// Bytes of pending output that a connection may have without being closed.
    pub(crate) const fn least_output(&self) -> usize {
        self.output_pause_bytes.saturating_add(self.frame_bytes)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Terms stay below this, so that they survive a trip through an IEEE double.
pub(crate) const TERM_BOUND: u64 = 1 << 53;

/// Names are shorter than this, whatever the limits say: a packed length has so many bits.
pub(crate) const NAME_BOUND: usize = 1 << 24;

/// Fewer than this stand in one election, whatever the limits say.
pub(crate) const STANDING_BOUND: usize = 1 << 28;

/// Bytes of what a session says of its owner.
pub(crate) const OWNER_BYTES: usize = 256;

/// Bytes of somebody's reason for a change, in their words.
pub(crate) const NOTE_BYTES: usize = 256;

/// Labels of a candidate.
pub(crate) const LABELS: usize = 16;

/// Bytes of all that a candidate says of itself: its address and its labels.
pub(crate) const METADATA_BYTES: usize = 4096;

/// Past leaders that an election remembers.
pub(crate) const HISTORY: usize = 16;

/// Ended sessions whose reason is remembered, for those who come back with a key.
pub(crate) const SESSIONS_REMEMBERED: usize = 16_384;

/// Lost terms that a session is told of at a time.
pub(crate) const LOST_AT_A_TIME: usize = 1_024;

/// Shards at most: a session remembers where it stands as one bit a shard.
pub(crate) const SHARDS: usize = 64;

/// A frame that says it is longer than this is not skipped: the connection is closed.
pub(crate) const FRAME_CLOSE_BYTES: usize = 16 << 20;

/// How long a request of a latch's session waits for those before it, and a Get for an index.
pub(crate) const LATCH_WAIT: Duration = Duration::from_secs(5);

/// Requests that wait in one latch session.
pub(crate) const LATCH_WAITING: usize = 64;

/// Replies of one latch session that are kept until they are acknowledged: the newest.
pub(crate) const LATCH_REPLIES: usize = 64;

/// Open Events streams of one latch session.
pub(crate) const LATCH_STREAMS: usize = 64;

/// What protobuf adds to a candidate's name in an encoded term: a tag and a two-byte length.
const CANDIDATE_OVERHEAD: usize = 3;
/// What it adds to a candidate with its session and metadata, and to each of its labels, at most.
const DESCRIBED_OVERHEAD: usize = 24;
const LABEL_OVERHEAD: usize = 8;
/// An election's name, its numbers, and the reason for its last change.
const HEAD_BYTES: usize = 4096;

const _: () = {
    let d = Limits::DEFAULT;
    assert!(
        d.candidate_bytes + d.candidates * CANDIDATE_OVERHEAD + 64 <= d.frame_bytes,
        "a full term fits a frame"
    );
    assert!(d.full_state() <= d.frame_bytes, "so does one whose candidates say all they may");
    assert!(d.name_bytes < 1 << 14, "a name's length takes at most two bytes on the wire");
    assert!(d.output_pause_bytes < d.output_bytes, "reading pauses before the connection closes");
    assert!(
        d.least_output() <= d.output_bytes,
        "one more frame after the pause does not close the connection"
    );
    assert!(d.frame_bytes < FRAME_CLOSE_BYTES, "an oversized frame is skipped before it is fatal");
};
