//! The core, driven by hand: each fault where it hurts most.

mod calls;
mod peer;
mod sessions;
mod terms;
mod watches;

use std::io;
use std::time::Duration;

use self::peer::Peer;
use super::*;
use crate::client::{ClientError, Lost};
use crate::error::Code;
use crate::wire::message::Message;

const TTL: Duration = Duration::from_millis(3_000);

#[test]
fn it_dials_when_it_is_needed_and_greets() {
    let mut peer = Peer::new();
    assert_eq!(peer.core.dial(peer.now()), None, "nothing to say");
    let opening = peer.opening(TTL, false);
    peer.greet();
    assert!(peer.core.is_up() && peer.core.server().is_some());
    let opened = peer.opened(&opening);
    assert_eq!((opened.id, opened.ttl), (7, TTL));
}

/// Bytes come as they like.
#[test]
fn answers_come_in_pieces() {
    let mut peer = Peer::new();
    let opening = peer.opening(TTL, false);
    peer.dial();
    let (hello, _) = peer.asked("Hello");
    peer.drip(hello, &peer.server.encode());
    let (open, _) = peer.asked("Open");
    peer.drip(open, &peer.open_response(TTL, false).encode());
    assert_eq!(opening.take().unwrap().unwrap().id, 7);
}

#[test]
fn a_frame_over_the_limit_ends_the_connection() {
    let mut peer = Peer::new();
    let _opened = peer.open(TTL, false);
    let header = Header { length: (4 << 20) + 1, stream: 1, kind: kind::RESPONSE, flags: 0 };
    let (now, epoch) = (peer.now(), peer.epoch);
    peer.core.received(now, epoch, &header.encode());
    assert!(peer.core.trouble().unwrap().contains("4194305 bytes"), "{:?}", peer.core.trouble());
    assert_eq!(peer.core.epoch(), None);
}

#[test]
fn what_comes_late_from_a_former_connection_is_not_listened_to() {
    let mut peer = Peer::new();
    let opened = peer.open(TTL, false);
    peer.pass(1_000);
    let (beat, _) = peer.asked("KeepAlive");
    let former = peer.epoch;
    peer.cut();
    peer.reconnect();
    peer.pass(1_000);
    assert_eq!(peer.asked("KeepAlive").0, beat, "numbers begin anew");
    let mut bytes = Vec::new();
    crate::wire::envelope::put_status(&mut bytes, beat, 9, "session ended: never mind");
    let now = peer.now();
    peer.core.received(now, former, &bytes);
    peer.core.cut(now, former, "again");
    peer.reply(beat, &wire::KeepAliveResponse::default());
    assert_eq!(opened.word.lost(), None);
    assert!(peer.core.is_attached(opened.number));
}

/// C7: the wait grows with each failure, and a greeting alone does not make it short again.
#[test]
fn c7_each_failure_makes_the_next_wait_longer() {
    let mut peer = Peer::new();
    let _opened = peer.open(TTL, false);
    peer.cut();
    for failures in [1, 2, 3] {
        assert_eq!(peer.until_dial(), Duration::from_millis(100 * failures));
        peer.pass(100 * failures);
        let epoch = peer.core.dial(peer.now()).expect("it is time");
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let now = peer.now();
        peer.core.dial_failed(now, epoch, &refused);
    }
    // One that greets, and drains.
    peer.pass(400);
    peer.greet();
    let (resume, _) = peer.asked("Open");
    peer.refuse(resume, Code::Unavailable, "draining");
    assert_eq!(peer.until_dial(), Duration::from_millis(500));
    peer.pass(500);
    peer.reconnect();
    peer.cut();
    assert_eq!(peer.until_dial(), Duration::from_millis(100));
}

#[test]
fn a_server_that_does_not_greet_is_given_up() {
    let mut peer = Peer::new();
    let opened = peer.open(TTL, false);
    peer.cut();
    peer.pass(100);
    peer.dial();
    peer.pass(999);
    assert_eq!(peer.core.trouble().map(|it| it.contains("did not greet")), Some(false));
    peer.pass(1);
    assert!(peer.core.trouble().unwrap().contains("did not greet"));
    assert_eq!(opened.word.lost(), None, "out of reach, not lost");
}

#[test]
fn a_memory_server_is_another_one_after_a_restart() {
    let server = |id: &str, incarnation: &str, is_durable| Server {
        id: id.into(),
        incarnation: incarnation.into(),
        is_durable,
    };
    let memory = server("s", "1", false);
    assert!(memory.is_continued_by(&memory));
    assert!(!memory.is_continued_by(&server("s", "2", false)));
    let durable = server("s", "1", true);
    assert!(durable.is_continued_by(&server("s", "2", true)));
    assert!(!durable.is_continued_by(&server("t", "1", true)));
}

/// Its driver has ended: nothing waits for ever, and nothing begins.
#[test]
fn nothing_waits_once_it_is_shut() {
    let mut peer = Peer::new();
    let opened = peer.open(TTL, false);
    let (call, states, timer) = (peer.call(None, None, true), peer.watch(), Arc::default());
    let (now, its) = (peer.now(), Arc::clone(&timer));
    peer.core.timer(now + TTL, its);
    peer.core.shut(now, "the end");
    assert!(matches!(opened.word.lost(), Some(Lost::Session { .. })));
    assert!(matches!(call.take(), Some(Err(ClientError::Lost { .. }))));
    assert!(matches!(states.take(), Some(Err(ClientError::Lost { .. }))));
    assert_eq!(timer.take(), Some(()));
    let (call, states) = (peer.call(None, None, true), peer.watch());
    let opening = peer.opening(TTL, false);
    assert!(matches!(call.take(), Some(Err(ClientError::Lost { .. }))));
    assert!(matches!(states.take(), Some(Err(ClientError::Lost { .. }))));
    assert!(matches!(opening.take(), Some(Err(ClientError::Lost { .. }))));
    assert_eq!(peer.core.next_wake(), None);
}

#[test]
fn timers_go_off_in_their_order() {
    let mut peer = Peer::new();
    let timers: [Arc<Slot<()>>; 3] = Default::default();
    let now = peer.now();
    let ids = [3, 1, 2].map(Duration::from_secs).map(|at| now + at);
    let ids: Vec<_> = std::iter::zip(ids, &timers)
        .map(|(at, slot)| (at, peer.core.timer(at, slot.clone())))
        .collect();
    peer.core.forget_timer(ids[2].0, ids[2].1);
    let gone = |timers: &[Arc<Slot<()>>; 3]| timers.each_ref().map(|it| it.take().is_some());
    assert_eq!(peer.core.next_wake(), Some(now + Duration::from_secs(1)));
    peer.pass(2_500);
    assert_eq!(gone(&timers), [false, true, false]);
    peer.pass(500);
    assert_eq!(gone(&timers), [true, false, false]);
}
