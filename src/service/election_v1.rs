//! `atomix.runtime.election.v1.LeaderElection`: the election itself. Its Create and Close are those of
//! `LeaderElections`, which older clients look for here.

use std::sync::Arc;

use super::{Answer, Body, Caller, NO_TERM, ReplyTo, Shape};
use crate::election::Conflict;
use crate::engine::{Act, Election};
use crate::error::Error;
use crate::id::check_name;
use crate::shard::{Sink, Ticket};
use crate::wire::election_v1::{CandidateRequest, NamedRequest};

pub(super) const SERVICE: &str = "atomix.runtime.election.v1.LeaderElection";

/// A change that needs no session.
#[derive(Clone, Copy)]
pub(super) struct Change {
    request: &'static str,
    act: fn(&str) -> Act<'_>,
}

pub(super) const ANOINT: Change = Change {
    request: "atomix.runtime.election.v1.AnointRequest",
    act: |candidate| Act::Anoint { candidate },
};
pub(super) const PROMOTE: Change = Change {
    request: "atomix.runtime.election.v1.PromoteRequest",
    act: |candidate| Act::Promote { candidate },
};
pub(super) const DEMOTE: Change = Change {
    request: "atomix.runtime.election.v1.DemoteRequest",
    act: |candidate| Act::Demote { candidate },
};
pub(super) const EVICT: Change = Change {
    request: "atomix.runtime.election.v1.EvictRequest",
    act: |candidate| Act::Evict { candidate },
};

impl Caller {
    /// No lock, no mailbox and no allocation after the first request of a name.
    #[inline]
    pub(super) fn get_term(&mut self, payload: &[u8]) -> Result<Answer<'_>, Error> {
        let request = NamedRequest::decode(payload)
            .map_err(|fault| fault.of("atomix.runtime.election.v1.GetTermRequest"))?;
        let term = self.names.read(request.name, &self.engine)?;
        Ok(Answer::Now(term.map_or(NO_TERM, Body::of)))
    }

    /// As GetTerm, if this connection knows the election already. A name it knows needs no checks.
    #[inline]
    pub(crate) fn known_term(&mut self, name: &[u8]) -> Option<Body<'_>> {
        self.names.read_known(name).map(Body::of)
    }

    pub(super) fn watch(&mut self, payload: &[u8], to: ReplyTo<'_>) -> Result<Answer<'_>, Error> {
        let request = NamedRequest::decode(payload)
            .map_err(|fault| fault.of("atomix.runtime.election.v1.WatchRequest"))?;
        let (sink, ticket) = to.claim()?;
        let election = self.names.find_or_make(request.name, &self.engine)?;
        Ok(Answer::Watch(election.follow(sink, ticket)))
    }

    pub(super) fn enter(&mut self, payload: &[u8], to: ReplyTo<'_>) -> Result<Answer<'_>, Error> {
        let request = CandidateRequest::decode(payload)
            .map_err(|fault| fault.of("atomix.runtime.election.v1.EnterRequest"))?;
        let candidate = self.checked(request.candidate)?;
        let to = to.claim()?;
        let election = self.names.find_or_make(request.name, &self.engine)?;
        let session = self.sessions.unnamed(&self.engine, (self.connection, &self.peer))?;
        submit(election, Act::enter(candidate, session, Conflict::PassFromConnection), to)
    }

    pub(super) fn withdraw(
        &mut self,
        payload: &[u8],
        to: ReplyTo<'_>,
    ) -> Result<Answer<'_>, Error> {
        let request = CandidateRequest::decode(payload)
            .map_err(|fault| fault.of("atomix.runtime.election.v1.WithdrawRequest"))?;
        let candidate = self.checked(request.candidate)?;
        let Some(election) = self.names.find(request.name, &self.engine)? else {
            return Ok(Answer::Now(NO_TERM));
        };
        let to = to.claim()?;
        let session = self.sessions.renewed_if_any()?;
        submit(election, Act::Withdraw { candidate, session }, to)
    }

    /// Changes the queue of an election if there is one: it never makes one.
    pub(super) fn change(
        &mut self,
        change: Change,
        payload: &[u8],
        to: ReplyTo<'_>,
    ) -> Result<Answer<'_>, Error> {
        let request =
            CandidateRequest::decode(payload).map_err(|fault| fault.of(change.request))?;
        let candidate = self.checked(request.candidate)?;
        let Some(election) = self.names.find(request.name, &self.engine)? else {
            return Ok(Answer::Now(NO_TERM));
        };
        let to = to.claim()?;
        submit(election, (change.act)(candidate), to)
    }

    fn checked<'a>(&self, candidate: &'a str) -> Result<&'a str, Error> {
        check_name("candidate", candidate, self.engine.limits().name_bytes).map(|()| candidate)
    }
}

/// Has an election changed: now, if nothing is in the way.
fn submit<'c>(
    election: &Election,
    act: Act<'_>,
    (sink, ticket): (&Arc<dyn Sink>, Ticket),
) -> Result<Answer<'c>, Error> {
    match election.submit_here(act, sink, ticket) {
        Some(outcome) => outcome.map(Answer::Term),
        None => Ok(Answer::Later(Shape::Term(election.clone()))),
    }
}
