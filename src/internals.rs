//! A door for the project's own fuzz targets, tests and benches. No stability is promised.
//!
//! Each decoder's result comes out as plain owned facts, so that its own types stay private; a refusal
//! comes out as the sentence that a caller would be told.

mod held;
mod latch;
#[cfg(feature = "durable")]
mod platter;

pub use self::held::{Ask, Desk, HeldLog, OnCommit, Slip, StateFacts};
pub use self::latch::{LATCH_REQUESTS, LatchReplyFacts, encode_latch_reply};
#[cfg(all(feature = "durable", feature = "failpoints"))]
pub use self::platter::log_canary;
#[cfg(feature = "durable")]
pub use self::platter::{
    KeptFacts, Ledger, Platter, RecordKey, StorageBackend, UnitFacts, claim_format, create_store,
    open_on, read_store,
};
#[cfg(all(feature = "client", feature = "failpoints"))]
pub use crate::client::canary::{ClientCanary, plant_in_client};
#[cfg(feature = "client")]
pub use crate::client::loose::LooseClient;
#[cfg(feature = "server")]
pub use crate::server::LooseConnection;
#[cfg(feature = "failpoints")]
pub use crate::shard::canary;

use crate::wire::election_v1::{
    CandidateRequest, CreateRequest, NamedRequest, Tags, TermMessage, term_reply,
};
use crate::wire::envelope::{
    Metadata, Request, Response, Status, put_data, put_end, put_response, put_status,
};
use crate::wire::frame::{HEADER_LEN, Header};
use crate::wire::message::Message;
use crate::wire::tenure_v1;

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the protocol's own
pub struct HeaderFacts {
    pub length: u32,
    pub stream: u32,
    pub kind: u8,
    pub flags: u8,
}

/// A `ttrpc.Request`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct RequestFacts {
    pub service: String,
    pub method: String,
    pub payload: Vec<u8>,
    pub timeout_nano: i64,
    pub metadata: Vec<(String, String)>,
}

/// A `ttrpc.Response`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ResponseFacts {
    pub status: Option<(i32, String)>,
    pub payload: Vec<u8>,
}

/// A request that names an election.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct NamedFacts {
    pub name: String,
}

/// A request that names an election and a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct CandidateFacts {
    pub name: String,
    pub candidate: String,
}

/// A v1 `CreateRequest`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct CreateFacts {
    pub name: String,
    pub tags: Vec<String>,
}

/// A v1 `Term`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct TermFacts {
    pub number: u64,
    pub leader: String,
    pub candidates: Vec<String>,
}

/// Reads a frame's header.
pub fn decode_header(raw: [u8; HEADER_LEN]) -> HeaderFacts {
    let Header { length, stream, kind, flags } = Header::decode(&raw);
    HeaderFacts { length, stream, kind, flags }
}

/// Writes a frame's header.
pub fn encode_header(facts: HeaderFacts) -> [u8; HEADER_LEN] {
    let HeaderFacts { length, stream, kind, flags } = facts;
    Header { length, stream, kind, flags }.encode()
}

/// A frame that answers with `payload`.
pub fn response_frame(stream: u32, payload: &[u8]) -> Vec<u8> {
    appended(|out| put_response(out, stream, payload))
}

/// A frame that answers with a status.
pub fn status_frame(stream: u32, code: i32, message: &str) -> Vec<u8> {
    appended(|out| put_status(out, stream, code, message))
}

/// A frame that is one message of a stream.
pub fn data_frame(stream: u32, message: &[u8]) -> Vec<u8> {
    appended(|out| put_data(out, stream, message))
}

/// The frame that ends a stream.
pub fn end_frame(stream: u32) -> Vec<u8> {
    appended(|out| put_end(out, stream))
}

/// Reads a request's envelope.
pub fn decode_request(raw: &[u8]) -> Result<RequestFacts, String> {
    let request = Request::decode(raw).map_err(|malformed| malformed.to_string())?;
    Ok(RequestFacts {
        service: request.service.to_owned(),
        method: request.method.to_owned(),
        payload: request.payload.to_owned(),
        timeout_nano: request.timeout_nano,
        metadata: request.metadata().map(|(key, text)| (key.to_owned(), text.to_owned())).collect(),
    })
}

/// Writes a request's envelope.
pub fn encode_request(facts: &RequestFacts) -> Vec<u8> {
    let pairs: Vec<_> = facts.metadata.iter().map(|(key, text)| (&**key, &**text)).collect();
    let request = Request {
        service: &facts.service,
        method: &facts.method,
        payload: &facts.payload,
        timeout_nano: facts.timeout_nano,
        metadata: Metadata::Pairs(&pairs),
    };
    appended(|out| request.encode(out))
}

/// Reads a response's envelope.
pub fn decode_response(raw: &[u8]) -> Result<ResponseFacts, String> {
    let response = Response::decode(raw).map_err(|malformed| malformed.to_string())?;
    Ok(ResponseFacts {
        status: response.status.map(|status| (status.code, status.message.to_owned())),
        payload: response.payload.to_owned(),
    })
}

/// Writes a response's envelope.
pub fn encode_response(facts: &ResponseFacts) -> Vec<u8> {
    let status = facts.status.as_ref().map(|(code, message)| Status { code: *code, message });
    appended(|out| Response { status, payload: &facts.payload }.encode(out))
}

/// Reads what GetTerm, Watch and Close are sent.
pub fn decode_named(raw: &[u8]) -> Result<NamedFacts, String> {
    let request = NamedRequest::decode(raw).map_err(|malformed| malformed.to_string())?;
    Ok(NamedFacts { name: request.name.to_owned() })
}

