//! Contending for the lead for as long as a program wants it, through every loss.

use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crossbeam::atomic::AtomicCell;

use super::{Connection, Leadership, Session};
use crate::client::session::{first, jitter};
use crate::client::{self, Address, ClientError, EnterOptions, Options};

/// Somebody who wants to lead an election, whatever happens in between.
#[derive(Clone, Debug)]
pub struct Contender {
    /// The server.
    pub address: Address,
    /// The session it opens, again and again.
    pub options: Options,
    /// How it enters.
    pub enter: EnterOptions,
    /// The election.
    pub election: String,
    /// Its name there; see [`candidate_id`](crate::client::candidate_id).
    pub candidate: String,
}

impl From<client::Contender> for Contender {
    fn from(it: client::Contender) -> Self {
        let client::Contender { address, options, enter, election, candidate } = it;
        Self { address, options, enter, election, candidate }
    }
}

/// The work of a leader, which has to end before its time does.
pub struct Work(Arc<Reign>);

struct Reign {
    leads: Leadership,
    /// Cancelled when this much is left.
    reserve: Duration,
    is_cancelled: AtomicCell<bool>,
}

impl Work {
    /// The term: the fencing token to act with.
    pub fn term(&self) -> u64 {
        self.0.leads.term()
    }

    /// The proof itself.
    pub fn leadership(&self) -> &Leadership {
        &self.0.leads
    }

    /// True once the work has to come to an end: the lead is lost, or may be soon, for renewals fail. That is
    /// a third of the TTL before the deadline, and for good.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Ends when the work is cancelled. Half of the time that is left then, the work's future is dropped.
    ///
    /// # Cancellation
    /// Of no consequence.
    pub async fn cancelled(&self) {
        self.0.cancelled().await;
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Work under {:?}", self.0.leads)
    }
}

impl Contender {
    /// Contends, and awaits `work` whenever it leads. When the work is cancelled it may end by itself; if it
    /// has not, its future is dropped before the deadline. Only then is the place given up, so no successor
    /// acts beside it. If it breaks, its value is returned; if it continues or is dropped, the place is given
    /// up, or was lost, and it contends again.
    ///
    /// A future can be dropped only where it awaits: work that keeps a thread busy, or that goes on in a task
    /// of its own, has to look at [`Work::is_cancelled`] by itself.
    ///
    /// ```no_run
    /// # use std::ops::ControlFlow;
    /// # use tenure::client::aio::{Contender, Work};
    /// # async fn run(contender: Contender) -> Result<(), tenure::client::ClientError> {
    /// let run = contender.run_while_leader(|work: Work| async move {
    ///     while !work.is_cancelled() {
    ///         // One step, in the name of `work.term()`.
    /// #       return ControlFlow::Break(());
    ///     }
    ///     ControlFlow::<()>::Continue(())
    /// });
    /// run.await
    /// # }
    /// ```
    ///
    /// # Cancellation
    /// The work is dropped first, then the session is closed: the place is given up.
    ///
    /// # Errors
    /// What can't be tried again: the server's refusals. An unreachable server is waited for.
    pub async fn run_while_leader<T, F>(
        &self,
        mut work: impl FnMut(Work) -> F,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = ControlFlow<T>>,
    {
        let mut place = self.place()?;
        loop {
            let leads = self.lead(&mut place).await?;
            match reign(leads, &mut work).await {
                (Some(ControlFlow::Break(value)), _) => return Ok(value),
                (_, Err(error)) if !error.may_pass() => return Err(error),
                _ => {}
            }
        }
    }

    /// As [`run_while_leader`](Self::run_while_leader), for one term alone: what the work came to, or `None`
    /// if it had to be dropped.
    ///
    /// # Cancellation
    /// As `run_while_leader`.
    ///
    /// # Errors
    /// As `run_while_leader`.
    pub async fn run_once<F: Future>(
        &self,
        work: impl FnOnce(Work) -> F,
    ) -> Result<Option<F::Output>, ClientError> {
        let leads = self.lead(&mut self.place()?).await?;
        let (done, _place) = reign(leads, work).await;
        Ok(done)
    }

    fn place(&self) -> Result<Place, ClientError> {
        let connection = Connection::to(&self.address, self.options.patience)?;
        Ok(Place { session: None, connection })
    }

    /// Waits until it leads.
    async fn lead(&self, place: &mut Place) -> Result<Leadership, ClientError> {
        let mut failures = 0;
        loop {
            match self.try_to_lead(place).await {
                Err(error) if error.may_pass() && !place.connection.is_shut() => {}
                done => return done,
            }
            failures += 1;
            place.connection.0.rest(jitter(failures)).await;
        }
    }

    async fn try_to_lead(&self, place: &mut Place) -> Result<Leadership, ClientError> {
        place.session.take_if(|session| session.is_lost());
        let session = match &place.session {
            Some(session) => session.clone(),
            None => {
                let session = place.connection.session(self.options.clone()).await?;
                place.session.insert(session).clone()
            }
        };
        session.election(&self.election).lead_with(&self.candidate, &self.enter).await
    }
}

/// Where it stands.
struct Place {
    session: Option<Session>,
    connection: Connection,
}

/// The work to its end, then the place is given up; the work's value, unless it was dropped.
async fn reign<F: Future>(
    leads: Leadership,
    work: impl FnOnce(Work) -> F,
) -> (Option<F::Output>, Result<(), ClientError>) {
    let reserve = leads.0.session().ttl() / 3;
    let reign = Arc::new(Reign { leads, reserve, is_cancelled: AtomicCell::new(false) });
    let done = reign.while_it_lasts(work(Work(reign.clone()))).await;
    let given_up = reign.leads.0.give_up().await;
    (done, given_up)
}

impl Reign {
    fn is_cancelled(&self) -> bool {
        if self.leads.remaining() <= self.reserve {
            self.is_cancelled.store(true);
        }
        self.is_cancelled.load()
    }

    async fn cancelled(&self) {
        while !self.is_cancelled() {
            let left = self.leads.remaining().saturating_sub(self.reserve);
            let lost = self.leads.lost();
            first(lost, self.leads.0.session().connection().rest(left)).await;
        }
    }

    /// Cancelled, and no time left to wait for the work's end.
    async fn is_up(&self) {
        self.cancelled().await;
        let session = self.leads.0.session();
        let grace = session.remaining().min(self.reserve) / 2;
        session.connection().rest(grace).await;
    }

    async fn while_it_lasts<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let (mut work, mut is_up) = (pin!(work), pin!(self.is_up()));
        poll_fn(|context| {
            // The clock before the work: after a sleep there may be no time left for another step.
            let is_late = self.leads.0.session().remaining().is_zero();
            if is_late || is_up.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(context).map(Some)
        })
        .await
    }
}
