//! The messages of the leader latch (`proto/atomix/leader`).
//!
//! Every request begins with a header, and so does every reply. What a reply says of the latch is the
//! whole of it: unlike a v1 term's candidates, the participants have the leader among them.

pub(crate) mod reply;
pub(crate) mod request;

/// The header of every request and of every reply.
const HEADER: u32 = 1;

#[cfg(test)]
mod tests;
