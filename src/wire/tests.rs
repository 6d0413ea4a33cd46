//! The messages against known bytes, and our encoding against prost's. That the decoders agree with
//! prost's on any bytes at all is `tests/wire_against_prost.rs`.

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use tenure_schema::atomix::runtime::election::v1 as theirs;
use tenure_schema::atomix::runtime::v1::PrimitiveId;
use tenure_schema::ttrpc;

use super::election_v1::*;
use super::envelope::*;
use super::frame::Header;
use super::*;
use crate::error::{Code, Error};

const ENTER: &[u8] = b"\x0a\x06\x0a\x04cron\x12\x06node-a";
const TERM_REPLY: &[u8] = b"\x0a\x12\x08\x03\x12\x06node-a\x1a\x02c2\x1a\x02c3";
const CALL: &[u8] =
    b"\x0a\x01s\x12\x01m\x1a\x02hi\x20\xe8\x07\x2a\x06\x0a\x01k\x12\x01v\x2a\x00\x2a\x03\x0a\x01l";

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

fn why<T>(decoded: Result<T, Malformed>) -> String {
    decoded.err().expect("it is refused").to_string()
}

mod known_bytes {
    use super::*;

    #[test]
    fn call() {
        let request = Request::decode(CALL).unwrap();
        assert_eq!((request.service, request.method, request.payload), ("s", "m", &b"hi"[..]));
        assert_eq!(request.timeout_nano, 1000);
        assert_eq!(request.metadata().collect::<Vec<_>>(), [("k", "v"), ("", ""), ("l", "")]);
        assert_eq!(encoded(|out| request.encode(out)), CALL);
    }

    #[test]
    fn call_with_metadata_to_send() {
        let pairs = [("k", "v"), ("", ""), ("l", "")];
        let request = Request {
            service: "s",
            method: "m",
            payload: b"hi",
            timeout_nano: 1000,
            metadata: Metadata::Pairs(&pairs),
        };
        assert_eq!(encoded(|out| request.encode(out)), CALL);
        let frame = encoded(|out| put_request(out, 1, 0, &request));
        assert_eq!(frame, [b"\0\0\0\x1c\0\0\0\x01\x01\0", CALL].concat());
    }

