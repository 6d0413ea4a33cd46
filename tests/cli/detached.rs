//! Places that no process holds: `enter --detach`, its session file, and `withdraw`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;
use tenure::client::SessionView;

use crate::support::{Done, Server, eventually, run, tenure, words};
use crate::{assert_done, enters, json_line};

/// A server, and a folder for a session file.
struct Bench {
    server: Server,
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { server: Server::start(""), folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    /// Runs a command with the file.
    #[track_caller]
    fn run(&self, line: &str) -> Done {
        run(self.server.ask(line).arg("--session-file").arg(self.file()))
    }

    /// Enters and leaves the place behind.
    #[track_caller]
    fn detach(&self, ttl: &str) {
        let done = self.run(&format!("enter jobs a --detach --ttl {ttl}"));
        assert_done(&done, 0, "jobs: term 1, a leads\n");
    }

    fn sessions(&self) -> Vec<SessionView> {
        let all = self.server.client().sessions().unwrap().into_iter();
        all.filter(|it| it.kind == "exclusive").collect()
    }

    /// The session of `a`.
    fn session(&self) -> SessionView {
        let mut queue = self.server.client().describe("jobs").unwrap().queue.into_iter();
        queue.find(|(name, _)| name == "a").expect("a stands").1
    }

    /// When it was last heard, in microseconds since it was opened.
    fn heard(&self) -> u64 {
        let session = self.session();
        session.age_micros - session.silent_micros
    }

    /// It failed with `code`, one line on standard error that has `said`, and the file still there or not.
    #[track_caller]
    fn assert_refused(&self, done: &Done, code: i32, said: &str, has_file: bool) {
        assert_eq!((done.code, done.out.as_str()), (Some(code), ""), "{done:?}");
        assert_eq!(done.err.lines().count(), 1, "{done:?}");
        assert!(done.err.starts_with("tenure: ") && done.err.contains(said), "{done:?}");
        assert_eq!(self.file().exists(), has_file, "{done:?}");
    }
}

#[test]
fn a_place_is_left_behind_renewed_and_withdrawn() {
    let it = Bench::new();
    it.detach("1h");
    assert_eq!(it.file().metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    let key = fs::read_to_string(it.file()).unwrap();
    assert!(key.len() == 33 && key.ends_with('\n'), "one line");
    assert!(key.trim_end().parse::<tenure::SessionKey>().is_ok());
    eventually("no process has it", || it.session().peer.is_empty());
    assert_eq!((it.session().kind, it.session().ttl_micros), ("exclusive", 3_600_000_000));

    let b = enters(&it.server, "jobs b");
    // With --detach or without: what is there is renewed.
    for line in ["enter jobs a --detach --ttl 1h", "enter jobs a --detach", "enter jobs a"] {
        let before = it.heard();
        assert_done(&it.run(line), 0, "jobs: term 1, a leads, waiting: b\n");
        assert!(it.heard() > before, "{line}: renewed");
        assert_eq!(fs::read_to_string(it.file()).unwrap(), key);
    }
    assert_done(&it.run("withdraw jobs a"), 0, "jobs: term 2, b leads\n");
    assert_eq!(b.out.find("term 2"), "jobs: term 2, b leads");
    assert!(!it.file().exists(), "the file goes with the place");
    it.assert_refused(&it.run("withdraw jobs a"), 8, "there is no session file ", false);
}

#[test]
fn detached_commands_in_json() {
    let it = Bench::new();
    let done = it.run("enter jobs a --detach -o json");
    assert_eq!((done.code, &*done.err), (Some(0), ""), "{done:?}");
    assert_eq!(json_line(&done.out)["leader"], "a");
    let done = it.run("withdraw jobs a -o json");
    assert_eq!((done.code, &*done.err), (Some(0), ""), "{done:?}");
    let line = json_line(&done.out);
    assert_eq!((line["term"].as_u64(), line["leader"].is_null()), (Some(1), true));
}

/// Who only waits is left behind as well.
#[test]
fn a_detached_place_in_the_queue() {
    let it = Bench::new();
    let mut b = enters(&it.server, "jobs b");
    let done = it.run("enter jobs a --detach --ttl 1h");
    assert_done(&done, 0, "jobs: term 1, b leads, waiting: a\n");
    b.signal(rustix::process::Signal::INT);
    assert_eq!(b.wait().code(), Some(0));
    assert_done(&it.run("enter jobs a"), 0, "jobs: term 2, a leads\n");
}

/// A script must not take a place that it lost, and won again, for one that it kept.
#[test]
fn a_place_that_ran_out_is_not_entered_again() {
    let it = Bench::new();
    it.detach("2s");
    eventually("it runs out", || it.server.client().term("jobs").unwrap().leader.is_none());
    for line in ["enter jobs a --detach", "enter jobs a", "withdraw jobs a"] {
        it.assert_refused(&it.run(line), 7, "session ended: its deadline passed", true);
    }
    fs::remove_file(it.file()).unwrap();
    assert_done(&it.run("enter jobs a --detach"), 0, "jobs: term 2, a leads\n");
    // The key of another server's session is no key here.
    let other = Server::start("");
    let done = run(other.ask("withdraw jobs a").arg("--session-file").arg(it.file()));
    it.assert_refused(&done, 7, "no session has this key", true);
}

#[test]
fn an_evicted_place_is_not_entered_again() {
    let it = Bench::new();
    it.detach("1h");
    assert_done(&it.server.run("evict jobs a"), 0, "jobs: term 1, nobody leads\n");
    for line in ["enter jobs a --detach", "enter jobs a", "withdraw jobs a"] {
        it.assert_refused(&it.run(line), 7, "a does not stand in jobs for the session", true);
    }
    assert_done(&it.server.run("term jobs"), 3, "jobs: term 1, nobody leads\n");
}

/// A mistyped name gives up nobody's place.
#[test]
fn a_file_holds_one_place() {
    let it = Bench::new();
    it.detach("1h");
    let _b = enters(&it.server, "jobs b");
    it.assert_refused(&it.run("withdraw jobs b"), 1, "is held by another session", true);
    for line in ["withdraw jobs aa", "withdraw job a", "enter jobs c --detach", "enter jobs b"] {
        it.assert_refused(&it.run(line), 7, "the file is of another place", true);
    }
    assert_done(&it.server.run("term jobs"), 0, "jobs: term 1, a leads, waiting: b\n");
}

#[test]
fn a_file_that_holds_no_key_is_told_of() {
    let it = Bench::new();
    let lines = ["enter jobs a --detach", "enter jobs a", "withdraw jobs a"];
    it.assert_refused(&it.run("enter jobs a"), 8, "there is no session file ", false);
    let secret = "00112233445566778899aabbccddee";
    let texts =
        ["", secret, &format!("{secret}ffff\n"), &format!("{secret}ff\n\nmore\n"), "\u{fffd}"];
    for text in texts {
        fs::write(it.file(), text).unwrap();
        fs::set_permissions(it.file(), Permissions::from_mode(0o600)).unwrap();
        for line in lines {
            let done = it.run(line);
            it.assert_refused(&done, 8, "is not a session file", true);
            assert!(!done.err.contains(secret), "it may be most of a secret: {done:?}");
        }
        assert_eq!(fs::read_to_string(it.file()).unwrap(), text, "left as it was");
    }
    fs::remove_file(it.file()).unwrap();
    fs::create_dir(it.file()).unwrap();
    fs::set_permissions(it.file(), Permissions::from_mode(0o700)).unwrap();
    for line in lines {
        it.assert_refused(&it.run(line), 8, "can't read the session file", true);
    }
    assert_eq!(it.sessions(), [], "no session was opened for it");
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let it = Bench::new();
    it.detach("1h");
    for mode in [0o640, 0o604, 0o620, 0o602] {
        fs::set_permissions(it.file(), Permissions::from_mode(mode)).unwrap();
        for line in ["enter jobs a", "withdraw jobs a"] {
            it.assert_refused(&it.run(line), 8, &format!("mode {mode:04o}"), true);
        }
    }
    fs::set_permissions(it.file(), Permissions::from_mode(0o600)).unwrap();
    assert_done(&it.run("withdraw jobs a"), 0, "jobs: term 1, nobody leads\n");
}

/// Nothing is left behind where nothing came of it.
#[test]
fn a_detached_entry_that_fails_leaves_nothing() {
    let it = Bench::new();
    let holder = enters(&it.server, "jobs a --ttl 1h --failover fast");
    it.assert_refused(&it.run("enter jobs a --detach"), 1, "held by another session", false);
    drop(holder);
    let mut nowhere = it.server.ask("enter jobs b --detach");
    let done = run(nowhere.arg("--session-file").arg(it.folder.path().join("no").join("such")));
    it.assert_refused(&done, 8, "can't make the session file", false);
    it.assert_refused(&it.run("enter jobs b --detach --ttl 1ms"), 1, "ttl", false);
    let mut command = tenure(words("enter jobs b --detach --server 127.0.0.1:1 --session-file"));
    it.assert_refused(&run(command.arg(it.file())), 6, "can't reach 127.0.0.1:1", false);
    eventually("no session is left", || it.sessions().is_empty());
}

/// It would be over before the command is.
#[test]
fn a_detached_place_is_never_fast() {
    let it = Bench::new();
    for line in ["enter jobs a --detach --failover fast", "enter jobs a --failover fast"] {
        let done = it.run(line);
        assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{done:?}");
        assert!(done.err.contains("a fast session ends with its connection"), "{done:?}");
        assert!(!it.file().exists());
    }
    assert_done(&it.server.run("term jobs"), 3, "jobs: term 0, nobody leads\n");
}

/// A renewal does not change the TTL, and says so.
#[test]
fn another_ttl_is_for_another_place() {
    let it = Bench::new();
    it.detach("1h");
    let done = it.run("enter jobs a --detach --ttl 2h");
    assert_eq!((done.code, &*done.out), (Some(0), "jobs: term 1, a leads\n"), "{done:?}");
    assert_eq!(done.err, "tenure: the place keeps its TTL of 1h; 2h is for a new one\n");
    assert_eq!(it.sessions()[0].ttl_micros, 3_600_000_000);
}
