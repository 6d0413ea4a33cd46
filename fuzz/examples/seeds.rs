//! Writes the seeds of every target into `corpus/`: `cargo run --example seeds`, in this folder.
//!
//! They are there so that a fresh fuzzer starts beside every rule instead of having to find it.

use std::path::Path;
use std::{fs, io};

use prost::Message;
use tenure::internals as ours;
use tenure_fuzz::connection::{call, frame};
use tenure_schema::tenure::v1 as own;

type Seed = (&'static str, Vec<u8>);

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, own) in [
        ("frame", frames()),
        ("envelope", [envelopes(), any_message()].concat()),
        ("named_request", [named_requests(), any_message()].concat()),
        ("candidate_request", [candidate_requests(), any_message()].concat()),
        ("create_request", [create_requests(), any_message()].concat()),
        ("connection", connections()),
        ("tenure_v1", [tenure_v1_messages(), after(0, any_message())].concat()),
        ("latch_request", [latch_requests(), after(0, any_message())].concat()),
        ("latch_reply", [latch_replies(), any_message()].concat()),
        ("term_message", [term_messages(), any_message()].concat()),
    ] {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        for (name, bytes) in own {
            fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}

/// What is the same for every message: the rules of fields.
fn any_message() -> Vec<Seed> {
    seeds(&[
        ("empty", b""),
        ("field_zero", b"\x00\x01"),
        ("field_highest", b"\xf8\xff\xff\xff\x0f\x01"),
        ("field_too_high", b"\x80\x80\x80\x80\x10\x01"),
        ("wire_type_6", b"\x3e\x01"),
        ("wire_type_7", b"\x3f\x01"),
        ("unknown_fields", b"\x38\x01\x39\x01\x02\x03\x04\x05\x06\x07\x08\x3a\x01x\x3d\0\0\0\0"),
        ("varint_not_minimal", b"\x38\x81\x80\x80\x80\x80\x80\x80\x80\x80\x00"),
        ("varint_over_64_bits", b"\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
        ("varint_over_10_bytes", b"\x38\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"),
        ("varint_cut_short", b"\x38\x80"),
        ("length_past_the_end", b"\x0a\xff\xff\xff\xff\x0f"),
        ("length_not_minimal", b"\x3a\x82\x00hi"),
        ("fixed_cut_short", b"\x39\x01\x02\x03"),
        ("group_skipped", b"\x3b\x08\x01\x12\x02hi\x1b\x1c\x3c"),
        ("group_of_a_known_field", b"\x0b\x0c"),
        ("group_crossed", b"\x3b\x43\x3c\x44"),
        ("group_not_ended", b"\x3b\x08\x01"),
        ("group_end_alone", b"\x3c"),
    ])
    .into_iter()
    .chain([
        ("group_nest_100", nest(100, b"")),
        ("group_nest_100_with_a_field", nest(100, b"\x08\x01")),
        ("group_nest_101", nest(101, b"")),
        ("group_nest_in_message", [&b"\x0a\xc6\x01"[..], &nest(99, b"")].concat()),
        ("group_nest_too_deep_in_message", [&b"\x0a\xc8\x01"[..], &nest(100, b"")].concat()),
    ])
    .collect()
}

fn frames() -> Vec<Seed> {
    seeds(&[
        ("request", b"\0\0\0\x06\0\0\0\x01\x01\x00\x0a\x01s\x12\x01m"),
        ("response", b"\0\0\0\x04\0\0\0\x01\x02\x00\x12\x02hi"),
        ("data_last_without_data", b"\0\0\0\x00\0\0\0\x01\x03\x05"),
        ("longest_length", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("header_cut_short", b"\0\0\0\x06\0\0\0\x01\x01"),
    ])
}

fn envelopes() -> Vec<Seed> {
    seeds(&[
        (
            "get_term",
            b"\x0a\x28atomix.runtime.election.v1.LeaderElection\x12\x07GetTerm\x1a\x08\x0a\x06\x0a\x04cron",
        ),
        (
            "with_metadata",
            b"\x0a\x01s\x12\x01m\x1a\x02hi\x20\xe8\x07\x2a\x06\x0a\x01k\x12\x01v\x2a\x00\x2a\x03\x0a\x01l",
        ),
        ("negative_timeout", b"\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ("wrong_wire_type", b"\x22\x00"),
        ("not_utf8", b"\x0a\x02a\xff"),
        ("metadata_not_utf8", b"\x2a\x03\x12\x01\xff"),
        ("last_wins", b"\x0a\x01a\x0a\x01b\x1a\x01x\x1a\x00"),
        ("status", b"\x0a\x06\x08\x05\x12\x02no"),
        ("status_merges", b"\x0a\x02\x08\x05\x0a\x04\x12\x02no\x12\x02hi"),
        ("status_negative_code", b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ("status_with_details", b"\x0a\x06\x08\x05\x1a\x02hi"),
        ("cut_short", b"\x0a\x28atomix.runtime.election.v1.Leader"),
    ])
}

fn named_requests() -> Vec<Seed> {
    seeds(&[
        ("named", b"\x0a\x06\x0a\x04cron"),
        ("name_empty", b"\x0a\x02\x0a\x00"),
        ("ids_merge", b"\x0a\x06\x0a\x04cron\x0a\x00"),
        ("wrong_wire_type", b"\x08\x01"),
        ("not_utf8", b"\x0a\x03\x0a\x01\xff"),
        ("cut_short", b"\x0a\x06\x0a\x04cr"),
        ("inner_length_past_the_id", b"\x0a\x03\x0a\x04cron"),
    ])
}

fn candidate_requests() -> Vec<Seed> {
    seeds(&[
        ("enter", b"\x0a\x06\x0a\x04cron\x12\x06node-a"),
        ("candidate_first", b"\x12\x06node-a\x0a\x06\x0a\x04cron"),
        ("last_wins", b"\x12\x01a\x12\x01b"),
        ("superseded_not_utf8", b"\x12\x01\xff\x12\x01a"),
        ("wrong_wire_type", b"\x10\x01"),
        ("cut_short", b"\x0a\x06\x0a\x04cron\x12\x06node"),
    ])
}

fn create_requests() -> Vec<Seed> {
    seeds(&[
        ("create", b"\x0a\x06\x0a\x04cron\x12\x01a\x12\x00\x12\x01b"),
        ("tag_not_utf8", b"\x12\x01a\x12\x01\xff"),
        ("wrong_wire_type", b"\x15\0\0\0\0"),
        ("cut_short", b"\x0a\x06\x0a\x04cron\x12\x02a"),
    ])
}

fn term_messages() -> Vec<Seed> {
    seeds(&[
        ("term", b"\x0a\x12\x08\x03\x12\x06node-a\x1a\x02c2\x1a\x02c3"),
        ("term_empty", b"\x0a\x00"),
        ("terms_merge", b"\x0a\x0c\x08\x03\x12\x02c1\x1a\x02c2\x1a\x00\x0a\x06\x08\x04\x1a\x02c4"),
        ("number_over_64_bits", b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
        ("wrong_wire_type", b"\x0a\x02\x0a\x00"),
        ("not_utf8", b"\x0a\x03\x1a\x01\xff"),
        ("cut_short", b"\x0a\x12\x08\x03\x12\x06node-a\x1a\x02c2"),
    ])
}

/// The first byte says which, in the order of the target's list.
fn tenure_v1_messages() -> Vec<Seed> {
    let state = state();
    let change = state.change.clone();
    let metadata = state.leader.clone().and_then(|leader| leader.metadata);
    let hello = own::HelloResponse {
        version: "0.1.0".into(),
        server_id: "id".into(),
        durable: true,
        limits: Some(own::Limits { name_bytes: 512, candidates: 10_000, ..Default::default() }),
        features: vec!["a".into(), String::new()],
        settings: vec![own::Setting { name: "ttl".into(), value: "3s".into() }],
        ..Default::default()
    };
    let enter = own::EnterRequest {
        session: 7,
        election: "cron".into(),
        candidate: "node-a".into(),
        metadata,
        on_conflict: own::OnConflict::Wait.into(),
        only_if_leads: true,
    };
    let keep_alive = own::KeepAliveRequest {
        session: 7,
        released: vec![own::Released { election: "cron".into(), term: 5 }, Default::default()],
    };
    let change_request = own::ChangeRequest {
        election: "cron".into(),
        candidate: "a".into(),
        expected_term: Some(0),
        reason: "why".into(),
        ..Default::default()
    };
    let session =
        own::Session { session: 7, kind: 3, peer: "1.2.3.4:5".into(), ..Default::default() };
    let queue = vec![own::Standing { candidate: "a".into(), session: Some(session) }];
    let reign = own::Reign {
        term: 5,
        leader: "a".into(),
        began: change.clone(),
        ended: change,
        ..Default::default()
    };
    let reigns = vec![reign, own::Reign { term: 4, ..Default::default() }];
    let written = [
        ("hello", "HelloResponse", hello.encode_to_vec()),
        ("enter", "EnterRequest", enter.encode_to_vec()),
        ("keep_alive", "KeepAliveRequest", keep_alive.encode_to_vec()),
        ("expected_term_0", "ChangeRequest", change_request.encode_to_vec()),
        ("state", "State", state.encode_to_vec()),
        (
            "enter_reply",
            "EnterResponse",
            own::EnterResponse { state: Some(state.clone()), entered: true }.encode_to_vec(),
        ),
        (
            "describe",
            "DescribeResponse",
            own::DescribeResponse { state: Some(state), queue }.encode_to_vec(),
        ),
        ("history", "HistoryResponse", own::HistoryResponse { reigns }.encode_to_vec()),
    ];
    let odd = [
        ("cut", "CheckResponse", &b"\x08\x01\x1a\x09abc"[..]),
        (
            "map_entry_without_value",
            "EnterRequest",
            b"\x22\x0c\x12\x03\x0a\x01k\x12\x03\x12\x01v\x12\x00",
        ),
        ("map_key_twice", "EnterRequest", b"\x22\x0d\x12\x03\x0a\x01k\x12\x06\x12\x01v\x0a\x01k"),
        ("map_out_of_order", "Metadata", b"\x12\x03\x0a\x01b\x12\x03\x0a\x01a"),
        ("merged_metadata", "EnterRequest", b"\x22\x03\x0a\x01x\x22\x08\x12\x06\x0a\x01k\x12\x01v"),
        (
            "negative_enum",
            "OpenRequest",
            b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x1a\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ),
        ("not_utf8", "DeleteRequest", b"\x0a\x02\xff\xfe"),
        ("wide_u32", "ListRequest", b"\x08\x85\x80\x80\x80\x80\x20"),
    ];
    let odd = odd.map(|(name, message, bytes)| (name, message, bytes.to_vec()));
    let numbered = |(name, message, bytes): (_, _, Vec<u8>)| {
        let which = ours::TENURE_V1.iter().position(|(known, _)| *known == message);
        let which = which.expect("it is one of ours") as u8;
        (name, [&[which], &bytes[..]].concat())
    };
    written.into_iter().chain(odd).map(numbered).collect()
}

/// A state with everything in it.
fn state() -> own::State {
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let labels = [label("rack", "7"), label("zone", "a")].into();
    let metadata = own::Metadata { address: "10.0.0.1:80".into(), labels };
    let leader = own::Candidate { name: "node-a".into(), session: 7, metadata: Some(metadata) };
    let waits = own::Candidate { name: "b".into(), ..Default::default() };
    let change = own::Change {
        cause: own::Cause::Anointed.into(),
        reason: "rolling".into(),
        by: 9,
        at_unix_micros: 1_700_000_000_000_000,
    };
    own::State {
        election: "cron".into(),
        term: 5,
        revision: 9,
        leader: Some(leader.clone()),
        candidates: vec![leader, waits],
        since_unix_micros: 17,
        valid_after_micros: 250,
        change: Some(change),
    }
}

/// The first byte says which: 0 Create, 1 KeepAlive, Get and Events, 2 Close, 3 Latch.
fn latch_requests() -> Vec<Seed> {
    seeds(&[
        ("create", b"\x00\x0a\x0c\x0a\x0a\x0a\x04cron\x12\x02ns\x12\x05\x08\x1e\x10\x80\x01"),
        (
            "create_timeout_negative",
            b"\x00\x12\x16\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ),
        ("create_timeout_in_pieces", b"\x00\x12\x02\x08\x1e\x12\x02\x10\x05\x12\x00"),
        ("create_nanos_too_wide", b"\x00\x12\x06\x10\x81\x80\x80\x80\x70"),
        (
            "keep_alive",
            b"\x01\x0a\x1a\x0a\x06\x0a\x04cron\x10\x07\x18\x09\x20\x63\x2a\x04\x08\x02\x10\x05\x2a\x02\x08\x04\x30\x01",
        ),
        (
            "header_in_pieces",
            b"\x01\x0a\x08\x0a\x06\x0a\x04cron\x0a\x06\x2a\x04\x08\x02\x10\x05\x0a\x08\x0a\x02\x12\x00\x2a\x02\x08\x04",
        ),
        ("header_empty", b"\x01\x0a\x00"),
        ("stream_empty", b"\x01\x0a\x02\x2a\x00"),
        ("stream_with_a_wrong_wire_type", b"\x01\x0a\x04\x2a\x02\x0a\x00"),
        ("name_not_utf8", b"\x01\x0a\x05\x0a\x03\x0a\x01\xff"),
        ("close_and_delete", b"\x02\x0a\x08\x0a\x06\x0a\x04cron\x10\x01"),
        ("delete_is_any_number", b"\x02\x10\x80\x02"),
        ("latch", b"\x03\x0a\x0c\x0a\x06\x0a\x04cron\x10\x07\x18\x01\x12\x06node-a"),
        ("participant_not_utf8", b"\x03\x12\x01\xff"),
        ("cut_short", b"\x03\x0a\x0c\x0a\x06\x0a\x04cron\x10\x07"),
    ])
}

fn latch_replies() -> Vec<Seed> {
    seeds(&[
        (
            "latch",
            b"\x0a\x08\x08\x07\x10\x07\x18\x01\x20\x63\x12\x12\x08\x03\x12\x06node-a\x1a\x06node-a",
        ),
        ("latch_empty", b"\x0a\x02\x08\x07\x12\x00"),
        ("error", b"\x0a\x08\x08\x07\x30\x01\x42\x02no\x12\x00"),
        ("open_stream", b"\x0a\x0a\x08\x07\x10\x02\x18\x01\x20\x63\x38\x01"),
        ("close_stream", b"\x0a\x0a\x08\x07\x10\x02\x18\x04\x20\x64\x38\x02"),
        (
            "event",
            b"\x0a\x08\x08\x07\x10\x02\x18\x02\x20\x64\x1a\x0c\x08\x03\x12\x01a\x1a\x01a\x1a\x02c2",
        ),
        ("header_empty", b"\x0a\x00"),
    ])
}

/// The same after a byte that chooses the message.
fn after(which: u8, seeds: Vec<Seed>) -> Vec<Seed> {
    let after = |(name, bytes): Seed| (name, [&[which], &bytes[..]].concat());
    seeds.into_iter().map(after).collect()
}

/// Whole conversations. The byte before each chooses the pieces.
fn connections() -> Vec<Seed> {
    let on = |stream, method: &str, name: &str, candidate: &str| {
        let (name, candidate) = (name.to_owned(), candidate.to_owned());
        call(stream, method, ours::encode_candidate(&ours::CandidateFacts { name, candidate }))
    };
    let of = |stream, method: &str, name: &str| {
        call(stream, method, ours::encode_named(&ours::NamedFacts { name: name.to_owned() }))
    };
    let create = ours::CreateFacts { name: "e".into(), tags: vec!["t".into()] };
    let create = call(1, "Create", ours::encode_create(&create));
    let changes = ["Anoint", "Promote", "Demote", "Evict", "Withdraw"];
    let changes = (0..).zip(changes).map(|(n, method)| on(21 + 2 * n, method, "e", "b"));
    let conversation = [
        create,
        of(3, "Watch", "e"),
        of(5, "GetTerm", "e"),
        on(7, "Enter", "e", "a"),
        on(9, "Enter", "e", "b"),
        changes.collect::<Vec<_>>().concat(),
        of(11, "GetTerm", "e"),
        of(13, "Close", "e"),
    ]
    .concat();
    let pipelined = |count| (0..count).map(|n| on(1 + 2 * n, "Enter", "e", "a"));
    // Whole frames are held behind the one that ends the connection.
    let violation = pipelined(9).chain([of(2, "GetTerm", "e"), of(99, "GetTerm", "e")]);
    let violation = violation.collect::<Vec<_>>().concat();
    let watches = (0..12).map(|n| of(1 + 2 * n, "Watch", "e")).collect::<Vec<_>>().concat();
    let mut absurd = frame(1, 1, 0, b"");
    absurd[..4].copy_from_slice(&[0, 0xff, 0xff, 0xff]);
    vec![
        ("empty", vec![]),
        ("conversation", conversation.clone()),
        ("truncated", conversation[..conversation.len() - 5].to_vec()),
        ("oversize", [frame(1, 1, 0, &[0; 1025]), of(3, "GetTerm", "e")].concat()),
        ("oversize_data", [of(1, "Watch", "e"), frame(1, 3, 0, &[0; 2000])].concat()),
        ("absurd_length", [absurd, of(3, "GetTerm", "e")].concat()),
        ("length_16m", [b"\x01\0\0\0\0\0\0\x01\x01\0".to_vec(), vec![0; 20]].concat()),
        ("even_id", [of(1, "GetTerm", "e"), of(2, "GetTerm", "e")].concat()),
        ("id_in_use", [of(1, "Watch", "e"), of(1, "GetTerm", "e")].concat()),
        ("id_reused", [of(1, "GetTerm", "e"), of(1, "GetTerm", "e")].concat()),
        ("pipelined", pipelined(40).collect::<Vec<_>>().concat()),
        ("violation_in_the_backlog", violation),
        ("watches_too_many", watches),
        ("watch_cancelled", [of(1, "Watch", "e"), frame(1, 3, 5, b"")].concat()),
        ("watch_then_close", [of(1, "Watch", "e"), of(3, "Close", "e")].concat()),
        ("data_for_nobody", [frame(9, 3, 5, b""), frame(9, 3, 0, b"x")].concat()),
        (
            "unknown_types",
            [frame(1, 9, 0, b"x"), frame(1, 2, 7, b""), frame(3, 0, 255, b"")].concat(),
        ),
        ("unknown_method", of(1, "Abdicate", "e")),
        ("undecodable", [frame(1, 1, 0, b"\xff\xff"), call(3, "Enter", vec![0x0a, 0x7f])].concat()),
        (
            "names",
            [of(1, "GetTerm", ""), of(3, "GetTerm", &"n".repeat(65)), on(5, "Enter", "e", "\u{7}")]
                .concat(),
        ),
        ("http1", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("http1_slow", b"GE".to_vec()),
        ("http2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("tls", b"\x16\x03\x01\x02\x00\x01".to_vec()),
        ("redis", b"*1\r\n$4\r\nPING\r\n".to_vec()),
    ]
    .into_iter()
    .map(|(name, bytes)| (name, [&[7], &bytes[..]].concat()))
    .collect()
}

fn seeds(table: &[(&'static str, &[u8])]) -> Vec<Seed> {
    table.iter().map(|(name, bytes)| (*name, bytes.to_vec())).collect()
}

/// `levels` groups of field 7 inside each other, with `core` in the innermost.
fn nest(levels: usize, core: &[u8]) -> Vec<u8> {
    [&vec![0x3b; levels][..], core, &vec![0x3c; levels]].concat()
}
