//! Bytes to messages and back: total, without recursion, borrowing what it can.
//!
//! Nothing here reads a socket, keeps state between calls, or can be made to panic, to recurse, or to
//! allocate by what a peer sends: a decoder borrows from the bytes it was given. What is accepted and
//! what is refused is prost's choice, bit for bit, and the tests hold it to that.
//!
//! From the bottom up: [`varint`], [`field`] (reading) and [`put`] (writing), then [`frame`] and
//! [`envelope`] for ttrpc, then the messages of each protocol: [`election_v1`] borrows, for it is on the
//! hot path; [`tenure_v1`] owns, by [`message`].
#![allow(dead_code, reason = "a server alone or a client alone uses a part; the fuzzer uses all")]
#![cfg_attr(
    not(test),
    deny(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

pub(crate) mod election_v1;
pub(crate) mod envelope;
pub(crate) mod field;
pub(crate) mod frame;
pub(crate) mod latch;
mod malformed;
pub(crate) mod message;
pub(crate) mod put;
pub(crate) mod tenure_v1;
pub(crate) mod varint;

pub(crate) use self::malformed::Malformed;

#[cfg(test)]
mod tests;
