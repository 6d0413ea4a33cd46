//! The rules again, naive and obviously right, and the comparison of the two on random commands.

mod told;

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

use self::told::Told;
use super::{
    Bounds, Command, Conflict, Departed, Departure, Effect, Metadata, Origin, Reason, Term, apply,
};
use crate::error::Error;
use crate::id::{Holder, SessionId, SessionKind};
use crate::limits::TERM_BOUND;

const NAMES: [&str; 6] = ["a", "b", "ab", "ü", "日本", ""];
const CANDIDATES: usize = 5;
const CANDIDATE_BYTES: usize = 9;
const SAID_BYTES: usize = 7;

/// What candidates say of themselves, if anything: two and three bytes.
static SAYINGS: LazyLock<[Arc<Metadata>; 2]> = LazyLock::new(|| {
    [("x", [("k", "")]), ("y", [("k", "v")])]
        .map(|(address, labels)| Arc::new(Metadata::new(address, labels).unwrap()))
});

type Says = Option<&'static Arc<Metadata>>;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Stands {
    name: &'static str,
    holder: Holder,
    says: Says,
}

type List = Vec<Stands>;

/// What happens to a list, without terms and revisions.
#[derive(Debug, PartialEq)]
enum Outcome {
    Nothing,
    Changed(Reason, List),
    Taken(SessionId),
    NotYours(SessionId),
    Full(&'static str),
}

fn outcome(list: &List, forgotten: bool, command: &Command<'static>) -> Outcome {
    let mut next = list.clone();
    let place = |name| list.iter().position(|other| other.name == name);
    let reason = match *command {
        Command::Enter { candidate, only_if_leads: true, .. }
            if list.first().is_some_and(|head| head.name != candidate) =>
        {
            return Outcome::Nothing;
        }
        Command::Enter { candidate, holder, conflict, says, .. } => {
            return entered(next, place(candidate), candidate, holder, conflict, says);
        }
        Command::Withdraw { candidate, session } => {
            if let Some(at) = place(candidate) {
                if Some(list[at].holder.session) != session {
                    return Outcome::NotYours(list[at].holder.session);
                }
                next.remove(at);
            }
            Reason::Withdrawn
        }
        Command::Anoint { candidate } => {
            if let Some(at) = place(candidate) {
                let chosen = next.remove(at);
                next.insert(0, chosen);
            }
            Reason::Anointed
        }
        Command::Promote { candidate } => {
            if let Some(at) = place(candidate).filter(|at| *at > 0) {
                next.swap(at, at - 1);
            }
            Reason::Promoted
        }
        Command::Demote { candidate } => {
            if let Some(at) = place(candidate).filter(|at| *at < list.len() - 1) {
                next.swap(at, at + 1);
            }
            Reason::Demoted
        }
        Command::Evict { candidate } => {
            next.retain(|one| one.name != candidate);
            Reason::Evicted
        }
        Command::Leave { session, why } => {
            next.retain(|one| one.holder.session != session);
            departed(why)
        }
        Command::Delete if forgotten => return Outcome::Nothing,
        Command::Delete => return Outcome::Changed(Reason::Deleted, List::new()),
    };
    if next == *list { Outcome::Nothing } else { Outcome::Changed(reason, next) }
}

fn entered(
    mut list: List,
    place: Option<usize>,
    name: &'static str,
    holder: Holder,
    conflict: Conflict,
    says: Says,
) -> Outcome {
    let before = list.clone();
    let reason = match place.map(|at| &mut list[at]) {
        None if before.len() == CANDIDATES => return Outcome::Full("candidates"),
        None => {
            list.push(Stands { name, holder, says });
            Reason::Entered
        }
        Some(one) if one.holder.session == holder.session => {
            one.says = says.or(one.says);
            Reason::Entered
        }
        Some(one) => {
            let former = one.holder;
            *one = Stands { name, holder, says };
            match conflict {
                Conflict::TakeOver => Reason::TakenOver,
                Conflict::PassFromConnection if former.kind == SessionKind::Connection => {
                    Reason::Passed
                }
                _ => return Outcome::Taken(former.session),
            }
        }
    };
    if list.iter().map(|one| one.name.len()).sum::<usize>() > CANDIDATE_BYTES {
        return Outcome::Full("candidate_bytes");
    }
    // Who says nothing new is not asked how much the others say.
    let said = list.iter().filter_map(|one| one.says);
    if list != before && said.map(|it| it.bytes()).sum::<usize>() > SAID_BYTES {
        return Outcome::Full("election_metadata_bytes");
    }
    if list == before { Outcome::Nothing } else { Outcome::Changed(reason, list) }
}

fn departed(why: Departure) -> Reason {
    match why {
        Departure::SessionEnded => Reason::SessionEnded,
        Departure::SessionExpired => Reason::SessionExpired,
        Departure::Disconnected => Reason::Disconnected,
        Departure::SessionRemoved => Reason::SessionRemoved,
        Departure::Closed => Reason::Closed,
    }
}

/// An election beside its model, with the index that a shard would keep.
struct Pair {
    term: Arc<Term>,
    list: List,
    told: Told,
    floor: u64,
    index: BTreeSet<SessionId>,
}

impl Pair {
    fn new(floor: u64) -> Pair {
        let (term, list, told) = (Arc::new(Term::unknown()), List::new(), Told::default());
        Pair { term, list, told, floor, index: BTreeSet::new() }
    }

