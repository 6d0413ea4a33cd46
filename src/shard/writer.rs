//! The writer's turn: take commands, apply them, hand what came of them to the log.

use std::sync::Arc;

use crossbeam::atomic::AtomicCell;
use crossbeam::utils::CachePadded;

use super::command::{Command, Own};
use super::counts::Counts;
use super::mailbox::{Mailbox, Next, Overloaded, Todo};
use super::state::State;
use super::turn;
use crate::bell;
use crate::clock::Clock;
use crate::election::{Bounds, Term};
use crate::error::Error;
use crate::limits::Limits;
use crate::log::Log;
use crate::meter::LimitHits;

/// What all shards of an engine share.
pub(crate) struct Rules {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    /// No forgotten name starts again at or below this term.
    pub(crate) floor: AtomicCell<u64>,
    /// How an unknown name reads.
    pub(crate) unknown: Arc<Term>,
    pub(crate) limit_hits: LimitHits,
}

impl Rules {
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            floor: self.floor.load(),
            candidates: self.limits.candidates,
            candidate_bytes: self.limits.candidate_bytes,
            said_bytes: self.limits.election_metadata_bytes,
        }
    }
}

pub(crate) struct Shard {
    index: usize,
    mailbox: Mailbox<Command, State>,
    rules: Arc<Rules>,
    counts: Arc<CachePadded<Counts>>,
}

impl Shard {
    pub(crate) fn new(index: usize, rules: Arc<Rules>) -> Self {
        let counts = Arc::<CachePadded<Counts>>::default();
        let mailbox = Mailbox::new(State::new(index, counts.clone()));
        Self { index, mailbox, rules, counts }
    }

    /// Has the command run: by this thread if nobody else is at it. Its reply always comes.
    pub(crate) fn submit(&self, command: Command) {
        let bound = if command.is_owed() { usize::MAX } else { self.room() };
        if let Err(Overloaded(command)) = self.hand_in(bound, command, |it| it, State::step) {
            command.reply.send(Err(self.overloaded().into()));
        }
    }

    /// The same for a change, which is not even moved where this thread runs it.
    pub(crate) fn change(&self, own: Own<'_>) {
        if let Err(Overloaded(own)) = self.hand_in(self.room(), own, Own::into_command, State::own)
        {
            own.answer.send(Err(self.overloaded().into()));
        }
    }

    fn hand_in<C>(
        &self,
        bound: usize,
        command: C,
        keep: impl Fn(C) -> Command,
        step: impl Fn(&mut State, C, &Rules) -> Option<Command>,
    ) -> Result<(), Overloaded<C>> {
        if bound == 0 {
            return Err(Overloaded(command));
        }
        self.mailbox.submit(
            bound,
            command,
            keep,
            |state, todo| bell::as_writer(|| self.run(state, todo, &step)),
            bell::try_ring,
        )
    }

    /// How many changes may wait.
    fn room(&self) -> usize {
        self.rules.limits.mailbox.saturating_sub(self.rules.log.backlog(self.index))
    }

    fn overloaded(&self) -> Error {
        let max = self.rules.limits.mailbox as u64;
        let advice = "the shard has too much to do; try again a little later";
        let error = Error::LimitReached { limit: "mailbox", max, advice };
        self.rules.limit_hits.refused(&error);
        error
    }

    /// What its writer has counted.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Commands that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.mailbox.waiting()
    }

    /// One turn.
    fn run<C>(
        &self,
        state: &mut State,
        todo: &mut Todo<'_, C, Command>,
        step: &impl Fn(&mut State, C, &Rules) -> Option<Command>,
    ) {
        let mut turn = Abandon { state, is_done: false };
        let state = &mut *turn.state;
        state.begin();
        let mut commands = 0;
        while commands < turn::FULL && !state.is_full() {
            let rest = match todo.next() {
                Some(Next::Own(command)) => step(state, command, &self.rules),
                Some(Next::Waited(command)) => state.step(command, &self.rules),
                None => break,
            };
            commands += 1;
            if let Some(rest) = rest {
                self.mailbox.put_back(rest);
            }
        }
        state.commit(commands, &*self.rules.log);
        turn.is_done = true;
    }
}

/// What is done if a turn does not come to its end.
struct Abandon<'a> {
    state: &'a mut State,
    is_done: bool,
}

impl Drop for Abandon<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.is_done {
            self.state.abandon();
        }
    }
}
