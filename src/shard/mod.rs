//! A shard: elections that share one writer at a time.
//!
//! Methods come in three kinds. `submit` hands over a command, which the caller's own thread or the
//! present writer runs. Reading goes past the shard, straight to the published term of a [`Cell`].
//! Everything else is the writer's and needs its role.
//!
//! Reading order: `command` (what can be asked), `member` (by whom), `mailbox` (who runs it), `state`
//! (what it does), `turn` (in which order its effects leave), then `snapshot`, `watch`, `follower` and
//! `reply`.

#[cfg(feature = "failpoints")]
#[allow(unreachable_pub, reason = "the tests plant them through `internals`")]
pub mod canary;
mod command;
mod counts;
#[cfg(feature = "failpoints")]
mod failpoint;
mod follower;
mod handover;
mod mailbox;
mod member;
mod published;
mod reply;
mod snapshot;
mod state;
mod turn;
mod watch;
mod writer;

#[cfg(feature = "failpoints")]
use failpoint::failpoint;

#[cfg(feature = "durable")]
pub(crate) use command::Restored;
pub(crate) use command::{Act, Command, Intent, Own, OwnAct, Tags, Work};
pub(crate) use counts::Counts;
pub(crate) use follower::{Followers, Slot, When};
pub(crate) use member::Member;
pub(crate) use reply::{Answer, Caller, Outcome, Reply, ReplyTo, Sink, Ticket, Waiter};
pub(crate) use snapshot::{ByName, Cell, Source};
pub(crate) use watch::Mark;
pub(crate) use writer::{Rules, Shard};
