//! What a connection counts in its reactor's book: each request once, when it has its answer.

use std::collections::BTreeMap;

use super::*;
use crate::server::book::{Answered, CODES};
use crate::service::Method;

fn sums(peer: &Peer) -> Answered {
    let mut sums = Answered::default();
    sums.add(&peer.conn.book.grid);
    sums
}

/// Method and code of all requests that have their answer, and how often each came.
fn answered(peer: &mut Peer) -> BTreeMap<(&'static str, &'static str), u64> {
    peer.conn.book.add(peer.conn.tally);
    peer.conn.tally = Default::default();
    let sums = sums(peer);
    let mut found = BTreeMap::new();
    for (method, _, name) in Method::all() {
        for (code, &count) in CODES.iter().zip(&sums.codes[method.number()]) {
            if count > 0 {
                *found.entry((name, *code)).or_default() += count;
            }
        }
    }
    found
}

fn limits(peer: &Peer) -> Vec<(&'static str, u64)> {
    peer.conn.book.limit_hits.read().filter(|&(_, hits)| hits > 0).collect()
}

#[test]
fn each_request_counts_once_by_method_and_code() {
    let mut peer = Peer::bounded(Limits { frame_bytes: 1000, ..Limits::DEFAULT });
    peer.say(&get_term(1, "e"));
    peer.say(&enter(1, "e", "c"));
    peer.say(&[get_term(1, "e"), get_term(3, "e")].concat());
    peer.say(&call(1, ELECTION, "Abdicate", 0, &[]));
    peer.say(&call(1, "no.Service", "GetTerm", 0, &[]));
    peer.say(&frame(1, kind::REQUEST, 0, &[0xff]));
    peer.say(&frame(1, kind::REQUEST, 0, &[0; 1001]));
    peer.say(&call(1, ELECTION, "GetTerm", -1, &named("e")));
    peer.say(&enter(1, "e", &"x".repeat(600)));
    assert_eq!(
        answered(&mut peer),
        BTreeMap::from([
            (("GetTerm", "OK"), 3),
            (("GetTerm", "DEADLINE_EXCEEDED"), 1),
            (("Enter", "OK"), 1),
            (("Enter", "INVALID_ARGUMENT"), 1),
            (("unknown", "UNIMPLEMENTED"), 2),
            (("unknown", "INVALID_ARGUMENT"), 1),
            (("unknown", "RESOURCE_EXHAUSTED"), 1),
        ])
    );
    assert_eq!(limits(&peer), [("frame_bytes", 1), ("name_bytes", 1)]);
}

#[test]
fn a_stream_counts_when_it_ends() {
    let last_word = |stream| frame(stream, kind::DATA, flag::REMOTE_CLOSED | flag::NO_DATA, &[]);
    let mut peer = Peer::new();
    for stream in [1, 3, 5, 7] {
        peer.say(&watch(stream, if stream == 3 { "other" } else { "e" }));
    }
    assert_eq!(answered(&mut peer), BTreeMap::new());
    peer.say(&last_word(1));
    peer.say(&close(9, "other"));
    let ended = [(("Watch", "OK"), 2), (("Close", "OK"), 1)];
    assert_eq!(answered(&mut peer), BTreeMap::from(ended));
    peer.conn.drain();
    let drained = (("Watch", "UNAVAILABLE"), 2);
    assert_eq!(answered(&mut peer), BTreeMap::from([ended[0], ended[1], drained]));
    let watched = Method::of(ELECTION, "Watch");
    assert_eq!(
        sums(&peer).times[watched.number()].count(),
        0,
        "a stream lasts as long as it is wanted"
    );
}

#[test]
fn what_a_lost_connection_leaves_undone_is_cancelled() {
    let mut peer = Peer::new();
    peer.say(&watch(1, "e"));
    peer.conn.feed(peer.now, &enter(3, "e", "c"));
    peer.conn.feed_end();
    peer.conn.abandon();
    let lost = [(("Watch", "CANCELLED"), 1), (("Enter", "CANCELLED"), 1)];
    assert_eq!(answered(&mut peer), BTreeMap::from(lost));
    peer.carry();
    assert_eq!(answered(&mut peer), BTreeMap::from(lost), "once");
}

#[test]
fn a_request_takes_its_pass_or_as_long_as_it_waits() {
    const MICROSECOND: Duration = Duration::from_micros(1);
    let time = |peer: &Peer, name| {
        let times = &sums(peer).times[Method::of(ELECTION, name).number()];
        (times.count(), times.sum)
    };
    let mut peer = Peer::new();
    let book = peer.conn.book.clone();
    peer.now = peer.now + SECOND;
    book.begin_pass(peer.now);
    peer.conn.feed(peer.now, &[enter(1, "e", "c"), get_term(3, "e"), get_term(5, "x")].concat());
    book.add(peer.conn.take_tally());
    book.end_pass(peer.now + 30 * MICROSECOND);
    assert_eq!((time(&peer, "GetTerm"), time(&peer, "Enter")), ((2, 60_000), (0, 0)));

    peer.now = peer.now + 700 * MICROSECOND;
    book.begin_pass(peer.now);
    peer.carry();
    book.end_pass(peer.now + MICROSECOND);
    assert_eq!((time(&peer, "GetTerm"), time(&peer, "Enter")), ((2, 60_000), (1, 700_000)));
}

#[test]
fn the_first_bytes_are_counted_by_what_they_tell() {
    for (bytes, protocol) in
        [(&get_term(1, "e")[..], 0), (b"PRI *", 1), (b"GET ", 2), (b"\x16", 3), (b"?", 4)]
    {
        let mut peer = Peer::new();
        peer.conn.feed(peer.now, &bytes[..1]);
        peer.conn.feed(peer.now, &bytes[1..]);
        let met = peer.conn.book.met.each_ref().map(|count| count.read());
        assert_eq!((met[protocol], met.iter().sum::<u64>()), (1, 1), "{bytes:?}");
    }
}
