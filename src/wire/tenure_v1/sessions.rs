//! `proto/tenure/v1/sessions.proto`: explicit sessions. Durations are in microseconds.

use crate::wire::message::message;

message! {
    struct OpenRequest {
        /// 0 means the default. Not read with a key.
        ttl_micros: u64 = 1,
        failover: i32 = 2,
        /// 16 bytes, from an earlier OpenResponse: resume that session here.
        key: Vec<u8> = 3,
        /// Who this is, for people: shown in listings.
        owner: String = 4,
    }

    struct OpenResponse {
        session: u64 = 1,
        /// The secret that proves owning it: 16 bytes.
        key: Vec<u8> = 2,
        /// The TTL in force.
        ttl_micros: u64 = 3,
        failover: i32 = 4,
    }

    struct KeepAliveRequest {
        /// 0 means the one that the request metadata names.
        session: u64 = 1,
        /// Terms that this session led and has stopped acting in.
        released: Vec<Released> = 2,
    }

    struct Released {
        election: String = 1,
        /// This term and all before it.
        term: u64 = 2,
    }

    struct KeepAliveResponse {
        /// The TTL in force, counted from the hearing of the request.
        ttl_micros: u64 = 1,
        /// Terms that were taken from this session and that it has not released yet.
        lost: Vec<Lost> = 2,
    }

    struct Lost {
        election: String = 1,
        term: u64 = 2,
    }

    struct CloseRequest {
        session: u64 = 1,
    }

    struct CloseResponse {}

    struct ListRequest {
        /// 0 means 100; at most 1000.
        page_size: u32 = 1,
        /// From the last page's `next_page_token`.
        page_token: String = 2,
    }

    struct ListResponse {
        sessions: Vec<Session> = 1,
        /// Empty on the last page.
        next_page_token: String = 2,
    }

    struct Session {
        session: u64 = 1,
        kind: i32 = 2,
        owner: String = 3,
        /// 0 without a deadline.
        ttl_micros: u64 = 4,
        /// Left until its deadline.
        remaining_micros: u64 = 5,
        /// Since it was opened.
        age_micros: u64 = 6,
        /// Since it was last heard.
        silent_micros: u64 = 7,
        /// The connection it is attached to; empty if to none.
        peer: String = 8,
    }

    struct EndRequest {
        session: u64 = 1,
        /// Why, for people: at most 256 bytes.
        reason: String = 2,
    }

    struct EndResponse {}
}

/// What a closed connection means to a session.
pub(crate) mod failover {
    /// It lives until its deadline, whatever happens to its connection.
    pub(crate) const EXCLUSIVE: i32 = 0;
    /// A closed connection ends it at once.
    pub(crate) const FAST: i32 = 1;
}

/// What keeps a session alive.
pub(crate) mod session_kind {
    pub(crate) const UNKNOWN: i32 = 0;
    /// Lives with its connection.
    pub(crate) const CONNECTION: i32 = 1;
    pub(crate) const EXCLUSIVE: i32 = 2;
    pub(crate) const FAST: i32 = 3;
    /// Held inside the server's process.
    pub(crate) const EMBEDDED: i32 = 4;

    /// As people are told.
    pub(crate) fn in_words(kind: i32) -> &'static str {
        match kind {
            CONNECTION => "connection",
            EXCLUSIVE => "exclusive",
            FAST => "fast",
            EMBEDDED => "embedded",
            _ => "unknown",
        }
    }
}
