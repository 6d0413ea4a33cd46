//! What each fuzz target checks: our decoder and prost's, given the same bytes, both refuse them or
//! both see the same message, and both write that message the same way.
//!
//! `connection` is apart: it needs the server, and has no other decoder to agree with.
//!
//! The targets are plain functions that panic when the two disagree. `tests/wire_corpus.rs` and
//! `tests/wire_against_prost.rs` of the main crate take in this file and call them too.

use std::fmt::Debug;

use prost::Message;
use tenure::internals as ours;
use tenure_schema::atomix::headers::{ResponseHeader, ResponseStatus, ResponseType};
use tenure_schema::atomix::leader;
use tenure_schema::atomix::runtime::election::v1 as theirs;
use tenure_schema::atomix::runtime::v1::PrimitiveId;
use tenure_schema::tenure::v1 as own;
use tenure_schema::ttrpc;

#[cfg(feature = "server")]
#[allow(unreachable_pub, dead_code, reason = "the tests take in this file, each for a part of it")]
pub mod connection;

/// A target: the name of its file and of its corpus, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// The targets for decoders.
pub const TARGETS: [Target; 9] = [
    ("frame", frame),
    ("envelope", envelope),
    ("named_request", named_request),
    ("candidate_request", candidate_request),
    ("create_request", create_request),
    ("term_message", term_message),
    ("tenure_v1", tenure_v1),
    ("latch_request", latch_request),
    ("latch_reply", latch_reply),
];

/// The header of a frame, and the frames that we write.
pub fn frame(data: &[u8]) {
    let Some((raw, payload)) = data.split_first_chunk::<10>() else { return };
    let header = ours::decode_header(*raw);
    assert_eq!(header.length.to_be_bytes(), raw[..4]);
    assert_eq!(header.stream.to_be_bytes(), raw[4..8]);
    assert_eq!([header.kind, header.flags], raw[8..]);
    assert_eq!(ours::encode_header(header), *raw);

    let response = whole_frame(ours::response_frame(header.stream, payload), header.stream, 2, 0);
    let expected = ttrpc::Response { status: None, payload: payload.to_vec() };
    assert_eq!(response, expected.encode_to_vec());

    let message = String::from_utf8_lossy(payload).into_owned();
    let code = header.length as i32;
    let status = ours::status_frame(header.stream, code, &message);
    let status = whole_frame(status, header.stream, 2, 0);
    let expected = Some(ttrpc::Status { code, message });
    let expected = ttrpc::Response { status: expected, payload: Vec::new() };
    assert_eq!(status, expected.encode_to_vec());

    let data = whole_frame(ours::data_frame(header.stream, payload), header.stream, 3, 0);
    assert_eq!(data, payload);
    assert_eq!(whole_frame(ours::end_frame(header.stream), header.stream, 3, 5), b"");
}

/// The payload of a frame that must be whole and for this stream.
fn whole_frame(mut frame: Vec<u8>, stream: u32, kind: u8, flags: u8) -> Vec<u8> {
    let payload = frame.split_off(10);
    let length = (payload.len() as u32).to_be_bytes();
    assert_eq!(frame, [&length[..], &stream.to_be_bytes(), &[kind, flags]].concat());
    payload
}

/// What request and response frames carry.
pub fn envelope(data: &[u8]) {
    let request = |facts: &ours::RequestFacts| ttrpc::Request {
        service: facts.service.clone(),
        method: facts.method.clone(),
        payload: facts.payload.clone(),
        timeout_nano: facts.timeout_nano,
        metadata: facts.metadata.iter().cloned().map(pair).collect(),
    };
    judge(data, ours::decode_request(data), request, ours::encode_request, |_| {});

    let response = |facts: &ours::ResponseFacts| ttrpc::Response {
        status: facts.status.clone().map(|(code, message)| ttrpc::Status { code, message }),
        payload: facts.payload.clone(),
    };
    judge(data, ours::decode_response(data), response, ours::encode_response, |_| {});
}

fn pair((key, value): (String, String)) -> ttrpc::KeyValue {
    ttrpc::KeyValue { key, value }
}

