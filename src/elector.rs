//! One way to lead, embedded or over a network: a program moves from one to the other by the line that
//! opens its session.
//!
//! ```
//! use tenure::{Elector, Leads};
//!
//! fn tidy_up<E: Elector>(session: &E) -> Result<u64, E::Error> {
//!     let leadership = session.lead("tidying", "node-a")?;
//!     assert!(leadership.is_valid());
//!     let term = leadership.term();
//!     leadership.resign()?;
//!     Ok(term)
//! }
//!
//! let engine = tenure::Engine::builder().open()?;
//! let session = engine.session()?; // or: tenure::client::Session::open(&address, options)?
//! assert_eq!(tidy_up(&session)?, 1);
//! # Ok::<(), tenure::Error>(())
//! ```

use std::time::Duration;

/// Something to lead with: a session, embedded or over a network.
pub trait Elector {
    /// Its proof of a term.
    type Leadership: Leads<Error = Self::Error>;
    /// What can go wrong.
    type Error: std::error::Error;

    /// `candidate` joins the queue of `election`, and this thread waits until it leads and may act.
    ///
    /// # Errors
    /// As those of its own kind.
    fn lead(&self, election: &str, candidate: &str) -> Result<Self::Leadership, Self::Error>;
}

/// Proof that a candidate leads, in one term, for as long as it is valid.
pub trait Leads {
    /// What can go wrong.
    type Error: std::error::Error;

    /// The term: the fencing token to act with.
    fn term(&self) -> u64;

    /// How long it holds unless it is renewed; nothing if it is lost.
    fn remaining(&self) -> Duration;

    /// True if it still holds. Local and wait-free.
    fn is_valid(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// True if it holds for at least `time` from now.
    fn ensure(&self, time: Duration) -> bool {
        self.is_valid() && self.remaining() >= time
    }

    /// Gives up the place, if it is still this term's.
    ///
    /// # Errors
    /// As those of its own kind.
    fn resign(self) -> Result<(), Self::Error>;
}
