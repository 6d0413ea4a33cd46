use super::peer::{Peer, led_by};
use super::*;

fn released(raw: &[u8]) -> Vec<(String, u64)> {
    let request = wire::KeepAliveRequest::decode(raw).unwrap();
    request.released.into_iter().map(|it| (it.election, it.term)).collect()
}

fn lost(term: u64) -> wire::KeepAliveResponse {
    let lost = vec![wire::Lost { election: "jobs".into(), term }];
    wire::KeepAliveResponse { ttl_micros: 0, lost }
}

#[test]
fn a_term_that_is_let_go_is_told_at_once_and_not_held_again() {
    let mut peer = Peer::new();
    let opened = peer.open(TTL, false);
    let (held, _fate, guard) = peer.hold(&opened, 4).unwrap();
    let now = peer.now();
    peer.core.let_go(now, opened.number, held);
    let (beat, raw) = peer.asked("KeepAlive");
    assert_eq!(released(&raw), [("jobs".to_owned(), 4)]);
    peer.reply(beat, &wire::KeepAliveResponse::default());
    assert_eq!(peer.cancelled, [guard]);
    for (term, is_held) in [(3, false), (4, false), (5, true)] {
        assert_eq!(peer.hold(&opened, term).is_some(), is_held, "{term}");
    }
}

/// A successor must not act while any proof is left.
#[test]
fn a_term_is_let_go_with_its_last_proof() {
    let mut peer = Peer::new();
    let opened = peer.open(TTL, false);
    let (one, ..) = peer.hold(&opened, 4).unwrap();
    let (other, ..) = peer.hold(&opened, 4).unwrap();
    let now = peer.now();
    peer.core.let_go(now, opened.number, one);
    peer.asked_nothing();
    peer.core.let_go(now, opened.number, other);
    assert_eq!(released(&peer.asked("KeepAlive").1), [("jobs".to_owned(), 4)]);
}

#[test]
fn what_was_let_go_is_told_again_after_a_lost_answer() {
    let mut peer = Peer::new();
    let opened = peer.open(TTL, false);
    let (held, ..) = peer.hold(&opened, 4).unwrap();
    let now = peer.now();
    peer.core.let_go(now, opened.number, held);
    peer.asked("KeepAlive");
    peer.cut();
    peer.reconnect();
    assert_eq!(released(&peer.asked("KeepAlive").1), [("jobs".to_owned(), 4)]);
}

/// What the server has taken ends the proof; it is let go when its holder drops it, not before.
#[test]
fn a_taken_term_is_not_let_go_while_it_is_held() {
    let mut peer = Peer::new();
    let opened = peer.open(TTL, false);
    let (held, fate, _) = peer.hold(&opened, 4).unwrap();
    peer.pass(1_000);
    let (beat, _) = peer.asked("KeepAlive");
    peer.reply(beat, &lost(4));
    assert_eq!(fate.lost(), Some(Lost::TermEnded { present: 5 }));
    peer.asked_nothing();
    let now = peer.now();
    peer.core.let_go(now, opened.number, held);
    assert_eq!(released(&peer.asked("KeepAlive").1), [("jobs".to_owned(), 4)]);
}

/// Who never knew that they led can't be acting, and a successor would wait for ever.
#[test]
fn a_taken_term_that_nobody_held_is_let_go_at_once() {
    let mut peer = Peer::new();
    let _opened = peer.open(TTL, false);
    peer.pass(1_000);
    let (beat, _) = peer.asked("KeepAlive");
    peer.reply(beat, &lost(4));
    let (beat, raw) = peer.asked("KeepAlive");
    assert_eq!(released(&raw), [("jobs".to_owned(), 4)]);
    // An answer that crossed it says the same once more; that makes no circle.
    peer.reply(beat, &lost(4));
    peer.asked_nothing();
}

#[test]
fn a_renewal_lets_go_of_a_bounded_number() {
    let mut peer = Peer::new();
    let _opened = peer.open(TTL, false);
    peer.pass(1_000);
    let (beat, _) = peer.asked("KeepAlive");
    let lost = |it| wire::Lost { election: format!("e{it:03}"), term: 1 };
    let all = wire::KeepAliveResponse { ttl_micros: 0, lost: (0..100).map(lost).collect() };
    peer.reply(beat, &all);
    let (beat, raw) = peer.asked("KeepAlive");
    assert_eq!(released(&raw).len(), 64);
    peer.reply(beat, &wire::KeepAliveResponse::default());
    assert_eq!(released(&peer.asked("KeepAlive").1).len(), 36);
}

#[test]
fn the_watch_of_a_held_term_ends_it() {
    let mut peer = Peer::new();
    let opened = peer.open(TTL, false);
    let (_held, fate, guard) = peer.hold(&opened, 4).unwrap();
    peer.show(guard, &led_by(7, 4, 10));
    assert!(!fate.is_over());
    peer.show(guard, &led_by(8, 5, 11));
    assert_eq!(fate.lost(), Some(Lost::TermEnded { present: 5 }));
    // Another session of the same name, in what would be the same term, is not this one either.
    let (_held, fate, guard) = peer.hold(&opened, 6).unwrap();
    peer.show(guard, &led_by(8, 6, 12));
    assert!(fate.is_over());
}

/// After a reconnect too, and whatever was refused in between.
#[test]
fn a_held_term_is_watched_again() {
    let mut peer = Peer::new();
    let opened = peer.open(TTL, false);
    let (_held, fate, guard) = peer.hold(&opened, 4).unwrap();
    peer.refuse(guard, Code::ResourceExhausted, "too many streams");
    peer.pass(100);
    peer.asked("Observe");
    peer.cut();
    peer.reconnect();
    let (guard, _) = peer.asked("Observe");
    assert!(!fate.is_over());
    peer.show(guard, &led_by(0, 4, 11));
    assert_eq!(fate.lost(), Some(Lost::TermEnded { present: 4 }));
}
