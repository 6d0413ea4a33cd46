//! Tenure: leader election as fast as an atomic load.
//!
//! An [`Engine`] holds elections in this process, and with a data directory what it told survives it. An [`Election`] has a [`Term`] and an ordered
//! list of candidates, whose head leads. A candidate stands for as long as its [`Session`] lives. With
//! the feature `server` a `Server` lets others in over ttrpc, with `web` over gRPC and HTTP too.
//!
//! ```
//! let engine = tenure::Engine::builder().open()?;
//! let session = engine.session()?; // lives until dropped
//! let election = engine.election("billing/cron")?;
//! let leadership = election.lead(&session, "node-a")?; // waits until it leads
//! assert!(leadership.is_valid());
//! println!("acting in term {}", leadership.term()); // the fencing token
//! # Ok::<(), tenure::Error>(())
//! ```
//!
//! # The public names
//!
//! | To | Use |
//! |---|---|
//! | open an engine | [`Engine`], [`EngineBuilder`], [`Limits`], [`Clock`], [`Moment`] |
//! | change an election | [`Election`]: enter, withdraw, anoint, promote, demote, evict, take over, delete |
//! | stay alive | [`Session`], [`SessionSettings`], [`SessionKey`], [`SessionId`], [`SessionKind`], [`SessionInfo`], [`Failover`] |
//! | act as the leader | [`Leadership`], [`Lost`] |
//! | read who leads | [`Observer`] for a fast look, [`Election::term`] from any thread, [`Term`], [`Reason`] |
//! | follow changes | [`Watch`], an iterator and a stream |
//! | know what went wrong | [`Error`], [`Code`], [`NameFault`], [`EndReason`] |
//! | serve others (`server`) | `Server`, `ServerBuilder`, `Counters`, `Pulse`, `CacheRule` |
//! | lead over a network (`client`) | `client::Session`, `client::Leadership`, `client::Contender`, `client::LeaderLatch` |
//! | ask a server (`client`) | `client::Client` |
//! | lead either way | [`Elector`], [`Leads`] |
//! | know who led, when and why | [`Change`], [`Reign`], [`Metadata`], [`Verdict`] |
//! | refuse who leads no longer | [`fence`] |
//! | test a failover (`testkit`) | `testkit::TestEngine` |
//!
//! # The modules, in reading order
//!
//! Arrows point down only: a module uses those above it in this list, and a test holds it to that.
//!
//! 1. Ground: `error`, `id`, `limits`, `clock`, and `sync`, the one seam between the real primitives and
//!    the model checker's.
//! 2. Pure: `election` (the rules, as a function from one term to the next), `wheel` (timers as data),
//!    `wire` (bytes to messages and back).
//! 3. Concurrent: `lease` (a session's word), `log` (what makes a turn durable), `shard`
//!    (one writer at a time, and the order in which effects leave).
//! 4. Faces: `engine` (this API), `service` (methods, whatever the transport), `server` (reactors, and `web`),
//!    `client`.
//!
//! `ARCHITECTURE.md` in the repository follows three requests through them and gives the reasons.
//!
//! # What it does not do
//!
//! There is one node. Without a data directory nothing is kept when the process ends: terms begin again at 1.
#![forbid(unsafe_code)]
// Parts are there for the server alone, for its metrics, or for a log on disk.
#![cfg_attr(not(all(feature = "web", feature = "durable")), allow(dead_code, unused_imports))]

// Ground: used by all, uses nothing of ours.
mod bell;

mod clock;
mod elector;
mod error;
mod id;
mod limits;
mod meter;
mod random;
#[cfg(any(feature = "client", feature = "server"))]
mod silence;
mod sync;
#[cfg(test)]
mod transcript;

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

pub mod fence;
#[cfg(feature = "durable")]
pub mod storage;
#[cfg(feature = "testkit")]
pub mod testkit;

pub use crate::clock::{Clock, Moment};
pub use crate::election::{Change, Metadata, Reason, Reign, Term, Verdict};
pub use crate::elector::{Elector, Leads};
pub use crate::engine::{
    ChangeOptions, Election, Engine, EngineBuilder, EnterOptions, Failover, Leadership, Lost,
    Observer, Session, SessionInfo, SessionSettings, Watch,
};
pub use crate::error::{Code, EndReason, Error, NameFault};
pub use crate::id::{SessionId, SessionKey, SessionKind};
pub use crate::limits::Limits;
#[cfg(feature = "server")]
pub use crate::server::{Counters, Pulse, Server, ServerBuilder};
#[cfg(feature = "server")]
pub use crate::service::CacheRule;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;

/// The README's code, as doctests.
#[cfg(all(doctest, feature = "server"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// The code of the page on fencing, as doctests.
#[cfg(doctest)]
#[doc = include_str!("../docs/fencing.md")]
struct Fencing;