    #[test]
    fn negative_timeout_survives() {
        let request = Request { timeout_nano: -1, ..Request::default() };
        let raw = encoded(|out| request.encode(out));
        assert_eq!(raw, b"\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
        assert_eq!(Request::decode(&raw).unwrap().timeout_nano, -1);
    }

    #[test]
    fn answers() {
        let payload = encoded(|out| put_response(out, 3, b"hi"));
        assert_eq!(payload, b"\0\0\0\x04\0\0\0\x03\x02\0\x12\x02hi");
        let nothing = encoded(|out| put_response(out, 3, b""));
        assert_eq!(nothing, b"\0\0\0\0\0\0\0\x03\x02\0");
        let status = encoded(|out| put_status(out, 3, 5, "no"));
        assert_eq!(status, b"\0\0\0\x08\0\0\0\x03\x02\0\x0a\x06\x08\x05\x12\x02no");
    }

    #[test]
    fn stream() {
        let message = encoded(|out| put_data(out, 3, b"hi"));
        assert_eq!(message, b"\0\0\0\x02\0\0\0\x03\x03\0hi");
        assert_eq!(encoded(|out| put_end(out, 3)), b"\0\0\0\0\0\0\0\x03\x03\x05");
    }

    #[test]
    fn requests() {
        let named = NamedRequest { name: "cron" };
        assert_eq!(encoded(|out| named.encode(out)), b"\x0a\x06\x0a\x04cron");
        let enter = CandidateRequest { name: "cron", candidate: "node-a" };
        assert_eq!(encoded(|out| enter.encode(out)), ENTER);
        assert_eq!(CandidateRequest::decode(ENTER).unwrap(), enter);
        let create = CreateRequest { name: "cron", tags: Tags::List(&["a", "", "b"]) };
        let raw = encoded(|out| create.encode(out));
        assert_eq!(raw, b"\x0a\x06\x0a\x04cron\x12\x01a\x12\x00\x12\x01b");
        assert!(CreateRequest::decode(&raw).unwrap().tags().eq(["a", "", "b"]));
    }

    #[test]
    fn term() {
        let candidates = ["c2", "c3"].into_iter();
        let reply = term_reply(3, Some("node-a"), candidates.clone());
        assert_eq!(reply.capacity(), reply.len());
        assert_eq!(reply, TERM_REPLY);
        assert_eq!(encoded(|out| put_term_reply(out, 3, Some("node-a"), candidates)), TERM_REPLY);
        let term = TermMessage::decode_reply(&reply).unwrap();
        assert_eq!((term.number, term.leader), (3, "node-a"));
        assert!(term.candidates().eq(["c2", "c3"]));
    }

    #[test]
    fn term_of_an_unknown_election_is_there_and_empty() {
        assert_eq!(term_reply(0, None, std::iter::empty()), b"\x0a\x00");
        assert_eq!(encoded(|out| put_term_reply(out, 0, None, std::iter::empty())), b"\x0a\x00");
    }

    #[test]
    fn create_replies() {
        for enabled in [false, true] {
            let config = theirs::Config { cache: Some(theirs::CacheConfig { enabled }) };
            let reply = theirs::CreateResponse { config: Some(config) };
            assert_eq!(create_reply(enabled), reply.encode_to_vec());
        }
    }
}

#[test]
fn w1_every_cut_of_a_message_is_refused_or_shorter() {
    let cuts = |raw: &'static [u8]| (0..=raw.len()).map(move |cut| &raw[..cut]);
    let whole = |decodes: fn(&[u8]) -> bool, raw: &'static [u8]| -> Vec<usize> {
        cuts(raw).filter(|cut| decodes(cut)).map(<[u8]>::len).collect()
    };
    assert_eq!(whole(|raw| CandidateRequest::decode(raw).is_ok(), ENTER), [0, 8, 16]);
    assert_eq!(whole(|raw| TermMessage::decode_reply(raw).is_ok(), TERM_REPLY), [0, 20]);
    let fields = [0, 3, 6, 10, 13, 21, 23, 28];
    assert_eq!(whole(|raw| Request::decode(raw).is_ok(), CALL), fields);
}

#[test]
fn w2_a_length_beyond_the_input_is_refused_before_anything_is_allocated() {
    let raw = b"\x0a\xff\xff\xff\xff\x0f";
    let past_the_end = "field 1 goes past the end of the message";
    assert_eq!(why(Request::decode(raw)), past_the_end);
    assert_eq!(why(CandidateRequest::decode(raw)), past_the_end);
    assert_eq!(why(TermMessage::decode_reply(raw)), past_the_end);
}

#[test]
fn w3_varint_overflow() {
    let raw = b"\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02";
    assert_eq!(why(Request::decode(raw)), "field 4 has a varint of over 64 bits");
    let raw = b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02";
    assert_eq!(why(TermMessage::decode_reply(raw)), "field 1 of term has a varint of over 64 bits");
}

#[test]
fn w4_unknown_fields_are_skipped() {
    let unknown =
        b"\x38\x01\x39\x01\x02\x03\x04\x05\x06\x07\x08\x3a\x01x\x3b\x08\x01\x3c\x3d\0\0\0\0";
    let raw = [unknown, ENTER, unknown].concat();
    let enter = CandidateRequest::decode(&raw).unwrap();
    assert_eq!((enter.name, enter.candidate), ("cron", "node-a"));
}

#[test]
fn w5_a_repeated_scalar_the_last_wins() {
    let raw = [ENTER, b"\x12\x06node-b"].concat();
    assert_eq!(CandidateRequest::decode(&raw).unwrap().candidate, "node-b");
    let raw = [ENTER, b"\x12\x00"].concat();
    assert_eq!(CandidateRequest::decode(&raw).unwrap().candidate, "");
}

