use super::peer::Peer;
use super::*;
use crate::client::core::sessions::margin;

#[test]
fn t4_the_margin_covers_a_drift_of_two_percent() {
    for ttl in [500, 1_000, 3_000, 60_000, 86_400_000].map(Duration::from_millis) {
        let here = ttl - margin(ttl);
        // This clock is 2% slow: what it counts takes that much longer.
        assert!(here.mul_f64(1.02) < ttl, "{ttl:?}: {here:?}");
        assert!(margin(ttl) >= Duration::from_millis(50));
    }
}

#[test]
fn the_deadline_is_counted_from_when_it_was_sent() {
    let mut peer = Peer::new();
    let opening = peer.opening(TTL, false);
    peer.greet();
    let sent = peer.now();
    peer.pass(700);
    let opened = peer.opened(&opening);
    assert_eq!(opened.word.deadline(), sent + (TTL - margin(TTL)));
    assert_eq!(opened.word.remaining(), TTL - margin(TTL) - Duration::from_millis(700));
}

#[test]
fn it_is_renewed_three_times_in_each_ttl() {
    let mut peer = Peer::new();
    let opened = peer.open(TTL, false);
    let mut sent = peer.now();
    for _ in 0..3 {
        assert_eq!(peer.core.next_wake(), Some(sent + TTL / 3));
        peer.pass_until(sent + (TTL / 3 - Duration::from_nanos(1)));
        peer.asked_nothing();
        peer.pass_until(sent + TTL / 3);
        let (beat, raw) = peer.asked("KeepAlive");
        assert_eq!(wire::KeepAliveRequest::decode(&raw).unwrap().session, 7);
        sent = peer.now();
        peer.pass(10);
        peer.reply(beat, &wire::KeepAliveResponse::default());
        assert_eq!(opened.word.deadline(), sent + (TTL - margin(TTL)));
    }
}

#[test]
fn it_is_resumed_by_its_key_and_goes_on() {
    let mut peer = Peer::new();
    let opened = peer.open(TTL, false);
    let (_held, fate, _) = peer.hold(&opened, 1).unwrap();
    peer.cut();
    assert!(!fate.is_over() && !peer.core.is_attached(opened.number));
    peer.pass(100);
    peer.greet();
    let (resume, raw) = peer.asked("Open");
    let asked = wire::OpenRequest::decode(&raw).unwrap();
    assert_eq!((asked.key, asked.ttl_micros), (vec![1; 16], 0));
    peer.reply(resume, &peer.open_response(TTL, false));
    assert!(peer.core.is_attached(opened.number) && !fate.is_over());
    assert_eq!(opened.word.remaining(), TTL - margin(TTL));
}

/// C8: a server that falls silent is looked for elsewhere, and nothing is lost by that.
#[test]
fn c8_a_silent_connection_is_given_up_after_a_third_of_the_ttl() {
    let mut peer = Peer::new();
    let opened = peer.open(TTL, false);
    peer.pass(1_000);
    peer.asked("KeepAlive");
    peer.pass(999);
    assert!(peer.core.is_up());
    peer.pass(1);
    assert!(!peer.core.is_up());
    assert!(peer.core.trouble().unwrap().contains("does not answer"));
    assert_eq!(opened.word.lost(), None);
}

/// Giving a connection up would end a fast session, so that is not done while it may live.
#[test]
fn c8_a_silent_connection_of_a_fast_session_is_waited_for() {
    let mut peer = Peer::new();
    let opened = peer.open(TTL, true);
    let (_held, fate, _) = peer.hold(&opened, 1).unwrap();
    let deadline = opened.word.deadline();
    peer.pass(1_000);
    peer.asked("KeepAlive");
    peer.pass(1_500);
    assert!(peer.core.is_up() && !fate.is_over());
    peer.pass_until(deadline);
    assert_eq!((fate.lost(), peer.core.is_up()), (Some(Lost::Late), false));
}

/// T4: what has run out stays so, also where the session turns out to live.
#[test]
fn t4_proof_that_has_run_out_is_lost_for_good() {
    let mut peer = Peer::new();
    let opened = peer.open(TTL, false);
    let (_held, fate, _) = peer.hold(&opened, 1).unwrap();
    peer.pass(1_000);
    let (beat, _) = peer.asked("KeepAlive");
    // It stands still here, and then finds the answer in the socket.
    peer.clock.advance(TTL);
    peer.reply(beat, &wire::KeepAliveResponse::default());
    assert_eq!(fate.lost(), Some(Lost::Late));
    assert_eq!(opened.word.lost(), None);
}

#[test]
fn the_deadline_itself_ends_what_is_held() {
    let mut peer = Peer::new();
    let opened = peer.open(TTL, false);
    let (_held, fate, _) = peer.hold(&opened, 1).unwrap();
    peer.cut();
    peer.pass(2_849);
    assert!(!fate.is_over());
    peer.pass(1);
    assert_eq!(fate.lost(), Some(Lost::Late));
    // Who reads the clock first says the same.
    let other = Fate::default();
    other.run_out();
    assert!(other.end(Lost::Disconnected).is_empty());
    assert_eq!(other.lost(), Some(Lost::Late));
}

