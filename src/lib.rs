//! Tenure: leader election as fast as an atomic load.

mod clock;
mod election;
mod error;
mod id;
mod limits;
mod wheel;
mod wire;

pub use crate::clock::{Clock, Moment};
pub use crate::error::{Code, EndReason, Error, NameFault};
pub use crate::id::{SessionId, SessionKind};
pub use crate::limits::Limits;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
