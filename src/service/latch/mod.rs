//! `atomix.leader.LeaderLatchService`: the third generation of Atomix clients.
//!
//! A client of it numbers its requests and the responses of its streams, and asks again with the same
//! numbers after a lost reply: `sequence` and `stream` know what that is to mean, and nothing else.

mod refusal;
mod sequence;
mod stream;
mod streams;

#[cfg(test)]
mod tests;
