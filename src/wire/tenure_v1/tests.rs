//! The lists of fields and the numbers of enums against the schemas. That bytes are read and written
//! as prost does is `tests/wire_against_prost.rs`, which can't see two fields that changed places.

use std::collections::BTreeMap;

use tenure_schema::tenure::v1 as theirs;

use super::{connection, elections, sessions, storage};
use crate::wire::message::Message;

type Field = (String, String, u32);
type Messages = BTreeMap<&'static str, Vec<Field>>;

const SCHEMAS: [&str; 4] = [
    include_str!("../../../proto/tenure/v1/connection.proto"),
    include_str!("../../../proto/tenure/v1/elections.proto"),
    include_str!("../../../proto/tenure/v1/sessions.proto"),
    include_str!("../../../proto/tenure/v1/storage.proto"),
];

fn field((name, layout, number): &(&str, &str, u32)) -> Field {
    (name.to_string(), layout.to_string(), *number)
}

macro_rules! listed {
    ($($file:ident: $($name:ident)*;)*) => {
        BTreeMap::from([$($((
            stringify!($name),
            <$file::$name as Message>::FIELDS.iter().map(field).collect::<Vec<_>>(),
        ),)*)*])
    };
}

fn ours() -> Messages {
    listed! {
        connection: HelloRequest HelloResponse Limits Setting;
        sessions: OpenRequest OpenResponse KeepAliveRequest Released KeepAliveResponse Lost
            CloseRequest CloseResponse ListRequest ListResponse Session EndRequest EndResponse;
        storage: BackupRequest BackupResponse;
        elections: Metadata EnterRequest EnterResponse ChangeRequest ChangeResponse State Candidate
            Change ObserveRequest ListElectionsRequest ListElectionsResponse Summary DescribeRequest
            DescribeResponse Standing HistoryRequest HistoryResponse Reign CheckRequest
            CheckResponse DeleteRequest DeleteResponse;
    }
}

/// What a field of the schema is in Rust.
fn in_rust(layout: &str, enums: &[&str]) -> String {
    let plain = |layout| match layout {
        "uint64" => "u64".to_owned(),
        "uint32" => "u32".to_owned(),
        "bool" => "bool".to_owned(),
        "string" => "String".to_owned(),
        "bytes" => "Vec<u8>".to_owned(),
        it if enums.contains(&it) => "i32".to_owned(),
        message => message.to_owned(),
    };
    match layout.split_once(' ') {
        Some(("repeated", item)) => format!("Vec<{}>", plain(item)),
        Some(("optional", item)) => format!("Option<{}>", plain(item)),
        Some(_) => "BTreeMap<String, String>".to_owned(),
        None if plain(layout) == layout && layout != "bool" => format!("Option<{layout}>"),
        None => plain(layout),
    }
}

/// The messages of the schemas: each field is a line there.
fn schemas() -> Messages {
    let lines = || SCHEMAS.iter().flat_map(|schema| schema.lines()).map(str::trim);
    let named =
        |line: &'static str, what| Some(line.strip_prefix(what)?.split(' ').next().unwrap());
    let enums: Vec<_> = lines().filter_map(|line| named(line, "enum ")).collect();
    let mut messages = Messages::new();
    let mut open = None;
    for line in lines() {
        open = named(line, "message ").or(open).filter(|_| line != "}");
        let Some(message) = open else { continue };
        let fields = messages.entry(message).or_default();
        if let Some((field, number)) = line.strip_suffix(';').and_then(|it| it.split_once(" = ")) {
            let (layout, name) = field.rsplit_once(' ').unwrap();
            fields.push((name.to_owned(), in_rust(layout, &enums), number.parse().unwrap()));
        }
        open = open.filter(|_| !line.ends_with("{}"));
    }
    messages
}

#[test]
fn the_lists_of_fields_are_the_schemas() {
    let schemas = schemas();
    assert_eq!(schemas["KeepAliveRequest"][1], field(&("released", "Vec<Released>", 2)));
    assert_eq!(schemas["DeleteRequest"][1], field(&("expected_term", "Option<u64>", 2)));
    assert_eq!(schemas["EndResponse"], []);
    assert_eq!(ours(), schemas);
}

/// The constants of a module are those of prost's enum, and none is missing.
macro_rules! same_numbers {
    ($module:path, $theirs:ident: $($constant:ident = $variant:ident,)*) => {{
        use $module as ours;
        let known: Vec<i32> = vec![$(ours::$constant),*];
        assert_eq!(known, [$(theirs::$theirs::$variant as i32),*]);
        let all: Vec<i32> = (0..64).filter(|n| theirs::$theirs::try_from(*n).is_ok()).collect();
        assert_eq!(known, all, stringify!($theirs));
    }};
}

#[test]
fn the_numbers_of_enums_are_the_schemas() {
    same_numbers!(elections::on_conflict, OnConflict: FAIL = Fail, WAIT = Wait, TAKE_OVER = TakeOver,);
    same_numbers!(elections::cause, Cause:
        UNKNOWN = Unknown, ENTERED = Entered, WITHDRAWN = Withdrawn, ANOINTED = Anointed,
        PROMOTED = Promoted, DEMOTED = Demoted, EVICTED = Evicted, PASSED = Passed,
        TAKEN_OVER = TakenOver, CLOSED = Closed, DISCONNECTED = Disconnected,
        SESSION_EXPIRED = SessionExpired, SESSION_ENDED = SessionEnded, DELETED = Deleted,
        RESTORED = Restored,
    );
    same_numbers!(elections::verdict, Verdict: UNKNOWN = Unknown, CURRENT = Current, STALE = Stale,);
    same_numbers!(sessions::failover, Failover: EXCLUSIVE = Exclusive, FAST = Fast,);
    same_numbers!(sessions::session_kind, SessionKind:
        UNKNOWN = Unknown, CONNECTION = Connection, EXCLUSIVE = Exclusive, FAST = Fast,
        EMBEDDED = Embedded,
    );
}

/// A caller who sent many fields wants to know which of them.
#[test]
fn w6_not_utf8_names_the_field_and_the_message_around_it() {
    for (raw, why) in [
        (&b"\x12\x01\xff"[..], "election"),
        (b"\x22\x03\x0a\x01\xff", "address of metadata"),
        (b"\x22\x05\x12\x03\x0a\x01\xff", "key of labels"),
        (b"\x22\x05\x12\x03\x12\x01\xff", "value of labels"),
    ] {
        let refused = elections::EnterRequest::decode(raw).unwrap_err().to_string();
        assert_eq!(refused, format!("{why} is not valid UTF-8 from byte 0 on"));
    }
    let refused = sessions::KeepAliveRequest::decode(b"\x12\x02\x12\x00").unwrap_err().to_string();
    assert_eq!(refused, "term of released is a length-delimited value, not a varint");
}