    fn run(&mut self, command: &Command<'static>, origin: &Origin<'static>) {
        let bounds = Bounds {
            floor: self.floor,
            candidates: CANDIDATES,
            candidate_bytes: CANDIDATE_BYTES,
            said_bytes: SAID_BYTES,
        };
        let expected = outcome(&self.list, self.term.is_forgotten(), command);
        match (expected, apply(&self.term, command, origin, &bounds)) {
            (Outcome::Nothing, Ok(None)) => {}
            (Outcome::Changed(reason, list), answer) => {
                self.changed(command, origin, reason, list, answer);
            }
            (Outcome::Taken(by), Err(Error::CandidateTaken { holder, .. })) => {
                assert_eq!(by, holder);
            }
            (Outcome::NotYours(of), Err(Error::NotYours { holder, .. })) => assert_eq!(of, holder),
            (Outcome::Full(which), Err(Error::LimitReached { limit, max, .. })) => {
                assert_eq!(which, limit);
                let bound = match limit {
                    "candidates" => CANDIDATES,
                    "candidate_bytes" => CANDIDATE_BYTES,
                    _ => SAID_BYTES,
                };
                assert_eq!(max, bound as u64);
            }
            (expected, answer) => panic!("{command:?}: expected {expected:?}, not {answer:?}"),
        }
        self.check_views();
    }

