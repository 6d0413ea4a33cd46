//! What a shard can be asked to do.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use super::follower::Slot;
use super::member::Member;
use super::reply::{Answer, Reply};
use super::snapshot::{ByPlace, Cell};
use crate::election::{self, Conflict, Departure, Metadata, Term};
use crate::error::{EndReason, Error};
use crate::id::{SessionId, checked_note};
use crate::limits::NOTE_BYTES;

/// Work and the debt of its answer.
pub(crate) struct Command {
    pub(crate) work: Work,
    pub(crate) reply: Reply,
}

pub(crate) enum Work {
    Change {
        cell: Arc<Cell>,
        act: WaitingAct,
        /// Absent if it says nothing: commands are moved more often than they are told why.
        intent: Option<Box<Intent<'static>>>,
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
    /// Whether it says anything. Its note has to be fit to be shown.
    pub(crate) fn check(&self) -> Result<bool, Error> {
        if self.expected.is_none() && self.by.is_none() && self.note.is_empty() {
            return Ok(false);
        }
        checked_note("reason", self.note.as_bytes(), NOTE_BYTES).map(|_| true)
    }

    fn into_owned(self) -> Intent<'static> {
        Intent { note: Cow::Owned(self.note.into_owned()), ..self }
    }
}

/// What an election was created with.
pub(crate) type Tags = Arc<[Box<str>]>;

/// One operation on one election. `N` is a candidate's name and `S` a session: borrowed while its own
/// submitter runs it, owned while it waits.
#[derive(Clone)]
pub(crate) enum Act<N, S> {
    /// The latest tags that are not empty count: `in_force` says which those are when the outcome comes.
    Create {
        tags: Tags,
        in_force: Arc<OnceLock<Tags>>,
    },
    Enter {
        candidate: N,
        session: S,
        conflict: Conflict,
        metadata: Option<Arc<Metadata>>,
        /// Nothing is done if it would only wait.
        only_if_leads: bool,
    },
    Withdraw {
        candidate: N,
        /// Who has no session holds no candidate, and is told so in turn with everybody.
        session: Option<S>,
    },
    Anoint {
        candidate: N,
    },
    Promote {
        candidate: N,
    },
    Demote {
        candidate: N,
    },
    Evict {
        candidate: N,
    },
    Leave {
        session: S,
    },
    Delete,
}

/// As its submitter hands it over.
pub(crate) type OwnAct<'a> = Act<&'a str, &'a Arc<Member>>;
/// As it waits.
pub(crate) type WaitingAct = Act<Box<str>, Arc<Member>>;

impl<N, S> Act<N, S> {
    /// The same operation with other names and sessions.
    pub(crate) fn try_map<M, T, E>(
        self,
        name: impl Fn(N) -> Result<M, E>,
        member: impl Fn(S) -> Result<T, E>,
    ) -> Result<Act<M, T>, E> {
        Ok(match self {
            Act::Create { tags, in_force } => Act::Create { tags, in_force },
            Act::Enter { candidate, session, conflict, metadata, only_if_leads } => {
                let (candidate, session) = (name(candidate)?, member(session)?);
                Act::Enter { candidate, session, conflict, metadata, only_if_leads }
            }
            Act::Withdraw { candidate, session } => {
                let session = session.map(member).transpose()?;
                Act::Withdraw { candidate: name(candidate)?, session }
            }
            Act::Anoint { candidate } => Act::Anoint { candidate: name(candidate)? },
            Act::Promote { candidate } => Act::Promote { candidate: name(candidate)? },
            Act::Demote { candidate } => Act::Demote { candidate: name(candidate)? },
            Act::Evict { candidate } => Act::Evict { candidate: name(candidate)? },
            Act::Leave { session } => Act::Leave { session: member(session)? },
            Act::Delete => Act::Delete,
        })
    }

    /// Whether more may have to be kept than before. What makes room is let in also where there is
    /// none.
    pub(super) fn grows(&self) -> bool {
        !matches!(self, Act::Withdraw { .. } | Act::Evict { .. } | Act::Leave { .. } | Act::Delete)
    }
}

