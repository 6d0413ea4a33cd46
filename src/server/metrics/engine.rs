//! What the engine counted.

use super::page::{Page, SECONDS};
use crate::election::Reason;
use crate::engine::{Engine, Tallied};
use crate::id::SessionKind;

pub(super) fn show(page: &mut Page, engine: &Engine) {
    let tallied = engine.tallied();
    show_elections(page, engine, &tallied);
    show_sessions(page, &tallied);
    show_shards(page, &tallied);
    let Some((times, turns)) = engine.commit_sizes() else { return };
    page.histogram("tenure_commit_duration_seconds", "Time to write and sync one commit.").put_all(
        &[],
        &times,
        SECONDS,
    );
    page.histogram("tenure_commit_turns", "Turns that one commit kept.").put_all(&[], &turns, 1.0);
}

fn show_elections(page: &mut Page, engine: &Engine, tallied: &Tallied) {
    page.gauge("tenure_elections", "Elections that are known or in use.")
        .put(&[], engine.elections() as f64);
    page.gauge("tenure_elections_led", "Elections that somebody leads.")
        .put(&[], tallied.led as f64);
    page.gauge(
        "tenure_elections_without_leader",
        "Elections that somebody led once, and nobody does now.",
    )
    .put(&[], tallied.vacant as f64);
    let mut family = page.counter(
        "tenure_leader_changes_total",
        "Changes of who leads, also to nobody, by what was done.",
    );
    for (reason, count) in tallied.changes {
        if let Some(reason) = done(reason) {
            family.put(&[("reason", reason)], count as f64);
        }
    }
    let mut family = page.counter(
        "tenure_candidates_lost_total",
        "Candidates that left because the connection of their session had closed.",
    );
    for (session, count) in ["connection", "other"].into_iter().zip(tallied.lost) {
        family.put(&[("session", session)], count as f64);
    }
}

fn show_sessions(page: &mut Page, tallied: &Tallied) {
    let sessions = &tallied.sessions;
    let mut family = page.gauge("tenure_sessions", "Sessions that live.");
    for (kind, live, _) in sessions.kinds() {
        family.put(&[("kind", word(kind))], live as f64);
    }
    let mut family = page.counter("tenure_sessions_opened_total", "Sessions that were opened.");
    for (kind, _, opened) in sessions.kinds() {
        family.put(&[("kind", word(kind))], opened as f64);
    }
    let mut family = page.counter("tenure_sessions_ended_total", "Sessions that ended, by reason.");
    for (kind, reason, count) in sessions.endings() {
        family.put(&[("kind", word(kind)), ("reason", reason)], count as f64);
    }
}

fn show_shards(page: &mut Page, tallied: &Tallied) {
    let (all, most) = tallied.waiting;
    page.gauge("tenure_mailbox_commands", "Commands that wait in all shards.").put(&[], all as f64);
    page.gauge("tenure_mailbox_commands_max", "Commands that wait in the shard with the most.")
        .put(&[], most as f64);
    page.histogram("tenure_turn_commands", "Commands that a shard worked off in one turn.")
        .put_all(&[], &tallied.turns, 1.0);
}

fn word(kind: SessionKind) -> &'static str {
    match kind {
        SessionKind::Connection => "connection",
        SessionKind::Owned => "embedded",
        SessionKind::Exclusive => "exclusive",
        SessionKind::Fast => "fast",
    }
}

/// A word for what changed who leads; none for what can't.
fn done(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::NeverChanged | Reason::Restored => return None,
        Reason::Entered => "entered",
        Reason::Passed => "passed",
        Reason::Withdrawn => "withdrawn",
        Reason::Anointed => "anointed",
        Reason::Promoted => "promoted",
        Reason::Demoted => "demoted",
        Reason::Evicted => "evicted",
        Reason::TakenOver => "taken_over",
        Reason::SessionEnded => "session_ended",
        Reason::SessionExpired => "session_expired",
        Reason::Disconnected => "disconnected",
        Reason::SessionRemoved => "session_removed",
        Reason::Closed => "closed",
        Reason::Deleted => "deleted",
    })
}
