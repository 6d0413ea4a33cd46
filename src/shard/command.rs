//! What a shard can be asked to do.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use super::follower::Slot;
use super::member::Member;
use super::reply::Reply;
use super::snapshot::{ByPlace, Cell};
use crate::election::{self, Conflict, Departure, Metadata, Term};
use crate::error::{EndReason, Error};
use crate::id::{SessionId, checked_note};
use crate::limits::NOTE_BYTES;

/// Work and the debt of its answer. It borrows its names while its own submitter runs it and owns
/// them once it waits.
pub(crate) struct Command<'a> {
    pub(crate) work: Work<'a>,
    pub(crate) reply: Reply,
}

pub(crate) enum Work<'a> {
    Change {
        cell: Arc<Cell>,
        act: Act<'a>,
        /// Absent if it says nothing: commands are moved more often than they are told why.
        intent: Option<Box<Intent<'a>>>,
    },
    Follow {
        cell: Arc<Cell>,
        slot: Arc<Slot>,
    },
    Unfollow {
        cell: Arc<Cell>,
        slot: Arc<Slot>,
    },
    /// Somebody the lead was taken from has let go: who follows looks again.
    LetGo {
        cell: Arc<Cell>,
    },
    SessionEnded(SessionId),
    /// An election as it was kept by a process before this one.
    Restore {
        cell: Arc<Cell>,
        restored: Box<Restored>,
    },
    /// An election was created, with these tags, before this process began.
    Recall {
        cell: Arc<Cell>,
        tags: Tags,
    },
    /// What is left to do for a session that ended: it still stands in these places.
    Leave {
        session: SessionId,
        end: SessionEnd,
        places: Vec<ByPlace>,
    },
}

/// What was kept of an election.
pub(crate) struct Restored {
    pub(crate) term: Arc<Term>,
    /// The sessions that live on and stand in it.
    pub(crate) members: Vec<Arc<Member>>,
    /// Those that have ended; they leave in this order.
    pub(crate) gone: Vec<SessionId>,
    /// Who may still believe that they lead, and in which term.
    pub(crate) formers: Vec<(Arc<Member>, u64)>,
}

/// How a session ended, for the elections that it leaves.
#[derive(Clone)]
pub(crate) struct SessionEnd {
    pub(crate) member: Arc<Member>,
    pub(crate) why: Departure,
    pub(crate) by: Option<SessionId>,
    pub(crate) note: Box<str>,
}

impl SessionEnd {
    /// How the session of `member`, which has ended, did.
    pub(super) fn of(member: Arc<Member>) -> Self {
        let itself = Some(member.holder.session);
        let (why, by, note) = match member.ended() {
            None | Some(EndReason::Closed) => (Departure::SessionEnded, itself, Box::default()),
            Some(EndReason::Disconnected) => (Departure::Disconnected, None, Box::default()),
            Some(EndReason::Expired) => (Departure::SessionExpired, None, Box::default()),
            Some(EndReason::Ended { note }) => (Departure::SessionRemoved, member.ended_by(), note),
        };
        Self { member, why, by, note }
    }
}

/// On which condition an operation is asked for, by whom, and why.
#[derive(Clone, Default)]
pub(crate) struct Intent<'a> {
    /// Only if this is the term.
    pub(crate) expected: Option<u64>,
    /// The session that asks, if the operation does not tell.
    pub(crate) by: Option<SessionId>,
    /// In the words of who asks; may be empty.
    pub(crate) note: Cow<'a, str>,
}

impl<'a> Intent<'a> {
    /// What a command carries of it. Its note has to be fit to be shown.
    pub(crate) fn checked(self) -> Result<Option<Box<Self>>, Error> {
        if self.expected.is_none() && self.by.is_none() && self.note.is_empty() {
            return Ok(None);
        }
        checked_note("reason", self.note.as_bytes(), NOTE_BYTES)?;
        Ok(Some(Box::new(self)))
    }

    fn into_owned(self) -> Intent<'static> {
        Intent { note: Cow::Owned(self.note.into_owned()), ..self }
    }
}

/// What an election was created with.
pub(crate) type Tags = Arc<[Box<str>]>;

/// One operation on one election.
pub(crate) enum Act<'a> {
    Create {
        tags: Tags,
        in_force: Arc<OnceLock<Tags>>,
    },
    Enter {
        candidate: Cow<'a, str>,
        member: Arc<Member>,
        conflict: Conflict,
        metadata: Option<Arc<Metadata>>,
        /// Nothing is done if it would only wait.
        only_if_leads: bool,
    },
    Withdraw {
        candidate: Cow<'a, str>,
        /// Who has no session holds no candidate, and is told so in turn with everybody.
        member: Option<Arc<Member>>,
    },
    Anoint {
        candidate: Cow<'a, str>,
    },
    Promote {
        candidate: Cow<'a, str>,
    },
    Demote {
        candidate: Cow<'a, str>,
    },
    Evict {
        candidate: Cow<'a, str>,
    },
    Leave {
        member: Arc<Member>,
    },
    Delete,
}

