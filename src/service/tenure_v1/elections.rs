//! `tenure.v1.Elections`: elections, with what the Atomix services can't show.

use std::sync::Arc;

use super::change::{Change, Say, unknown};
use super::observe::Observe;
use super::state::{reign, state};
use super::wait::EnterWhenFree;
use super::{decode, page_size, sessions};
use crate::election::{Conflict, Metadata, Verdict};
use crate::engine::{Act, Election};
use crate::error::Error;
use crate::id::{checked_name, checked_note};
use crate::limits::NOTE_BYTES;
use crate::service::{Answer, Caller, EMPTY, ReplyTo};
use crate::shard::Intent;
use crate::wire::message::Message;
use crate::wire::tenure_v1::elections as wire;

pub(in crate::service) const SERVICE: &str = "tenure.v1.Elections";

/// Of a described election, so many of the queue: their sessions must fit a frame.
const DESCRIBED: usize = 1_000;

/// A change that needs no session.
pub(in crate::service) type ByHand = fn(&str) -> Act<'_>;

pub(in crate::service) const ANOINT: ByHand = |candidate| Act::Anoint { candidate };
pub(in crate::service) const PROMOTE: ByHand = |candidate| Act::Promote { candidate };
pub(in crate::service) const DEMOTE: ByHand = |candidate| Act::Demote { candidate };
pub(in crate::service) const EVICT: ByHand = |candidate| Act::Evict { candidate };