#[test]
fn w5_a_repeated_message_merges() {
    let raw = [ENTER, b"\x0a\x00"].concat();
    assert_eq!(CandidateRequest::decode(&raw).unwrap().name, "cron");
    let raw = [ENTER, b"\x0a\x03\x0a\x01x"].concat();
    assert_eq!(NamedRequest::decode(&raw).unwrap().name, "x");

    let raw = b"\x0a\x02\x08\x05\x0a\x04\x12\x02no";
    let status = Response::decode(raw).unwrap().status;
    assert_eq!(status, Some(Status { code: 5, message: "no" }));

    let raw = [TERM_REPLY, b"\x0a\x06\x08\x04\x1a\x02c4"].concat();
    let term = TermMessage::decode_reply(&raw).unwrap();
    assert_eq!((term.number, term.leader), (4, "node-a"));
    assert!(term.candidates().eq(["c2", "c3", "c4"]));
}

#[test]
fn w5_a_missing_message_reads_as_its_default() {
    assert_eq!(CandidateRequest::decode(b"").unwrap(), CandidateRequest::default());
    assert_eq!(Response::decode(b"").unwrap(), Response::default());
    let term = TermMessage::decode_reply(b"").unwrap();
    assert_eq!((term.number, term.leader, term.candidates().count()), (0, "", 0));
}

#[test]
fn w5_wrong_wire_type() {
    for (refusal, message) in [
        (why(NamedRequest::decode(b"\x08\x01")), "id is a varint, not a length-delimited value"),
        (
            why(CandidateRequest::decode(b"\x13\x14")),
            "candidate is a group, not a length-delimited value",
        ),
        (
            why(Request::decode(b"\x22\x00")),
            "timeout_nano is a length-delimited value, not a varint",
        ),
        (
            why(Response::decode(b"\x0a\x02\x0a\x00")),
            "status.code is a length-delimited value, not a varint",
        ),
    ] {
        assert_eq!(refusal, message);
    }
}

#[test]
fn w6_not_utf8_names_the_field() {
    for (refusal, field) in [
        (why(NamedRequest::decode(b"\x0a\x03\x0a\x01\xff")), "id.name"),
        (why(CandidateRequest::decode(b"\x12\x01\xff")), "candidate"),
        (why(CreateRequest::decode(b"\x12\x01\xff")), "tags"),
        (why(Request::decode(b"\x0a\x01\xff")), "service"),
        (why(Request::decode(b"\x2a\x03\x12\x01\xff")), "metadata.value"),
        (why(Response::decode(b"\x0a\x03\x12\x01\xff")), "status.message"),
        (why(TermMessage::decode_reply(b"\x0a\x03\x1a\x01\xff")), "term.candidates"),
    ] {
        assert_eq!(refusal, format!("{field} is not valid UTF-8 from byte 0 on"));
    }
}

#[test]
fn w6_a_superseded_string_must_be_utf8_too() {
    assert!(CandidateRequest::decode(b"\x12\x01\xff\x12\x01a").is_err());
}

#[test]
fn a_malformed_message_becomes_the_engines_error() {
    let malformed = CandidateRequest::decode(b"\x12\x01\xff").unwrap_err();
    let error = malformed.of("atomix.runtime.election.v1.EnterRequest");
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(matches!(error, Error::Undecodable { .. }));
    assert_eq!(
        error.to_string(),
        "atomix.runtime.election.v1.EnterRequest can't be decoded: \
         candidate is not valid UTF-8 from byte 0 on"
    );
}

/// What we encode is what prost encodes, and each reads the other.
mod round_trips {
    use super::*;

    fn strs(owned: &[String]) -> Vec<&str> {
        owned.iter().map(String::as_str).collect()
    }

