//! An election as Tenure's own services show it.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use super::micros;
use crate::election::{self, Metadata, Reason, Term};
use crate::engine::Election;
use crate::id::Holder;
use crate::wire::message::Message;
use crate::wire::tenure_v1::elections::{self as wire, cause};

thread_local! {
    /// What this thread told last of a leader alone, and of a whole list: who observes the same comes next.
    static TOLD: RefCell<[Told; 2]> = RefCell::default();
}

#[derive(Default)]
struct Told {
    election: Box<str>,
    /// Keeps its place in memory from being another term's, and nothing else.
    term: Weak<Term>,
    message: Vec<u8>,
}

/// Appends the message that tells of this state, whose leader has nothing to wait for. That is the same whenever
/// it is told, so it is put together once for all who are told of one change.
pub(super) fn put_settled(
    election: &Election,
    term: &Arc<Term>,
    leader_only: bool,
    out: &mut Vec<u8>,
) {
    TOLD.with_borrow_mut(|told| {
        let told = &mut told[usize::from(leader_only)];
        if !told.is(election, term) {
            *told = Told::of(election, term, leader_only);
        }
        out.extend_from_slice(&told.message);
    });
}

impl Told {
    fn of(election: &Election, term: &Arc<Term>, leader_only: bool) -> Self {
        let mut message = Vec::new();
        let state = state(election, term, leader_only);
        wire::State { valid_after_micros: 0, ..state }.put(&mut message);
        Self { election: election.name().into(), term: Arc::downgrade(term), message }
    }

    fn is(&self, election: &Election, term: &Arc<Term>) -> bool {
        // All unknown names read as one and the same term.
        self.term.as_ptr() == Arc::as_ptr(term) && *self.election == *election.name()
    }
}

/// The state of `election` in `term`. Only the leader tells of itself: metadata of all who wait could
/// be longer than a frame.
pub(super) fn state(election: &Election, term: &Term, leader_only: bool) -> wire::State {
    let mut standing = term.standing();
    let leader = standing.next().map(|(name, holder)| {
        let metadata = term.metadata_of(name).map(metadata);
        wire::Candidate { metadata, ..candidate(name, holder) }
    });
    let waiting = standing.filter(|_| !leader_only);
    wire::State {
        election: election.name().to_owned(),
        term: term.number(),
        revision: term.revision(),
        leader,
        candidates: waiting.map(|(name, holder)| candidate(name, holder)).collect(),
        since_unix_micros: term.since_unix_micros(),
        valid_after_micros: if term.is_vacant() { 0 } else { micros(election.valid_after()) },
        change: (term.revision() > 0).then(|| change(&term.change())),
    }
}

fn candidate(name: &str, holder: Holder) -> wire::Candidate {
    let (name, session) = (name.to_owned(), holder.session.number());
    wire::Candidate { name, session, metadata: None }
}

fn metadata(metadata: &Metadata) -> wire::Metadata {
    let labels = metadata.labels().map(|(key, value)| (key.to_owned(), value.to_owned()));
    wire::Metadata { address: metadata.address().to_owned(), labels: labels.collect() }
}

pub(super) fn change(change: &election::Change) -> wire::Change {
    wire::Change {
        cause: cause(change.reason),
        reason: change.note.clone().into(),
        by: change.by.map_or(0, |by| by.number()),
        at_unix_micros: change.at_unix_micros,
    }
}

fn cause(reason: Reason) -> i32 {
    match reason {
        Reason::NeverChanged => cause::UNKNOWN,
        Reason::Entered => cause::ENTERED,
        Reason::Passed => cause::PASSED,
        Reason::TakenOver => cause::TAKEN_OVER,
        Reason::Withdrawn => cause::WITHDRAWN,
        Reason::Anointed => cause::ANOINTED,
        Reason::Promoted => cause::PROMOTED,
        Reason::Demoted => cause::DEMOTED,
        Reason::Evicted => cause::EVICTED,
        Reason::SessionEnded | Reason::Closed => cause::CLOSED,
        Reason::SessionExpired => cause::SESSION_EXPIRED,
        Reason::Disconnected => cause::DISCONNECTED,
        Reason::SessionRemoved => cause::SESSION_ENDED,
        Reason::Deleted => cause::DELETED,
        Reason::Restored => cause::RESTORED,
    }
}

pub(super) fn reign(reign: election::Reign) -> wire::Reign {
    wire::Reign {
        term: reign.term,
        leader: reign.leader.into(),
        session: reign.session.number(),
        began: Some(change(&reign.began)),
        ended: reign.ended.as_ref().map(change),
    }
}
