//! Tenure: leader election as fast as an atomic load.
#![forbid(unsafe_code)]
// Parts of the ground are there for the server alone.
#![cfg_attr(not(feature = "server"), allow(dead_code, unused_imports))]

// Ground: used by all, uses nothing of ours.
mod clock;
mod error;
mod id;
mod limits;
mod sync;

// Pure: values in, values out.
mod election;
mod wheel;
mod wire;

// Concurrent.
mod lease;
mod log;
mod shard;

// Faces.
#[cfg(feature = "client")]
pub mod client;
mod engine;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "server")]
mod service;

pub use crate::clock::{Clock, Moment};
pub use crate::election::{Reason, Term};
pub use crate::engine::{
    Election, Engine, EngineBuilder, Failover, Leadership, Lost, Observer, Session, Watch,
};
pub use crate::error::{Code, EndReason, Error, NameFault};
pub use crate::id::{SessionId, SessionKind};
pub use crate::limits::Limits;
#[cfg(feature = "server")]
pub use crate::server::{Counters, Server, ServerBuilder};
#[cfg(feature = "server")]
pub use crate::service::CacheRule;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
