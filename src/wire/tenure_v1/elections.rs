//! `proto/tenure/v1/elections.proto`: elections, with what the Atomix services can't show. Durations are
//! in microseconds; so are times, from the Unix epoch.

use std::collections::BTreeMap;

use super::sessions::Session;
use crate::wire::message::message;

message! {
    struct Metadata {
        /// Where the candidate is reached.
        address: String = 1,
        /// At most 16; all of the metadata at most 4 KiB.
        labels: BTreeMap<String, String> = 2,
    }

    struct EnterRequest {
        /// 0 means the one that the request metadata names, else the connection's.
        session: u64 = 1,
        election: String = 2,
        candidate: String = 3,
        metadata: Option<Metadata> = 4,
        on_conflict: i32 = 5,
        /// Enters only if that makes it the leader; `entered` says what came of it.
        only_if_leads: bool = 6,
    }

    struct EnterResponse {
        state: Option<State> = 1,
        /// False if it does not stand, because of `only_if_leads`.
        entered: bool = 2,
    }

    struct ChangeRequest {
        session: u64 = 1,
        election: String = 2,
        candidate: String = 3,
        /// FAILED_PRECONDITION unless this is the term.
        expected_term: Option<u64> = 4,
        /// Why, for people: at most 256 bytes.
        reason: String = 5,
    }

    struct ChangeResponse {
        state: Option<State> = 1,
    }

    struct State {
        election: String = 1,
        term: u64 = 2,
        /// Rises by one with each change of the list.
        revision: u64 = 3,
        /// Absent while nobody leads.
        leader: Option<Candidate> = 4,
        /// Those who wait, in order.
        candidates: Vec<Candidate> = 5,
        /// When the present leader began to lead, or the lead became vacant; 0 before the first change.
        since_unix_micros: u64 = 6,
        /// The leader has to wait this long before it may act.
        valid_after_micros: u64 = 7,
        /// The change that led here.
        change: Option<Change> = 8,
    }

    struct Candidate {
        name: String = 1,
        /// The public id of the session that holds it.
        session: u64 = 2,
        metadata: Option<Metadata> = 3,
    }

    struct Change {
        cause: i32 = 1,
        /// In the words of who made it.
        reason: String = 2,
        /// The session that made it; 0 if the server did, or a caller without one.
        by: u64 = 3,
        at_unix_micros: u64 = 4,
    }

    struct ObserveRequest {
        election: String = 1,
        /// Without `candidates`, and only when leader, term or `valid_after` change.
        leader_only: bool = 2,
    }

    struct ListElectionsRequest {
        prefix: String = 1,
        /// 0 means 100; at most 1000.
        page_size: u32 = 2,
        /// From the last page's `next_page_token`.
        page_token: String = 3,
    }

    struct ListElectionsResponse {
        elections: Vec<Summary> = 1,
        /// Empty on the last page.
        next_page_token: String = 2,
    }

    struct Summary {
        election: String = 1,
        term: u64 = 2,
        revision: u64 = 3,
        /// Empty while nobody leads.
        leader: String = 4,
        /// All that stand, the leader among them.
        standing: u32 = 5,
        since_unix_micros: u64 = 6,
    }

    struct DescribeRequest {
        election: String = 1,
    }

    struct DescribeResponse {
        state: Option<State> = 1,
        /// Everybody who stands, the leader first.
        queue: Vec<Standing> = 2,
    }

    struct Standing {
        candidate: String = 1,
        session: Option<Session> = 2,
    }

    struct HistoryRequest {
        election: String = 1,
    }

    struct HistoryResponse {
        /// Newest first.
        reigns: Vec<Reign> = 1,
    }

    /// One leader's time.
    struct Reign {
        term: u64 = 1,
        leader: String = 2,
        session: u64 = 3,
        /// How it came to lead.
        began: Option<Change> = 4,
        /// How it ended; absent while it lasts.
        ended: Option<Change> = 5,
    }

    struct CheckRequest {
        election: String = 1,
        term: u64 = 2,
    }

    struct CheckResponse {
        verdict: i32 = 1,
        /// The present term.
        term: u64 = 2,
        /// Empty while nobody leads.
        leader: String = 3,
    }

    struct DeleteRequest {
        election: String = 1,
        expected_term: Option<u64> = 2,
        reason: String = 3,
    }

    struct DeleteResponse {}
}

/// What to do if another session holds the candidate.
pub(crate) mod on_conflict {
    /// ALREADY_EXISTS.
    pub(crate) const FAIL: i32 = 0;
    /// Answered once the other has left.
    pub(crate) const WAIT: i32 = 1;
    /// It passes to the caller, in its place.
    pub(crate) const TAKE_OVER: i32 = 2;
}

/// What made a change.
pub(crate) mod cause {
    pub(crate) const UNKNOWN: i32 = 0;
    pub(crate) const ENTERED: i32 = 1;
    pub(crate) const WITHDRAWN: i32 = 2;
    pub(crate) const ANOINTED: i32 = 3;
    pub(crate) const PROMOTED: i32 = 4;
    pub(crate) const DEMOTED: i32 = 5;
    pub(crate) const EVICTED: i32 = 6;
    /// It passed to another session of the same client.
    pub(crate) const PASSED: i32 = 7;
    pub(crate) const TAKEN_OVER: i32 = 8;
    /// Its owner closed the election, or the session.
    pub(crate) const CLOSED: i32 = 9;
    pub(crate) const DISCONNECTED: i32 = 10;
    pub(crate) const SESSION_EXPIRED: i32 = 11;
    /// Somebody else ended the session.
    pub(crate) const SESSION_ENDED: i32 = 12;
    pub(crate) const DELETED: i32 = 13;
    pub(crate) const RESTORED: i32 = 14;

    /// As people are told.
    pub(crate) fn in_words(cause: i32) -> &'static str {
        match cause {
            ENTERED => "entered",
            WITHDRAWN => "withdrawn",
            ANOINTED => "anointed",
            PROMOTED => "promoted",
            DEMOTED => "demoted",
            EVICTED => "evicted",
            PASSED => "passed to another session",
            TAKEN_OVER => "taken over",
            CLOSED => "closed",
            DISCONNECTED => "disconnected",
            SESSION_EXPIRED => "session expired",
            SESSION_ENDED => "session ended by somebody else",
            DELETED => "deleted",
            RESTORED => "restored",
            _ => "unknown",
        }
    }
}

/// What became of a term.
pub(crate) mod verdict {
    /// The server can't tell: it does not know the election, or the term is ahead of it.
    pub(crate) const UNKNOWN: i32 = 0;
    /// Somebody leads in this term.
    pub(crate) const CURRENT: i32 = 1;
    /// A later term has begun, or nobody leads any more.
    pub(crate) const STALE: i32 = 2;
}
