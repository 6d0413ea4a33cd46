//! The messages of `tenure.v1` in JSON: the names that the command prints too.
//!
//! Terms, revisions and times are numbers: they stay below 2^53. Ids of sessions don't, so they are strings.

use serde_json::{Value, json};

use crate::wire::tenure_v1::elections::{
    Candidate, Change, DescribeResponse, Reign, State, Summary, cause,
};
use crate::wire::tenure_v1::sessions::{Session, session_kind};

pub(super) fn state(it: &State) -> Value {
    json!({
        "election": it.election, "term": it.term, "revision": it.revision,
        "leader": it.leader.as_ref().map(candidate),
        "candidates": it.candidates.iter().map(candidate).collect::<Vec<_>>(),
        "since_unix_micros": it.since_unix_micros, "valid_after_micros": it.valid_after_micros,
        "change": it.change.as_ref().map(change),
    })
}

pub(super) fn description(it: &DescribeResponse) -> Value {
    let mut all = state(&it.state.clone().unwrap_or_default());
    let queue = it.queue.iter().map(|standing| {
        let session = standing.session.as_ref().map(session);
        json!({"candidate": standing.candidate, "session": session})
    });
    all["queue"] = queue.collect();
    all
}

pub(super) fn candidate(it: &Candidate) -> Value {
    let says = it.metadata.clone().unwrap_or_default();
    json!({
        "name": it.name, "session": id(it.session), "address": says.address,
        "labels": says.labels,
    })
}

pub(super) fn summary(it: &Summary) -> Value {
    let leader = (!it.leader.is_empty()).then_some(&it.leader);
    json!({
        "election": it.election, "term": it.term, "revision": it.revision, "leader": leader,
        "standing": it.standing, "since_unix_micros": it.since_unix_micros,
    })
}

pub(super) fn reign(it: &Reign) -> Value {
    json!({
        "term": it.term, "leader": it.leader, "session": id(it.session),
        "began": it.began.as_ref().map(change), "ended": it.ended.as_ref().map(change),
    })
}

pub(super) fn session(it: &Session) -> Value {
    json!({
        "session": id(it.session), "kind": session_kind::in_words(it.kind), "owner": it.owner,
        "ttl_micros": it.ttl_micros, "remaining_micros": it.remaining_micros,
        "age_micros": it.age_micros, "silent_micros": it.silent_micros, "peer": it.peer,
    })
}

fn change(it: &Change) -> Value {
    json!({
        "cause": cause::in_words(it.cause), "reason": it.reason, "by": id(it.by),
        "at_unix_micros": it.at_unix_micros,
    })
}

/// Nobody's is null.
fn id(session: u64) -> Option<String> {
    (session > 0).then(|| session.to_string())
}
