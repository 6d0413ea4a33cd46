//! The writer's turn: take commands, apply them, hand what came of them to the log.

use std::sync::Arc;

use crossbeam::atomic::AtomicCell;
use crossbeam::utils::CachePadded;

use super::command::Command;
use super::counts::Counts;
use super::mailbox::{Mailbox, Next, Overloaded};
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
    mailbox: Mailbox<Command<'static>, State>,
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
    pub(crate) fn submit(&self, command: Command<'_>) {
        let bound = match command.is_owed() {
            true => usize::MAX,
            false => self.rules.limits.mailbox.saturating_sub(self.rules.log.backlog(self.index)),
        };
        if bound == 0 {
            return self.refuse(command);
        }
        let submitted = self.mailbox.submit(
            bound,
            command,
            Command::into_owned,
            |state, next| bell::as_writer(|| self.run(state, next)),
            bell::ring,
        );
        if let Err(Overloaded(command)) = submitted {
            self.refuse(command);
        }
    }

    fn refuse(&self, command: Command<'_>) {
        let max = self.rules.limits.mailbox as u64;
        let advice = "the shard has too much to do; try again a little later";
        let error = Error::LimitReached { limit: "mailbox", max, advice };
        self.rules.limit_hits.refused(&error);
        command.reply.send(Err(error));
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
    fn run<'a>(
        &self,
        state: &mut State,
        next: &mut dyn Iterator<Item = Next<Command<'a>, Command<'static>>>,
    ) {
        let mut turn = Abandon { state, is_done: false };
        let state = &mut *turn.state;
        state.begin();
        let mut commands = 0;
        while commands < turn::FULL && !state.is_full() {
            let command = match next.next() {
                Some(Next::Own(command)) => command,
                Some(Next::Waited(command)) => command,
                None => break,
            };
            commands += 1;
            if let Some(rest) = state.step(command, &self.rules) {
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
    fn drop(&mut self) {
        if !self.is_done {
            self.state.abandon();
        }
    }
}
