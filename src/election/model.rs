//! The rules again, naive and obviously right, and the comparison of the two on random commands.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Bounds, Command, Conflict, Departed, Departure, Effect, Reason, Term, apply};
use crate::error::Error;
use crate::id::{Holder, SessionId, SessionKind};
use crate::limits::TERM_BOUND;

const NAMES: [&str; 6] = ["a", "b", "ab", "ü", "日本", ""];
const CANDIDATES: usize = 5;
const CANDIDATE_BYTES: usize = 9;

type List = Vec<(&'static str, Holder)>;

/// What happens to a list, without terms and revisions.
#[derive(Debug, PartialEq)]
enum Outcome {
    Nothing,
    Changed(List),
    Taken(SessionId),
    NotYours(SessionId),
    Full(&'static str),
}

fn outcome(list: &List, forgotten: bool, command: &Command<'static>) -> Outcome {
    let mut next = list.clone();
    let place = |name| list.iter().position(|(other, _)| *other == name);
    match *command {
        Command::Enter { candidate, holder, conflict } => match place(candidate) {
            None if list.len() == CANDIDATES => return Outcome::Full("candidates"),
            None => {
                next.push((candidate, holder));
                if next.iter().map(|(name, _)| name.len()).sum::<usize>() > CANDIDATE_BYTES {
                    return Outcome::Full("candidate_bytes");
                }
            }
            Some(at) => {
                let former = list[at].1;
                let connection = former.kind == SessionKind::Connection;
                let passes = match conflict {
                    Conflict::Refuse => false,
                    Conflict::PassFromConnection => connection,
                    Conflict::TakeOver => true,
                };
                if former.session != holder.session && !passes {
                    return Outcome::Taken(former.session);
                }
                next[at].1 = holder;
            }
        },
        Command::Withdraw { candidate, session } => {
            if let Some(at) = place(candidate) {
                if list[at].1.session != session {
                    return Outcome::NotYours(list[at].1.session);
                }
                next.remove(at);
            }
        }
        Command::Anoint { candidate } => {
            if let Some(at) = place(candidate) {
                let chosen = next.remove(at);
                next.insert(0, chosen);
            }
        }
        Command::Promote { candidate } => match place(candidate) {
            None | Some(0) => {}
            Some(at) => next.swap(at, at - 1),
        },
        Command::Demote { candidate } => match place(candidate) {
            Some(at) if at < list.len() - 1 => next.swap(at, at + 1),
            _ => {}
        },
        Command::Evict { candidate } => next.retain(|(name, _)| *name != candidate),
        Command::Leave { session, .. } => next.retain(|(_, holder)| holder.session != session),
        Command::Delete if forgotten => {}
        Command::Delete => return Outcome::Changed(List::new()),
    }
    if next == *list { Outcome::Nothing } else { Outcome::Changed(next) }
}

fn reasons(command: &Command<'_>) -> &'static [Reason] {
    match command {
        Command::Enter { .. } => &[Reason::Entered, Reason::Passed, Reason::TakenOver],
        Command::Withdraw { .. } => &[Reason::Withdrawn],
        Command::Anoint { .. } => &[Reason::Anointed],
        Command::Promote { .. } => &[Reason::Promoted],
        Command::Demote { .. } => &[Reason::Demoted],
        Command::Evict { .. } => &[Reason::Evicted],
        Command::Leave { why: Departure::SessionEnded, .. } => &[Reason::SessionEnded],
        Command::Leave { why: Departure::SessionExpired, .. } => &[Reason::SessionExpired],
        Command::Leave { why: Departure::Disconnected, .. } => &[Reason::Disconnected],
        Command::Leave { why: Departure::SessionRemoved, .. } => &[Reason::SessionRemoved],
        Command::Leave { why: Departure::Closed, .. } => &[Reason::Closed],
        Command::Delete => &[Reason::Deleted],
    }
}

/// An election beside its model, with the index that a shard would keep.
struct Pair {
    term: Term,
    list: List,
    floor: u64,
    index: BTreeSet<SessionId>,
}

impl Pair {
    fn new(floor: u64) -> Pair {
        Pair { term: Term::unknown(), list: List::new(), floor, index: BTreeSet::new() }
    }

    fn run(&mut self, command: &Command<'static>) {
        let bounds =
            Bounds { floor: self.floor, candidates: CANDIDATES, candidate_bytes: CANDIDATE_BYTES };
        let expected = outcome(&self.list, self.term.is_forgotten(), command);
        match (expected, apply(&self.term, command, &bounds)) {
            (Outcome::Nothing, Ok(None)) => {}
            (Outcome::Changed(list), answer) => self.changed(command, list, answer),
            (Outcome::Taken(by), Err(Error::CandidateTaken { holder, .. })) => {
                assert_eq!(by, holder);
            }
            (Outcome::NotYours(of), Err(Error::NotYours { holder, .. })) => assert_eq!(of, holder),
            (Outcome::Full(which), Err(Error::LimitReached { limit, max, .. })) => {
                assert_eq!(which, limit);
                let bound = if limit == "candidates" { CANDIDATES } else { CANDIDATE_BYTES };
                assert_eq!(max, bound as u64);
            }
            (expected, answer) => panic!("{command:?}: expected {expected:?}, not {answer:?}"),
        }
        self.check_views();
    }

    fn changed(
        &mut self,
        command: &Command<'static>,
        mut list: List,
        answer: Result<Option<Effect>, Error>,
    ) {
        let before = &self.term;
        let mut number = before.number();
        let head = |list: &List| list.first().map(|(name, holder)| (*name, holder.session));
        if head(&list).is_some() && head(&list) != head(&self.list) {
            let fresh = before.revision() == 0 || before.reason() == Reason::Deleted;
            number = if fresh { number.max(self.floor) } else { number } + 1;
        }
        if number >= TERM_BOUND {
            if !matches!(command, Command::Leave { .. }) {
                assert_eq!(answer.unwrap_err(), Error::TermExhausted);
                return;
            }
            list.clear();
            number = before.number();
        }
        let Effect { term, departed } = answer.expect("no error").expect("a change");
        assert_eq!((term.number(), term.revision()), (number, before.revision() + 1));
        assert!(reasons(command).contains(&term.reason()), "{command:?}: {}", term.reason());
        if matches!(command, Command::Delete) {
            self.floor = self.floor.max(before.number());
        }
        self.keep_index(command, &term, departed);
        (self.term, self.list) = (term, list);
    }

    /// As a shard does it, from the effect alone.
    fn keep_index(&mut self, command: &Command<'_>, term: &Term, departed: Departed) {
        if let Command::Enter { holder, .. } = command {
            self.index.insert(holder.session);
        }
        match departed {
            Departed::Nobody => {}
            Departed::One(session) if term.holds(session) => {}
            Departed::One(session) => assert!(self.index.remove(&session)),
            Departed::All => self.index.clear(),
        }
    }

    /// Every way of looking at the term shows the model's list.
    fn check_views(&self) {
        let (term, list) = (&self.term, &self.list);
        let names: Vec<_> = list.iter().map(|(name, _)| *name).collect();
        assert_eq!(term.participants().collect::<Vec<_>>(), names);
        assert_eq!(term.participants().len(), names.len());
        assert_eq!(term.candidates().collect::<Vec<_>>(), names.get(1..).unwrap_or_default());
        assert_eq!(term.candidates().len(), names.len().saturating_sub(1));
        assert_eq!(term.leader(), names.first().copied());
        assert_eq!(term.is_vacant(), names.is_empty());
        assert_eq!(
            term.roster().head().map(|(_, holder)| holder),
            list.first().map(|(_, holder)| *holder)
        );
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "one per name");
        for name in NAMES {
            let holder = list.iter().find(|(other, _)| *other == name).map(|(_, holder)| *holder);
            assert_eq!(term.roster().find(name).map(|(_, holder)| holder), holder);
            assert_eq!(term.is_led_by(name), names.first() == Some(&name));
        }
        let sessions: BTreeSet<_> = list.iter().map(|(_, holder)| holder.session).collect();
        assert_eq!(term.sessions().collect::<BTreeSet<_>>(), sessions);
        assert!(
            (1..=4).all(|n| term.holds(holder(n).session) == sessions.contains(&holder(n).session))
        );
        assert_eq!(self.index, sessions);
    }
}

/// Odd sessions are connections', even ones owned.
fn holder(number: u64) -> Holder {
    let kind = [SessionKind::Owned, SessionKind::Connection][number as usize % 2];
    Holder { session: SessionId::new(number).unwrap(), kind }
}

/// A step: a command, or a floor lifted by the deletion of some other election.
#[derive(Clone, Debug)]
enum Step {
    Run(Command<'static>),
    LiftFloor(u64),
}

fn step() -> impl Strategy<Value = Step> {
    // The empty name is never a candidate's: it is there to be looked up.
    let name = || prop::sample::select(&NAMES[..5]);
    let by = || (1..=4u64).prop_map(holder);
    let conflict = prop::sample::select(vec![
        Conflict::Refuse,
        Conflict::PassFromConnection,
        Conflict::TakeOver,
    ]);
    let why = prop::sample::select(vec![Departure::SessionEnded, Departure::Closed]);
    let command = prop_oneof![
        10 => (name(), by(), conflict)
            .prop_map(|(candidate, holder, conflict)| Command::Enter { candidate, holder, conflict }),
        3 => (name(), by())
            .prop_map(|(candidate, by)| Command::Withdraw { candidate, session: by.session }),
        2 => name().prop_map(|candidate| Command::Anoint { candidate }),
        3 => name().prop_map(|candidate| Command::Promote { candidate }),
        3 => name().prop_map(|candidate| Command::Demote { candidate }),
        1 => name().prop_map(|candidate| Command::Evict { candidate }),
        2 => (by(), why).prop_map(|(by, why)| Command::Leave { session: by.session, why }),
        1 => Just(Command::Delete),
    ];
    prop_oneof![20 => command.prop_map(Step::Run), 1 => (1..20u64).prop_map(Step::LiftFloor)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..120)
}

fn check(floor: u64, steps: Vec<Step>) {
    let mut pair = Pair::new(floor);
    for step in steps {
        match step {
            Step::Run(command) => pair.run(&command),
            Step::LiftFloor(by) => pair.floor = (pair.floor + by).min(TERM_BOUND - 1),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_agree_with_the_model(steps in steps()) {
        check(0, steps);
    }

    #[test]
    fn the_rules_agree_with_the_model_where_terms_end(room in 1..12u64, steps in steps()) {
        check(TERM_BOUND - room, steps);
    }
}
