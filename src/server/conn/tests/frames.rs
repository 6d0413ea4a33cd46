//! Framing: where bytes are cut does not matter, and what is too long hurts nobody else.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::Violation;
use super::*;

/// One of everything that a client sends.
fn corpus() -> Vec<Vec<u8>> {
    vec![
        create(1, "e"),
        watch(3, "e"),
        get_term(5, "e"),
        enter(7, "e", "c1"),
        frame(9, 99, 255, b"unknown type"),
        enter(11, "e", "c2"),
        frame(13, kind::RESPONSE, 0, b"a client answers nothing"),
        change(15, "Promote", "e", "c2"),
        frame(17, kind::REQUEST, 0, &[]),
        frame(4_294_967_295, kind::REQUEST, 0, b"\xff\xff"),
        get_term(19, "e"),
        last_word(3),
        get_term(3, "e"),
        close(21, "e"),
    ]
}

const HEARD: [&str; 14] = [
    "1 created",
    "5 t0  []",
    "7 t1 c1 []",
    "3 says t1 c1 []",
    "11 t1 c1 [\"c2\"]",
    "3 says t1 c1 [\"c2\"]",
    "15 t2 c2 [\"c1\"]",
    "3 says t2 c2 [\"c1\"]",
    "17 error 12: unknown method //",
    "4294967295 error 3: ttrpc.Request can't be decoded: a tag goes past the end of the message",
    "19 t2 c2 [\"c1\"]",
    "3 ends",
    "3 t2 c2 [\"c1\"]",
    "21 ok",
];

#[test]
fn each_frame_has_its_answer() {
    let mut peer = Peer::new();
    let heard: Vec<_> = corpus().iter().flat_map(|frame| peer.say(frame)).collect();
    assert_eq!(heard, HEARD);
    assert_eq!(peer.end(), None);
}

#[test]
fn w8_a_frame_may_be_cut_at_every_byte() {
    for frame in corpus() {
        for at in 0..=frame.len() {
            let (mut whole, mut cut) = (Peer::new(), Peer::new());
            let expected = whole.say(&frame);
            let mut heard = cut.say(&frame[..at]);
            assert!(at == frame.len() || heard.is_empty(), "nothing before the frame is whole");
            heard.extend(cut.say(&frame[at..]));
            assert_eq!(heard, expected, "cut at {at}");
            assert_eq!(cut.conn.deadline(), None, "nothing is unfinished");
        }
    }
}

#[test]
fn w8_frames_may_come_byte_by_byte_or_cut_across() {
    let bytes = corpus().concat();
    for step in [1, 2, 3, 7, 9, 10, 11, 13, 64] {
        let mut peer = Peer::new();
        let heard: Vec<_> = bytes.chunks(step).flat_map(|chunk| peer.say(chunk)).collect();
        // A watch may say less the more comes at once, and what waits for the engine is answered
        // after what does not; the rest is the same.
        let calls = |lines: &[String]| {
            let is_call = |line: &&String| !line.contains("says");
            lines.iter().filter(is_call).cloned().collect::<BTreeSet<_>>()
        };
        assert_eq!(calls(&heard), calls(&HEARD.map(String::from)), "in steps of {step}");
    }
}

#[test]
fn w8_a_thousand_frames_in_one_segment() {
    let mut peer = Peer::new();
    peer.say(&enter(1, "e", "c1"));
    let ids = (0..1000).map(|n| 2 * n + 3);
    let bytes: Vec<u8> = ids.clone().flat_map(|stream| get_term(stream, "e")).collect();
    let expected: Vec<_> = ids.map(|stream| format!("{stream} t1 c1 []")).collect();
    assert_eq!(peer.say(&bytes), expected);
    assert_eq!(peer.conn.take_tally().requests(), 1001);
}

#[test]
fn the_server_never_speaks_first() {
    let mut peer = Peer::new();
    assert_eq!(peer.wait(SECOND * 3600), Vec::<String>::new());
    assert_eq!((peer.end(), peer.conn.deadline()), (None, None));
}

