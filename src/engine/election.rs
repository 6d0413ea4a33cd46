//! The handle of one election.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::watch::Follower;
#[cfg(feature = "server")]
use super::watch::Lookout;
use super::{Engine, Leadership, Observer, Session, Watch};
use crate::election::{Conflict, Term};
use crate::error::Error;
use crate::id::check_name;
use crate::limits::Limits;
use crate::shard::{
    self, Answer, Caller, Cell, Command, Intent, Outcome, Own, Reply, ReplyTo, Sink, Ticket, Work,
};

/// One operation, as a service asks for it. A withdrawal without a session is nobody's.
pub(crate) type Act<'a> = shard::Act<&'a str, &'a Session>;

impl<'a> Act<'a> {
    pub(crate) fn enter(candidate: &'a str, session: &'a Session, conflict: Conflict) -> Self {
        Act::Enter { candidate, session, conflict, metadata: None, only_if_leads: false }
    }
}

/// A handle of one election. It follows the name: after a deletion it shows that nobody leads, then
/// whatever comes later.
///
/// Every change blocks only for its own commit and returns the term after it, which is the present
/// one if there was nothing to do.
pub struct Election {
    engine: Engine,
    /// `Some` until dropped.
    cell: Option<Arc<Cell>>,
}

impl Election {
    pub(super) fn new(engine: Engine, cell: Arc<Cell>) -> Self {
        Self { engine, cell: Some(cell) }
    }

    pub(super) fn check_name(name: &str, limits: &Limits) -> Result<(), Error> {
        check_name("election name", name, limits.name_bytes)
    }

    /// The election's name.
    pub fn name(&self) -> &str {
        self.cell().name()
    }

    /// The shard it lives in: changes of elections in different shards don't wait for each other.
    pub fn shard(&self) -> usize {
        self.cell().shard()
    }

    /// Who leads now, from any thread. To read often, hold an [`Observer`].
    pub fn term(&self) -> Arc<Term> {
        self.cell().term().clone()
    }

    /// A reader for one thread, which costs about a nanosecond a look.
    pub fn observe(&self) -> Observer {
        Observer::new(self.clone())
    }

    /// The present term, then the newest after each change.
    pub fn watch(&self) -> Watch {
        Watch::new(self)
    }

    /// `candidate` joins the end of the queue, and leads if it is the first.
    ///
    /// # Errors
    /// [`Error::CandidateTaken`] if another session holds it, [`Error::SessionEnded`],
    /// [`Error::InvalidName`], [`Error::LimitReached`].
    pub fn enter(&self, session: &Session, candidate: &str) -> Outcome {
        self.act(Act::enter(candidate, session, Conflict::Refuse))
    }

    /// As [`enter`](Self::enter), but takes the candidate over, in its place, from whichever session
    /// holds it. If it leads, that is a new term.
    ///
    /// # Errors
    /// As `enter`, without `CandidateTaken`.
    pub fn take_over(&self, session: &Session, candidate: &str) -> Outcome {
        self.act(Act::enter(candidate, session, Conflict::TakeOver))
    }

    /// `candidate` leaves from any place. If it led, the next leads.
    ///
    /// # Errors
    /// [`Error::NotYours`] if another session holds it, [`Error::SessionEnded`],
    /// [`Error::InvalidName`].
    pub fn withdraw(&self, session: &Session, candidate: &str) -> Outcome {
        self.act(Act::Withdraw { candidate, session: Some(session) })
    }

    /// `candidate` becomes the leader, the old one the second.
    ///
    /// # Errors
    /// [`Error::InvalidName`].
    pub fn anoint(&self, candidate: &str) -> Outcome {
        self.act(Act::Anoint { candidate })
    }

    /// `candidate` swaps with the one before it.
    ///
    /// # Errors
    /// [`Error::InvalidName`].
    pub fn promote(&self, candidate: &str) -> Outcome {
        self.act(Act::Promote { candidate })
    }

