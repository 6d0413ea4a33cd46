//! The client for those who await, on tokio: the names of [`client`](crate::client), with `.await`.
//!
//! ```no_run
//! use tenure::client::Options;
//! use tenure::client::aio::Session;
//!
//! # async fn leads() -> Result<(), Box<dyn std::error::Error>> {
//! let address = "127.0.0.1:5678".parse::<tenure::client::Address>()?;
//! let session = Session::open(&address, Options::default()).await?;
//! let leads = session.election("jobs").lead("worker-1").await?;
//! while leads.is_valid() {
//!     // One step of the work, in the name of `leads.term()`.
//! #   break;
//! }
//! leads.resign().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Both faces drive the same state machine. Here a task on the runtime that opened the connection does it;
//! no thread is started. That runtime needs I/O and time enabled, and keeps the connection alive: when it is
//! shut down, everything that waits ends with an error, and sessions live on to their deadline. Futures may
//! be awaited, and handles used and dropped, anywhere.
//!
//! # Cancellation
//! A dropped future asks for nothing more, and leaves nothing half done on this side. What it has sent may
//! have happened at the server; each function says what that means.

mod client;
mod contend;
mod driver;
mod election;
mod leadership;
mod observe;
mod session;

pub use self::client::Client;
pub use self::contend::{Contender, Work};
pub use self::election::Election;
pub use self::leadership::Leadership;
pub use self::observe::Observation;
pub use self::session::{Connection, Session};