#[test]
fn w2_a_frame_over_the_limit_is_skipped_and_fails_its_stream_alone() {
    let limits = Limits { frame_bytes: 100, ..Limits::DEFAULT };
    let long = frame(3, kind::REQUEST, 0, &[0; 101]);
    let bytes = [get_term(1, "e"), long, get_term(5, "e")].concat();
    let expected = [
        "1 t0  []",
        "3 error 8: limit reached: frame_bytes (100); send a smaller message, or raise the limit",
        "5 t0  []",
    ];
    for step in 1..=bytes.len() {
        let mut peer = Peer::bounded(limits.clone());
        let heard: Vec<_> = bytes.chunks(step).flat_map(|chunk| peer.say(chunk)).collect();
        assert_eq!(heard, expected, "in steps of {step}");
        assert_eq!(peer.conn.deadline(), None);
    }
}

#[test]
fn w2_a_long_frame_is_not_kept() {
    let mut peer = Peer::new();
    let header = Header { length: (4 << 20) + 1, stream: 1, kind: kind::REQUEST, flags: 0 };
    assert_eq!(peer.say(&header.encode()).len(), 1);
    for _ in 0..64 {
        assert_eq!(peer.say(&[0; 64 << 10]), Vec::<String>::new());
        assert!(!peer.conn.input.is_holding());
    }
    assert_eq!(peer.say(&[0]), Vec::<String>::new());
    assert_eq!(peer.say(&get_term(1, "e")), ["1 t0  []"]);
}

#[test]
fn w2_a_stated_length_allocates_nothing() {
    let mut peer = Peer::new();
    let header = Header { length: 4 << 20, stream: 1, kind: kind::REQUEST, flags: 0 };
    peer.say(&header.encode());
    peer.say(b"a little");
    let held = peer.conn.input.take();
    assert!(held.capacity() < 64, "{} bytes for {}", held.capacity(), held.len());
}

#[test]
fn w2_an_absurd_length_ends_the_connection() {
    let header = |length| Header { length, stream: 1, kind: kind::REQUEST, flags: 0 }.encode();
    let mut peer = Peer::new();
    assert_eq!(peer.say(&get_term(1, "e")), ["1 t0  []"]);
    peer.say(&header(0xffff_ffff));
    assert_eq!(peer.end(), Some(End::Violation(Violation::FrameLength(0xffff_ffff))));

    // At the bound itself it is skipped.
    let mut peer = Peer::new();
    peer.say(&get_term(1, "e"));
    assert_eq!(peer.say(&header(16 << 20)).len(), 1);
    assert_eq!(peer.end(), None);
}

#[test]
fn unknown_types_and_flags_are_ignored() {
    let mut peer = Peer::new();
    assert_eq!(peer.say(&frame(2, 77, 0, b"even an even id")), Vec::<String>::new());
    let mut odd_flags = get_term(1, "e");
    odd_flags[9] = 0xf8;
    assert_eq!(peer.say(&odd_flags), ["1 t0  []"]);
    assert_eq!(peer.say(&frame(1, kind::DATA, 0, b"to nobody")), Vec::<String>::new());
    assert_eq!(peer.end(), None);
}

proptest! {
    /// Whatever comes, in whatever pieces: no panic, whole frames in answer, and an end with a reason.
    #[test]
    fn w4_bytes_of_any_kind_are_survived(
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        step in 1usize..200,
    ) {
        let corpus = corpus();
        let mut bytes: Vec<u8> =
            order.iter().flat_map(|at| corpus[at.index(corpus.len())].clone()).collect();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut peer = Peer::new();
        for chunk in bytes.chunks(step) {
            peer.conn.feed(peer.now, chunk);
            peer.carry();
            let mut said = Vec::new();
            while !peer.conn.pending().is_empty() {
                said.extend_from_slice(peer.conn.pending());
                peer.conn.sent(peer.now, peer.conn.pending().len());
            }
            let is_ttrpc = !matches!(peer.end(), Some(End::NotTtrpc(_)));
            prop_assert!(!is_ttrpc || is_whole_frames(&said));
        }
        peer.wait(SECOND * 3600);
        prop_assert!(peer.conn.deadline().is_none_or(|deadline| deadline > peer.now));
    }
}

fn is_whole_frames(mut bytes: &[u8]) -> bool {
    while let Some((raw, rest)) = bytes.split_first_chunk() {
        let length = Header::decode(raw).length as usize;
        let Some((_, rest)) = rest.split_at_checked(length) else { return false };
        bytes = rest;
    }
    bytes.is_empty()
}
