//! How connections end.

use super::super::Protocol;
use super::*;

#[test]
fn w1_a_cut_frame_and_the_end_apply_nothing() {
    let engine = engine(Limits::DEFAULT);
    let whole = enter(1, "e", "c");
    for at in 0..whole.len() {
        let mut peer = Peer::of(&engine, terms());
        assert_eq!(peer.say(&whole[..at]), Vec::<String>::new());
        peer.conn.feed_end();
        assert_eq!((peer.end(), peer.step()), (Some(End::PeerClosed), Next::Close));
    }
    assert_eq!(engine.elections(), 0);
}

#[test]
fn what_was_answered_is_still_sent_after_the_peers_end() {
    let mut peer = Peer::new();
    peer.conn.feed(peer.now, &[get_term(1, "e"), enter(3, "e", "c")].concat());
    peer.conn.feed_end();
    peer.carry();
    assert_eq!(peer.step(), Next::Keep);
    assert_eq!(peer.hear(), ["1 t0  []", "3 t1 c []"]);
    assert!(peer.conn.take_session().is_some());
    assert_eq!(peer.step(), Next::Close);
}

#[test]
fn a_session_is_made_by_the_first_call_that_needs_one() {
    let mut peer = Peer::new();
    peer.say(&[create(1, "e"), get_term(3, "e"), watch(5, "e"), close(7, "e")].concat());
    assert!(peer.conn.take_session().is_none());
    peer.say(&enter(1, "e", "c"));
    assert!(peer.conn.take_session().is_some());
}

#[test]
fn c1_a_frame_has_ten_seconds() {
    let bytes = get_term(1, "e");
    let mut peer = Peer::new();
    peer.say(&bytes[..1]);
    for at in 1..10 {
        peer.wait(SECOND);
        assert_eq!(peer.say(&bytes[at..at + 1]), Vec::<String>::new());
        assert_eq!(peer.end(), None);
    }
    peer.wait(SECOND);
    assert_eq!((peer.end(), peer.step()), (Some(End::SlowFrame), Next::Close));
}

#[test]
fn c1_each_frame_has_its_own_ten_seconds() {
    let frame = get_term(1, "e");
    let mut peer = Peer::new();
    for chunk in frame.repeat(40).chunks(frame.len() - 1) {
        peer.say(chunk);
        peer.wait(SECOND * 9);
        assert_eq!(peer.end(), None);
    }
}

#[test]
fn c1_a_skipped_body_has_ten_seconds_too() {
    let header = Header { length: 5 << 20, stream: 1, kind: kind::REQUEST, flags: 0 };
    let mut peer = Peer::new();
    peer.say(&header.encode());
    peer.wait(SECOND * 9);
    peer.say(&[0; 1000]);
    peer.wait(SECOND);
    assert_eq!(peer.end(), Some(End::SlowFrame));
}

#[test]
fn c1_an_opening_that_never_comes_to_a_point() {
    let mut peer = Peer::new();
    peer.say(b"GE");
    peer.wait(SECOND * 10);
    assert_eq!(peer.end(), Some(End::SlowFrame));
}

#[test]
fn output_that_stalls_for_ten_seconds_ends_the_connection() {
    let mut peer = Peer::new();
    peer.conn.feed(peer.now, &get_term(1, "e"));
    peer.conn.sent(peer.now, 0);
    for _ in 0..5 {
        peer.now = peer.now + SECOND * 9;
        peer.conn.on_timer(peer.now);
        assert_eq!(peer.end(), None, "each byte that leaves starts the time anew");
        peer.conn.sent(peer.now, 1);
    }
    peer.now = peer.now + SECOND * 10;
    assert!(peer.conn.deadline().is_some_and(|deadline| deadline <= peer.now));
    peer.conn.on_timer(peer.now);
    assert_eq!((peer.end(), peer.step()), (Some(End::Stalled), Next::Close));
}

#[test]
fn output_over_the_limit_ends_the_connection() {
    let limits = Limits { output_pause_bytes: 10, output_bytes: 50, ..Limits::DEFAULT };
    let mut peer = Peer::bounded(limits);
    peer.conn.feed(peer.now, &call(1, "no.Such.Service", "OrMethod", 0, &[]));
    assert_eq!((peer.end(), peer.step()), (Some(End::TooMuchOutput), Next::Close));
}

#[test]
fn an_idle_connection_ends_if_it_is_to() {
    let mut peer = Peer::of(&engine(Limits::DEFAULT), Terms { idle: Some(SECOND), ..terms() });
    for _ in 0..5 {
        peer.wait(SECOND / 2);
        peer.say(&get_term(1, "e"));
    }
    assert_eq!(peer.end(), None);
    // A frame that asks for nothing is no request.
    peer.wait(SECOND / 2);
    peer.say(&[0, 0, 0, 0, 0, 0, 0, 1, 77, 0]);
    peer.wait(SECOND / 2);
    assert_eq!((peer.end(), peer.step()), (Some(End::Idle), Next::HalfClose));
}

#[test]
fn w9_who_speaks_something_else_is_told_and_given_time_to_read_it() {
    let cases: [(&[u8], Protocol, &[u8]); 4] = [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Protocol::Http1, b"HTTP/1.1 501 "),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Protocol::Http2, b"\0\0\0\x04"),
        (b"\x16\x03\x01\x02\x00", Protocol::Tls, b"\x15\x03\x01\0\x02\x02"),
        (b"*1\r\n$4\r\nPING\r\n", Protocol::Unknown, b""),
    ];
    for (bytes, protocol, answer) in cases {
        let mut peer = Peer::new();
        for byte in bytes {
            peer.conn.feed(peer.now, &[*byte]);
        }
        assert_eq!(peer.end(), Some(End::NotTtrpc(protocol)));
        assert!(peer.conn.pending().starts_with(answer), "{protocol}");
        peer.conn.sent(peer.now, peer.conn.pending().len());
        assert_eq!(peer.step(), Next::HalfClose);
        assert!(peer.conn.wants_read(), "to its end");
        peer.conn.feed(peer.now, &get_term(1, "e"));
        assert_eq!((peer.step(), peer.conn.pending()), (Next::Keep, &b""[..]));
        peer.wait(SECOND);
        assert_eq!(peer.step(), Next::Close);
    }
}

#[test]
fn p5_a_draining_connection_ends_watches_and_finishes_calls() {
    let mut peer = Peer::new();
    peer.say(&watch(1, "e"));
    peer.conn.feed(peer.now, &enter(3, "e", "c"));
    peer.conn.drain();
    let draining = "error 14: the server is draining; connect to it again when it is back";
    assert_eq!(peer.hear(), [format!("1 {draining}")]);
    assert_eq!(peer.step(), Next::Keep, "a call is under way");
    peer.conn.feed(peer.now, &get_term(5, "e"));
    assert_eq!(peer.hear(), [format!("5 {draining}")]);
    peer.carry();
    assert_eq!(peer.hear(), ["3 t1 c []"]);
    assert_eq!((peer.step(), peer.end()), (Next::HalfClose, Some(End::Drained)));
    peer.conn.feed_end();
    assert_eq!(peer.step(), Next::Close);
}