/// GetTerm, Watch, Close.
pub fn named_request(data: &[u8]) {
    let message = |facts: &ours::NamedFacts| theirs::GetTermRequest { id: id(&facts.name) };
    judge(data, ours::decode_named(data), message, ours::encode_named, |theirs| {
        theirs.id.get_or_insert_default();
    });
}

/// Enter and the other operations on a candidate.
pub fn candidate_request(data: &[u8]) {
    let message = |facts: &ours::CandidateFacts| theirs::EnterRequest {
        id: id(&facts.name),
        candidate: facts.candidate.clone(),
    };
    judge(data, ours::decode_candidate(data), message, ours::encode_candidate, |theirs| {
        theirs.id.get_or_insert_default();
    });
}

/// Create.
pub fn create_request(data: &[u8]) {
    let message = |facts: &ours::CreateFacts| theirs::CreateRequest {
        id: id(&facts.name),
        tags: facts.tags.clone(),
    };
    judge(data, ours::decode_create(data), message, ours::encode_create, |theirs| {
        theirs.id.get_or_insert_default();
    });
}

/// A term, in the reply that carries it.
pub fn term_message(data: &[u8]) {
    let message = |facts: &ours::TermFacts| {
        let (term, leader) = (facts.number, facts.leader.clone());
        let term = theirs::Term { term, leader, candidates: facts.candidates.clone() };
        theirs::GetTermResponse { term: Some(term) }
    };
    judge(data, ours::decode_term_reply(data), message, ours::encode_term_reply, |theirs| {
        theirs.term.get_or_insert_default();
    });
}

fn id(name: &str) -> Option<PrimitiveId> {
    Some(PrimitiveId { name: name.to_owned() })
}

/// Panics unless our reading of `data` is prost's. `as_theirs` turns our facts into prost's message,
/// and `fill_in` gives prost's message the parts that ours always has.
fn judge<F: Debug, M: Message + Debug + Default + PartialEq>(
    data: &[u8],
    ours: Result<F, String>,
    as_theirs: impl FnOnce(&F) -> M,
    encode: impl FnOnce(&F) -> Vec<u8>,
    fill_in: impl FnOnce(&mut M),
) {
    match (ours, M::decode(data)) {
        (Ok(facts), Ok(mut theirs)) => {
            fill_in(&mut theirs);
            assert_eq!(as_theirs(&facts), theirs);
            assert_eq!(encode(&facts), theirs.encode_to_vec());
        }
        (Err(why), Err(_)) => assert!(!why.is_empty(), "a refusal says why"),
        (ours, theirs) => panic!("{data:x?}\nis to us     {ours:?}\nand to prost {theirs:?}"),
    }
}

/// The messages of Tenure's own services: the first byte says which.
pub fn tenure_v1(data: &[u8]) {
    let Some((&which, raw)) = data.split_first() else { return };
    let which = usize::from(which) % TENURE_V1.len();
    let ((name, ours), (known, theirs)) = (ours::TENURE_V1[which], TENURE_V1[which]);
    assert_eq!(name, known, "the two lists have one order");
    assert_eq!(ours(raw).ok(), theirs(raw), "{name}");
}

fn again<M: Message + Default>(raw: &[u8]) -> Option<Vec<u8>> {
    M::decode(raw).ok().map(|message| message.encode_to_vec())
}

/// Decodes a message by prost and encodes it again.
type Again = fn(&[u8]) -> Option<Vec<u8>>;