impl OwnAct<'_> {
    /// The same for the rules, or `None` for what does not touch the list. Fails if the session has
    /// ended: it is asked here, when the act is applied, not when it was handed over.
    pub(super) fn rule(&self) -> Result<Option<election::Command<'_>>, Error> {
        use election::Command as Rule;
        Ok(Some(match *self {
            Act::Create { .. } => return Ok(None),
            Act::Enter { candidate, session, conflict, ref metadata, only_if_leads } => {
                session.check()?;
                let (holder, says) = (session.holder, metadata.as_ref());
                Rule::Enter { candidate, holder, conflict, says, only_if_leads }
            }
            Act::Withdraw { candidate, session } => {
                session.map_or(Ok(()), |member| member.check())?;
                Rule::Withdraw { candidate, session: self.session() }
            }
            Act::Leave { session } => {
                session.check()?;
                Rule::Leave { session: session.holder.session, why: Departure::Closed }
            }
            Act::Anoint { candidate } => Rule::Anoint { candidate },
            Act::Promote { candidate } => Rule::Promote { candidate },
            Act::Demote { candidate } => Rule::Demote { candidate },
            Act::Evict { candidate } => Rule::Evict { candidate },
            Act::Delete => Rule::Delete,
        }))
    }

    /// Who is to stand after it, if it lets somebody in.
    pub(super) fn enters(&self) -> Option<&Arc<Member>> {
        match self {
            Act::Enter { session, .. } => Some(session),
            _ => None,
        }
    }

    /// Whose operation it is, if it is a session's.
    pub(super) fn session(&self) -> Option<SessionId> {
        let member = match self {
            Act::Enter { session, .. } | Act::Leave { session } => Some(*session),
            Act::Withdraw { session, .. } => *session,
            _ => None,
        };
        member.map(|member| member.holder.session)
    }

    fn to_waiting(&self) -> WaitingAct {
        let Ok(act) =
            self.clone().try_map(|name| Ok::<_, Infallible>(name.into()), |it| Ok(it.clone()));
        act
    }
}

impl WaitingAct {
    pub(super) fn borrowed(&self) -> OwnAct<'_> {
        match self {
            Act::Create { tags, in_force } => {
                Act::Create { tags: tags.clone(), in_force: in_force.clone() }
            }
            Act::Enter { candidate, session, conflict, metadata, only_if_leads } => {
                let (metadata, conflict) = (metadata.clone(), *conflict);
                Act::Enter { candidate, session, conflict, metadata, only_if_leads: *only_if_leads }
            }
            Act::Withdraw { candidate, session } => {
                Act::Withdraw { candidate, session: session.as_ref() }
            }
            Act::Anoint { candidate } => Act::Anoint { candidate },
            Act::Promote { candidate } => Act::Promote { candidate },
            Act::Demote { candidate } => Act::Demote { candidate },
            Act::Evict { candidate } => Act::Evict { candidate },
            Act::Leave { session } => Act::Leave { session },
            Act::Delete => Act::Delete,
        }
    }
}

/// A change in the hands of its own submitter: it borrows everything, for it is run most often before the
/// submitter goes on.
pub(crate) struct Own<'a> {
    pub(crate) cell: &'a Arc<Cell>,
    pub(crate) act: &'a OwnAct<'a>,
    pub(crate) intent: Option<&'a Intent<'a>>,
    pub(crate) answer: Answer<'a>,
}

impl Own<'_> {
    /// Fit to wait in the mailbox.
    pub(super) fn into_command(self) -> Command {
        let act = self.act.to_waiting();
        let intent = self.intent.map(|intent| Box::new(intent.clone().into_owned()));
        let reply = self.answer.into_reply(self.cell.shard());
        Command { work: Work::Change { cell: self.cell.clone(), act, intent }, reply }
    }
}

impl Command {
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
