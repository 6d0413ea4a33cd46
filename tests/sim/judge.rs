//! Watches over every commit: which operation it was, whether the model says the same, and who may
//! know of it already.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use tenure::internals::StateFacts;

use crate::model::{Act, Key, Model, Op, Shown};

/// Whose doing a commit is.
#[derive(Debug)]
pub(crate) enum Context {
    /// One operation that is known.
    Exact(Op),
    /// The operations that this connection was sent, in their order, as far as they go.
    Conn(usize),
    Ending(Key),
}

/// What has become of an operation.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) op: Op,
    pub(crate) result: Result<Shown, i32>,
    pub(crate) is_grant: bool,
    /// States of the election that must be released before anybody hears of it.
    pub(crate) after: usize,
}

/// What ambushes a writer in the middle of a commit.
#[derive(Clone, Debug)]
pub(crate) enum Ambush {
    Ask(usize, usize, Act),
    End(usize),
    Cut,
}

pub(crate) struct Judge {
    pub(crate) model: Model,
    pub(crate) names: Vec<String>,
    pub(crate) context: Vec<Context>,
    /// Shards whose writer is in the middle of a commit.
    pub(crate) busy: Vec<usize>,
    pub(crate) mailbox: Vec<VecDeque<Op>>,
    pub(crate) ambushes: Vec<Ambush>,
    /// Operations sent on each connection that have not been run yet.
    pub(crate) sent: HashMap<usize, VecDeque<Op>>,
    /// How many of them were run, since the connection began.
    pub(crate) run: HashMap<usize, u64>,
    pub(crate) verdicts: HashMap<u64, Verdict>,
    /// Every committed state of each election, as who follows it and who asks by its name see it.
    pub(crate) states: Vec<Vec<(Shown, Shown)>>,
    pub(crate) released: Vec<usize>,
    /// Committed and not yet released turns of each shard: the elections they change.
    held: Vec<VecDeque<Vec<usize>>>,
    holders: BTreeMap<Key, u64>,
    /// Connections that have certainly made a session.
    opened: BTreeSet<Key>,
    pub(crate) commits: u64,
    pub(crate) failure: Option<String>,
}

impl Judge {
    pub(crate) fn new(
        shards: usize,
        names: Vec<String>,
        places: Vec<usize>,
        candidates: usize,
    ) -> Self {
        let count = names.len();
        let model = Model {
            elections: vec![Default::default(); count],
            shards: places,
            ended: BTreeSet::new(),
            candidates,
            floor: 0,
        };
        Self {
            model,
            names,
            context: Vec::new(),
            busy: Vec::new(),
            mailbox: vec![VecDeque::new(); shards],
            ambushes: Vec::new(),
            sent: HashMap::new(),
            run: HashMap::new(),
            verdicts: HashMap::new(),
            states: vec![Vec::new(); count],
            released: vec![0; count],
            held: vec![VecDeque::new(); shards],
            holders: BTreeMap::new(),
            opened: BTreeSet::new(),
            commits: 0,
            failure: None,
        }
    }

    pub(crate) fn fail(&mut self, why: impl Into<String>) {
        self.failure.get_or_insert(why.into());
    }

    /// The newest state that everybody may see.
    pub(crate) fn published(&self, election: usize, by_watch: bool) -> Shown {
        match self.released[election].checked_sub(1) {
            None => (0, Vec::new()),
            Some(at) if by_watch => self.states[election][at].0.clone(),
            Some(at) => self.states[election][at].1.clone(),
        }
    }

    /// Applies one operation to the model and notes what its answer must be. True if it changes
    /// something.
    fn run(&mut self, op: &Op) -> bool {
        let before = self.model.elections[op.election].number;
        let result = self.model.apply(op);
        let state = &self.model.elections[op.election];
        let changed = result == Ok(true);
        let shown = match op.act {
            Act::Read => self.published(op.election, false),
            _ => state.shown(false),
        };
        // A change that deletes answers with the state it made.
        let shown = if changed { state.shown(true) } else { shown };
        let after = match op.act {
            Act::Read => 0,
            // Who holds nothing anywhere closes nothing; the answer tells of no change.
            Act::Leave if !self.opened.contains(&op.who) => 0,
            _ => self.states[op.election].len(),
        };
        if matches!(op.act, Act::Enter(_)) {
            self.opened.insert(op.who);
        }
        let verdict = Verdict {
            op: op.clone(),
            is_grant: changed && state.number > before,
            result: result.map(|_| shown),
            after: after + usize::from(changed),
        };
        self.verdicts.insert(op.number, verdict);
        changed
    }

    fn session_ended(&mut self, who: Key, shard: usize) -> BTreeSet<usize> {
        let here: Vec<usize> =
            (0..self.names.len()).filter(|&e| self.model.shards[e] == shard).collect();
        let op = |election| Op { number: 0, who, election, act: Act::SessionEnded };
        here.into_iter().filter(|&e| self.model.apply(&op(e)) == Ok(true)).collect()
    }

    /// Runs what waits in the mailbox. `None` if it comes to nothing that would be committed.
    fn empty_mailbox(&mut self, shard: usize) -> Option<BTreeSet<usize>> {
        let (mut changed, mut commits) = (BTreeSet::new(), false);
        let mut ops = Vec::new();
        for op in std::mem::take(&mut self.mailbox[shard]) {
            if op.act == Act::SessionEnded {
                changed.extend(self.session_ended(op.who, shard));
            } else {
                commits = true;
                if self.run(&op) {
                    changed.insert(op.election);
                }
                ops.push(op);
            }
        }
        // However many changes of one election a turn holds, it publishes once.
        for op in ops {
            let count = self.states[op.election].len();
            let verdict = self.verdicts.get_mut(&op.number).unwrap();
            verdict.after = count + usize::from(changed.contains(&op.election));
        }
        (commits || !changed.is_empty()).then_some(changed)
    }