    /// `candidate` swaps with the one behind it.
    ///
    /// # Errors
    /// [`Error::InvalidName`].
    pub fn demote(&self, candidate: &str) -> Outcome {
        self.act(Act::Demote { candidate })
    }

    /// `candidate` leaves, whoever holds it.
    ///
    /// # Errors
    /// [`Error::InvalidName`].
    pub fn evict(&self, candidate: &str) -> Outcome {
        self.act(Act::Evict { candidate })
    }

    /// All candidates of `session` leave this election in one change.
    ///
    /// # Errors
    /// [`Error::SessionEnded`]: then they have left already.
    pub fn leave(&self, session: &Session) -> Outcome {
        self.act(Act::Leave { session })
    }

    /// `candidate` joins the queue, and this thread waits until it leads and may act: until whoever
    /// the lead was taken from has let go, or can't act any more.
    ///
    /// # Errors
    /// As [`enter`](Self::enter); [`Error::SessionEnded`] also while it waits, and
    /// [`Error::NotStanding`] if the candidate is removed from the queue while it waits.
    pub fn lead(&self, session: &Session, candidate: &str) -> Result<Leadership, Error> {
        Leadership::wait(self, session, candidate)
    }

    /// How long the present leader has to wait until it may act. Zero, unless the lead was taken by
    /// force from a session under [`Failover::Exclusive`](crate::Failover::Exclusive).
    pub fn valid_after(&self) -> Duration {
        let now = self.engine.clock().now();
        self.cell().handover().map_or(Duration::ZERO, |handover| handover.valid_after(now))
    }

    /// `session` has stopped acting as the leader of all terms up to `term`: whoever leads now need
    /// not wait for it. [`Leadership`] does this by itself.
    pub fn let_go(&self, session: &Session, term: u64) {
        session.forget_lost(self.cell(), term);
        let handover = self.cell().handover();
        if handover.is_some_and(|handover| handover.let_go(session.id(), term)) {
            self.command(Work::LetGo { cell: self.cell().clone() }, ReplyTo::Nobody);
        }
    }

    /// `candidate` withdraws if `term` is still the term: a resignation that comes late can't end a
    /// later leadership.
    pub(super) fn resign(&self, session: &Session, candidate: &str, term: u64) -> Outcome {
        let intent = Intent { expected: Some(term), ..Intent::default() };
        self.act_with(Act::Withdraw { candidate, session: Some(session) }, intent)
    }

    /// All candidates leave and the name is forgotten. No later election of any name starts at or
    /// below its last term.
    ///
    /// # Errors
    /// [`Error::LimitReached`] if the shard is overloaded.
    pub fn delete(&self) -> Result<(), Error> {
        self.act(Act::Delete).map(|_| ())
    }

    /// Runs one operation on this thread, or waits for the thread that runs it.
    fn act(&self, act: Act<'_>) -> Outcome {
        let act = self.check(act)?;
        self.wait_for(&act, None)
    }

    /// As [`act`](Self::act), on a condition or with a reason.
    pub(super) fn act_with(&self, act: Act<'_>, intent: Intent<'_>) -> Outcome {
        let act = self.check(act)?;
        self.wait_for(&act, intent.check()?.then_some(&intent))
    }

    fn wait_for(&self, act: &shard::OwnAct<'_>, intent: Option<&Intent<'_>>) -> Outcome {
        let (cell, shard) = (self.cell(), self.cell().shard());
        Caller::wait(&*self.engine.inner.rules.log, shard, |caller| {
            let answer = Answer::Caller(caller);
            self.engine.inner.shards[shard].change(Own { cell, act, intent, answer });
        })
    }

