//! Stores as each released format wrote them, and what is in them: `tests/golden/format-N.redb` and
//! `.txt`. A released one is never written again. `TENURE_REWRITE=1` writes the present one.

mod platter;
mod support;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use platter::{Disk, Image};
use prost::Message;
use rustix::process::Signal;
use support::{Server, raw};
use tenure::internals::read_store;
use tenure::{Engine, EnterOptions, Failover, Metadata, SessionKey, SessionSettings};
use tenure_schema::atomix::{headers, leader, primitive, runtime};

const FORMAT: u32 = 1;

fn golden(format: u32, end: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/format-{format}.{end}"))
}

fn settings(owner: &str, failover: Failover) -> SessionSettings {
    SessionSettings { ttl: Duration::from_secs(3600), failover, owner: owner.into() }
}

/// Something of everything that is kept. The keys of the sessions that live.
fn fill(folder: &Path) -> Vec<SessionKey> {
    let engine = Engine::builder().data_dir(folder).open().unwrap();
    let (exclusive, first) = engine.open_session(settings("node a", Failover::Exclusive)).unwrap();
    let (fast, second) = engine.open_session(settings("", Failover::Fast)).unwrap();
    let (ended, _) = engine.open_session(settings("gone", Failover::Fast)).unwrap();
    let election = engine.election("billing/cron").unwrap();
    let metadata = Metadata::new("10.0.0.7:9000", [("zone", "b"), ("rack", "7")]).unwrap();
    let options = EnterOptions { metadata, note: "hello".into(), ..EnterOptions::default() };
    election.enter_with(&exclusive, "a", options).unwrap();
    election.enter(&fast, "b").unwrap();
    election.enter(&ended, "c").unwrap();
    // A hand-over that the former leader has not acknowledged, and one that did not ask.
    election.anoint("b").unwrap();
    ended.end();
    let vacant = engine.election("vacant").unwrap();
    vacant.enter(&fast, "x").unwrap();
    vacant.withdraw(&fast, "x").unwrap();
    let deleted = engine.election("deleted").unwrap();
    (0..3).for_each(|at| drop(deleted.enter(&fast, &format!("d{at}")).unwrap()));
    deleted.anoint("d2").unwrap();
    deleted.delete().unwrap();
    let long = engine.election("gewählt 選").unwrap();
    long.enter(&exclusive, &"n".repeat(64)).unwrap();
    drop((exclusive, fast, ended, engine, election, vacant, deleted, long));

    let mut server = Server::start(&format!("--data-dir {}", folder.display()));
    let mut socket = TcpStream::connect(server.address()).unwrap();
    let mut call = |service: &str, method: &str, payload: Vec<u8>| {
        let (service, method) = (service.into(), method.into());
        let request =
            tenure_schema::ttrpc::Request { service, method, payload, ..Default::default() };
        let mut out = Vec::new();
        raw::put_frame(&mut out, 1, raw::REQUEST, 0, &request.encode_to_vec());
        socket.write_all(&out).unwrap();
        let reply = raw::read_frame(&mut socket).unwrap();
        tenure_schema::ttrpc::Response::decode(&*reply.body).unwrap()
    };
    let name = primitive::Name { namespace: "ns".into(), name: "latch".into() };
    let header = headers::RequestHeader { name: Some(name), ..Default::default() };
    let timeout = Some(tenure_schema::Duration { seconds: 3600, nanos: 0 });
    let create = leader::CreateRequest { header: Some(header), timeout };
    let opened = call("atomix.leader.LeaderLatchService", "Create", create.encode_to_vec());
    assert!(opened.status.is_none_or(|status| status.code == 0));
    let id = runtime::v1::PrimitiveId { name: "created".into() };
    let create = runtime::election::v1::CreateRequest {
        id: Some(id),
        tags: vec!["blue".into(), "green".into()],
    };
    let created =
        call("atomix.runtime.election.v1.LeaderElections", "Create", create.encode_to_vec());
    assert!(created.status.is_none_or(|status| status.code == 0));
    server.process.signal(Signal::TERM);
    assert_eq!(server.process.wait().code(), Some(0));
    vec![first, second]
}