#[test]
fn a_cut_ends_what_a_fast_one_leads() {
    let mut peer = Peer::new();
    let opened = peer.open(TTL, true);
    let (_held, fate, _) = peer.hold(&opened, 1).unwrap();
    peer.cut();
    assert_eq!((fate.lost(), opened.word.lost()), (Some(Lost::Disconnected), None));
    assert!(peer.hold(&opened, 2).is_none(), "no proof without a connection");
}

#[test]
fn another_server_or_a_forgetful_one_ends_everything() {
    let mut peer = Peer::new();
    let opened = peer.open(TTL, false);
    let (_held, fate, _) = peer.hold(&opened, 1).unwrap();
    let call = peer.call(Some(opened.number), None, true);
    peer.cut();
    peer.server.incarnation = "2".into();
    peer.pass(100);
    peer.greet();
    assert_eq!(fate.lost(), Some(Lost::ServerReplaced));
    assert_eq!(opened.word.lost(), Some(Lost::ServerReplaced));
    let answer = call.take().unwrap();
    assert!(matches!(answer, Err(ClientError::SessionLost(Lost::ServerReplaced))), "{answer:?}");
    assert!(opened.word.remaining().is_zero());
    peer.asked_nothing();
}

#[test]
fn a_durable_server_goes_on_after_a_restart() {
    let mut peer = Peer::new();
    peer.server.durable = true;
    let opened = peer.open(TTL, false);
    peer.cut();
    peer.server.incarnation = "2".into();
    peer.reconnect();
    assert_eq!(opened.word.lost(), None);
}

#[test]
fn a_refused_resumption_is_the_end() {
    let mut peer = Peer::new();
    let opened = peer.open(TTL, false);
    let (_held, fate, _) = peer.hold(&opened, 1).unwrap();
    let call = peer.call(Some(opened.number), None, true);
    peer.cut();
    peer.pass(100);
    peer.greet();
    let (resume, _) = peer.asked("Open");
    peer.refuse(resume, Code::FailedPrecondition, "session ended: it ran out");
    let over = Lost::Session { why: "session ended: it ran out".into() };
    assert_eq!((fate.lost(), opened.word.lost()), (Some(over.clone()), Some(over)));
    assert!(matches!(call.take(), Some(Err(ClientError::SessionLost(_)))));
}

#[test]
fn an_opening_fails_when_the_server_cannot_be_reached_now() {
    let mut peer = Peer::new();
    let opening = peer.opening(TTL, false);
    let (now, why) = (peer.now(), io::Error::from(io::ErrorKind::ConnectionRefused));
    let epoch = peer.core.dial(now).unwrap();
    peer.core.dial_failed(now, epoch, &why);
    assert!(matches!(opening.take(), Some(Err(ClientError::Unreachable { .. }))));
    peer.pass(100);
    assert_eq!(peer.core.dial(peer.now()), None, "nobody wants it any more");

    let opening = peer.opening(TTL, false);
    peer.greet();
    peer.cut();
    assert!(matches!(opening.take(), Some(Err(ClientError::Lost { .. }))));

    let opening = peer.opening(TTL, false);
    peer.pass(200);
    peer.dial();
    peer.pass(5_000);
    let Some(Err(ClientError::TimedOut { what })) = opening.take() else { panic!("no answer") };
    assert!(what.contains("server:1"), "{what}");
}

/// Nobody waits for it any more: one that was opened is closed, one that was there before is left alone.
#[test]
fn a_session_that_nobody_waits_for_is_closed() {
    let mut peer = Peer::new();
    let _connected = peer.open(TTL, false);
    for (key, is_closed) in [(Vec::new(), true), (vec![1; 16], false)] {
        let (number, _slot) = peer.opening_by_key(TTL, false, key);
        let (open, _) = peer.asked("Open");
        peer.core.close_session(number, None);
        assert_eq!(peer.core.is_closing(), is_closed, "the driver waits for that");
        peer.reply(open, &peer.open_response(TTL, false));
        match is_closed {
            true => {
                let (close, _) = peer.asked("Close");
                peer.reply(close, &wire::CloseResponse {});
            }
            false => peer.asked_nothing(),
        }
    }
}

#[test]
fn a_closed_session_is_told_and_over() {
    let mut peer = Peer::new();
    let opened = peer.open(TTL, false);
    let (_held, fate, guard) = peer.hold(&opened, 1).unwrap();
    let (call, told) = (peer.call(Some(opened.number), None, true), Arc::default());
    peer.asked("Enter");
    peer.core.close_session(opened.number, Some(Arc::clone(&told)));
    assert!(fate.is_over() && opened.word.remaining().is_zero());
    assert!(matches!(call.take(), Some(Err(ClientError::SessionLost(_)))));
    let (close, _) = peer.asked("Close");
    assert!(peer.cancelled.contains(&guard));
    assert!(peer.core.is_closing());
    peer.reply(close, &wire::CloseResponse {});
    assert!(told.take().unwrap().is_ok());
    assert!(!peer.core.is_closing());
    assert_eq!(peer.core.next_wake(), None, "nothing is left to do");
}
