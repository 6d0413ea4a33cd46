//! Faults of the disk that the system makes for a real server, each test named after its row in the list of
//! faults. Where the system does not let us, the test says why.

mod support;

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use support::{Done, Running, Server, connect, eventually, run, tenure, unmoved, words, works};
use tempfile::TempDir;
use tenure::Engine;
use tenure::client::{ClientError, EnterOptions, Options, Session};

/// The exit code of a data directory that can't be used.
const STORAGE: Option<i32> = Some(74);

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn serve(folder: &Path) -> Server {
    Server::start(&format!("--data-dir {}", folder.join("data").display()))
}

fn open(data: &Path) -> Engine {
    Engine::builder().data_dir(data).open().unwrap()
}

#[track_caller]
fn says(done: &Done, what: &[&str]) {
    assert_eq!(done.code, STORAGE, "{done:?}");
    for what in what {
        assert!(done.err.contains(what), "{done:?} does not say {what:?}");
    }
}

/// Has the next such call of a running server fail.
fn inject(server: &Server, call: &str) -> Running {
    let pid = server.process.id();
    let mut strace = Command::new("strace");
    strace.args(words(&format!("-f -e trace={call} -e inject={call}:error=EIO:when=1 -p {pid}")));
    let strace = Running::start(&mut strace);
    strace.err.find("attached");
    strace
}

#[test]
fn d4_a_server_whose_disk_fails_stops_with_a_sentence() {
    if !works("strace -e trace=none true") {
        return;
    }
    for call in ["fdatasync", "pwrite64"] {
        let folder = folder();
        let mut server = serve(folder.path());
        let client = server.client();
        let mut term = client.enter("e", "a").unwrap();
        let _strace = inject(&server, call);
        // A change is one write; what needs a sync are the tables, when the journal is full.
        let refused = (0..1_000)
            .find_map(|at| match client.enter("e", &format!("b{}", at % 5)) {
                Ok(next) => {
                    term = client.withdraw("e", &format!("b{}", at % 5)).unwrap_or(next);
                    None
                }
                Err(error) => Some(error),
            })
            .unwrap_or_else(|| panic!("{call}: nothing failed"));
        let is_told = match &refused {
            ClientError::Refused { code: 14, message } => message.contains("data"),
            ClientError::Lost { .. } => true,
            _ => false,
        };
        assert!(is_told, "{call}: {refused}");
        assert_eq!(server.process.wait().code(), STORAGE, "{call}");
        let said = server.process.err.rest();
        let sentence = said.lines().find(|line| line.starts_with("tenure: stopping: "));
        let sentence = sentence.unwrap_or_else(|| panic!("{call}: {said}"));
        assert!(sentence.contains(&*folder.path().to_string_lossy()), "{sentence}");
        assert!(sentence.contains("Input/output error"), "{sentence}");
        drop(server);

        let server = serve(folder.path());
        let now = server.client().term("e").unwrap();
        assert!(now.number >= term.number, "{now:?} after {term:?}");
        let next = server.client().enter("e", "c").unwrap();
        assert!(next.number > term.number || now.leader.is_some(), "{next:?} after {term:?}");
    }
}

/// Each write and each sync of a running server takes two seconds.
#[test]
fn d8_a_server_whose_disk_is_slow() {
    if !works("strace -e trace=none true") {
        return;
    }
    let folder = folder();
    let server = serve(folder.path());
    let options = Options { ttl: Duration::from_secs(1), ..Options::default() };
    let session = Session::open(&server.address().parse().unwrap(), options).unwrap();
    let lead = session.election("held").lead("holder").unwrap();
    let (client, reader) = (server.client(), server.client());
    let pid = server.process.id();
    let delay = "inject=fdatasync,pwrite64:delay_enter=2000000";
    let mut strace = Command::new("strace");
    strace.args(words(&format!("-f -e trace=fdatasync,pwrite64 -e {delay} -p {pid}")));
    let strace = Running::start(&mut strace);
    strace.err.find("attached");
    let changes =
        thread::spawn(move || client.enter("e", "a").and(client.enter("e", "b")).unwrap());
    let mut reads = 0;
    while !changes.is_finished() {
        // Nobody expires for the disk, and nobody waits who only reads.
        assert!(lead.is_valid(), "{:?}", lead.lost());
        assert_eq!(reader.term("held").unwrap().number, lead.term());
        reads += 1;
        thread::sleep(Duration::from_millis(10));
    }
    assert!(changes.join().unwrap().has("b"));
    assert!(reads > 40, "{reads} reads while two changes were kept");
    assert_eq!(session.lost(), None);
}