    fn changed(
        &mut self,
        command: &Command<'static>,
        origin: &Origin<'static>,
        reason: Reason,
        mut list: List,
        answer: Result<Option<Effect>, Error>,
    ) {
        let before = &self.term;
        let mut number = before.number();
        let head = |list: &List| list.first().map(|head| (head.name, head.holder.session));
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
        assert_eq!(term.reason(), reason, "{command:?}");
        if matches!(command, Command::Delete) {
            self.floor = self.floor.max(before.number());
        }
        self.told.change(reason, origin, (before.number(), head(&self.list)), head(&list));
        self.keep_index(command, &term, departed);
        (self.term, self.list) = (Arc::new(term), list);
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

    /// Every way of looking at the term shows the model's list, and what is told beyond it.
    fn check_views(&self) {
        let (term, list) = (&self.term, &self.list);
        let names: Vec<_> = list.iter().map(|one| one.name).collect();
        assert_eq!(term.participants().collect::<Vec<_>>(), names);
        assert_eq!(term.participants().len(), names.len());
        assert_eq!(term.candidates().collect::<Vec<_>>(), names.get(1..).unwrap_or_default());
        assert_eq!(term.candidates().len(), names.len().saturating_sub(1));
        assert_eq!(term.leader(), names.first().copied());
        assert_eq!(term.is_vacant(), names.is_empty());
        assert_eq!(
            term.roster().head().map(|(_, holder)| holder),
            list.first().map(|head| head.holder)
        );
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "one per name");
        for name in NAMES {
            let one = list.iter().find(|other| other.name == name);
            assert_eq!(term.holder_of(name), one.map(|one| one.holder));
            let says = one.and_then(|one| one.says);
            assert_eq!(term.metadata_of(name), says.map(|says| &**says), "{name:?} of {term}");
            assert_eq!(term.is_led_by(name), names.first() == Some(&name));
        }
        let sessions: BTreeSet<_> = list.iter().map(|one| one.holder.session).collect();
        assert_eq!(term.sessions().collect::<BTreeSet<_>>(), sessions);
        assert!(
            (1..=4).all(|n| term.holds(holder(n).session) == sessions.contains(&holder(n).session))
        );
        assert_eq!(self.index, sessions);
        self.told.check(term, list.first().map(|head| (head.name, head.holder.session)));
    }
}

/// Odd sessions are connections', even ones owned.
fn holder(number: u64) -> Holder {
    let kind = [SessionKind::Owned, SessionKind::Connection][number as usize % 2];
    Holder { session: SessionId::new(number).unwrap(), kind }
}

/// A step: a command and the note that goes with it, or a floor lifted by the deletion of some other
/// election.
#[derive(Clone, Debug)]
enum Step {
    Run(Command<'static>, &'static str),
    LiftFloor(u64),
}

fn enter() -> impl Strategy<Value = Command<'static>> {
    let says = prop_oneof![2 => Just(None), 1 => (0..2usize).prop_map(|at| Some(&SAYINGS[at]))];
    let conflict = prop::sample::select(vec![
        Conflict::Refuse,
        Conflict::PassFromConnection,
        Conflict::TakeOver,
    ]);
    let only_if_leads = prop::bool::weighted(0.1);
    (prop::sample::select(&NAMES[..5]), 1..=4u64, conflict, says, only_if_leads).prop_map(
        |(candidate, by, conflict, says, only_if_leads)| {
            let holder = holder(by);
            Command::Enter { candidate, holder, conflict, says, only_if_leads }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    // The empty name is never a candidate's: it is there to be looked up.
    let name = || prop::sample::select(&NAMES[..5]);
    let by = || (1..=4u64).prop_map(holder);
    let why = prop::sample::select(vec![
        Departure::SessionEnded,
        Departure::SessionExpired,
        Departure::Disconnected,
        Departure::SessionRemoved,
        Departure::Closed,
    ]);
    let command = prop_oneof![
        10 => enter(),
        3 => (name(), by())
            .prop_map(|(candidate, by)| Command::Withdraw { candidate, session: Some(by.session) }),
        2 => name().prop_map(|candidate| Command::Anoint { candidate }),
        3 => name().prop_map(|candidate| Command::Promote { candidate }),
        3 => name().prop_map(|candidate| Command::Demote { candidate }),
        1 => name().prop_map(|candidate| Command::Evict { candidate }),
        2 => (by(), why).prop_map(|(by, why)| Command::Leave { session: by.session, why }),
        1 => Just(Command::Delete),
    ];
    let note = prop::sample::select(vec!["", "", "", "ß", "rollout"]);
    prop_oneof![
        20 => (command, note).prop_map(|(command, note)| Step::Run(command, note)),
        1 => (1..20u64).prop_map(Step::LiftFloor),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..120)
}

fn check(floor: u64, steps: Vec<Step>) {
    let mut pair = Pair::new(floor);
    for (at, step) in (1..).zip(steps) {
        match step {
            Step::Run(command, note) => {
                pair.run(&command, &Origin { at, by: SessionId::new(at % 3), note });
            }
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
