//! What can go wrong, as facts. Each variant has one gRPC code and one sentence a person can act on.

use std::path::PathBuf;

use crate::id::SessionId;

/// gRPC status codes, by their numbers. ttrpc and gRPC carry them unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // the names are gRPC's own
#[repr(i32)]
pub enum Code {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Code {
    /// The number on the wire.
    pub fn number(self) -> i32 {
        self as i32
    }
}

/// Every failure of the engine and its services.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that breaks the rules for names.
    #[error("{field} {fault}")]
    InvalidName {
        /// What the name was for, as the request calls it.
        field: &'static str,
        /// What was wrong with it.
        fault: NameFault,
    },
    /// Bytes that are not the message they should be.
    #[error("{message} can't be decoded: {why}")]
    Undecodable {
        /// The message's full protobuf name.
        message: &'static str,
        /// What was wrong, and where.
        why: String,
    },
    /// A setting that can't be used.
    #[error("{setting}: {why}")]
    InvalidSetting {
        /// The setting's name.
        setting: &'static str,
        /// What was wrong, and what would be right.
        why: String,
    },
    /// `Enter` of a candidate that another session holds.
    #[error(
        "candidate {candidate:?} is held by another session ({holder}); use another name or evict it"
    )]
    CandidateTaken {
        /// The candidate.
        candidate: Box<str>,
        /// The session that holds it.
        holder: SessionId,
    },
    /// `Withdraw` of a candidate that another session holds.
    #[error("candidate {candidate:?} is held by another session ({holder}); use Evict")]
    NotYours {
        /// The candidate.
        candidate: Box<str>,
        /// The session that holds it.
        holder: SessionId,
    },
    /// A bound was reached. Nothing was changed.
    #[error("limit reached: {limit} ({max}); {advice}")]
    LimitReached {
        /// Which limit, as [`Limits`](crate::Limits) calls it.
        limit: &'static str,
        /// Its value.
        max: u64,
        /// What to do.
        advice: &'static str,
    },
    /// The change was to be made only in one term, and that is not the present one.
    #[error("the term is {present}, not {expected} as expected; nothing was changed")]
    TermMoved {
        /// The term that was asked for.
        expected: u64,
        /// The present term.
        present: u64,
    },
    /// A candidate that waited to lead was removed from the queue.
    #[error("{candidate:?} no longer stands in the election: {reason}; enter it again")]
    NotStanding {
        /// The candidate.
        candidate: Box<str>,
        /// What kind of change was seen.
        reason: &'static str,
    },
    /// A candidate that was asked for by name does not stand.
    #[error("{candidate:?} does not stand in {election:?}; {standing}")]
    UnknownCandidate {
        /// The candidate.
        candidate: Box<str>,
        /// The election.
        election: Box<str>,
        /// Who does, in words.
        standing: String,
    },
    /// The session has ended and stays ended.
    #[error("session ended: {reason}; open a new one")]
    SessionEnded {
        /// Why it ended.
        reason: EndReason,
    },
    /// No live session has this id, or this key, and none that ended lately had it.
    #[error("{}", unknown_session(*.session))]
    UnknownSession {
        /// The id that was asked for; `None` if it was a key.
        session: Option<SessionId>,
    },
    /// The session was resumed on another connection, and is that one's now.
    #[error("the session is not attached to this connection; resume it here with its key")]
    NotAttached,
    /// A session of one engine was used with another.
    #[error("the session belongs to another engine; open one on this engine")]
    ForeignSession,
    /// The time the caller gave ran out.
    #[error("deadline exceeded{}", if *.may_have_happened { "; the change may have happened: read the term before trying again" } else { "" })]
    DeadlineExceeded {
        /// True for a mutation that was already on its way.
        may_have_happened: bool,
    },
    /// No such service or method.
    #[error("unknown method /{service}/{method}")]
    UnknownMethod {
        /// The service asked for.
        service: Box<str>,
        /// The method asked for.
        method: Box<str>,
    },
    /// The disk is full. What was asked is not kept; unless it was refused before it was tried, it may
    /// still come to be.
    #[error(
        "the disk under {} is full: nothing new can be kept, though withdraw and evict may still work; \
         make room, and read the term before trying again", .path.display()
    )]
    StorageFull {
        /// The data directory.
        path: PathBuf,
    },
    /// The data directory can't be used, or not any more.
    #[error("the data directory {} can't be used: {why}", .path.display())]
    Storage {
        /// The data directory.
        path: PathBuf,
        /// What was wrong, and what to do if anything can be done.
        why: String,
    },
    /// The server takes no new work.
    #[error("the server is draining; connect to it again when it is back")]
    Draining,
    /// The system has no random bytes to give.
    #[error("the system gives no random bytes ({why}), and a secret can't be made without")]
    NoRandomness {
        /// In the system's words.
        why: String,
    },
    /// A term would pass 2^53.
    #[error("the term of this election has reached its bound of 2^53 and can't rise any more")]
    TermExhausted,
    /// A shard's writer panicked; its elections can't be changed any more.
    #[error("shard {shard} stopped after an internal fault; restart the process")]
    ShardStopped {
        /// Which shard.
        shard: usize,
    },
}

impl Error {
    /// The gRPC code that carries this error.
    pub fn code(&self) -> Code {
        match self {
            Error::InvalidName { .. }
            | Error::Undecodable { .. }
            | Error::InvalidSetting { .. } => Code::InvalidArgument,
            Error::UnknownSession { .. } | Error::UnknownCandidate { .. } => Code::NotFound,
            Error::CandidateTaken { .. } => Code::AlreadyExists,
            Error::NotYours { .. } | Error::NotAttached => Code::PermissionDenied,
            Error::LimitReached { .. } | Error::TermExhausted => Code::ResourceExhausted,
            Error::SessionEnded { .. }
            | Error::ForeignSession
            | Error::TermMoved { .. }
            | Error::NotStanding { .. } => Code::FailedPrecondition,
            Error::DeadlineExceeded { .. } => Code::DeadlineExceeded,
            Error::UnknownMethod { .. } => Code::Unimplemented,
            Error::Draining
            | Error::NoRandomness { .. }
            | Error::Storage { .. }
            | Error::StorageFull { .. } => Code::Unavailable,
            Error::ShardStopped { .. } => Code::Internal,
        }
    }
}

fn unknown_session(session: Option<SessionId>) -> String {
    match session {
        Some(id) => format!("{id:?} does not live here: it ended long ago, or was never opened"),
        None => {
            "no session has this key here: it ended long ago, or was never opened; open a new one"
                .into()
        }
    }
}

/// What is wrong with a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameFault {
    /// No bytes at all.
    #[error("is empty; give it at least one byte")]
    Empty,
    /// Over the limit.
    #[error("has {bytes} bytes; at most {max} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Not UTF-8.
    #[error("is not valid UTF-8 from byte {at} on")]
    NotUtf8 {
        /// Offset of the first bad byte.
        at: usize,
    },
    /// A control character.
    #[error("has the control character U+{code:04X} at byte {at}; remove it")]
    Control {
        /// Its offset in bytes.
        at: usize,
        /// Its code point.
        code: u32,
    },
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum EndReason {
    /// Its owner closed or dropped it.
    #[error("closed by its owner")]
    Closed,
    /// Its connection closed.
    #[error("its connection closed")]
    Disconnected,
    /// Its deadline passed without a renewal.
    #[error("its deadline passed")]
    Expired,
    /// Somebody else ended it.
    #[error("ended by somebody else{}{note}", if .note.is_empty() { "" } else { ": " })]
    Ended {
        /// Why, in their words; empty if they gave none.
        note: Box<str>,
    },
}
