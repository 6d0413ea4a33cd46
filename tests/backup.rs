//! Backups: made of a running server and of a directory, restored, looked into, and refused where they are
//! not what was written.

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use support::{Server, run, tenure};
use tenure::{Engine, Reason, SessionSettings, storage};

const RAISE: u64 = 1 << 32;

fn explicit(engine: &Engine, ttl: u64) -> tenure::Session {
    let ttl = Duration::from_secs(ttl);
    let settings = SessionSettings { ttl, owner: "a test".into(), ..Default::default() };
    engine.open_session(settings).unwrap().0
}

fn filled(folder: &Path) -> Engine {
    let engine = Engine::builder().data_dir(folder).open().unwrap();
    let session = explicit(&engine, 60);
    for n in 0..300 {
        let election = engine.election(&format!("e{n:03}")).unwrap();
        election.enter(&session, "a").unwrap();
        election.enter(&session, "b").unwrap();
        election.anoint("b").unwrap();
    }
    engine.election("gone").unwrap().enter(&session, "a").unwrap();
    engine.election("gone").unwrap().delete().unwrap();
    engine
}

#[test]
fn d9_a_restored_backup_ends_all_sessions_and_raises_every_term() {
    let folder = tempfile::tempdir().unwrap();
    let engine = filled(&folder.path().join("one"));
    let mut backup = Vec::new();
    engine.backup(&mut backup).unwrap();
    assert_eq!(storage::verify(&*backup).unwrap(), 300);
    // What is told later is not in it.
    let later = explicit(&engine, 60);
    engine.election("e000").unwrap().enter(&later, "c").unwrap();

    let restored = storage::restore(&*backup, folder.path().join("two")).unwrap();
    assert_eq!((restored.elections, restored.sessions, restored.raised), (300, 1, RAISE));
    assert_eq!(restored.floor, 1 + RAISE);
    let again = Engine::builder().data_dir(folder.path().join("two")).open().unwrap();
    assert_ne!(
        again.server_id(),
        engine.server_id(),
        "who meets it is told that it is another one"
    );
    let election = again.election("e007").unwrap();
    let term = election.term();
    assert_eq!((term.number(), term.leader(), term.reason()), (2 + RAISE, None, Reason::Restored));
    assert_eq!(term.history().next().unwrap().leader.as_ref(), "b");
    // Whoever led when the backup was made may go on until its deadline.
    let session = explicit(&again, 5);
    let next = election.enter(&session, "x").unwrap();
    assert_eq!(next.number(), 3 + RAISE);
    let waits = election.valid_after();
    assert!(waits > Duration::from_secs(50) && waits <= Duration::from_secs(60), "{waits:?}");
    assert!(session.id().number() > RAISE, "no session's id is given twice");
    let new = again.election("new").unwrap().enter(&session, "x").unwrap();
    assert_eq!(new.number(), 2 + RAISE, "above the floor");
}

#[test]
fn a_backup_that_is_not_what_was_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let engine = filled(&folder.path().join("one"));
    let mut backup = Vec::new();
    engine.backup(&mut backup).unwrap();
    let into = folder.path().join("two");
    let mut refused = 0;
    for at in (0..backup.len()).step_by(97).chain([backup.len() - 1]) {
        let mut flipped = backup.clone();
        flipped[at] ^= 0x04;
        assert!(storage::restore(&*flipped, &into).is_err(), "byte {at} was changed");
        assert!(storage::restore(&backup[..at], &into).is_err(), "cut off at {at}");
        refused += 2;
    }
    assert!(refused > 500);
    let left: Vec<_> = fs::read_dir(&into).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"], "nothing that could be taken for a server's data");
    storage::restore(&*backup, &into).unwrap();
    let twice = storage::restore(&*backup, &into).unwrap_err().to_string();
    assert!(twice.contains("holds a server's data already"), "{twice}");
}

#[test]
fn commands_back_up_a_running_server_restore_and_inspect() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let server = Server::start(&format!("--data-dir {}", path("one")));
    let session = path("session");
    for n in 0..20 {
        let file = format!("{session}-{n}");
        server.run(&format!("enter e{n} node --detach --ttl 1h --session-file {file}")).succeeded();
    }
    let used = run(tenure(["inspect"]).arg(path("one")));
    assert_eq!(used.code, Some(74));
    assert!(used.err.contains("another process"), "{}", used.err);

    let made = server.run(&format!("backup {} -o json", path("file"))).succeeded();
    assert!(made.contains("\"elections\":20"), "{made}");
    let restored = run(tenure(["restore"]).arg(path("file")).args(["--data-dir", &path("two")]));
    let said = restored.succeeded();
    assert!(said.contains("20 elections; 20 sessions have ended"), "{said}");
    assert!(said.contains("rose by 4294967296"), "{said}");
    let found = run(tenure(["inspect", "-o", "json"]).arg(path("two"))).succeeded();
    assert!(found.contains("\"elections\":20,\"leading\":0,\"candidates\":0"), "{found}");
    assert!(found.contains("\"sessions\":0"), "{found}");

    // The directory itself, once its server has ended; and a server over what was restored.
    drop(server);
    let args = ["--data-dir", &path("one")];
    let offline = run(tenure(["backup"]).arg(path("other")).args(args)).succeeded();
    assert!(offline.contains("20 elections"), "{offline}");
    let all = run(tenure(["inspect", "--all"]).arg(path("one"))).succeeded();
    assert!(all.contains("e19: t1 node []") && all.contains("session "), "{all}");
    let server = Server::start(&format!("--data-dir {}", path("two")));
    let file = path("again");
    let led = server.run(&format!("enter e3 other --detach --ttl 1h --session-file {file}"));
    assert!(led.succeeded().contains(&(2 + RAISE).to_string()));
}

#[test]
fn a_backup_replaces_nothing_but_a_plain_file() {
    let server = Server::start("");
    let folder = tempfile::tempdir().unwrap();
    let refused = server.run(&format!("backup {}", folder.path().display()));
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("not a plain file"), "{}", refused.err);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_keeps_nothing_has_no_backup() {
    let server = Server::start("");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let refused = server.run(&format!("backup {}", file.display()));
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("in memory"), "{}", refused.err);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}
