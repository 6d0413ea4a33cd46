//! The transcripts in `testdata/`, each a conversation with elections that a person can review.
//!
//! `transcript` says how to read and rewrite them.
//!
//! ```text
//! > s1 enter c1 [pass | take-over]    s1 is a connection's session, o1 an owned one (never both)
//! > s1 withdraw c1
//! > anoint|promote|demote|evict c1
//! > s1 ends | s1 closes               all its candidates leave
//! > s1 expires | s1 disconnects | s1 is-removed
//! > delete
//! > term                              as asked by name
//! > use NAME                          goes on with another election
//! > floor N | max-candidates N | max-candidate-bytes N | max-said-bytes N
//! ```
//!
//! A command may end with `at ADDRESS`, what the candidate says of itself, with `if-it-leads`, and with
//! `because WORD`, in this order. Each takes a second, and is made by the session that it begins with.
//!
//! ```text
//! > facts                             the last change, since when, and who says what of itself
//! > history
//! > check N
//! ```
//!
//! An answer is the term, its revision and reason, and who left; or `nothing to do`; or the error.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::{
    Bounds, Change, Command, Conflict, Departed, Departure, Effect, Metadata, Origin, Reign, Term,
    apply,
};
use crate::error::{Code, Error};
use crate::id::{Holder, SessionId, SessionKind};
use crate::limits::Limits;
use crate::transcript;

#[test]
fn transcripts_hold() {
    transcript::hold("election/testdata", Stage::play);
}

#[test]
fn the_body_is_encoded_once() {
    let term = Term::unknown();
    assert_eq!(term.encoded_with(|term| term.to_string().into()), b"t0 \"\" []");
    assert_eq!(term.encoded_with(|_| unreachable!()), b"t0 \"\" []");
}

#[test]
fn debug_shows_who_holds_what() {
    let mut stage = Stage::default();
    stage.play("s1 enter c1");
    stage.play("s2 enter c2");
    assert_eq!(
        format!("{:?}", stage.present()),
        "Term { number: 1, revision: 2, \
         participants: {\"c1\": session 1, \"c2\": session 2}, reason: Entered }"
    );
}

/// Some elections, and what a shard would do around the rules.
struct Stage {
    elections: HashMap<String, Arc<Term>>,
    name: String,
    bounds: Bounds,
    /// Commands so far: seconds of the wall clock.
    seconds: u64,
}

impl Default for Stage {
    fn default() -> Stage {
        let Limits { candidates, candidate_bytes, election_metadata_bytes: said_bytes, .. } =
            Limits::DEFAULT;
        Stage {
            elections: HashMap::new(),
            name: String::new(),
            bounds: Bounds { floor: 0, candidates, candidate_bytes, said_bytes },
            seconds: 0,
        }
    }
}

impl Stage {
    fn present(&mut self) -> &Term {
        self.elections.entry(self.name.clone()).or_insert_with(|| Arc::new(Term::unknown()))
    }

    fn play(&mut self, line: &str) -> String {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["term"] => self.by_name(),
            ["use", name] => {
                self.name = name.to_owned();
                self.by_name()
            }
            ["floor", floor] => {
                self.bounds.floor = floor.parse().unwrap();
                "ok".to_owned()
            }
            ["max-candidates", max] => {
                self.bounds.candidates = max.parse().unwrap();
                "ok".to_owned()
            }
            ["max-said-bytes", max] => {
                self.bounds.said_bytes = max.parse().unwrap();
                "ok".to_owned()
            }
            ["max-candidate-bytes", max] => {
                self.bounds.candidate_bytes = max.parse().unwrap();
                "ok".to_owned()
            }
            ["facts"] => facts(self.present()),
            ["history"] => {
                let shown: Vec<_> = self.present().history().map(|it| reign(&it)).collect();
                if shown.is_empty() { "nobody ever led".to_owned() } else { shown.join("; ") }
            }
            ["check", number] => {
                format!("{:?}", self.present().verdict_on(number.parse().unwrap()))
            }
            ref words => self.told(words),
        }
    }

    fn told(&mut self, words: &[&str]) -> String {
        let (words, note) = match words {
            [words @ .., "because", note] => (words, *note),
            words => (words, ""),
        };
        let (words, only_if_leads) = match words {
            [words @ .., "if-it-leads"] => (words, true),
            words => (words, false),
        };
        let (words, address) = match words {
            [words @ .., "at", address] => (words, *address),
            words => (words, ""),
        };
        self.seconds += 1;
        let metadata = Arc::new(Metadata::new(address, []).unwrap());
        let is_session = words[0].starts_with(['s', 'o']);
        let origin = Origin {
            at: self.seconds * 1_000_000,
            by: is_session.then(|| holder(words[0]).session),
            note,
        };
        let mut command = command(words);
        if let Command::Enter { says, only_if_leads: only, .. } = &mut command {
            *says = Some(&metadata).filter(|it| !it.is_empty());
            *only = only_if_leads;
        }
        self.run(&command, &origin)
    }

    fn by_name(&mut self) -> String {
        let present = self.present();
        if present.is_forgotten() { Term::unknown().to_string() } else { present.to_string() }
    }

    fn run(&mut self, command: &Command<'_>, origin: &Origin<'_>) -> String {
        let bounds = self.bounds;
        let now = self.present();
        match apply(now, command, origin, &bounds) {
            Ok(None) => format!("{now}  nothing to do"),
            Err(error) => format!("error {}: {error}", code(&error)),
            Ok(Some(Effect { term, departed })) => {
                if matches!(command, Command::Delete) {
                    self.bounds.floor = bounds.floor.max(now.number());
                }
                let answer = shown(&term, departed);
                self.elections.insert(self.name.clone(), Arc::new(term));
                answer
            }
        }
    }
}