/// prost's, in the order of ours.
const TENURE_V1: &[(&str, Again)] = &[
    ("HelloRequest", again::<own::HelloRequest>),
    ("HelloResponse", again::<own::HelloResponse>),
    ("Limits", again::<own::Limits>),
    ("Setting", again::<own::Setting>),
    ("OpenRequest", again::<own::OpenRequest>),
    ("OpenResponse", again::<own::OpenResponse>),
    ("KeepAliveRequest", again::<own::KeepAliveRequest>),
    ("Released", again::<own::Released>),
    ("KeepAliveResponse", again::<own::KeepAliveResponse>),
    ("Lost", again::<own::Lost>),
    ("CloseRequest", again::<own::CloseRequest>),
    ("CloseResponse", again::<own::CloseResponse>),
    ("ListRequest", again::<own::ListRequest>),
    ("ListResponse", again::<own::ListResponse>),
    ("Session", again::<own::Session>),
    ("EndRequest", again::<own::EndRequest>),
    ("EndResponse", again::<own::EndResponse>),
    ("Metadata", again::<own::Metadata>),
    ("EnterRequest", again::<own::EnterRequest>),
    ("EnterResponse", again::<own::EnterResponse>),
    ("ChangeRequest", again::<own::ChangeRequest>),
    ("ChangeResponse", again::<own::ChangeResponse>),
    ("State", again::<own::State>),
    ("Candidate", again::<own::Candidate>),
    ("Change", again::<own::Change>),
    ("ObserveRequest", again::<own::ObserveRequest>),
    ("ListElectionsRequest", again::<own::ListElectionsRequest>),
    ("ListElectionsResponse", again::<own::ListElectionsResponse>),
    ("Summary", again::<own::Summary>),
    ("DescribeRequest", again::<own::DescribeRequest>),
    ("DescribeResponse", again::<own::DescribeResponse>),
    ("Standing", again::<own::Standing>),
    ("HistoryRequest", again::<own::HistoryRequest>),
    ("HistoryResponse", again::<own::HistoryResponse>),
    ("Reign", again::<own::Reign>),
    ("CheckRequest", again::<own::CheckRequest>),
    ("CheckResponse", again::<own::CheckResponse>),
    ("DeleteRequest", again::<own::DeleteRequest>),
    ("DeleteResponse", again::<own::DeleteResponse>),
];

/// What the latch is asked: the first byte says which message it is.
pub fn latch_request(data: &[u8]) {
    let Some((&which, raw)) = data.split_first() else { return };
    let which = usize::from(which) % LATCH_REQUESTS.len();
    let ((name, ours), (known, theirs)) = (ours::LATCH_REQUESTS[which], LATCH_REQUESTS[which]);
    assert_eq!(name, known, "the two lists have one order");
    assert_eq!(ours(raw).ok(), theirs(raw), "{name}");
}

/// prost's, in the order of ours. Get's and Events' are KeepAlive's.
const LATCH_REQUESTS: &[(&str, Again)] = &[
    ("CreateRequest", again::<leader::CreateRequest>),
    ("KeepAliveRequest", again::<leader::KeepAliveRequest>),
    ("CloseRequest", again::<leader::CloseRequest>),
    ("LatchRequest", again::<leader::LatchRequest>),
];

/// What the latch answers. We have no reader of it: prost reads, and both write what it read.
pub fn latch_reply(data: &[u8]) {
    if let Ok(mut theirs) = leader::GetResponse::decode(data)
        && let Some(facts) = latch_facts(&mut theirs.header, theirs.latch.as_ref())
    {
        assert_eq!(ours::encode_latch_reply(&facts, false), theirs.encode_to_vec());
    }
    if let Ok(mut theirs) = leader::EventResponse::decode(data)
        && theirs.r#type == 0
        && let Some(facts) = latch_facts(&mut theirs.header, theirs.latch.as_ref())
    {
        assert_eq!(ours::encode_latch_reply(&facts, true), theirs.encode_to_vec());
    }
}

/// As we would say it, unless we never would. The header is always there.
fn latch_facts(
    header: &mut Option<ResponseHeader>,
    latch: Option<&leader::Latch>,
) -> Option<ours::LatchReplyFacts> {
    let header = header.get_or_insert_default();
    header.leader.clear();
    let message = header.message.clone();
    let failure = match ResponseStatus::try_from(header.status) {
        Ok(ResponseStatus::Ok) if message.is_empty() => None,
        Ok(ResponseStatus::Error) => Some(message),
        _ => return None,
    };
    let opens = match ResponseType::try_from(header.r#type) {
        Ok(ResponseType::Response) => None,
        Ok(ResponseType::OpenStream) => Some(true),
        Ok(ResponseType::CloseStream) => Some(false),
        Err(_) => return None,
    };
    Some(ours::LatchReplyFacts {
        session_id: header.session_id,
        stream_id: header.stream_id,
        response_id: header.response_id,
        index: header.index,
        opens,
        failure,
        latch: latch.map(|it| (it.id, it.leader.clone(), it.participants.clone())),
    })
}