/// What is in a store, by what an engine over it tells, and record by record.
fn told(store: &[u8], keys: &[SessionKey]) -> String {
    let mut out = String::new();
    let kept = read_store(Box::new(Disk::of(Image::of(store)))).unwrap();
    writeln!(out, "server {}", kept.server_id).unwrap();
    writeln!(out, "floor {}, index {}", kept.floor, kept.index).unwrap();
    writeln!(out, "session ids {}", kept.session_ids).unwrap();

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("store.redb"), store).unwrap();
    let engine = Engine::builder().data_dir(folder.path()).open().unwrap();
    for session in engine.list_sessions(None, usize::MAX) {
        let (id, kind, owner, ttl) = (session.id, session.kind, session.owner, session.ttl);
        writeln!(out, "session {id} {kind:?} {owner:?} {ttl:?}").unwrap();
    }
    for key in keys {
        let session = engine.resume_session(key).unwrap();
        writeln!(out, "key {} of {}, which lost {:?}", key.to_hex(), session.id(), session.lost())
            .unwrap();
    }
    for (name, term) in engine.list_elections("", None, usize::MAX) {
        let (revision, change, since) = (term.revision(), term.change(), term.since());
        writeln!(out, "election {name:?} {term}, revision {revision}").unwrap();
        writeln!(out, "  {change:?}").unwrap();
        writeln!(out, "  since {since:?}").unwrap();
        for candidate in term.participants() {
            let (session, says) = (term.session_of(candidate), term.metadata_of(candidate));
            writeln!(out, "  {candidate:?} of {session:?} says {says:?}").unwrap();
        }
        for reign in term.history() {
            writeln!(out, "  {reign:?}").unwrap();
        }
    }
    for ((table, key), raw) in &kept.records {
        let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(out, "{table} {}: {hex}", key.escape_ascii()).unwrap();
    }
    out
}

fn keys(text: &str) -> Vec<SessionKey> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("key "));
    lines.map(|line| line[..32].parse().unwrap()).collect()
}

#[test]
fn stores_of_every_format_are_read() {
    if std::env::var_os("TENURE_REWRITE").is_some() {
        let folder = tempfile::tempdir().unwrap();
        let keys = fill(folder.path());
        let store = fs::read(folder.path().join("store.redb")).unwrap();
        fs::write(golden(FORMAT, "txt"), told(&store, &keys)).unwrap();
        fs::write(golden(FORMAT, "redb"), store).unwrap();
    }
    for format in 1..=FORMAT {
        let store = fs::read(golden(format, "redb")).unwrap();
        let text = fs::read_to_string(golden(format, "txt")).unwrap();
        assert_eq!(told(&store, &keys(&text)), text, "format {format}");
        for table in ["elections", "created", "sessions"] {
            assert!(text.lines().any(|line| line.starts_with(table)), "no {table}");
        }
    }
}

/// What was written then is gone on from: no term comes again.
#[test]
fn a_store_of_an_earlier_format_is_gone_on_from() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(golden(1, "redb"), folder.path().join("store.redb")).unwrap();
    let engine = Engine::builder().data_dir(folder.path()).open().unwrap();
    let session = engine.session().unwrap();
    let entered = |name: &str| {
        let election = engine.election(name).unwrap();
        let before = election.term().number();
        election.enter(&session, "new").unwrap();
        (before, election.anoint("new").unwrap().number())
    };
    for name in ["billing/cron", "vacant"] {
        let (before, after) = entered(name);
        assert!(before > 0 && after > before, "{name}: t{before}, t{after}");
    }
    let (before, after) = entered("deleted");
    assert!(before == 0 && after > 2, "t{after}");
}
