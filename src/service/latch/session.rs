//! One session of a latch: what its requests have come to, also where their connections are gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use super::Call;
use super::failure::Failure;
use super::latches::Latches;
use super::refusal::Refusal;
use super::sequence::{Command, Seat, Sequence, Turn};
use super::stream::Response;
use super::streams::Reader;
use crate::clock::Moment;
use crate::election::{Conflict, Term};
use crate::engine::{Act, Election, EndFollower, Session};
use crate::error::Error;
use crate::id::SessionId;
use crate::shard::{Outcome, Sink, Ticket};
use crate::wire::latch::request::RequestHeader;

pub(super) struct LatchSession {
    id: u64,
    session: Session,
    election: Election,
    latches: Weak<Latches>,
    /// Hears of outcomes and of the session's end.
    ear: Arc<dyn Sink>,
    end: OnceLock<EndFollower>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sequence: Sequence<Reply, Call>,
    /// Those that are with the engine, or whose replies nobody has taken yet.
    runs: HashMap<u64, Run>,
    last_run: u64,
    /// A term that it lost and was not told of, as first seen by a KeepAlive.
    untold: Option<(u64, Moment)>,
}

/// A Latch that runs.
struct Run {
    request: u64,
    index: u64,
    /// Calls its caller, as long as there is one.
    call: Option<Call>,
    reply: Option<Reply>,
}

/// What a command came to, as far as it is kept.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) index: u64,
    /// No term if it is large, or there was none: the newest one is said then.
    pub(super) outcome: Result<Option<Arc<Term>>, Failure>,
}

/// Hears for a session without keeping it.
struct Ear(Weak<LatchSession>);

impl Sink for Ear {
    fn reply(&self, ticket: Ticket, outcome: Outcome) {
        if let Some(session) = self.0.upgrade() {
            session.has_run(ticket.about, outcome);
        }
    }

    fn changed(&self, _: Ticket) {
        if let Some(session) = self.0.upgrade() {
            session.has_ended();
        }
    }
}

