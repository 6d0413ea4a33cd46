//! What a server knows, in words or as JSON: listings, queues, histories, checks.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use serde_json::{Value, json};
use tenure::client::{Candidate, Change, Reign, SessionView, Summary, Verdict};

use crate::args::{Format, OnElection, OnTerm, Prefix, Removal, SessionRemoval, To};
use crate::ask::{connect, made};
use crate::{Exit, output};

pub(crate) fn list(on: &Prefix) -> Result<Exit> {
    let elections = connect(&on.to)?.list(&on.prefix)?;
    print(on.to.output, &elections, summary_in_words, |it| {
        json!({
            "election": it.election, "term": it.term, "leader": leader(&it.leader),
            "standing": it.standing, "since_unix_micros": it.since_unix_micros,
        })
    })
}

pub(crate) fn describe(on: &OnElection) -> Result<Exit> {
    let described = connect(&on.to)?.describe(&on.election)?;
    let state = &described.state;
    if on.to.output == Format::Json {
        let queue = described
            .queue
            .iter()
            .map(|(name, session)| json!({"candidate": name, "session": session_in_json(session)}));
        return said(
            &json!({
                "election": on.election, "term": state.term, "revision": state.revision,
                "leader": state.leader.as_ref().map(candidate_in_json),
                "since_unix_micros": state.since_unix_micros,
                "valid_after_micros": state.valid_after_micros,
                "change": change_in_json(&state.change),
                "queue": queue.collect::<Vec<_>>(),
            })
            .to_string(),
        );
    }
    let mut lines =
        vec![format!("{}: term {}, revision {}", on.election, state.term, state.revision)];
    if state.revision > 0 {
        lines.push(format!("last change: {}", change_in_words(&state.change)));
    }
    if let Some(leader) = &state.leader {
        let since = ago(state.since_unix_micros);
        lines.push(format!("leads: {}, for {since}{}", leader.name, about(leader)));
    } else {
        lines.push("nobody leads".to_owned());
    }
    if state.valid_after_micros > 0 {
        let wait = Duration::from_micros(state.valid_after_micros);
        lines.push(format!("may act in {}", shown(wait)));
    }
    for (place, (name, session)) in described.queue.iter().enumerate() {
        lines.push(format!("{}. {name}, {}", place + 1, session_in_words(session)));
    }
    said(&lines.join("\n"))
}

pub(crate) fn history(on: &OnElection) -> Result<Exit> {
    let reigns = connect(&on.to)?.history(&on.election)?;
    print(on.to.output, &reigns, reign_in_words, |it| {
        json!({
            "term": it.term, "leader": it.leader, "session": it.session,
            "began": change_in_json(&it.began), "ended": it.ended.as_ref().map(change_in_json),
        })
    })
}

pub(crate) fn sessions(to: &To) -> Result<Exit> {
    let sessions = connect(to)?.sessions()?;
    print(to.output, &sessions, session_in_words, session_in_json)
}

pub(crate) fn check(on: &OnTerm) -> Result<Exit> {
    let check = connect(&on.to)?.check(&on.election, on.term)?;
    let (verdict, exit) = match check.verdict {
        Verdict::Current => ("current", Exit::Ok),
        Verdict::Stale => ("stale", Exit::Stale),
        Verdict::Unknown => ("unknown", Exit::UnknownTerm),
    };
    let line = match on.to.output {
        Format::Text => {
            format!("{}: term {} is {verdict}; it is term {}", on.election, on.term, check.term)
        }
        Format::Json => json!({
            "election": on.election, "asked": on.term, "verdict": verdict,
            "term": check.term, "leader": leader(&check.leader),
        })
        .to_string(),
    };
    said(&line)?;
    Ok(exit)
}

pub(crate) fn delete(on: &Removal) -> Result<Exit> {
    made(connect(&on.to)?.delete(&on.election, &on.reason))?;
    Ok(Exit::Ok)
}

pub(crate) fn end_session(on: &SessionRemoval) -> Result<Exit> {
    made(connect(&on.to)?.end_session(on.session, &on.reason))?;
    Ok(Exit::Ok)
}

fn print<T>(
    format: Format,
    lines: &[T],
    in_words: fn(&T) -> String,
    in_json: fn(&T) -> Value,
) -> Result<Exit> {
    for line in lines {
        match format {
            Format::Text => said(&in_words(line))?,
            Format::Json => said(&in_json(line).to_string())?,
        };
    }
    Ok(Exit::Ok)
}

fn said(text: &str) -> Result<Exit> {
    output::line(text)?;
    Ok(Exit::Ok)
}

fn summary_in_words(it: &Summary) -> String {
    let leader = match it.leader.as_str() {
        "" => "nobody leads".to_owned(),
        leader => format!("{leader} leads"),
    };
    let since = ago(it.since_unix_micros);
    format!("{}: term {}, {leader} for {since}, {} standing", it.election, it.term, it.standing)
}

fn reign_in_words(it: &Reign) -> String {
    let ended = match &it.ended {
        Some(change) => change_in_words(change),
        None => "it leads".to_owned(),
    };
    format!("term {}, {}: {}; {ended}", it.term, it.leader, change_in_words(&it.began))
}

fn change_in_words(it: &Change) -> String {
    let by = if it.by == 0 { String::new() } else { format!(" by session {}", it.by) };
    let why = if it.reason.is_empty() { String::new() } else { format!(" ({})", it.reason) };
    format!("{}{by} {} ago{why}", it.cause, ago(it.at_unix_micros))
}

fn session_in_words(it: &SessionView) -> String {
    let mut words = vec![format!("session {}: {}", it.session, it.kind)];
    if !it.owner.is_empty() {
        words.push(format!("of {}", it.owner));
    }
    words.push(format!("{} old", shown(Duration::from_micros(it.age_micros))));
    if it.ttl_micros > 0 {
        let left = Duration::from_micros(it.remaining_micros);
        words.push(format!(
            "{} of {} left",
            shown(left),
            shown(Duration::from_micros(it.ttl_micros))
        ));
    }
    if !it.peer.is_empty() {
        words.push(format!("from {}", it.peer));
    }
    words.join(", ")
}

fn about(it: &Candidate) -> String {
    let mut words = String::new();
    if !it.address.is_empty() {
        words += &format!(", at {}", it.address);
    }
    for (key, value) in &it.labels {
        words += &format!(", {key}={value}");
    }
    words
}

fn leader(name: &str) -> Option<&str> {
    Some(name).filter(|name| !name.is_empty())
}

fn candidate_in_json(it: &Candidate) -> Value {
    json!({"name": it.name, "session": it.session, "address": it.address, "labels": it.labels})
}

fn change_in_json(it: &Change) -> Value {
    json!({"cause": it.cause, "reason": it.reason, "by": it.by, "at_unix_micros": it.at_unix_micros})
}

fn session_in_json(it: &SessionView) -> Value {
    json!({
        "session": it.session, "kind": it.kind, "owner": it.owner, "ttl_micros": it.ttl_micros,
        "remaining_micros": it.remaining_micros, "age_micros": it.age_micros,
        "silent_micros": it.silent_micros, "peer": it.peer,
    })
}

/// How long ago, by the clocks of both machines.
fn ago(unix_micros: u64) -> String {
    let then = SystemTime::UNIX_EPOCH + Duration::from_micros(unix_micros);
    shown(then.elapsed().unwrap_or_default())
}

/// To the millisecond.
pub(crate) fn shown(time: Duration) -> String {
    humantime::format_duration(Duration::from_millis(time.as_millis() as u64)).to_string()
}