fn shown(term: &Term, departed: Departed) -> String {
    let left = match departed {
        Departed::Nobody => String::new(),
        Departed::One(session) if term.holds(session) => format!(", session {session} stays"),
        Departed::One(session) => format!(", session {session} left"),
        Departed::All => ", all left".to_owned(),
    };
    format!("{term}  r{} {}{left}", term.revision(), term.reason())
}

/// A change in words, with its second.
fn change(change: &Change) -> String {
    let by = change.by.map_or_else(String::new, |by| format!(" by {by}"));
    let note = match &*change.note {
        "" => String::new(),
        note => format!(" ({note})"),
    };
    format!("{} at {}s{by}{note}", change.reason, change.at_unix_micros / 1_000_000)
}

fn facts(term: &Term) -> String {
    let since = term.since_unix_micros() / 1_000_000;
    let mut shown = format!("{}; since {since}s", change(&term.change()));
    for name in term.participants() {
        if let Some(metadata) = term.metadata_of(name) {
            write!(shown, "; {name} is at {}", metadata.address()).unwrap();
        }
    }
    shown
}

fn reign(reign: &Reign) -> String {
    let ended = reign.ended.as_ref().map_or_else(|| "still".to_owned(), change);
    let Reign { term, leader, session, began, .. } = reign;
    format!("t{term} {leader} of {session}: {}, {ended}", change(began))
}

fn command<'a>(words: &[&'a str]) -> Command<'a> {
    let enter = |who, candidate, conflict| {
        let holder = holder(who);
        Command::Enter { candidate, holder, conflict, says: None, only_if_leads: false }
    };
    match *words {
        [who, "enter", candidate] => enter(who, candidate, Conflict::Refuse),
        [who, "enter", candidate, "pass"] => enter(who, candidate, Conflict::PassFromConnection),
        [who, "enter", candidate, "take-over"] => enter(who, candidate, Conflict::TakeOver),
        [who, "withdraw", candidate] => {
            Command::Withdraw { candidate, session: Some(holder(who).session) }
        }
        ["anoint", candidate] => Command::Anoint { candidate },
        ["promote", candidate] => Command::Promote { candidate },
        ["demote", candidate] => Command::Demote { candidate },
        ["evict", candidate] => Command::Evict { candidate },
        [who, "ends"] => {
            Command::Leave { session: holder(who).session, why: Departure::SessionEnded }
        }
        [who, "expires"] => {
            Command::Leave { session: holder(who).session, why: Departure::SessionExpired }
        }
        [who, "disconnects"] => {
            Command::Leave { session: holder(who).session, why: Departure::Disconnected }
        }
        [who, "is-removed"] => {
            Command::Leave { session: holder(who).session, why: Departure::SessionRemoved }
        }
        [who, "closes"] => Command::Leave { session: holder(who).session, why: Departure::Closed },
        ["delete"] => Command::Delete,
        _ => panic!("no such command: {words:?}"),
    }
}

fn holder(who: &str) -> Holder {
    let (kind, number) = who.split_at(1);
    let kind = match kind {
        "s" => SessionKind::Connection,
        "o" => SessionKind::Owned,
        _ => panic!("{who}: a session is s1 or o1"),
    };
    Holder { session: SessionId::new(number.parse().unwrap()).unwrap(), kind }
}

/// As gRPC writes it.
fn code(error: &Error) -> &'static str {
    match error.code() {
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        other => panic!("the rules of an election never answer {other:?}"),
    }
}