impl LatchSession {
    pub(super) fn new(
        id: u64,
        session: Session,
        election: Election,
        latches: &Arc<Latches>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|itself| Self {
            id,
            session,
            election,
            latches: Arc::downgrade(latches),
            ear: Arc::new(Ear(itself.clone())),
            end: OnceLock::new(),
            state: Mutex::default(),
        })
    }

    /// Begins to listen for its end.
    pub(super) fn follow_end(&self) {
        let follower = self.session.follow_end(&self.ear, Ticket { to: 0, about: 0 });
        let _the_first = self.end.set(follower);
    }

    /// It was created with a server before this one, and nobody here knows what its requests came to.
    pub(super) fn resume(&self) {
        self.change(|state| state.sequence.resume());
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The latch's, which is its election's.
    pub(super) fn name(&self) -> &str {
        self.election.name()
    }

    pub(super) fn election(&self) -> &Election {
        &self.election
    }

    pub(super) fn renew(&self) -> Result<(), Error> {
        self.session.renew().map(drop)
    }

    pub(super) fn end(&self) {
        self.session.end_now();
    }

    /// Whether this is what holds a candidate.
    pub(super) fn is(&self, holder: SessionId) -> bool {
        self.session.id() == holder
    }

    /// The engine's session behind it.
    pub(super) fn engine_session(&self) -> SessionId {
        self.session.id()
    }

    /// Changes what it remembers, then calls whoever is to be called for that.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut state);
        let calls = state.sequence.take_calls();
        drop(state);
        calls.iter().for_each(Call::changed);
        changed
    }

    pub(super) fn ask(
        &self,
        command: Command,
        request: u64,
        seat: &mut Option<Seat>,
        now: Moment,
        call: &Call,
    ) -> Turn<Reply> {
        self.change(|state| state.sequence.ask(command, request, seat, now, call))
    }

    pub(super) fn ask_to_read(
        &self,
        request: u64,
        seat: &mut Option<Seat>,
        now: Moment,
        call: &Call,
    ) -> Result<Option<Moment>, Refusal> {
        self.change(|state| state.sequence.ask_to_read(request, seat, now, call))
    }

    pub(super) fn leave(&self, seat: &mut Option<Seat>) {
        self.change(|state| state.sequence.leave(seat));
    }

    /// The index of a command that runs now.
    pub(super) fn next_index(&self) -> u64 {
        self.latches.upgrade().map_or(0, |latches| latches.next_index())
    }

    pub(super) fn index(&self) -> u64 {
        self.latches.upgrade().map_or(0, |latches| latches.index())
    }

    /// Runs a Latch whose turn it is; `call` is called when it has run. Its reply is found by the number
    /// that this gives.
    pub(super) fn join(&self, participant: &str, request: u64, call: &Call) -> u64 {
        let index = self.next_index();
        let run = self.change(|state| {
            state.last_run += 1;
            let run = Run { request, index, call: Some(call.clone()), reply: None };
            state.runs.insert(state.last_run, run);
            state.last_run
        });
        let act = Act::enter(participant, &self.session, Conflict::Refuse);
        self.election.submit(act, &self.ear, Ticket { to: 0, about: run });
        run
    }

    fn has_run(&self, run: u64, outcome: Outcome) {
        let outcome = outcome.map(|term| term.is_light().then_some(term)).map_err(Failure::from);
        let caller = self.change(|state| {
            let Run { request, index, call, .. } = state.runs.remove(&run)?;
            let reply = Reply { index, outcome };
            state.sequence.finish(Command::Latch, request, reply.clone());
            if call.is_some() {
                let run_over = Run { request, index, call: call.clone(), reply: Some(reply) };
                state.runs.insert(run, run_over);
            }
            call
        });
        if let Some(call) = caller {
            call.changed();
        }
    }

    /// The reply of a Latch that was run, once there is one.
    pub(super) fn take_reply(&self, run: u64) -> Option<Reply> {
        self.change(|state| {
            state.runs.get(&run)?.reply.as_ref()?;
            state.runs.remove(&run)?.reply
        })
    }

    /// Nobody will take this one's reply.
    pub(super) fn abandon(&self, run: u64) {
        self.change(|state| {
            if state.runs.get(&run).is_some_and(|run| run.reply.is_some()) {
                state.runs.remove(&run);
            } else if let Some(run) = state.runs.get_mut(&run) {
                run.call = None;
            }
        });
    }

    /// Opens the stream of an Events request whose turn it is, in the state with this revision.
    pub(super) fn open(
        &self,
        request: u64,
        revision: u64,
        call: &Call,
    ) -> Result<Reader, (u64, Failure)> {
        let index = self.next_index();
        self.change(|state| {
            state.sequence.open(request, (index, revision), call).map_err(|refusal| {
                let failure = Failure::from(refusal);
                let reply = Reply { index, outcome: Err(failure.clone()) };
                state.sequence.finish(Command::Events, request, reply);
                (index, failure)
            })
        })
    }

    pub(super) fn next(&self, reader: &mut Reader, revision: u64) -> Option<Response> {
        self.change(|state| state.sequence.next(reader, revision))
    }

    pub(super) fn detach(&self, reader: &Reader) {
        self.change(|state| state.sequence.detach(reader));
    }

    /// Takes note of what has been received. A loss that could not be told for a whole timeout counts as
    /// told: else a session that nobody reads events with would keep its successor waiting for as long
    /// as it lives.
    pub(super) fn keep_alive(&self, header: &RequestHeader<'_>, now: Moment) {
        let lost = self.session.lost().into_iter().map(|(_, term)| term).max();
        let given_up = self.change(|state| {
            let streams = header.streams().map(|stream| (stream.stream_id, stream.response_id));
            state.sequence.acknowledge(header.request_id, streams);
            let before = state.untold.filter(|(term, _)| Some(*term) == lost);
            state.untold = before.or(lost.map(|term| (term, now)));
            state.untold.take_if(|(_, since)| now - *since >= self.session.ttl())
        });
        if let Some((term, _)) = given_up {
            self.election.let_go(&self.session, term);
        }
    }

    /// Up to which term its client has stopped leading, once it knows this state.
    pub(super) fn over_in(&self, term: &Term) -> u64 {
        let leads = term.leading_holder().is_some_and(|holder| self.is(holder.session));
        if leads { term.number().saturating_sub(1) } else { term.number() }
    }

    /// Its client has been told that it no longer leads up to this term. No client of a latch says that
    /// it has stopped acting, so a successor need not wait for more.
    pub(super) fn was_told(&self, term: u64) {
        if !self.session.lost().is_empty() {
            self.election.let_go(&self.session, term);
        }
    }

    fn has_ended(&self) {
        self.change(|state| state.sequence.end());
        if let Some(latches) = self.latches.upgrade() {
            latches.remove(self);
        }
    }
}