    /// Called in the middle of each commit. What it gives back ambushes the writer.
    pub(crate) fn on_commit(&mut self, shard: usize, changes: Vec<StateFacts>) -> Vec<Ambush> {
        self.commits += 1;
        let mut may_ambush = !changes.is_empty();
        let expected = match self.empty_mailbox(shard) {
            Some(changed) => changed,
            None => match self.context.last() {
                None => return self.stray("a commit that nobody asked for", &changes),
                Some(Context::Exact(op)) => {
                    let op = op.clone();
                    may_ambush = true;
                    BTreeSet::from_iter(self.run(&op).then_some(op.election))
                }
                Some(&Context::Ending(key)) => self.session_ended(key, shard),
                Some(&Context::Conn(_)) if changes.is_empty() => BTreeSet::new(),
                Some(&Context::Conn(conn)) => loop {
                    let Some(op) = self.sent.get_mut(&conn).and_then(VecDeque::pop_front) else {
                        return self.stray("a change that no request asked for", &changes);
                    };
                    *self.run.entry(conn).or_default() += 1;
                    if self.run(&op) {
                        break BTreeSet::from([op.election]);
                    }
                },
            },
        };
        let found: BTreeSet<usize> = changes.iter().filter_map(|facts| self.index(facts)).collect();
        if found != expected {
            let why = format!("the model changes {expected:?}");
            return self.stray(&why, &changes);
        }
        for facts in &changes {
            self.compare(facts);
        }
        self.held[shard].push_back(found.into_iter().collect());
        let ambush = may_ambush && self.busy.is_empty() && self.failure.is_none();
        if ambush { std::mem::take(&mut self.ambushes) } else { Vec::new() }
    }

    fn index(&self, facts: &StateFacts) -> Option<usize> {
        self.names.iter().position(|name| *name == facts.name)
    }

    fn stray(&mut self, why: &str, changes: &[StateFacts]) -> Vec<Ambush> {
        let why = format!("{why}; the commit changes {changes:?}; context {:?}", self.context);
        self.fail(why);
        Vec::new()
    }

    /// The engine's state is the model's, also in who holds what (I6, I8).
    fn compare(&mut self, facts: &StateFacts) {
        let Some(election) = self.index(facts) else { return };
        let state = self.model.elections[election].clone();
        let shown = state.shown(true);
        if (facts.number, &facts.participants) != (shown.0, &shown.1)
            || facts.deleted == state.is_known
        {
            self.fail(format!("the model has {state:?}, the engine {facts:?}"));
        }
        let mut names = facts.participants.clone();
        names.sort();
        names.dedup();
        if names.len() != facts.participants.len() {
            self.fail(format!("I6: a candidate stands twice: {facts:?}"));
        }
        for ((_, key), holder) in state.list.iter().zip(&facts.holders) {
            let key = key.expect("everybody is held");
            let known = *self.holders.entry(key).or_insert(*holder);
            if known != *holder {
                self.fail(format!("I8: {key:?} was session {known}: {facts:?}"));
            }
        }
        if let Some((last, _)) = self.states[election].last()
            && last.0 > facts.number
        {
            self.fail(format!("I1: a term went back from {last:?}: {facts:?}"));
        }
        self.states[election].push((shown, state.shown(false)));
    }

    /// The oldest turn of `shard` is about to be let go.
    pub(crate) fn release(&mut self, shard: usize) {
        for election in self.held[shard].pop_front().unwrap_or_default() {
            self.released[election] += 1;
        }
    }

    pub(crate) fn holds(&self, shard: usize) -> usize {
        self.held[shard].len()
    }

    /// The connection has run `count` requests in all; those that were committed are known already.
    pub(crate) fn catch_up(&mut self, conn: usize, count: u64) {
        while *self.run.entry(conn).or_default() < count {
            let Some(op) = self.sent.get_mut(&conn).and_then(VecDeque::pop_front) else {
                return self.fail("a request was run that nobody sent");
            };
            *self.run.get_mut(&conn).unwrap() += 1;
            if self.run(&op) {
                self.fail(format!("{op:?} was run and changed nothing"));
            }
        }
    }

    /// A session has ended; nothing of it may be left.
    pub(crate) fn has_ended(&mut self, key: Key) {
        for shard in 0..self.held.len() {
            let waits = self.mailbox[shard].iter().any(|op| op.who == key);
            if !waits && !self.session_ended(key, shard).is_empty() {
                self.fail(format!("{key:?} has ended and its candidates stay"));
            }
        }
    }

    /// No writer is at work: what is left in the mailboxes came to nothing.
    pub(crate) fn rest(&mut self) {
        for shard in 0..self.mailbox.len() {
            if self.empty_mailbox(shard).is_some() {
                self.fail("a command was left behind");
            }
        }
    }

    /// Whether an answer is what it must be, and whether it may be known already (I4, D10).
    pub(crate) fn hear(&mut self, number: u64, answer: &Result<Shown, i32>) {
        let Some(verdict) = self.verdicts.get(&number) else {
            return self.fail(format!("operation {number} was answered before it was run"));
        };
        let Verdict { op, result, after, .. } = verdict;
        if self.released[op.election] < *after {
            self.fail(format!("D10: {op:?} was answered before its commit: {answer:?}"));
        } else if result != answer {
            self.fail(format!("{op:?} was answered {answer:?}, the model says {result:?}"));
        }
    }
}
