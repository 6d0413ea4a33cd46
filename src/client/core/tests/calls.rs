use super::peer::Peer;
use super::*;

#[test]
fn a_call_is_asked_again_on_the_next_connection() {
    let mut peer = Peer::new();
    let opened = peer.open(TTL, false);
    let call = peer.call(Some(opened.number), None, true);
    assert_eq!(peer.asked("Enter").1, b"payload");
    peer.cut();
    peer.pass(100);
    peer.greet();
    // Not before its session is attached there.
    let (resume, _) = peer.asked("Open");
    peer.asked_nothing();
    peer.reply(resume, &peer.open_response(TTL, false));
    let (again, raw) = peer.asked("Enter");
    assert_eq!(raw, b"payload");
    peer.reply(again, &wire::CloseResponse {});
    assert_eq!(call.take().unwrap().unwrap(), b"");
}

/// What may have happened, and would happen twice, is not asked again.
#[test]
fn a_change_is_sent_once() {
    let mut peer = Peer::new();
    let sent = peer.call(None, None, false);
    peer.greet();
    peer.asked("Enter");
    let waits = peer.call(None, None, true);
    peer.asked("Enter");
    peer.cut();
    assert!(matches!(sent.take(), Some(Err(ClientError::Lost { .. }))));
    // One that was not sent yet still is.
    let unsent = peer.call(None, None, false);
    peer.pass(100);
    peer.greet();
    let streams = [peer.asked("Enter").0, peer.asked("Enter").0];
    peer.asked_nothing();
    streams.into_iter().for_each(|stream| peer.reply(stream, &wire::CloseResponse {}));
    assert!(waits.take().unwrap().is_ok() && unsent.take().unwrap().is_ok());
}

#[test]
fn a_server_that_drains_is_left_for_the_next_one() {
    let mut peer = Peer::new();
    let (question, change) = (peer.call(None, None, true), peer.call(None, None, false));
    peer.greet();
    let (one, other) = (peer.asked("Enter").0, peer.asked("Enter").0);
    peer.refuse(other, Code::Unavailable, "draining");
    let refused = change.take().unwrap();
    assert!(matches!(refused, Err(ClientError::Refused { code: 14, .. })), "{refused:?}");
    peer.refuse(one, Code::Unavailable, "draining");
    assert!(question.take().is_none());
    peer.pass(100);
    peer.greet();
    let (again, _) = peer.asked("Enter");
    peer.reply(again, &wire::CloseResponse {});
    assert!(question.take().unwrap().is_ok());
}

#[test]
fn a_call_ends_in_time_and_says_why_nothing_came() {
    let mut peer = Peer::new();
    let until = peer.now() + TTL;
    let call = peer.call(None, Some(until), true);
    peer.greet();
    let (asked, _) = peer.asked("Enter");
    peer.cut();
    peer.pass(2_999);
    assert!(call.take().is_none());
    peer.pass(1);
    let Some(Err(ClientError::TimedOut { what })) = call.take() else { panic!("no answer") };
    assert!(what.contains("server:1") && what.contains("cut"), "{what}");

    // The answer that comes after all is nobody's.
    let call = peer.call(None, Some(peer.now() + TTL), true);
    peer.greet();
    let (late, _) = peer.asked("Enter");
    peer.pass(3_000);
    assert!(matches!(call.take(), Some(Err(ClientError::TimedOut { .. }))));
    peer.asked_nothing();
    assert!(peer.cancelled.contains(&late));
    peer.reply(late, &wire::CloseResponse {});
    assert!(call.take().is_none() && peer.core.is_up());
    assert_ne!(asked, 0);
}

#[test]
fn a_dropped_call_is_cancelled() {
    let mut peer = Peer::new();
    let _opened = peer.open(TTL, false);
    let slot: Arc<Slot<Answer>> = Arc::default();
    let id = peer.core.call(Call {
        session: None,
        service: "tenure.v1.Elections",
        method: "Enter",
        payload: Vec::new(),
        is_repeatable: true,
        until: None,
        slot: slot.clone(),
        stream: None,
    });
    let (stream, _) = peer.asked("Enter");
    peer.core.forget_call(id);
    peer.asked_nothing();
    assert_eq!(peer.cancelled, [stream]);
    peer.reply(stream, &wire::CloseResponse {});
    assert!(slot.take().is_none());
}

/// A refusal that the session's end may be behind: a renewal tells.
#[test]
fn a_doubtful_refusal_is_looked_into() {
    let mut peer = Peer::new();
    let opened = peer.open(TTL, false);
    // It was the call's own fault.
    let call = peer.call(Some(opened.number), None, true);
    let (asked, _) = peer.asked("Enter");
    peer.refuse(asked, Code::FailedPrecondition, "another term");
    assert!(call.take().is_none());
    let (beat, _) = peer.asked("KeepAlive");
    peer.reply(beat, &wire::KeepAliveResponse::default());
    let Some(Err(ClientError::Refused { message, .. })) = call.take() else { panic!("answered") };
    assert_eq!(message, "another term");

    // The connection was lost meanwhile: its resumption tells.
    let call = peer.call(Some(opened.number), None, true);
    let (asked, _) = peer.asked("Enter");
    peer.refuse(asked, Code::NotFound, "no such candidate");
    peer.asked("KeepAlive");
    peer.cut();
    peer.reconnect();
    assert!(matches!(call.take(), Some(Err(ClientError::Refused { .. }))));

    // Nothing tells: it is as it is.
    let call = peer.call(Some(opened.number), Some(peer.now() + TTL / 2), true);
    let (asked, _) = peer.asked("Enter");
    peer.refuse(asked, Code::NotFound, "no such candidate");
    peer.cut();
    peer.pass(1_500);
    assert!(matches!(call.take(), Some(Err(ClientError::Refused { .. }))));
    peer.reconnect();

    // The session is over.
    let call = peer.call(Some(opened.number), None, true);
    let (asked, _) = peer.asked("Enter");
    peer.refuse(asked, Code::FailedPrecondition, "session ended");
    let (beat, _) = peer.asked("KeepAlive");
    peer.refuse(beat, Code::FailedPrecondition, "session ended: by somebody");
    let Some(Err(ClientError::SessionLost(lost))) = call.take() else { panic!("answered") };
    assert!(lost.to_string().contains("by somebody"), "{lost}");
    let late = peer.call(Some(opened.number), None, true);
    assert!(matches!(late.take(), Some(Err(ClientError::SessionLost(_)))));
}