    proptest! {
        #[test]
        fn call(
            service in ".{0,20}",
            method in ".{0,20}",
            payload in vec(any::<u8>(), 0..200),
            timeout_nano: i64,
            metadata in vec((".{0,9}", ".{0,9}"), 0..4),
            stream: u32,
        ) {
            let pairs: Vec<_> = metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let ours = Request {
                service: &service,
                method: &method,
                payload: &payload,
                timeout_nano,
                metadata: Metadata::Pairs(&pairs),
            };
            let pair = |&(key, value): &(&str, &str)| ttrpc::KeyValue {
                key: key.into(),
                value: value.into(),
            };
            let theirs = ttrpc::Request {
                service: service.clone(),
                method: method.clone(),
                payload: payload.clone(),
                timeout_nano,
                metadata: pairs.iter().map(pair).collect(),
            };
            let raw = theirs.encode_to_vec();
            prop_assert_eq!(encoded(|out| ours.encode(out)), &raw[..]);
            let again = Request::decode(&raw).unwrap();
            prop_assert!(again.metadata().eq(pairs.iter().copied()));
            prop_assert_eq!(encoded(|out| again.encode(out)), &raw[..]);

            let frame = encoded(|out| put_request(out, stream, 1, &ours));
            let header = Header { length: raw.len() as u32, stream, kind: 1, flags: 1 };
            prop_assert_eq!(frame, [&header.encode()[..], &raw].concat());
        }

        #[test]
        fn answer(code: i32, message in ".{0,20}", payload in vec(any::<u8>(), 0..300)) {
            let status = Status { code, message: &message };
            let their_status = Some(ttrpc::Status { code, message: message.clone() });
            let theirs = ttrpc::Response { status: their_status.clone(), payload: payload.clone() };
            let ours = Response { status: Some(status), payload: &payload };
            let raw = theirs.encode_to_vec();
            prop_assert_eq!(encoded(|out| ours.encode(out)), &raw[..]);
            prop_assert_eq!(Response::decode(&raw).unwrap(), ours);

            let frame = encoded(|out| put_status(out, 1, code, &message));
            let theirs = ttrpc::Response { status: their_status, payload: vec![] };
            prop_assert_eq!(&frame[10..], theirs.encode_to_vec());

            let frame = encoded(|out| put_response(out, 1, &payload));
            let theirs = ttrpc::Response { status: None, payload: payload.clone() };
            prop_assert_eq!(&frame[10..], theirs.encode_to_vec());
        }

        #[test]
        fn requests(name in ".{0,200}", candidate in ".{0,20}", tags in vec(".{0,9}", 0..4)) {
            let id = Some(PrimitiveId { name: name.clone() });
            let named = theirs::GetTermRequest { id: id.clone() };
            let ours = NamedRequest { name: &name };
            let raw = named.encode_to_vec();
            prop_assert_eq!(encoded(|out| ours.encode(out)), &raw[..]);
            prop_assert_eq!(NamedRequest::decode(&raw).unwrap(), ours);

            let enter = theirs::EnterRequest { id: id.clone(), candidate: candidate.clone() };
            let ours = CandidateRequest { name: &name, candidate: &candidate };
            let raw = enter.encode_to_vec();
            prop_assert_eq!(encoded(|out| ours.encode(out)), &raw[..]);
            prop_assert_eq!(CandidateRequest::decode(&raw).unwrap(), ours);

            let create = theirs::CreateRequest { id, tags: tags.clone() };
            let ours = CreateRequest { name: &name, tags: Tags::List(&strs(&tags)) };
            prop_assert_eq!(encoded(|out| ours.encode(out)), create.encode_to_vec());
        }

        #[test]
        fn term(number: u64, leader in ".{0,200}", candidates in vec(".{0,9}", 0..30)) {
            let names = candidates.iter().map(String::as_str);
            let kept = term_reply(number, Some(&leader), names.clone());
            prop_assert_eq!(kept.capacity(), kept.len());
            let reply = encoded(|out| put_term_reply(out, number, Some(&leader), names));
            prop_assert_eq!(&kept, &reply);
            let frame = encoded(|out| put_response_of(out, 1, |out| out.extend(&reply)));
            prop_assert_eq!(frame, encoded(|out| put_response(out, 1, &reply)));
            let term = theirs::Term { term: number, leader, candidates };
            let theirs = theirs::GetTermResponse { term: Some(term) };
            prop_assert_eq!(reply, theirs.encode_to_vec());
        }
    }
}
