//! The latch's messages against known bytes and against prost's. That our reading is prost's on any bytes
//! at all is `tests/wire_against_prost.rs`.

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use tenure_schema::Duration;
use tenure_schema::atomix::{headers, leader, primitive};

use super::reply::*;
use super::request::*;

const KEEP_ALIVE: &[u8] =
    b"\x0a\x18\x0a\x06\x0a\x04cron\x10\x07\x18\x09\x20\x63\x2a\x04\x08\x02\x10\x05\x2a\x02\x08\x04";
const LATCH: &[u8] = b"\x0a\x0e\x0a\x0a\x0a\x04cron\x12\x02ns\x10\x07\x12\x06node-a";

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

#[test]
fn keep_alive() {
    let request = HeaderRequest::decode(KEEP_ALIVE).unwrap();
    let header = request.header.unwrap();
    assert_eq!(header.name, Some(Name { name: "cron", namespace: "" }));
    assert_eq!((header.session_id, header.request_id, header.index), (7, 9, 99));
    let streams =
        [(2, 5), (4, 0)].map(|(stream_id, response_id)| StreamHeader { stream_id, response_id });
    assert!(header.streams().eq(streams));
    assert_eq!(encoded(|out| request.encode(out)), KEEP_ALIVE);
}

#[test]
fn latch() {
    let request = LatchRequest::decode(LATCH).unwrap();
    let header = request.header.unwrap();
    assert_eq!(header.name, Some(Name { name: "cron", namespace: "ns" }));
    assert_eq!((header.session_id, request.participant_id), (7, "node-a"));
    assert_eq!(encoded(|out| request.encode(out)), LATCH);
}

#[test]
fn a_missing_header_and_a_missing_name_are_seen() {
    assert!(HeaderRequest::decode(b"").unwrap().header.is_none());
    let header = HeaderRequest::decode(b"\x0a\x00").unwrap().header.unwrap();
    assert!(header.name.is_none());
    let header = HeaderRequest::decode(b"\x0a\x02\x0a\x00").unwrap().header.unwrap();
    assert_eq!(header.name, Some(Name::default()));
}

#[test]
fn w5_a_header_in_pieces_merges_and_its_streams_are_joined() {
    let raw = [KEEP_ALIVE, b"\x0a\x0a\x0a\x04\x12\x02ns\x2a\x02\x08\x06"].concat();
    let header = HeaderRequest::decode(&raw).unwrap().header.unwrap();
    assert_eq!(header.name, Some(Name { name: "cron", namespace: "ns" }));
    assert_eq!(header.session_id, 7);
    assert!(header.streams().map(|stream| stream.stream_id).eq([2, 4, 6]));
}

#[test]
fn w7_a_timeout_comes_through_as_it_is() {
    for (seconds, nanos) in [(0, 0), (-1, -1), (i64::MAX, i32::MAX), (i64::MIN, i32::MIN)] {
        let timeout = Some(Duration { seconds, nanos });
        let raw = leader::CreateRequest { header: None, timeout }.encode_to_vec();
        let request = CreateRequest::decode(&raw).unwrap();
        assert_eq!(request.timeout, Some(Timeout { seconds, nanos }));
        assert_eq!(encoded(|out| request.encode(out)), raw);
    }
    assert_eq!(CreateRequest::decode(b"").unwrap().timeout, None);
}

#[test]
fn w6_not_utf8_names_the_field() {
    let why = |malformed: crate::wire::Malformed| malformed.to_string();
    for (refusal, field) in [
        (LatchRequest::decode(b"\x12\x01\xff").map(drop), "participant_id"),
        (LatchRequest::decode(b"\x0a\x05\x0a\x03\x0a\x01\xff").map(drop), "header.name.name"),
        (CloseRequest::decode(b"\x0a\x05\x0a\x03\x12\x01\xff").map(drop), "header.name.namespace"),
    ] {
        assert_eq!(refusal.map_err(why), Err(format!("{field} is not valid UTF-8 from byte 0 on")));
    }
}

#[test]
fn w1_every_cut_of_a_request_is_refused_or_shorter() {
    let whole = |raw: &[u8], decodes: fn(&[u8]) -> bool| -> Vec<usize> {
        (0..=raw.len()).filter(|&cut| decodes(&raw[..cut])).collect()
    };
    assert_eq!(whole(KEEP_ALIVE, |raw| HeaderRequest::decode(raw).is_ok()), [0, KEEP_ALIVE.len()]);
    assert_eq!(whole(LATCH, |raw| LatchRequest::decode(raw).is_ok()), [0, 16, LATCH.len()]);
}

#[test]
fn the_header_of_a_reply_is_there_also_when_it_is_empty() {
    assert_eq!(encoded(|out| ResponseHeader::default().put_reply(out)), b"\x0a\x00");
}

#[test]
fn a_failure_without_a_message_is_a_failure() {
    let header = ResponseHeader { failure: Some(""), ..ResponseHeader::default() };
    assert_eq!(encoded(|out| header.put_reply(out)), b"\x0a\x02\x30\x01");
}

proptest! {
    #[test]
    fn requests(
        name in ".{0,20}",
        numbers: [u64; 3],
        streams in vec(any::<(u64, u64)>(), 0..4),
        delete: bool,
    ) {
        let streams = streams.into_iter().map(|(stream_id, response_id)| {
            headers::StreamHeader { stream_id, response_id }
        });
        let [session_id, request_id, index] = numbers;
        let name = Some(primitive::Name { name: name.clone(), namespace: name });
        let streams = streams.collect();
        let header = headers::RequestHeader { name, session_id, request_id, index, streams };
        let raw = leader::CloseRequest { header: Some(header), delete }.encode_to_vec();
        let request = CloseRequest::decode(&raw).unwrap();
        prop_assert_eq!(request.delete, delete);
        prop_assert_eq!(encoded(|out| request.encode(out)), raw);
    }

    #[test]
    fn replies(numbers: [u64; 5], names in vec(".{0,200}", 1..9), failure in proptest::option::of("[a-z]{1,200}")) {
        let [session_id, stream_id, response_id, index, id] = numbers;
        let ours = ResponseHeader {
            session_id,
            stream_id,
            response_id,
            index,
            kind: Kind::CloseStream,
            failure: failure.as_deref(),
        };
        let header = headers::ResponseHeader {
            session_id,
            stream_id,
            response_id,
            index,
            leader: String::new(),
            status: i32::from(failure.is_some()),
            r#type: 2,
            message: failure.clone().unwrap_or_default(),
        };
        let participants = names.iter().map(String::as_str);
        let latch = Latch { id, leader: Some(&names[0]), participants };
        let their_latch = leader::Latch { id, leader: names[0].clone(), participants: names.clone() };

        let theirs = leader::CloseResponse { header: Some(header.clone()) };
        prop_assert_eq!(encoded(|out| ours.put_reply(out)), theirs.encode_to_vec());
        let (header, their_latch) = (Some(header), Some(their_latch));
        let theirs =
            leader::LatchResponse { header: header.clone(), latch: their_latch.clone() };
        prop_assert_eq!(encoded(|out| latch.put_reply(out, &ours)), theirs.encode_to_vec());
        let theirs = leader::EventResponse { header, r#type: 0, latch: their_latch };
        prop_assert_eq!(encoded(|out| latch.put_event(out, &ours)), theirs.encode_to_vec());
    }
}
