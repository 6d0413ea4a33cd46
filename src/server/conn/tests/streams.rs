//! Streams: ids, deadlines, watches, limits, and what waits for a slow reader.

use super::super::Violation;
use super::*;

#[test]
fn ids_come_in_any_order_and_again_once_they_are_answered() {
    let mut peer = Peer::new();
    for stream in [99, 1, 0x7fff_ffff, 0xffff_ffff, 1, 1] {
        assert_eq!(peer.say(&get_term(stream, "e")), [format!("{stream} t0  []")]);
    }
    for candidate in ["a", "b", "c"] {
        assert_eq!(peer.say(&enter(5, "e", candidate)).len(), 1);
    }
}

#[test]
fn an_even_id_ends_the_connection() {
    for bytes in [get_term(0, "e"), get_term(2, "e"), last_word(4)] {
        let mut peer = Peer::new();
        assert_eq!(peer.say(&[get_term(1, "e"), bytes].concat()), ["1 t0  []"]);
        assert!(matches!(peer.end(), Some(End::Violation(Violation::EvenStream(_)))));
        assert_eq!(peer.step(), Next::HalfClose);
    }
}

#[test]
fn an_id_in_use_ends_the_connection() {
    for first in [watch(1, "e"), enter(1, "e", "c")] {
        let mut peer = Peer::new();
        peer.conn.feed(peer.now, &[first, get_term(1, "e")].concat());
        assert_eq!(peer.end(), Some(End::Violation(Violation::StreamInUse(1))));
    }
}

#[test]
fn replies_come_when_they_are_ready() {
    let mut peer = Peer::new();
    let bytes = [enter(1, "e", "c1"), get_term(3, "other")].concat();
    assert_eq!(peer.say(&bytes), ["3 t0  []", "1 t1 c1 []"]);
}

#[test]
fn a_change_that_waits_for_nothing_is_answered_where_it_is_read() {
    let mut peer = Peer::of(&Engine::builder().open().unwrap(), terms());
    let requests = [
        enter(1, "e", "a"),
        enter(1, "e", "b"),
        change(3, "Anoint", "e", "b"),
        change(5, "Withdraw", "e", "b"),
        get_term(7, "e"),
    ];
    peer.conn.feed(peer.now, &requests.concat());
    assert_eq!(
        peer.hear(),
        ["1 t1 a []", "1 t1 a [\"b\"]", "3 t2 b [\"a\"]", "5 t3 a []", "7 t3 a []"]
    );
    assert!(peer.outbox.pop().is_none());
    assert!(!peer.conn.owes());
    // A watch hears of a change behind its answer, and the two may leave together.
    peer.say(&watch(9, "e"));
    peer.conn.feed(peer.now, &change(1, "Evict", "e", "a"));
    assert!(peer.conn.owes());
    assert_eq!(peer.say(&[]), ["1 t3  []", "9 says t3  []"]);
    assert!(!peer.conn.owes());
}