impl Act<'_> {
    /// The same for the rules, or `None` for what does not touch the list. Fails if the session has
    /// ended: it is asked here, when the act is applied, not when it was handed over.
    pub(crate) fn rule(&self) -> Result<Option<election::Command<'_>>, Error> {
        use election::Command as Rule;
        Ok(Some(match self {
            Act::Create { .. } => return Ok(None),
            Act::Enter { candidate, member, conflict, metadata, only_if_leads } => {
                member.check()?;
                let (holder, says) = (member.holder, metadata.as_ref());
                let (conflict, only_if_leads) = (*conflict, *only_if_leads);
                Rule::Enter { candidate, holder, conflict, says, only_if_leads }
            }
            Act::Withdraw { candidate, member } => {
                member.as_ref().map_or(Ok(()), |member| member.check())?;
                let session = member.as_ref().map(|member| member.holder.session);
                Rule::Withdraw { candidate, session }
            }
            Act::Leave { member } => {
                member.check()?;
                Rule::Leave { session: member.holder.session, why: Departure::Closed }
            }
            Act::Anoint { candidate } => Rule::Anoint { candidate },
            Act::Promote { candidate } => Rule::Promote { candidate },
            Act::Demote { candidate } => Rule::Demote { candidate },
            Act::Evict { candidate } => Rule::Evict { candidate },
            Act::Delete => Rule::Delete,
        }))
    }

    /// Whether more may have to be kept than before. What makes room is let in also where there is
    /// none.
    pub(super) fn grows(&self) -> bool {
        !matches!(self, Act::Withdraw { .. } | Act::Evict { .. } | Act::Leave { .. } | Act::Delete)
    }

    /// Whose operation it is, if it is a session's.
    pub(super) fn session(&self) -> Option<SessionId> {
        match self {
            Act::Enter { member, .. } | Act::Leave { member } => Some(member.holder.session),
            Act::Withdraw { member, .. } => member.as_ref().map(|member| member.holder.session),
            _ => None,
        }
    }

    fn into_owned(self) -> Act<'static> {
        fn own(name: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(name.into_owned())
        }
        match self {
            Act::Create { tags, in_force } => Act::Create { tags, in_force },
            Act::Enter { candidate, member, conflict, metadata, only_if_leads } => {
                let candidate = own(candidate);
                Act::Enter { candidate, member, conflict, metadata, only_if_leads }
            }
            Act::Withdraw { candidate, member } => {
                Act::Withdraw { candidate: own(candidate), member }
            }
            Act::Anoint { candidate } => Act::Anoint { candidate: own(candidate) },
            Act::Promote { candidate } => Act::Promote { candidate: own(candidate) },
            Act::Demote { candidate } => Act::Demote { candidate: own(candidate) },
            Act::Evict { candidate } => Act::Evict { candidate: own(candidate) },
            Act::Leave { member } => Act::Leave { member },
            Act::Delete => Act::Delete,
        }
    }
}

impl Command<'_> {
    /// Fit to wait in the mailbox.
    pub(crate) fn into_owned(self) -> Command<'static> {
        let Command { work, reply } = self;
        let work = match work {
            Work::Change { cell, act, intent } => {
                let intent = intent.map(|intent| Box::new(intent.into_owned()));
                Work::Change { cell, act: act.into_owned(), intent }
            }
            Work::LetGo { cell } => Work::LetGo { cell },
            Work::Follow { cell, slot } => Work::Follow { cell, slot },
            Work::Unfollow { cell, slot } => Work::Unfollow { cell, slot },
            Work::SessionEnded(session) => Work::SessionEnded(session),
            Work::Restore { cell, restored } => Work::Restore { cell, restored },
            Work::Recall { cell, tags } => Work::Recall { cell, tags },
            Work::Leave { session, end, places } => Work::Leave { session, end, places },
        };
        Command { work, reply }
    }

    /// A full mailbox takes these too. Ends free what it is full of, and each follows a beginning;
    /// a follow that was lost would be a watch that never says anything, and streams have a limit
    /// of their own.
    pub(crate) fn is_owed(&self) -> bool {
        !matches!(self.work, Work::Change { .. })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::id::{Holder, SessionKind};
    use crate::lease::{Ending, Lease};

    /// Each way a session ends is told as what it was, with who did it and why.
    #[test]
    fn an_end_is_told_as_what_it_was() {
        let id = |number| SessionId::new(number).unwrap();
        let holder = Holder { session: id(1), kind: SessionKind::Fast };
        for (ending, why, by, note) in [
            (Ending::Closed, Departure::SessionEnded, Some(id(1)), ""),
            (Ending::Disconnected, Departure::Disconnected, None, ""),
            (Ending::Expired, Departure::SessionExpired, None, ""),
            (Ending::Ended, Departure::SessionRemoved, Some(id(2)), "why"),
        ] {
            let member = Member::new(holder, Lease::open_ended(), Duration::ZERO);
            // Said, but it ended otherwise meanwhile: then it does not count.
            member.give_notice(Some(id(2)), "why");
            assert!(member.lease.end(ending).is_some());
            let end = SessionEnd::of(Arc::new(member));
            assert_eq!((end.why, end.by, &*end.note), (why, by, note), "{ending:?}");
        }
    }
}
