//! Close: the end of a session, or of the latch with all of its sessions.

use std::sync::Arc;

use super::failure::Failure;
use super::latches::Latches;
use super::reply::{self, Said};
use super::{Call, answer, header, latch_name};
use crate::clock::Moment;
use crate::election::Term;
use crate::engine::{Act, Election, Engine, Follower};
use crate::error::Error;
use crate::service::kept::Kept;
use crate::service::{Answer, Caller, ReplyTo, Step, Task};
use crate::shard::{Intent, Outcome};
use crate::wire::latch::reply::ResponseHeader;
use crate::wire::latch::request::{CloseRequest, RequestHeader};

/// Why the sessions of a deleted latch ended.
const DELETED: &str = "the latch was deleted";

/// Deletes a latch: ends its sessions, waits until nobody stands, and forgets the election.
struct Delete {
    engine: Engine,
    latches: Arc<Latches>,
    election: Election,
    call: Call,
    follower: Follower,
    /// The deletion itself is with the engine.
    submitted: bool,
    /// The state that was to be deleted last. Another one came before it, and will be told of.
    tried: Option<u64>,
    failed: Option<Error>,
    is_done: bool,
}

impl Caller {
    pub(super) fn close_latch(
        &self,
        payload: &[u8],
        to: ReplyTo<'_>,
    ) -> Result<Answer<'static>, Error> {
        let request = CloseRequest::decode(payload)
            .map_err(|fault| fault.of("atomix.leader.CloseRequest"))?;
        if request.delete {
            return Ok(self.delete_latch(request.header.as_ref(), to));
        }
        let said = Said::of(request.header.as_ref());
        let closed = header(request.header.as_ref()).and_then(|header| {
            let session = self.latch_session(header)?;
            let (sink, ticket) = to.claim()?;
            self.latches.next_index();
            session.end();
            self.engine.sync_to(sink, ticket);
            let refuse = move |error: &Error| Some(said.plain(Err(error.clone().into())));
            Ok(Kept::new(said.plain(Ok(()))).or(refuse))
        });
        Ok(answer(closed, Answer::Task, |failure| said.plainly(Err(failure.clone()))))
    }

    fn delete_latch(
        &self,
        request: Option<&RequestHeader<'_>>,
        to: ReplyTo<'_>,
    ) -> Answer<'static> {
        let found = header(request).and_then(|header| {
            let name = latch_name(header)?;
            self.latches.next_index();
            Ok(self.engine.find(&name)?)
        });
        let nobody_knows_it = || Answer::Bytes(reply::header_alone(&ResponseHeader::default()));
        let task = match found {
            Ok(None) => return nobody_knows_it(),
            Ok(Some(election)) => Call::of(to).map(|call| Delete {
                engine: self.engine.clone(),
                latches: self.latches.clone(),
                follower: election.follow(&call.sink, call.ticket),
                election,
                call,
                submitted: false,
                tried: None,
                failed: None,
                is_done: false,
            }),
            Err(failure) => Err(failure),
        };
        answer(task, Answer::Task, |failure| Answer::Bytes(failed(failure)))
    }
}

fn failed(failure: &Failure) -> Vec<u8> {
    let failure = failure.to_string();
    let failure = Some(failure.as_str());
    reply::header_alone(&ResponseHeader { failure, ..ResponseHeader::default() })
}

impl Delete {
    /// Ends the latch's sessions, unless somebody stands who has none of them.
    fn end_sessions(&self, term: &Term) -> Result<(), Failure> {
        let sessions = self.latches.of_latch(self.election.name());
        let is_its = |holder| sessions.iter().any(|session| session.is(holder));
        // One that ended a moment ago is no longer among them, and is about to leave.
        let lives = |holder| self.engine.session_info(holder).is_some();
        let mut others =
            term.standing().filter(|(_, holder)| !is_its(holder.session) && lives(holder.session));
        if let Some((candidate, _)) = others.next() {
            return Err(Failure::NotAlone(candidate.into()));
        }
        for session in sessions {
            // It may have ended by itself meanwhile.
            let _over = self.engine.end_session_by(session.engine_session(), None, DELETED);
        }
        Ok(())
    }
}

impl Task for Delete {
    fn poll(&mut self, _: Moment, out: &mut Vec<u8>) -> Step {
        let _newest = self.follower.take();
        let failure = match self.failed.take() {
            _ if self.is_done => {
                out.extend(reply::header_alone(&ResponseHeader::default()));
                return Step::Last;
            }
            // Somebody joined in between: looked at again.
            None | Some(Error::TermMoved { .. }) => {
                if self.submitted {
                    return Step::Wait(None);
                }
                let term = self.election.term();
                match self.end_sessions(&term) {
                    Ok(()) if self.tried == Some(term.revision()) => return Step::Wait(None),
                    Ok(()) if term.is_vacant() => {
                        (self.submitted, self.tried) = (true, Some(term.revision()));
                        // A name that is forgotten reads as term 0, in a condition too.
                        let expected = if term.is_forgotten() { 0 } else { term.number() };
                        let intent = Intent { expected: Some(expected), ..Intent::default() };
                        let Call { sink, ticket } = &self.call;
                        self.election.submit_with(Act::Delete, intent, sink, *ticket);
                        return Step::Wait(None);
                    }
                    Ok(()) => return Step::Wait(None),
                    Err(failure) => failure,
                }
            }
            Some(error) => error.into(),
        };
        out.extend(failed(&failure));
        Step::Last
    }

    fn outcome(&mut self, outcome: Outcome) {
        self.submitted = false;
        match outcome {
            Ok(_) => self.is_done = true,
            Err(error) => self.failed = Some(error),
        }
    }

    fn is_under_way(&self) -> bool {
        true
    }
}
