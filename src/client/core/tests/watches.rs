use super::peer::{Peer, led_by, seen};
use super::*;

/// One that is connected, and watches on that stream.
fn watching() -> (Peer, Arc<States>, u32) {
    let mut peer = Peer::new();
    let states = peer.watch();
    peer.greet();
    let (watch, _) = peer.asked("Observe");
    (peer, states, watch)
}

#[test]
fn a_watch_shows_the_newest_and_nothing_older() {
    let (mut peer, states, watch) = watching();
    peer.show(watch, &led_by(7, 1, 1));
    assert_eq!(seen(&states), Some((1, 1)));
    peer.show(watch, &led_by(7, 1, 3));
    peer.show(watch, &led_by(8, 2, 4));
    assert_eq!(seen(&states), Some((2, 4)), "merged into the newest");
    peer.show(watch, &led_by(7, 1, 2));
    assert_eq!(seen(&states), None);
}

#[test]
fn a_watch_goes_on_over_a_reconnect() {
    let (mut peer, states, watch) = watching();
    peer.show(watch, &led_by(7, 1, 1));
    assert_eq!(seen(&states), Some((1, 1)));
    peer.cut();
    peer.pass(100);
    peer.greet();
    let (watch, _) = peer.asked("Observe");
    peer.show(watch, &led_by(7, 1, 1));
    assert_eq!(seen(&states), None, "known already");
    peer.show(watch, &led_by(8, 3, 6));
    assert_eq!(seen(&states), Some((3, 6)));
}

/// An election that was deleted counts its revisions anew; what is shown never goes back.
#[test]
fn a_forgotten_election_is_shown_as_a_change() {
    let (mut peer, states, watch) = watching();
    peer.show(watch, &led_by(7, 5, 9));
    assert_eq!(seen(&states), Some((5, 9)));
    peer.cut();
    peer.pass(100);
    peer.greet();
    let (watch, _) = peer.asked("Observe");
    peer.show(watch, &led_by(0, 0, 0));
    assert_eq!(seen(&states), Some((5, 9)), "nobody leads");
    peer.show(watch, &led_by(7, 6, 1));
    assert_eq!(seen(&states), Some((6, 10)));
}

/// What another server says can't be held against what was seen before.
#[test]
fn another_server_is_shown_as_it_is() {
    let (mut peer, states, watch) = watching();
    peer.show(watch, &led_by(7, 5, 9));
    assert_eq!(seen(&states), Some((5, 9)));
    peer.cut();
    peer.server.incarnation = "2".into();
    peer.pass(100);
    peer.greet();
    let (watch, _) = peer.asked("Observe");
    peer.show(watch, &led_by(7, 1, 1));
    assert_eq!(seen(&states), Some((1, 1)));
}

/// How long the leader still waits is part of what is shown: its end is a change of its own.
#[test]
fn the_end_of_a_wait_is_shown() {
    let (mut peer, states, watch) = watching();
    let mut state = led_by(8, 2, 4);
    state.valid_after_micros = 1_000;
    peer.show(watch, &state);
    assert_eq!(seen(&states), Some((2, 4)));
    state.valid_after_micros = 0;
    peer.show(watch, &state);
    assert_eq!(seen(&states), Some((2, 4)));
    peer.show(watch, &state);
    assert_eq!(seen(&states), None);
}

#[test]
fn a_refusal_for_good_ends_a_watch_and_another_does_not() {
    let (mut peer, states, watch) = watching();
    peer.refuse(watch, Code::Unavailable, "not now");
    assert!(states.take().is_none());
    peer.pass(99);
    peer.asked_nothing();
    peer.pass(1);
    let (watch, _) = peer.asked("Observe");
    peer.refuse(watch, Code::InvalidArgument, "no such name");
    assert!(matches!(states.take(), Some(Err(ClientError::Refused { code: 3, .. }))));
    peer.pass(10_000);
    peer.asked_nothing();
}

#[test]
fn a_dropped_watch_is_cancelled() {
    let mut peer = Peer::new();
    let (states, now) = (Arc::new(States::default()), peer.now());
    let id = peer.core.watch(now, "jobs", true, Reader::States(states.clone()));
    peer.greet();
    let (watch, _) = peer.asked("Observe");
    peer.core.forget_watch(id);
    peer.asked_nothing();
    assert_eq!(peer.cancelled, [watch]);
    peer.show(watch, &led_by(7, 1, 1));
    assert!(states.take().is_none());
}