impl Caller {
    pub(in crate::service) fn enter_own(
        &mut self,
        payload: &[u8],
        to: ReplyTo<'_>,
    ) -> Result<Answer<'_>, Error> {
        let request: wire::EnterRequest = decode(payload, "tenure.v1.EnterRequest")?;
        let candidate = self.checked_candidate(&request.candidate)?;
        let metadata = request.metadata.unwrap_or_default();
        let labels = metadata.labels.iter().map(|(key, value)| (&**key, &**value));
        let metadata = Metadata::new(&metadata.address, labels)?;
        let metadata = Some(metadata).filter(|it| !it.is_empty()).map(Arc::new);
        let conflict = match request.on_conflict {
            wire::on_conflict::FAIL => Some(Conflict::Refuse),
            wire::on_conflict::TAKE_OVER => Some(Conflict::TakeOver),
            wire::on_conflict::WAIT => None,
            other => {
                let why = format!("{other} is none; give 0 (fail), 1 (wait) or 2 (take over)");
                return Err(Error::InvalidSetting { setting: "on_conflict", why });
            }
        };
        let (sink, ticket) = to.claim()?;
        let session = self.acting(request.session)?;
        let election = self.names.find_or_make(&request.election, &self.engine)?.clone();
        let only_if_leads = request.only_if_leads;
        let Some(conflict) = conflict else {
            let how = (metadata, only_if_leads);
            let task = EnterWhenFree::begin(election, session, candidate, how, (sink, ticket));
            return Ok(Answer::Task(Box::new(task)));
        };
        let say = Say::Entered(candidate.into(), session.id());
        let session = &session;
        let act = Act::Enter { candidate, session, conflict, metadata, only_if_leads };
        election.submit(act, sink, ticket);
        Ok(Answer::Task(Box::new(Change::new(election, say))))
    }

    pub(in crate::service) fn withdraw_own(
        &mut self,
        payload: &[u8],
        to: ReplyTo<'_>,
    ) -> Result<Answer<'_>, Error> {
        let request: wire::ChangeRequest = decode(payload, "tenure.v1.ChangeRequest")?;
        let candidate = self.checked_candidate(&request.candidate)?;
        let note = checked_note("reason", request.reason.as_bytes(), NOTE_BYTES)?;
        let (sink, ticket) = to.claim()?;
        let session = self.acting_if_any(request.session)?;
        let Some(election) = self.names.find(&request.election, &self.engine)?.cloned() else {
            return nobody_there(&request);
        };
        let intent = Intent { expected: request.expected_term, note: note.into(), by: None };
        let act = Act::Withdraw { candidate, session: session.as_ref() };
        election.submit_with(act, intent, sink, ticket);
        Ok(Answer::Task(Box::new(Change::new(election, Say::Left))))
    }

    pub(in crate::service) fn change_own(
        &mut self,
        act: ByHand,
        payload: &[u8],
        to: ReplyTo<'_>,
    ) -> Result<Answer<'_>, Error> {
        let request: wire::ChangeRequest = decode(payload, "tenure.v1.ChangeRequest")?;
        let candidate = self.checked_candidate(&request.candidate)?;
        let note = checked_note("reason", request.reason.as_bytes(), NOTE_BYTES)?;
        let (sink, ticket) = to.claim()?;
        let by = self.acting_if_any(request.session)?.map(|session| session.id());
        let act = act(candidate);
        let leaves = matches!(act, Act::Evict { .. });
        let Some(election) = self.names.find(&request.election, &self.engine)?.cloned() else {
            if leaves {
                return nobody_there(&request);
            }
            check_vacant(request.expected_term)?;
            let nobody = self.engine.term(&request.election)?;
            return Err(unknown(&request.election, candidate, &nobody));
        };
        let intent = Intent { expected: request.expected_term, note: note.into(), by };
        election.submit_with(act, intent, sink, ticket);
        let say = if leaves { Say::Left } else { Say::Moved(candidate.into()) };
        Ok(Answer::Task(Box::new(Change::new(election, say))))
    }

    pub(in crate::service) fn delete(
        &mut self,
        payload: &[u8],
        to: ReplyTo<'_>,
    ) -> Result<Answer<'_>, Error> {
        let request: wire::DeleteRequest = decode(payload, "tenure.v1.DeleteRequest")?;
        let note = checked_note("reason", request.reason.as_bytes(), NOTE_BYTES)?;
        let (sink, ticket) = to.claim()?;
        let by = self.acting_if_any(0)?.map(|session| session.id());
        let Some(election) = self.names.find(&request.election, &self.engine)?.cloned() else {
            check_vacant(request.expected_term)?;
            return Ok(Answer::Now(EMPTY));
        };
        let intent = Intent { expected: request.expected_term, note: note.into(), by };
        election.submit_with(Act::Delete, intent, sink, ticket);
        Ok(Answer::Task(Box::new(Change::new(election, Say::Deleted))))
    }

    pub(in crate::service) fn observe(
        &mut self,
        payload: &[u8],
        to: ReplyTo<'_>,
    ) -> Result<Answer<'_>, Error> {
        let request: wire::ObserveRequest = decode(payload, "tenure.v1.ObserveRequest")?;
        let (sink, ticket) = to.claim()?;
        let election = self.names.find_or_make(&request.election, &self.engine)?;
        let follower = election.follow(sink, ticket);
        Ok(Answer::Stream(Box::new(Observe::new(follower, request.leader_only))))
    }

    pub(in crate::service) fn list_elections(
        &mut self,
        payload: &[u8],
    ) -> Result<Answer<'_>, Error> {
        let request: wire::ListElectionsRequest =
            decode(payload, "tenure.v1.ListElectionsRequest")?;
        let most = page_size(request.page_size);
        let after = Some(&*request.page_token).filter(|token| !token.is_empty());
        let page = self.engine.list_elections(&request.prefix, after, most);
        let is_last = page.len() < most;
        let last = page.last().filter(|_| !is_last).map(|(name, _)| name.to_string());
        let summaries = page.into_iter().map(|(name, term)| wire::Summary {
            election: name.into(),
            term: term.number(),
            revision: term.revision(),
            leader: term.leader().unwrap_or_default().to_owned(),
            standing: term.participants().len() as u32,
            since_unix_micros: term.since_unix_micros(),
        });
        let reply = wire::ListElectionsResponse {
            elections: summaries.collect(),
            next_page_token: last.unwrap_or_default(),
        };
        Ok(Answer::Bytes(reply.encode()))
    }

    pub(in crate::service) fn describe(&mut self, payload: &[u8]) -> Result<Answer<'_>, Error> {
        let request: wire::DescribeRequest = decode(payload, "tenure.v1.DescribeRequest")?;
        let Some(election) = self.known(&request.election)? else {
            let state = wire::State { election: request.election, ..Default::default() };
            let reply = wire::DescribeResponse { state: Some(state), queue: Vec::new() };
            return Ok(Answer::Bytes(reply.encode()));
        };
        let term = election.term();
        let queue = term.standing().take(DESCRIBED).map(|(name, holder)| wire::Standing {
            candidate: name.to_owned(),
            session: self.engine.session_info(holder.session).map(sessions::session),
        });
        let reply = wire::DescribeResponse {
            queue: queue.collect(),
            state: Some(state(&election, &term, false)),
        };
        Ok(Answer::Bytes(reply.encode()))
    }

    pub(in crate::service) fn history(&mut self, payload: &[u8]) -> Result<Answer<'_>, Error> {
        let request: wire::HistoryRequest = decode(payload, "tenure.v1.HistoryRequest")?;
        let term = self.engine.term(&request.election)?;
        let reply = wire::HistoryResponse { reigns: term.history().map(reign).collect() };
        Ok(Answer::Bytes(reply.encode()))
    }

    pub(in crate::service) fn check(&mut self, payload: &[u8]) -> Result<Answer<'_>, Error> {
        let request: wire::CheckRequest = decode(payload, "tenure.v1.CheckRequest")?;
        let term = self.engine.term(&request.election)?;
        let reply = wire::CheckResponse {
            verdict: match term.verdict_on(request.term) {
                Verdict::Current => wire::verdict::CURRENT,
                Verdict::Stale => wire::verdict::STALE,
                Verdict::Unknown => wire::verdict::UNKNOWN,
            },
            term: term.number(),
            leader: term.leader().unwrap_or_default().to_owned(),
        };
        Ok(Answer::Bytes(reply.encode()))
    }

    /// The election of this name, unless nobody knows it, or it was deleted.
    fn known(&mut self, name: &str) -> Result<Option<Election>, Error> {
        let election = self.names.find(name, &self.engine)?.cloned();
        Ok(election.filter(|election| !election.term().is_forgotten()))
    }

    fn checked_candidate<'a>(&self, candidate: &'a str) -> Result<&'a str, Error> {
        checked_name("candidate", candidate.as_bytes(), self.engine.limits().name_bytes)
    }
}

/// The condition on the term of an election that nobody knows.
fn check_vacant(expected: Option<u64>) -> Result<(), Error> {
    match expected {
        Some(expected) if expected != 0 => Err(Error::TermMoved { expected, present: 0 }),
        _ => Ok(()),
    }
}

/// Who is not there has left: the answer to leaving twice.
fn nobody_there(request: &wire::ChangeRequest) -> Result<Answer<'static>, Error> {
    check_vacant(request.expected_term)?;
    let state = wire::State { election: request.election.clone(), ..Default::default() };
    Ok(Answer::Bytes(wire::ChangeResponse { state: Some(state) }.encode()))
}