/// It is killed at each call by which it makes a store, and by which it opens one.
#[test]
fn d3_a_server_that_is_killed_while_it_makes_its_store() {
    if !works("strace -D -e trace=none true") {
        return;
    }
    let calls = ["mkdir", "ftruncate", "pwrite64", "fsync", "fdatasync", "rename", "unlink"];
    let kills: u32 = thread::scope(|scope| {
        let killed = calls.map(|call| scope.spawn(move || kill_at_each(call)));
        killed.into_iter().map(|killed| killed.join().unwrap()).sum()
    });
    println!("killed at {kills} calls");
    assert!(kills > 20, "killed at {kills} calls");
}

/// At how many of these calls it was killed, when it made a store and when it opened one.
fn kill_at_each(call: &str) -> u32 {
    let is_killed = |again, number| {
        let folder = folder();
        let data = folder.path().join("data");
        if again {
            let engine = open(&data);
            let session = engine.session().unwrap();
            engine.election("e").unwrap().enter(&session, "a").unwrap();
        }
        let mut server = killed_at(call, number, folder.path());
        let is_killed = server.out.next().is_none();
        if is_killed {
            server.wait();
        }
        drop(server);
        for round in 0..2 {
            let engine = open(&data);
            let session = engine.session().unwrap();
            let term = engine.election("e").unwrap().enter(&session, "b").unwrap();
            assert_eq!(term.number(), round + 1 + u64::from(again), "{call} {number}");
        }
        is_killed
    };
    let until = |again| (1..).take_while(|&number| is_killed(again, number)).count() as u32;
    until(false) + until(true)
}

/// A server that is killed when it comes to such a call for the so manieth time.
fn killed_at(call: &str, number: u32, folder: &Path) -> Running {
    let mut strace = Command::new("strace");
    let inject = format!("inject={call}:signal=KILL:when={number}");
    strace.args(["-D", "-f", "-e", &format!("trace={call}"), "-e", &inject, "-o"]);
    strace.arg(folder.join("trace")).arg(env!("CARGO_BIN_EXE_tenure"));
    strace.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.join("data"));
    unmoved(&mut strace);
    Running::start(&mut strace)
}

/// A server over a small disk of its own: what it is mounted on is seen through its process.
fn on_small_disk(folder: &Path) -> Option<(Server, PathBuf)> {
    if !works("unshare -m sh -c 'mount -t tmpfs -o size=1m none /mnt'") {
        return None;
    }
    let disk = folder.join("disk");
    fs::create_dir(&disk).unwrap();
    let mut command = Command::new("unshare");
    let mount = "mount -t tmpfs -o size=16m none \"$0\" && exec \"$@\"";
    command.args(["-m", "sh", "-c", mount]).arg(&disk);
    command.args([env!("CARGO_BIN_EXE_tenure"), "serve"]);
    unmoved(&mut command);
    let server = Server::start_by(command, &format!("--data-dir {}/data", disk.display()));
    let seen = format!("/proc/{}/root{}", server.process.id(), disk.display());
    Some((server, seen.into()))
}

/// What a probe is answered.
fn readiness(server: &Server) -> String {
    let mut probe = TcpStream::connect(server.address()).unwrap();
    let request = "GET /readyz HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n";
    probe.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    probe.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn d5_a_server_whose_disk_is_full() {
    let folder = folder();
    let Some((server, disk)) = on_small_disk(folder.path()) else { return };
    let client = server.client();
    let options = Options { owner: "holds".into(), ..Options::default() };
    let session = Session::open(&server.address().parse().unwrap(), options).unwrap();
    let lead = session.election("held").lead("holder").unwrap();
    client.enter("e", "a").unwrap();
    client.enter("e", "b").unwrap();
    client.enter("f", "a").unwrap();
    assert!(readiness(&server).starts_with("HTTP/1.1 200 "));

    let filler = disk.join("filler");
    let mut file = File::create(&filler).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    let long = "n".repeat(500);
    let mut kept = Vec::new();
    let refused = (0..)
        .find_map(|at| {
            let election = format!("more-{at}");
            match client.enter(&election, &long) {
                Ok(term) => {
                    kept.push((election, term));
                    None
                }
                Err(error) => Some(error),
            }
        })
        .unwrap();
    let ClientError::Refused { code: 14, message } = &refused else { panic!("{refused}") };
    assert!(message.contains("full") && message.contains("disk/data"), "{message}");
    for _ in 0..3 {
        assert!(matches!(client.enter("more", "x"), Err(ClientError::Refused { code: 14, .. })));
    }
    let told = readiness(&server);
    assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("disk/data"), "{told}");
    // Reads and renewals go on; who leaves or is removed makes room.
    assert_eq!(client.term("e").unwrap().leader.as_deref(), Some("a"));
    assert_eq!(client.withdraw("e", "a").unwrap().leader.as_deref(), Some("b"));
    assert_eq!(client.evict("f", "a").unwrap().leader, None);
    let before = session.remaining();
    eventually("it is renewed", || session.remaining() > before);
    assert!(lead.is_valid());

    drop(file);
    fs::remove_file(&filler).unwrap();
    eventually("it goes on by itself", || client.enter("e", "c").is_ok());
    assert!(readiness(&server).starts_with("HTTP/1.1 200 "));
    assert!(lead.is_valid() && session.lost().is_none());
    for (election, term) in kept {
        assert_eq!(client.term(&election).unwrap(), term);
    }
    assert_eq!(client.term("e").unwrap().leader.as_deref(), Some("b"));
}