    /// Hands one operation over, whose names have been checked. What it came to, if this thread came to it and
    /// nothing has to be waited for; or `None`: then its outcome goes to the sink, exactly once.
    pub(crate) fn submit_here(
        &self,
        act: Act<'_>,
        sink: &Arc<dyn Sink>,
        ticket: Ticket,
    ) -> Option<Outcome> {
        let act = match self.on_behalf(act) {
            Ok(act) => act,
            Err(error) => return Some(Err(error)),
        };
        let (cell, shard) = (self.cell(), self.cell().shard());
        Caller::try_here((sink, ticket), shard, |caller| {
            let answer = Answer::Caller(caller);
            self.engine.inner.shards[shard].change(Own { cell, act: &act, intent: None, answer });
        })
    }

    /// Hands one operation over; its outcome goes to the sink, exactly once.
    pub(crate) fn submit(&self, act: Act<'_>, sink: &Arc<dyn Sink>, ticket: Ticket) {
        self.submit_with(act, Intent::default(), sink, ticket);
    }

    /// As [`submit`](Self::submit), on a condition or with a reason.
    pub(crate) fn submit_with(
        &self,
        act: Act<'_>,
        intent: Intent<'_>,
        sink: &Arc<dyn Sink>,
        ticket: Ticket,
    ) {
        let checked = self.check(act).and_then(|act| Ok((act, intent.check()?)));
        match checked {
            Ok((act, says)) => {
                let (cell, shard) = (self.cell(), self.cell().shard());
                let reply = &mut Reply::new(ReplyTo::Sink(sink.clone(), ticket), shard);
                let (intent, answer) = (says.then_some(&intent), Answer::Reply(reply));
                self.engine.inner.shards[shard].change(Own { cell, act: &act, intent, answer });
            }
            Err(error) => sink.reply(ticket, Err(error)),
        }
    }

    /// Tells the sink whenever there is something newer to take.
    pub(crate) fn follow(&self, sink: &Arc<dyn Sink>, ticket: Ticket) -> Follower {
        Follower::new(self.clone(), sink, ticket)
    }

    /// Tells the sink whenever a change was made, which nobody may see yet.
    #[cfg(feature = "server")]
    pub(crate) fn look_out(&self, sink: &Arc<dyn Sink>, ticket: Ticket) -> Lookout {
        Lookout::new(self.clone(), sink, ticket)
    }

    pub(super) fn command(&self, work: Work, to: ReplyTo) {
        let shard = self.cell().shard();
        let reply = Reply::new(to, shard);
        self.engine.inner.shards[shard].submit(Command { work, reply });
    }

    /// Checks what can be checked before the shard sees it.
    #[inline]
    fn check<'a>(&self, act: Act<'a>) -> Result<shard::OwnAct<'a>, Error> {
        let max = self.engine.limits().name_bytes;
        act.try_map(
            |name| check_name("candidate", name, max).map(|()| name),
            |session| session.visit(&self.engine, self.cell().shard()),
        )
    }

    /// The same of the session alone.
    #[inline]
    fn on_behalf<'a>(&self, act: Act<'a>) -> Result<shard::OwnAct<'a>, Error> {
        act.try_map(Ok, |session| session.visit(&self.engine, self.cell().shard()))
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Tells it from all others, for as long as somebody holds a handle of it.
    #[cfg(feature = "server")]
    pub(crate) fn place(&self) -> usize {
        Arc::as_ptr(self.cell()).addr()
    }

    pub(super) fn cell(&self) -> &Arc<Cell> {
        self.cell.as_ref().expect("a cell until dropped")
    }
}

impl Clone for Election {
    fn clone(&self) -> Self {
        Self { engine: self.engine.clone(), cell: self.cell.clone() }
    }
}

impl Drop for Election {
    fn drop(&mut self) {
        // Nobody else may know this name any more; then the map needs not either.
        let Some(cell) = self.cell.take() else { return };
        if cell.is_forgotten() {
            let name: Box<str> = cell.name().into();
            drop(cell);
            self.engine.inner.registry.forget(&name);
        }
    }
}

impl fmt::Debug for Election {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Election({:?}: {})", self.name(), self.term())
    }
}
