//! Calls and streams whose messages come in their own time.

use crate::clock::Moment;
use crate::engine::Election;
use crate::error::Error;
use crate::shard::Outcome;

/// One call, or one stream, until its last message.
///
/// A connection polls it when its ticket is `changed` through the sink, after an outcome, when the
/// moment that it waits for has come, and after its last message has left the connection's output: so a
/// slow reader costs one message. Dropping it cancels it: the caller has cancelled its stream or gone,
/// or the time it gave has run out.
pub(crate) trait Task: Send {
    /// Appends at most one message's body to `out`, and does nothing else to it: it may hold what was said before.
    /// What is appended counts only with a message.
    fn poll(&mut self, now: Moment, out: &mut Vec<u8>) -> Step;

    /// The outcome of a command that the task submitted under its own ticket. A poll follows, but where
    /// the caller does not read it may be long in coming: keep no term that is not light.
    fn outcome(&mut self, outcome: Outcome) {
        let _nobody_asked = outcome;
    }

    /// Its ticket was called. A poll follows, but where the caller does not read it may be long in coming: this
    /// is for what others wait for meanwhile.
    fn changed(&mut self) {}

    /// The caller's use of `election` has ended. True to be polled once more because of it.
    fn closed(&mut self, election: &Election) -> bool {
        let _another_one = election;
        false
    }

    /// True while a command of a unary call is with the engine. If its time runs out, the caller is told
    /// that the change may have happened; a draining server waits for its outcome, and fails all other
    /// tasks with [`Error::Draining`].
    fn is_under_way(&self) -> bool {
        false
    }
}

/// What a poll came to.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing to say before the ticket is called, or before this moment.
    Wait(Option<Moment>),
    /// One message of a stream. For a unary call the same as `Last`.
    Message,
    /// The last message: a unary call's reply, or a stream's last message and its end with OK.
    Last,
    /// The end with OK, without another message; a unary call's reply is empty.
    End,
    /// The end with this error.
    Fail(Error),
}
