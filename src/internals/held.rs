//! A log that keeps turns until a test lets them go, and a way to ask without waiting, for a test
//! that is one thread.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam::queue::SegQueue;

use crate::election::{Conflict, Reason, Term};
use crate::engine::{Act, Election, Engine, EngineBuilder, Session};
use crate::error::Error;
use crate::log::{Change, Log, Unit};
use crate::shard::{Outcome, Sink, Ticket};

/// One state of an election, as a log is given it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are those of `Term`
pub struct StateFacts {
    pub name: String,
    pub number: u64,
    pub revision: u64,
    pub participants: Vec<String>,
    /// The session that holds each participant.
    pub holders: Vec<u64>,
    pub deleted: bool,
}

impl StateFacts {
    fn of(name: &str, term: &Term) -> Self {
        Self {
            name: name.to_owned(),
            number: term.number(),
            revision: term.revision(),
            participants: term.participants().map(str::to_owned).collect(),
            holders: term.sessions().map(|session| session.number()).collect(),
            deleted: term.reason() == Reason::Deleted,
        }
    }
}

/// What a log does wrong on purpose, to see that somebody notices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slip {
    /// Nothing.
    #[default]
    None,
    /// It lets a turn go before it is kept.
    Early,
    /// It lets a turn without changes go at once, before the changes that its replies tell of.
    NothingToKeep,
}

/// Called in the middle of each commit, with the shard and what changed.
pub type OnCommit = dyn Fn(usize, Vec<StateFacts>) + Send + Sync;

/// A log that keeps each turn until it is told to let it go.
pub struct HeldLog {
    /// One for each shard.
    held: Mutex<Vec<Queue>>,
    on_commit: Box<OnCommit>,
    slip: Slip,
}

/// Turns of one shard, oldest first; `None` was let go too early.
type Queue = VecDeque<Option<Box<dyn Unit>>>;

impl HeldLog {
    /// A log that calls `on_commit` while the shard's writer waits for it.
    pub fn new(
        slip: Slip,
        on_commit: impl Fn(usize, Vec<StateFacts>) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { held: Mutex::default(), on_commit: Box::new(on_commit), slip })
    }

    /// Opens an engine over this log.
    ///
    /// # Errors
    /// As [`EngineBuilder::open`].
    pub fn open(self: &Arc<Self>, builder: EngineBuilder) -> Result<Engine, Error> {
        builder.log(self.clone()).open()
    }

    /// How many turns it holds of `shard`.
    pub fn holds(&self, shard: usize) -> usize {
        self.lock().get(shard).map_or(0, VecDeque::len)
    }

    /// Lets the oldest turn of `shard` go. False if there was none.
    pub fn let_go(&self, shard: usize) -> bool {
        // Its effects come back into the engine, so the lock is given back before.
        let oldest = self.lock().get_mut(shard).and_then(VecDeque::pop_front);
        let found = oldest.is_some();
        if let Some(Some(mut unit)) = oldest {
            unit.release();
        }
        found
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Queue>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for HeldLog {
    fn commit(&self, unit: &mut dyn Unit) {
        let Some(shard) = unit.shard() else { return unit.release() };
        let mut changes = Vec::new();
        unit.changes(&mut |change| {
            if let Change::Term { election, term, .. } = change {
                changes.push(StateFacts::of(election, term));
            }
        });
        let is_early = match self.slip {
            Slip::None => false,
            Slip::Early => true,
            Slip::NothingToKeep => changes.is_empty(),
        };
        let kept = if is_early {
            unit.release();
            None
        } else {
            Some(unit.detach())
        };
        {
            let mut held = self.lock();
            if held.len() <= shard {
                held.resize_with(shard + 1, VecDeque::new);
            }
            held[shard].push_back(kept);
        }
        (self.on_commit)(shard, changes);
    }
}

impl fmt::Debug for HeldLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let turns: Vec<usize> = self.lock().iter().map(VecDeque::len).collect();
        f.debug_struct("HeldLog").field("turns", &turns).field("slip", &self.slip).finish()
    }
}

/// What an embedded user asks of an election.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // the names are those of `Election`'s methods
pub enum Ask<'a> {
    Enter { candidate: &'a str, session: &'a Session },
    TakeOver { candidate: &'a str, session: &'a Session },
    Withdraw { candidate: &'a str, session: &'a Session },
    Anoint { candidate: &'a str },
    Promote { candidate: &'a str },
    Demote { candidate: &'a str },
    Evict { candidate: &'a str },
    Leave { session: &'a Session },
    Delete,
}

/// Asks without waiting, and keeps the answers until they are fetched.
#[derive(Clone, Debug)]
pub struct Desk {
    answers: Arc<Answers>,
    sink: Arc<dyn Sink>,
}

#[derive(Debug, Default)]
struct Answers(SegQueue<(u64, Outcome)>);

impl Sink for Answers {
    fn reply(&self, ticket: Ticket, outcome: Outcome) {
        self.0.push((ticket.about, outcome));
    }

    fn changed(&self, _: Ticket) {}
}

impl fmt::Debug for dyn Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sink")
    }
}

impl Default for Desk {
    fn default() -> Self {
        let answers = Arc::new(Answers::default());
        Self { sink: answers.clone(), answers }
    }
}

impl Desk {
    /// Asks; the answer will carry `number`.
    pub fn ask(&self, election: &Election, ask: Ask<'_>, number: u64) {
        let act = match ask {
            Ask::Enter { candidate, session } => Act::enter(candidate, session, Conflict::Refuse),
            Ask::TakeOver { candidate, session } => {
                Act::enter(candidate, session, Conflict::TakeOver)
            }
            Ask::Withdraw { candidate, session } => {
                Act::Withdraw { candidate, session: Some(session) }
            }
            Ask::Anoint { candidate } => Act::Anoint { candidate },
            Ask::Promote { candidate } => Act::Promote { candidate },
            Ask::Demote { candidate } => Act::Demote { candidate },
            Ask::Evict { candidate } => Act::Evict { candidate },
            Ask::Leave { session } => Act::Leave { session },
            Ask::Delete => Act::Delete,
        };
        election.submit(act, &self.sink, Ticket { to: 0, about: number });
    }

    /// The next answer that has come.
    pub fn fetch(&self) -> Option<(u64, Outcome)> {
        self.answers.0.pop()
    }
}
