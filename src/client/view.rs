//! What a server tells of its elections and sessions, as owned values.

use std::collections::BTreeMap;

use crate::wire::tenure_v1::elections as wire;
use crate::wire::tenure_v1::sessions;

/// An election, as it was when the server said so. Times are in microseconds from the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ElectionState {
    /// Its name.
    pub election: String,
    /// The term; 0 before anybody led.
    pub term: u64,
    /// Rises by one with each change of the list.
    pub revision: u64,
    /// Who leads.
    pub leader: Option<Candidate>,
    /// Who waits, in order; empty if only the leader was asked for.
    pub candidates: Vec<Candidate>,
    /// Since when the leader leads, or nobody; 0 before the first change.
    pub since_unix_micros: u64,
    /// How long the leader has to wait before it may act.
    pub valid_after_micros: u64,
    /// The change that led here.
    pub change: Change,
}

impl ElectionState {
    /// True if `candidate` leads or waits.
    pub fn has(&self, candidate: &str) -> bool {
        self.leader.iter().chain(&self.candidates).any(|it| it.name == candidate)
    }
}

/// A candidate, and who holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// The public id of the session that holds it.
    pub session: u64,
    /// Where it is reached, in its own words; may be empty.
    pub address: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// What made a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// In a word or two, such as `entered` or `session expired`.
    pub cause: &'static str,
    /// In the words of who made it; may be empty.
    pub reason: String,
    /// The session that made it; 0 if the server did, or a caller without one.
    pub by: u64,
    /// When.
    pub at_unix_micros: u64,
}

/// One leader's time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reign {
    /// The term.
    pub term: u64,
    /// Who led.
    pub leader: String,
    /// The session that held it.
    pub session: u64,
    /// How it came to lead.
    pub began: Change,
    /// How it ended; `None` while it lasts.
    pub ended: Option<Change>,
}

/// An election in a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Its name.
    pub election: String,
    /// The term.
    pub term: u64,
    /// Who leads, or "" if nobody does.
    pub leader: String,
    /// How many stand, the leader among them.
    pub standing: u32,
    /// Since when the leader leads, or nobody.
    pub since_unix_micros: u64,
}

/// A session in a listing. Durations are in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionView {
    /// Its public id.
    pub session: u64,
    /// `connection`, `exclusive`, `fast` or `embedded`.
    pub kind: &'static str,
    /// Who it is, in its own words.
    pub owner: String,
    /// 0 without a deadline.
    pub ttl_micros: u64,
    /// Left until its deadline.
    pub remaining_micros: u64,
    /// Since it was opened.
    pub age_micros: u64,
    /// Since it was last heard.
    pub silent_micros: u64,
    /// The connection it is attached to; empty if to none.
    pub peer: String,
}

/// An election with everybody who stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// The election.
    pub state: ElectionState,
    /// Who stands, the leader first, each with its session.
    pub queue: Vec<(String, SessionView)>,
}

/// What became of a term.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// Whether somebody leads in it.
    pub verdict: Verdict,
    /// The present term.
    pub term: u64,
    /// Who leads, or "" if nobody does.
    pub leader: String,
}

/// Whether a term is current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Somebody leads in it.
    Current,
    /// A later one has begun, or nobody leads any more.
    Stale,
    /// The server does not know the election, or the term is ahead of it.
    Unknown,
}

impl From<wire::State> for ElectionState {
    fn from(state: wire::State) -> Self {
        Self {
            election: state.election,
            term: state.term,
            revision: state.revision,
            leader: state.leader.map(Candidate::from),
            candidates: state.candidates.into_iter().map(Candidate::from).collect(),
            since_unix_micros: state.since_unix_micros,
            valid_after_micros: state.valid_after_micros,
            change: state.change.unwrap_or_default().into(),
        }
    }
}

impl From<wire::Candidate> for Candidate {
    fn from(candidate: wire::Candidate) -> Self {
        let wire::Candidate { name, session, metadata } = candidate;
        let wire::Metadata { address, labels } = metadata.unwrap_or_default();
        Self { name, session, address, labels }
    }
}

impl From<wire::Change> for Change {
    fn from(change: wire::Change) -> Self {
        let wire::Change { cause, reason, by, at_unix_micros } = change;
        Self { cause: wire::cause::in_words(cause), reason, by, at_unix_micros }
    }
}

impl From<wire::Reign> for Reign {
    fn from(reign: wire::Reign) -> Self {
        Self {
            term: reign.term,
            leader: reign.leader,
            session: reign.session,
            began: reign.began.unwrap_or_default().into(),
            ended: reign.ended.map(Change::from),
        }
    }
}

impl From<wire::Summary> for Summary {
    fn from(summary: wire::Summary) -> Self {
        let wire::Summary { election, term, leader, standing, since_unix_micros, .. } = summary;
        Self { election, term, leader, standing, since_unix_micros }
    }
}

impl From<sessions::Session> for SessionView {
    fn from(session: sessions::Session) -> Self {
        Self {
            session: session.session,
            kind: sessions::session_kind::in_words(session.kind),
            owner: session.owner,
            ttl_micros: session.ttl_micros,
            remaining_micros: session.remaining_micros,
            age_micros: session.age_micros,
            silent_micros: session.silent_micros,
            peer: session.peer,
        }
    }
}

impl From<wire::DescribeResponse> for Description {
    fn from(described: wire::DescribeResponse) -> Self {
        let queue = described.queue.into_iter();
        Self {
            state: described.state.unwrap_or_default().into(),
            queue: queue.map(|it| (it.candidate, it.session.unwrap_or_default().into())).collect(),
        }
    }
}

impl From<wire::CheckResponse> for Check {
    fn from(check: wire::CheckResponse) -> Self {
        let verdict = match check.verdict {
            wire::verdict::CURRENT => Verdict::Current,
            wire::verdict::STALE => Verdict::Stale,
            _ => Verdict::Unknown,
        };
        Self { verdict, term: check.term, leader: check.leader }
    }
}