#[test]
fn what_is_asked_wrongly_is_said_so() {
    let mut peer = Peer::new();
    let cases = [
        (get_term(1, ""), "3: election name is empty; give it at least one byte"),
        (enter(1, "e", ""), "3: candidate is empty; give it at least one byte"),
        (change(1, "Anoint", "unknown", ""), "3: candidate is empty; give it at least one byte"),
        (
            enter(1, &"x".repeat(513), "c"),
            "3: election name has 513 bytes; at most 512 are allowed",
        ),
        (call(1, "no.Service", "Get", 0, &[]), "12: unknown method /no.Service/Get"),
        (
            call(1, ELECTIONS, "Enter", 0, &[]),
            "12: unknown method /atomix.runtime.election.v1.LeaderElections/Enter",
        ),
        (
            call(1, ELECTION, "Watch", 0, b"\x0a"),
            "3: atomix.runtime.election.v1.WatchRequest can't be decoded: field 1 goes past the end of the message",
        ),
        (call(1, ELECTION, "GetTerm", -1, &named("e")), "4: deadline exceeded"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(peer.say(&bytes), [format!("1 error {expected}")]);
    }
}

#[test]
fn reading_never_creates() {
    let limits = Limits { elections: 1, ..Limits::DEFAULT };
    let mut peer = Peer::bounded(limits);
    for (n, method) in ["Withdraw", "Anoint", "Promote", "Demote", "Evict"].iter().enumerate() {
        assert_eq!(peer.say(&change(1, method, &format!("e{n}"), "c")), ["1 t0  []"]);
    }
    assert_eq!(peer.say(&[get_term(1, "e6"), close(3, "e7")].concat()), ["1 t0  []", "3 ok"]);
    assert_eq!(peer.say(&enter(1, "the one", "c")), ["1 t1 c []"]);
    let refused = peer.say(&enter(1, "another", "c"));
    assert!(refused[0].starts_with("1 error 8: limit reached: elections (1);"), "{refused:?}");
}

#[test]
fn create_says_whether_clients_may_cache() {
    let mut peer = Peer::new();
    peer.conn.feed(peer.now, &[create(1, "cached"), create(3, "other")].concat());
    peer.carry();
    let bytes = peer.conn.pending();
    assert_eq!(
        bytes[10..],
        *b"\x12\x06\x0a\x04\x0a\x02\x08\x01\0\0\0\x06\0\0\0\x03\x02\0\x12\x04\x0a\x02\x0a\x00"
    );
}

#[test]
fn create_bounds_its_tags() {
    let limit = |tags: &[&str]| {
        let mut payload = Vec::new();
        let tags = crate::wire::election_v1::Tags::List(tags);
        CreateRequest { name: "e", tags }.encode(&mut payload);
        Peer::new().say(&call(1, ELECTION, "Create", 0, &payload)).remove(0)
    };
    assert_eq!(limit(&[""; 64]), "1 created");
    assert!(limit(&[""; 65]).starts_with("1 error 8: limit reached: tags of an election (64);"));
    let long = "x".repeat(4096);
    assert_eq!(limit(&[&long]), "1 created");
    assert!(limit(&[&long, "x"]).contains("error 8: limit reached: bytes of an election's tags"));
}

#[test]
fn a_watch_begins_with_the_present_term_unless_there_is_none() {
    let mut peer = Peer::new();
    assert_eq!(peer.say(&watch(1, "e")), Vec::<String>::new());
    assert_eq!(peer.say(&create(3, "e")), ["3 created"]);
    assert_eq!(peer.say(&enter(3, "e", "c")), ["3 t1 c []", "1 says t1 c []"]);
    assert_eq!(peer.say(&watch(5, "e")), ["5 says t1 c []"]);
    assert_eq!(peer.say(&change(3, "Withdraw", "e", "c")).len(), 3);
}

#[test]
fn the_last_word_on_a_watch_cancels_it() {
    let mut peer = Peer::new();
    peer.say(&[watch(1, "e"), enter(3, "e", "c")].concat());
    assert_eq!(peer.say(&last_word(1)), ["1 ends"]);
    assert_eq!(peer.say(&enter(3, "e", "d")), ["3 t1 c [\"d\"]"]);
    assert_eq!(peer.say(&last_word(1)), Vec::<String>::new(), "nothing is left to cancel");
    assert_eq!(peer.say(&watch(1, "e")), ["1 says t1 c [\"d\"]"], "the id is free");
}

#[test]
fn close_ends_the_watches_of_its_election_after_the_newest() {
    let engine = engine(Limits::DEFAULT);
    let (mut peer, mut other) = (Peer::of(&engine, terms()), Peer::of(&engine, terms()));
    peer.say(&[watch(1, "e"), watch(3, "other"), enter(5, "e", "c")].concat());
    other.say(&watch(1, "e"));
    assert_eq!(peer.say(&close(5, "e")), ["5 ok", "1 says t1  []", "1 ends"]);
    assert_eq!(peer.say(&enter(5, "other", "d")), ["5 t1 d []", "3 says t1 d []"]);
    other.carry();
    assert_eq!(other.hear(), ["1 says t1  []"], "somebody else's watch goes on");
    assert_eq!(other.say(&close(3, "e")), ["3 ok", "1 ends"], "also without a session");
    assert_eq!(other.say(&close(3, "e")), ["3 ok"]);
}

#[test]
fn a_call_has_its_time_and_its_late_outcome_finds_nobody() {
    let mut peer = Peer::new();
    let mut payload = Vec::new();
    CandidateRequest { name: "e", candidate: "c" }.encode(&mut payload);
    peer.conn.feed(peer.now, &call(1, ELECTION, "Enter", 1_000_000_000, &payload));
    let outcome = peer.outbox.pop();
    assert_eq!(peer.wait(SECOND / 2), Vec::<String>::new());
    let heard = peer.wait(SECOND / 2);
    assert_eq!(
        heard,
        [
            "1 error 4: deadline exceeded; the change may have happened: read the term before trying again"
        ]
    );
    // The id is in use again when the first use's outcome comes.
    peer.conn.feed(peer.now, &enter(1, "e", "d"));
    let Some(Item::Reply(ticket, outcome)) = outcome else { panic!("an outcome") };
    peer.conn.deliver(peer.now, ticket.about, outcome);
    assert_eq!(peer.hear(), Vec::<String>::new());
    peer.carry();
    assert_eq!(peer.hear(), ["1 t1 c [\"d\"]"]);
}

#[test]
fn a_watch_has_its_time_too() {
    let mut peer = Peer::new();
    peer.say(&call(1, ELECTION, "Watch", 1_000_000_000, &named("e")));
    assert_eq!(peer.say(&enter(3, "e", "c")).len(), 2);
    assert_eq!(peer.wait(SECOND), ["1 error 4: deadline exceeded"]);
    assert_eq!(peer.say(&enter(3, "e", "d")).len(), 1);
    assert_eq!(peer.conn.deadline(), None);
}

const TOO_MANY: &str = "error 8: limit reached: streams (3); wait for the answers to earlier calls, end \
                        watches that are no longer read, or use another connection";

fn three_streams() -> Peer {
    Peer::bounded(Limits { streams: 3, ..Limits::DEFAULT })
}

#[test]
fn q1_live_streams_have_a_limit_and_the_rest_goes_on() {
    let mut peer = three_streams();
    peer.say(&enter(1, "e", "c"));
    for stream in [1, 3, 5] {
        assert_eq!(peer.say(&watch(stream, "e")), [format!("{stream} says t1 c []")]);
    }
    assert_eq!(peer.say(&watch(7, "e")), [format!("7 {TOO_MANY}")]);
    assert_eq!(
        peer.say(&enter(7, "e", "d")),
        [format!("7 {TOO_MANY}")],
        "a watch counts as a call"
    );
    assert_eq!(
        peer.say(&get_term(7, "e")),
        ["7 t1 c []"],
        "what is answered at once counts nothing"
    );
    assert_eq!(peer.say(&change(7, "Anoint", "e", "")).len(), 1, "a mistake is told before");
    peer.say(&last_word(3));
    assert_eq!(peer.say(&watch(7, "e")), ["7 says t1 c []"]);
}

#[test]
fn q1_close_is_taken_at_the_limit() {
    let mut peer = three_streams();
    peer.say(&[enter(1, "e", "c"), watch(3, "e")].concat());
    peer.say(&[watch(5, "e"), watch(7, "e")].concat());
    assert_eq!(peer.say(&close(1, "e")).len(), 7, "it ends what the connection is full of");
    assert_eq!(peer.say(&enter(1, "e", "c")), ["1 t2 c []"]);
}

#[test]
fn q1_calls_under_way_count_and_those_over_the_limit_change_nothing() {
    let mut peer = three_streams();
    let calls =
        |ids: [u32; 5]| ids.map(|stream| enter(stream, "e", &format!("c{stream}"))).concat();
    peer.conn.feed(peer.now, &[calls([1, 3, 5, 7, 9]), get_term(11, "e")].concat());
    assert!(peer.conn.wants_read() && !peer.conn.has_work(), "reading goes on");
    assert_eq!(
        peer.hear(),
        [format!("7 {TOO_MANY}"), format!("9 {TOO_MANY}"), "11 t1 c1 [\"c3\", \"c5\"]".into()]
    );
    peer.carry();
    assert_eq!(peer.hear().len(), 3);
    assert_eq!(peer.say(&enter(7, "e", "c7")), ["7 t1 c1 [\"c3\", \"c5\", \"c7\"]"]);
}

#[test]
fn q1_under_the_limit_nothing_is_refused_however_much_comes() {
    let mut peer = three_streams();
    for round in 0..100 {
        let ids = [1, 3, 5];
        let calls = ids.map(|stream| enter(stream, "e", &format!("{round} {stream}"))).concat();
        let reads: Vec<u8> = (0..50).flat_map(|n| get_term(2 * n + 7, "e")).collect();
        let heard = peer.say(&[calls, reads].concat());
        assert_eq!(heard.len(), 53);
        assert!(!heard.iter().any(|line| line.contains("error")), "{heard:?}");
    }
}

#[test]
fn q1_calls_whose_time_ran_out_count_no_more() {
    let mut peer = three_streams();
    let hasty = |stream: u32| {
        let mut payload = Vec::new();
        CandidateRequest { name: "e", candidate: "c" }.encode(&mut payload);
        call(stream, ELECTION, "Enter", 1_000_000, &payload)
    };
    peer.conn.feed(peer.now, &[hasty(1), hasty(3), hasty(5)].concat());
    assert_eq!(peer.hear(), Vec::<String>::new());
    peer.now = peer.now + SECOND / 1000;
    // Also if the timer has not told yet.
    peer.conn.feed(peer.now, &enter(7, "e", "d"));
    let heard = peer.hear();
    assert_eq!(heard.len(), 3);
    assert!(heard.iter().all(|line| line.contains("error 4: deadline exceeded")), "{heard:?}");
    peer.carry();
    assert_eq!(peer.hear(), ["7 t1 c [\"d\"]"]);
}

/// Limits under which a few terms fill the output.
fn narrow() -> Limits {
    Limits { output_pause_bytes: 300, output_bytes: 2000, ..Limits::DEFAULT }
}

#[test]
fn w10_reading_pauses_while_output_waits() {
    let mut peer = Peer::bounded(narrow());
    let bytes: Vec<u8> = (0..1000).flat_map(|n| get_term(2 * n + 1, "e")).collect();
    peer.conn.feed(peer.now, &bytes);
    assert!(!peer.conn.wants_read());
    assert!((300..400).contains(&peer.conn.pending().len()));
    assert_eq!(peer.conn.frame_since, None, "whoever is not read from is not slow");
    assert_eq!(peer.hear().len(), 1000, "nothing is lost");
    assert!(peer.conn.wants_read());
}

#[test]
fn outcomes_wait_for_room_without_being_written_out() {
    let mut peer = Peer::bounded(narrow());
    let name = "x".repeat(200);
    let bytes: Vec<u8> =
        (0..9).flat_map(|n| enter(2 * n + 1, "e", &format!("{n}{name}"))).collect();
    peer.conn.feed(peer.now, &bytes);
    peer.carry();
    assert!(peer.conn.pending().len() < 2000);
    assert_eq!(peer.conn.streams.answered.len(), 7);
    assert_eq!(peer.hear().len(), 9);
}

#[test]
fn c6_a_watch_that_is_not_read_skips_to_the_newest() {
    let engine = engine(Limits::DEFAULT);
    let (mut slow, mut busy) = (Peer::of(&engine, terms()), Peer::of(&engine, terms()));
    slow.say(&watch(1, "e"));
    for n in 0..100 {
        busy.say(&enter(1, "e", &format!("c{n}")));
        slow.carry();
    }
    let one_message = slow.conn.pending().len();
    assert!(one_message < 40, "one message waits, not a hundred: {one_message} bytes");
    let heard = slow.hear();
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[0], "1 says t1 c0 []");
    assert!(heard[1].contains("\"c99\""));
    let tally = slow.conn.take_tally();
    assert_eq!((tally.events, tally.merged), (2, 98));
}

#[test]
fn c6_many_watches_that_are_not_read_stay_within_the_pause() {
    let mut peer = Peer::bounded(narrow());
    for n in 0..100 {
        peer.conn.feed(peer.now, &watch(2 * n + 1, "e"));
    }
    peer.conn.feed(peer.now, &enter(1001, "e", &"x".repeat(100)));
    peer.carry();
    assert!(peer.conn.pending().len() < 600, "{}", peer.conn.pending().len());
    assert_eq!(peer.hear().len(), 101);
}
