//! Rows of the table of faults that deserve to be seen by themselves.

use std::sync::{Arc, Mutex};

use tenure::internals::{
    Ask, CandidateFacts, Desk, HeaderFacts, HeldLog, LooseConnection, RequestFacts, Slip,
    decode_header, decode_response, decode_term_reply, encode_candidate, encode_header,
    encode_request,
};
use tenure::{Clock, EndReason, Engine, Error, Moment};

type Trap = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// An engine of one shard, its log, and what happens in the middle of the next commit.
fn held() -> (Engine, Arc<HeldLog>, Trap) {
    let trap: Trap = Arc::default();
    let next = trap.clone();
    let log = HeldLog::new(Slip::None, move |_, _| {
        let sprung = next.lock().unwrap().take();
        if let Some(sprung) = sprung {
            sprung();
        }
    });
    let builder = Engine::builder().clock(Clock::manual()).shards(1.try_into().unwrap());
    (log.open(builder).unwrap(), log, trap)
}

fn request(stream: u32, method: &str, candidate: &str) -> Vec<u8> {
    let payload = CandidateFacts { name: "e".into(), candidate: candidate.into() };
    let request = encode_request(&RequestFacts {
        service: "atomix.runtime.election.v1.LeaderElection".into(),
        method: method.into(),
        payload: encode_candidate(&payload),
        timeout_nano: 0,
        metadata: vec![],
    });
    let length = request.len() as u32;
    let header = encode_header(HeaderFacts { length, stream, kind: 1, flags: 0 });
    [&header[..], &request].concat()
}

/// All answers that have come, as `stream tN leader`.
fn answers(conn: &mut LooseConnection) -> Vec<String> {
    while conn.fetch() {}
    let bytes = conn.pending().to_vec();
    conn.sent(Moment::default(), bytes.len());
    shown(&bytes)
}

fn shown(mut bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some((raw, rest)) = bytes.split_first_chunk::<10>() {
        let header = decode_header(*raw);
        let (payload, rest) = rest.split_at(header.length as usize);
        let message = match header.kind {
            2 => decode_response(payload).unwrap().payload,
            _ => payload.to_vec(),
        };
        let term = decode_term_reply(&message).unwrap();
        lines.push(format!("{} t{} {}", header.stream, term.number, term.leader));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "a frame is not whole");
    lines
}

#[test]
fn d10_a_repeated_request_waits_for_the_change_it_repeats() {
    let (engine, log, _) = held();
    let now = Moment::default();
    let [mut first, mut again] = [(); 2].map(|()| LooseConnection::new(&engine, now));
    first.feed(now, &request(1, "Enter", "a"));
    first.feed(now, &request(3, "Enter", "a"));
    again.feed(now, &request(1, "Promote", "a"));
    assert_eq!((log.holds(0), engine.term("e").unwrap().number()), (3, 0));
    assert!(answers(&mut first).is_empty() && answers(&mut again).is_empty());
    log.let_go(0);
    assert_eq!(answers(&mut first), ["1 t1 a"]);
    assert!(answers(&mut again).is_empty(), "its own turn is still to come");
    log.let_go(0);
    log.let_go(0);
    assert_eq!(answers(&mut first), ["3 t1 a"]);
    assert_eq!(answers(&mut again), ["1 t1 a"]);
}

#[test]
fn p1_a_retry_on_a_new_connection_takes_its_candidate_over() {
    let (engine, log, _) = held();
    let now = Moment::default();
    let [mut lost, mut new] = [(); 2].map(|()| LooseConnection::new(&engine, now));
    lost.feed(now, &request(1, "Enter", "a"));
    new.feed(now, &request(1, "Enter", "a"));
    // The server learns only now that the first is gone; the candidate is not its any more.
    drop(lost);
    while log.let_go(0) {}
    assert_eq!(answers(&mut new), ["1 t2 a"]);
    assert_eq!(engine.term("e").unwrap().to_string(), "t2 a []");
}

#[test]
fn p4_a_session_that_ends_while_its_enter_waits_does_not_enter() {
    let (engine, log, trap) = held();
    let desk = Desk::default();
    let election = engine.election("e").unwrap();
    let [stays, ends] = [(); 2].map(|()| Arc::new(engine.session().unwrap()));
    let (later, asked, session) = (desk.clone(), election.clone(), ends.clone());
    let (engine_then, checked) = (engine.clone(), Arc::new(Mutex::new(0)));
    let waited = checked.clone();
    *trap.lock().unwrap() = Some(Box::new(move || {
        // The shard's writer is at work, so this waits in the mailbox, and its session ends.
        later.ask(&asked, Ask::Enter { candidate: "b", session: &session }, 2);
        session.end();
        *waited.lock().unwrap() = engine_then.waiting();
    }));
    desk.ask(&election, Ask::Enter { candidate: "a", session: &stays }, 1);
    assert_eq!(*checked.lock().unwrap(), 2, "the Enter and the end both waited");
    while log.let_go(0) {}
    assert_eq!(desk.fetch().unwrap().1.unwrap().to_string(), "t1 a []");
    let refused = desk.fetch().unwrap().1.unwrap_err();
    assert_eq!(refused, Error::SessionEnded { reason: EndReason::Closed });
    assert_eq!(election.term().to_string(), "t1 a []");
}

#[test]
fn c3_output_leaves_whole_however_little_is_taken() {
    let (engine, log, _) = held();
    let now = Moment::default();
    for most in 1..40 {
        let mut conn = LooseConnection::new(&engine, now);
        for n in 0..10 {
            conn.feed(now, &request(2 * n + 1, "Enter", &format!("c{n}")));
        }
        let mut bytes = Vec::new();
        while log.let_go(0) || conn.has_mail() || !conn.pending().is_empty() {
            conn.fetch();
            let count = conn.pending().len().min(most);
            bytes.extend_from_slice(&conn.pending()[..count]);
            conn.sent(now, count);
            conn.sent(now, 0);
        }
        assert_eq!(shown(&bytes).len(), 10);
        drop(conn);
        while log.let_go(0) {}
    }
}
