//! What is counted: each operation, so many times, after a preparation that does not depend on how many.

use std::hint::black_box;
use std::num::NonZeroUsize;

use tenure::internals::{
    CandidateFacts, HeaderFacts, LooseConnection, NamedFacts, RequestFacts, encode_candidate,
    encode_header, encode_named, encode_request,
};
use tenure::{Election, Engine, Moment, Session};

const NOW: Moment = Moment::from_nanos(1);
const NAME: &str = "service/7";
/// Requests that one read brings, where many come at once.
const BATCH: u64 = 128;

/// An operation by its name in `expected.txt`.
pub struct Work {
    pub name: &'static str,
    /// The smaller of the two numbers of times that are compared.
    pub times: u64,
    pub run: fn(u64),
    /// The function that alone is counted, where not all that is repeated counts.
    pub only: Option<&'static str>,
}

impl Work {
    const fn new(name: &'static str, times: u64, run: fn(u64)) -> Self {
        Self { name, times, run, only: None }
    }
}

pub const WORKS: &[Work] = &[
    Work::new("observer_read", 100_000, observer_read),
    Work::new("read_by_name", 20_000, read_by_name),
    Work::new("get_term_alone", 10_000, get_term_alone),
    Work::new("get_term_of_128", 128 * 100, get_term_of_128),
    Work {
        only: Some("*::enter_alone*"),
        ..Work::new("enter_10_standing", 5_000, enter_10_standing)
    },
    Work::new("enter_withdraw_3_standing", 10_000, enter_withdraw_3_standing),
    Work::new("enter_withdraw_requests", 5_000, enter_withdraw_requests),
];

fn engine() -> Engine {
    Engine::builder().shards(NonZeroUsize::MIN).open().expect("an engine in memory opens")
}

fn election(engine: &Engine, session: &Session, name: &str, standing: usize) -> Election {
    let election = engine.election(name).expect("a good name");
    for at in 0..standing {
        election.enter(session, &format!("candidate-{at}")).expect("there is room");
    }
    election
}

fn observer_read(times: u64) {
    let engine = engine();
    let session = engine.session().expect("a session");
    let mut observer = election(&engine, &session, NAME, 1).observe();
    for _ in 0..times {
        black_box(black_box(&mut observer).term().number());
    }
}

fn read_by_name(times: u64) {
    let engine = engine();
    let session = engine.session().expect("a session");
    let elections: Vec<_> =
        (0..1_000).map(|n| election(&engine, &session, &format!("service/{n}"), 1)).collect();
    for _ in 0..times {
        black_box(engine.term(black_box(NAME)).expect("a good name").number());
    }
    drop(elections);
}

/// Feeds what one read brings, and takes the replies, as one write does.
fn turn(conn: &mut LooseConnection, requests: &[u8]) {
    conn.feed(NOW, black_box(requests));
    while conn.fetch() {}
    let len = black_box(conn.pending()).len();
    conn.sent(NOW, len);
}

fn request(stream: u32, method: &str, payload: Vec<u8>) -> Vec<u8> {
    let body = encode_request(&RequestFacts {
        service: "atomix.runtime.election.v1.LeaderElection".into(),
        method: method.into(),
        payload,
        timeout_nano: 0,
        metadata: Vec::new(),
    });
    let header = HeaderFacts { length: body.len() as u32, stream, kind: 1, flags: 0 };
    let mut frame = encode_header(header).to_vec();
    frame.extend_from_slice(&body);
    frame
}

fn get_term(stream: u32) -> Vec<u8> {
    request(stream, "GetTerm", encode_named(&NamedFacts { name: NAME.into() }))
}

fn on_candidate(stream: u32, method: &str, candidate: &str) -> Vec<u8> {
    let facts = CandidateFacts { name: NAME.into(), candidate: candidate.into() };
    request(stream, method, encode_candidate(&facts))
}

fn connection(engine: &Engine) -> LooseConnection {
    let mut conn = LooseConnection::new(engine, NOW);
    turn(&mut conn, &on_candidate(1, "Enter", "a"));
    // The first read of a name is dearer.
    turn(&mut conn, &get_term(1));
    conn
}

fn get_term_alone(times: u64) {
    let mut conn = connection(&engine());
    let request = get_term(1);
    for _ in 0..times {
        turn(&mut conn, &request);
    }
}

fn get_term_of_128(times: u64) {
    let mut conn = connection(&engine());
    let requests: Vec<u8> = (0..BATCH as u32).flat_map(|n| get_term(2 * n + 1)).collect();
    turn(&mut conn, &requests);
    for _ in 0..times / BATCH {
        turn(&mut conn, &requests);
    }
}

/// Each is followed by a withdrawal, which does not count.
fn enter_10_standing(times: u64) {
    let engine = engine();
    let session = engine.session().expect("a session");
    let election = election(&engine, &session, NAME, 10);
    for _ in 0..times {
        enter_alone(&election, &session);
        election.withdraw(&session, "one-more").expect("it stands");
    }
}

#[inline(never)]
fn enter_alone(election: &Election, session: &Session) {
    black_box(election.enter(session, "one-more").expect("there is room"));
}

fn enter_withdraw_3_standing(times: u64) {
    let engine = engine();
    let session = engine.session().expect("a session");
    let election = election(&engine, &session, NAME, 3);
    for _ in 0..times {
        black_box(election.enter(&session, "one-more").expect("there is room"));
        black_box(election.withdraw(&session, "one-more").expect("it stands"));
    }
}

/// The pair as requests on a connection, with one candidate standing.
fn enter_withdraw_requests(times: u64) {
    let mut conn = connection(&engine());
    let pair = [on_candidate(1, "Enter", "b"), on_candidate(3, "Withdraw", "b")];
    for _ in 0..times {
        pair.iter().for_each(|request| turn(&mut conn, request));
    }
}