/// Writes what GetTerm, Watch and Close are sent.
pub fn encode_named(facts: &NamedFacts) -> Vec<u8> {
    appended(|out| NamedRequest { name: &facts.name }.encode(out))
}

/// Reads what Enter and its like are sent.
pub fn decode_candidate(raw: &[u8]) -> Result<CandidateFacts, String> {
    let request = CandidateRequest::decode(raw).map_err(|malformed| malformed.to_string())?;
    Ok(CandidateFacts { name: request.name.to_owned(), candidate: request.candidate.to_owned() })
}

/// Writes what Enter and its like are sent.
pub fn encode_candidate(facts: &CandidateFacts) -> Vec<u8> {
    let CandidateFacts { name, candidate } = facts;
    appended(|out| CandidateRequest { name, candidate }.encode(out))
}

/// Reads what Create is sent.
pub fn decode_create(raw: &[u8]) -> Result<CreateFacts, String> {
    let request = CreateRequest::decode(raw).map_err(|malformed| malformed.to_string())?;
    Ok(CreateFacts {
        name: request.name.to_owned(),
        tags: request.tags().map(str::to_owned).collect(),
    })
}

/// Writes what Create is sent.
pub fn encode_create(facts: &CreateFacts) -> Vec<u8> {
    let tags: Vec<_> = facts.tags.iter().map(String::as_str).collect();
    appended(|out| CreateRequest { name: &facts.name, tags: Tags::List(&tags) }.encode(out))
}

/// Reads a reply that carries a term.
pub fn decode_term_reply(raw: &[u8]) -> Result<TermFacts, String> {
    let term = TermMessage::decode_reply(raw).map_err(|malformed| malformed.to_string())?;
    Ok(TermFacts {
        number: term.number,
        leader: term.leader.to_owned(),
        candidates: term.candidates().map(str::to_owned).collect(),
    })
}

/// Writes a reply that carries a term.
pub fn encode_term_reply(facts: &TermFacts) -> Vec<u8> {
    let candidates = facts.candidates.iter().map(String::as_str);
    term_reply(facts.number, Some(&facts.leader), candidates)
}

fn appended(put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out);
    out
}

/// Decodes a message and encodes it again.
pub type Again = fn(&[u8]) -> Result<Vec<u8>, String>;

fn again<M: Message>(raw: &[u8]) -> Result<Vec<u8>, String> {
    M::decode(raw).map(|message| message.encode()).map_err(|malformed| malformed.to_string())
}

/// The messages of `tenure.v1`, by name.
pub const TENURE_V1: &[(&str, Again)] = &[
    ("HelloRequest", again::<tenure_v1::connection::HelloRequest>),
    ("HelloResponse", again::<tenure_v1::connection::HelloResponse>),
    ("Limits", again::<tenure_v1::connection::Limits>),
    ("Setting", again::<tenure_v1::connection::Setting>),
    ("OpenRequest", again::<tenure_v1::sessions::OpenRequest>),
    ("OpenResponse", again::<tenure_v1::sessions::OpenResponse>),
    ("KeepAliveRequest", again::<tenure_v1::sessions::KeepAliveRequest>),
    ("Released", again::<tenure_v1::sessions::Released>),
    ("KeepAliveResponse", again::<tenure_v1::sessions::KeepAliveResponse>),
    ("Lost", again::<tenure_v1::sessions::Lost>),
    ("CloseRequest", again::<tenure_v1::sessions::CloseRequest>),
    ("CloseResponse", again::<tenure_v1::sessions::CloseResponse>),
    ("ListRequest", again::<tenure_v1::sessions::ListRequest>),
    ("ListResponse", again::<tenure_v1::sessions::ListResponse>),
    ("Session", again::<tenure_v1::sessions::Session>),
    ("EndRequest", again::<tenure_v1::sessions::EndRequest>),
    ("EndResponse", again::<tenure_v1::sessions::EndResponse>),
    ("Metadata", again::<tenure_v1::elections::Metadata>),
    ("EnterRequest", again::<tenure_v1::elections::EnterRequest>),
    ("EnterResponse", again::<tenure_v1::elections::EnterResponse>),
    ("ChangeRequest", again::<tenure_v1::elections::ChangeRequest>),
    ("ChangeResponse", again::<tenure_v1::elections::ChangeResponse>),
    ("State", again::<tenure_v1::elections::State>),
    ("Candidate", again::<tenure_v1::elections::Candidate>),
    ("Change", again::<tenure_v1::elections::Change>),
    ("ObserveRequest", again::<tenure_v1::elections::ObserveRequest>),
    ("ListElectionsRequest", again::<tenure_v1::elections::ListElectionsRequest>),
    ("ListElectionsResponse", again::<tenure_v1::elections::ListElectionsResponse>),
    ("Summary", again::<tenure_v1::elections::Summary>),
    ("DescribeRequest", again::<tenure_v1::elections::DescribeRequest>),
    ("DescribeResponse", again::<tenure_v1::elections::DescribeResponse>),
    ("Standing", again::<tenure_v1::elections::Standing>),
    ("HistoryRequest", again::<tenure_v1::elections::HistoryRequest>),
    ("HistoryResponse", again::<tenure_v1::elections::HistoryResponse>),
    ("Reign", again::<tenure_v1::elections::Reign>),
    ("CheckRequest", again::<tenure_v1::elections::CheckRequest>),
    ("CheckResponse", again::<tenure_v1::elections::CheckResponse>),
    ("DeleteRequest", again::<tenure_v1::elections::DeleteRequest>),
    ("DeleteResponse", again::<tenure_v1::elections::DeleteResponse>),
];