/// Somebody who is not root, and may write where they are let.
fn nobody(folder: &Path, data: &Path) -> Command {
    // The command may stand where only its owner looks.
    let binary = folder.join("tenure");
    // Not by this process: a child of another test would hold it open, and it could not be run.
    let mut copy = Command::new("cp");
    let copied = run(copy.arg(env!("CARGO_BIN_EXE_tenure")).arg(&binary));
    assert_eq!(copied.code, Some(0), "{copied:?}");
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(binary);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data);
    unmoved(&mut command);
    if is_root() {
        command.uid(65534).gid(65534);
    }
    command
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<_> = entries.map(|it| it.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn d7_a_directory_that_may_not_be_written() {
    let folder = folder();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, Permissions::from_mode(0o555)).unwrap();
    let mut command = nobody(folder.path(), &data);
    says(&run(&mut command), &["data", "ermission denied"]);
    assert!(names(&data).is_empty(), "{:?}", names(&data));

    // One that can't be made.
    let inner = data.join("inner");
    let mut command = nobody(folder.path(), &inner);
    says(&run(&mut command), &["data/inner", "can't make it", "ermission denied"]);
    assert!(names(&data).is_empty());

    // A store that may not be opened.
    fs::set_permissions(&data, Permissions::from_mode(0o777)).unwrap();
    drop(serve(folder.path()));
    fs::set_permissions(data.join("lock"), Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(data.join("store.redb"), Permissions::from_mode(0o000)).unwrap();
    let before = names(&data);
    let mut command = nobody(folder.path(), &data);
    says(&run(&mut command), &["data", "ermission denied"]);
    assert_eq!(names(&data), before);
}

#[test]
fn d7_a_directory_that_is_something_else() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "a letter").unwrap();
    for (path, what) in [(file.clone(), "file"), (file.join("below"), "file/below")] {
        let mut command = tenure(["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
        command.arg(&path);
        says(&run(&mut command), &[what]);
    }
    assert_eq!(names(folder.path()), ["file"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "a letter");
    // One whose store is a directory.
    let data = folder.path().join("data");
    fs::create_dir_all(data.join("store.redb")).unwrap();
    let mut command = tenure(["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(&data);
    says(&run(&mut command), &["data"]);
}

#[test]
fn d7_a_disk_that_is_read_only() {
    if !works("unshare -m sh -c 'mount -t tmpfs -o size=1m none /mnt'") {
        return;
    }
    let folder = folder();
    let data = folder.path().join("data");
    drop(serve(folder.path()));
    let before = names(&data);
    let mut command = Command::new("unshare");
    let mount = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"";
    command.args(["-m", "sh", "-c", mount]).arg(&data);
    command.args([env!("CARGO_BIN_EXE_tenure"), "serve", "--listen", "127.0.0.1:0"]);
    command.arg("--data-dir").arg(&data);
    unmoved(&mut command);
    says(&run(&mut command), &["data", "ead-only"]);
    assert_eq!(names(&data), before);
}

#[test]
fn d6_two_servers_do_not_share_a_directory() {
    let folder = folder();
    let first = serve(folder.path());
    let data = folder.path().join("data");
    let mut command = tenure(["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(&data);
    let pid = format!("process {}", first.process.id());
    says(&run(&mut command), &["data", &pid]);
    assert_eq!(first.client().enter("e", "a").unwrap().number, 1);
}

/// An orderly end gives the directory back at once, and takes nothing back.
#[test]
fn d9_a_directory_that_was_given_back_is_taken_up() {
    let folder = folder();
    let mut server = serve(folder.path());
    let options = Options { ttl: Duration::from_secs(60), ..Options::default() };
    let session = Session::open(&server.address().parse().unwrap(), options).unwrap();
    session.election("e").enter("a", &EnterOptions::default()).unwrap();
    server.process.signal(Signal::TERM);
    assert_eq!(server.process.wait().code(), Some(0));
    let server = serve(folder.path());
    let now = connect(server.address()).term("e").unwrap();
    assert_eq!((now.number, now.leader.as_deref()), (1, Some("a")));
}
