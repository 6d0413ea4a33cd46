//! Faults that only a process of its own can show, each named after its row in the list of faults,
//! each with a bystander who has to be served throughout.

#[path = "../support/mod.rs"]
mod support;
#[cfg(target_os = "linux")]
mod weighed;

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use socket2::{Domain, Socket, Type};
use support::{Bystander, PATIENCE, Running, Server, connect, end, eventually, raw, tenure};
use tenure::{Engine, Error};

/// A bystander's round of three calls, on a machine that is busy with much else. Who waits for what
/// never comes waits longer.
const PROMPT: Duration = Duration::from_secs(20);

/// A socket that the kernel buffers as little for as it can: stalled at once.
fn narrow(address: &str) -> TcpStream {
    let address: SocketAddr = address.parse().unwrap();
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    socket.connect(&address.into()).unwrap();
    let socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn open(address: &str) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

#[track_caller]
fn ends(server: &mut Server, code: i32) {
    let status = server.process.wait();
    assert_eq!(status.code(), Some(code), "{status:?}\n{}", server.process.err.rest());
}

#[test]
fn p5_sigterm_drains() {
    for signal in [Signal::TERM, Signal::INT] {
        // It ends by itself, not because its time is up.
        let mut server = Server::start("--drain 1h");
        let bystander = server.client();
        let watcher = server.client();
        let mut watch = watcher.watch("jobs").unwrap();
        let holder = server.client();
        assert_eq!(holder.enter("jobs", "a").unwrap().number, 1);
        assert_eq!(watch.next().unwrap().unwrap().leader.as_deref(), Some("a"));
        // Served up to the signal, and what was answered stays answered.
        for n in 1..=100 {
            assert_eq!(bystander.enter("bystander", "b").unwrap().number, n);
            assert_eq!(bystander.withdraw("bystander", "b").unwrap().leader, None);
        }

        server.process.signal(signal);
        let ended = watch.find_map(Result::err).expect("it ends with an error");
        match ended {
            tenure::client::ClientError::Refused { code: 14, message } => {
                assert_eq!(message, "the server is draining; connect to it again when it is back");
            }
            other => panic!("not UNAVAILABLE: {other:?}"),
        }
        // Clients that do not go by themselves do not hold it up.
        ends(&mut server, 0);
        assert!(holder.term("jobs").is_err(), "it is gone");
        TcpStream::connect(server.address()).expect_err("nobody listens");
    }
}

/// Somebody who never reads, in the middle of a frame: the drain ends all the same.
#[test]
fn p5_sigterm_drains_past_the_stuck() {
    let mut server = Server::start("--drain 1s");
    let mut stuck = narrow(server.address());
    let mut bytes = Vec::new();
    raw::put_watch(&mut bytes, 1, "jobs");
    bytes.extend_from_slice(&[0, 0, 1, 0, 0, 0]);
    stuck.write_all(&bytes).unwrap();
    raw::churn(open(server.address()), "jobs", &"a".repeat(500), 2_000);
    server.process.signal(Signal::TERM);
    ends(&mut server, 0);
}

#[test]
fn p5_second_signal_at_once() {
    let mut server = Server::start("--drain 1h --stall-time 1h --silence 1h");
    // Its replies find no reader, so the drain has to wait for it.
    let mut stuck = narrow(server.address());
    let client = server.client();
    let name = "n".repeat(500);
    for n in 0..200 {
        client.enter("wide", &format!("{name}{n}")).unwrap();
    }
    let mut bytes = Vec::new();
    (0..50).for_each(|n| raw::put_change(&mut bytes, 2 * n + 1, "Promote", "wide", "nobody"));
    stuck.write_all(&bytes).unwrap();
    stuck.read_exact(&mut [0; 1]).unwrap();
    let bystander = Bystander::of(server.address());
    bystander.was_served_within(PROMPT);

    server.process.signal(Signal::TERM);
    server.process.err.find("a second signal ends at once");
    thread::sleep(Duration::from_millis(300));
    assert!(!server.process.is_over(), "it waits for the stuck one");
    server.process.signal(Signal::TERM);
    ends(&mut server, 1);
}

#[test]
fn p6_panic_in_a_turn_stops_the_process() {
    let mut server = Server::start("");
    let bystander = server.client();
    assert_eq!(bystander.enter("bystander", "b").unwrap().number, 1);
    let mut watch = bystander.watch("bystander").unwrap();
    watch.next().unwrap().unwrap();
    let client = server.client();
    client.enter("jobs", "failpoint:panic").expect_err("nobody is left to answer");
    ends(&mut server, 70);
    let said = server.process.err.rest();
    assert!(said.contains("panicked at src/shard/failpoint.rs"), "{said}");
    assert!(said.contains("tenure: stopping after an internal fault; please report"), "{said}");
    // Never half alive: the others are cut off, not left waiting.
    watch.next().expect("the end is told").expect_err("as an error");
    bystander.term("bystander").expect_err("it is gone");
}

/// As above, with a standard error that nobody reads: what is to be said must not hold up the end.
#[test]
fn p6_panic_with_nobody_to_tell() {
    let mut child = serve_unread("--log-level trace");
    fill(child.address.as_str());
    let client = connect(&child.address);
    client.enter("jobs", "failpoint:panic").expect_err("nobody is left to answer");
    assert_eq!(support::wait(&mut child.process).code(), Some(70));
}

/// The library has no process to stop: the shard says so, and the others go on.
#[test]
fn p6_panic_in_a_turn_stops_its_shard_alone() {
    let shards = std::num::NonZeroUsize::new(4).unwrap();
    let engine = Engine::builder().shards(shards).open().unwrap();
    let session = engine.session().unwrap();
    let doomed = engine.election("doomed").unwrap();
    assert_eq!(doomed.enter(&session, "before").unwrap().number(), 1);
    let mut early = doomed.watch();

    // Others wait at the same shard while it happens; nobody may be left waiting for ever.
    let (done, all) = channel();
    for n in 0..8 {
        let (doomed, engine, done) = (doomed.clone(), engine.clone(), done.clone());
        thread::spawn(move || {
            let session = engine.session().unwrap();
            let mut outcome = Ok(());
            while outcome.is_ok() {
                outcome = doomed.enter(&session, &format!("c{n}")).map(drop);
                outcome = outcome.and_then(|()| doomed.evict(&format!("c{n}")).map(drop));
            }
            done.send(outcome).unwrap();
        });
    }
    let panicking = {
        let (doomed, engine) = (doomed.clone(), engine.clone());
        thread::spawn(move || {
            let session = engine.session().unwrap();
            doomed.enter(&session, "failpoint:panic").map(drop)
        })
    };
    // The panic comes out in whichever thread was the shard's writer.
    drop(done);
    let mut told = Vec::new();
    loop {
        match all.recv_timeout(PATIENCE) {
            Ok(outcome) => told.push(outcome),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                panic!("{} of 8 came back, the others wait for ever", told.len())
            }
        }
    }
    eventually("who asked for it comes back", || panicking.is_finished());
    let asked = panicking.join();
    assert!(told.len() >= 8 - usize::from(asked.is_ok()), "one at most has panicked");
    told.extend(asked);
    for outcome in told {
        assert!(matches!(outcome, Err(Error::ShardStopped { .. })), "{outcome:?}");
    }

    for watch in [&mut early, &mut doomed.watch()] {
        let ended = thread::scope(|scope| {
            let last = scope.spawn(|| watch.last().map(|term| term.number()));
            eventually("a watch of a stopped shard ends", || last.is_finished());
            last.join().unwrap()
        });
        assert!(ended.is_none_or(|last| last >= 1), "it went back: {ended:?}");
    }

    let error = doomed.enter(&session, "after").expect_err("it stays stopped");
    let Error::ShardStopped { shard } = error else { panic!("{error}") };
    assert!(error.to_string().contains("restart the process"), "{error}");
    assert!(doomed.term().number() >= 1, "what was published can still be read");

    let mut others = 0;
    for n in 0..64 {
        let election = engine.election(&format!("other{n}")).unwrap();
        match election.enter(&session, "c") {
            Ok(term) => {
                assert_eq!((term.number(), term.leader()), (1, Some("c")));
                others += 1;
            }
            Err(error) => assert_eq!(error, Error::ShardStopped { shard }),
        }
    }
    assert!((32..64).contains(&others), "{others} of 64 elections are in the three other shards");
}

/// A server whose standard error is a full pipe, or will be: its reader never reads.
struct Unread {
    process: std::process::Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Drop for Unread {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

fn serve_unread(args: &str) -> Unread {
    let folder = tempfile::tempdir().unwrap();
    let ports = folder.path().join("ports");
    let mut command = tenure(["serve", "--memory", "--listen", "127.0.0.1:0", "--ports-file"]);
    command.arg(&ports).args(support::words(args)).stdout(Stdio::null()).stderr(Stdio::piped());
    let process = command.spawn().unwrap();
    eventually("it listens", || ports.exists());
    let address = std::fs::read_to_string(&ports).unwrap().trim().to_owned();
    Unread { process, address, _folder: folder }
}

/// Makes a server at log level trace write more than a pipe and the log's own room hold.
fn fill(address: &str) {
    for _ in 0..4_000 {
        // Each is a line at the level debug.
        drop(TcpStream::connect(address).unwrap());
    }
}

#[test]
fn p7_log_sink_blocks() {
    let mut child = serve_unread("--log-level trace");
    let bystander = Bystander::of(&child.address);
    fill(&child.address);
    let client = connect(&child.address);
    for n in 1..=100 {
        assert_eq!(client.enter("jobs", "a").unwrap().number, n);
        client.withdraw("jobs", "a").unwrap();
    }
    bystander.was_served_within(PROMPT);

    // Read at last, the log says what it lost.
    let err = child.process.stderr.take().unwrap();
    let (seen, dropped) = channel();
    thread::spawn(move || {
        use std::io::BufRead;
        for line in BufReader::new(err).lines().map_while(Result::ok) {
            if line.contains("log lines were dropped: standard error took no more") {
                let _found = seen.send(line);
            }
        }
    });
    let line = dropped.recv_timeout(PATIENCE).expect("the loss is told");
    assert!(line.contains("lines="), "{line}");
    assert!(client.term("jobs").is_ok());
}

#[test]
fn p7_log_sink_blocks_and_the_drain_goes_on() {
    let mut child = serve_unread("--log-level trace --drain 1s");
    fill(&child.address);
    let pid = rustix::process::Pid::from_child(&child.process);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(support::wait(&mut child.process).code(), Some(0));
}

/// Begins a frame and waits to be killed: run by the test below in a process of its own.
#[test]
#[ignore = "a helper of w1_dies_in_the_middle_of_a_frame"]
fn dies_in_the_middle_of_a_frame() {
    let Ok(address) = std::env::var("TENURE_TEST_ADDRESS") else { return };
    let cut: usize = std::env::var("TENURE_TEST_CUT").unwrap().parse().unwrap();
    let mut socket = open(&address);
    let mut bytes = Vec::new();
    raw::put_change(&mut bytes, 1, "Enter", "jobs", "victim");
    socket.write_all(&bytes).unwrap();
    raw::read_frame(&mut socket).expect("the first one is answered");
    bytes.clear();
    raw::put_change(&mut bytes, 3, "Evict", "jobs", "heir");
    socket.write_all(&bytes[..cut.min(bytes.len() - 1)]).unwrap();
    println!("\nhalf way");
    thread::sleep(Duration::from_secs(60));
}

#[test]
fn w1_dies_in_the_middle_of_a_frame() {
    let server = Server::start("");
    let bystander = Bystander::of(server.address());
    for (n, cut) in [1_usize, 4, 9, 10, 11, 40, usize::MAX].into_iter().enumerate() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "dies_in_the_middle_of_a_frame", "--ignored", "--nocapture"])
            .env("TENURE_TEST_ADDRESS", server.address())
            .env("TENURE_TEST_CUT", cut.to_string());
        let mut victim = Running::start(&mut command);
        victim.out.find("half way");
        let heir = server.client();
        let term = heir.enter("jobs", "heir").unwrap();
        assert_eq!(term.leader.as_deref(), Some("victim"));
        let mut watch = heir.watch("jobs").unwrap();
        victim.signal(Signal::KILL);
        victim.wait();
        let passed = watch.find_map(|it| {
            let term = it.unwrap();
            (term.leader.as_deref() == Some("heir")).then_some(term)
        });
        let passed = passed.expect("the place passes on");
        assert_eq!(passed.number, 2 * n as u64 + 2, "one term for each, and no Evict: {cut}");
        assert!(passed.candidates.is_empty());
        heir.withdraw("jobs", "heir").unwrap();
    }
    bystander.was_served_within(PROMPT);
}

/// Bytes of a frame, then silence.
#[test]
fn c1_slowloris() {
    let server = Server::start("--frame-time 2s");
    let bystander = Bystander::of(server.address());
    let since = Instant::now();
    let mut slow: Vec<TcpStream> = (0..50).map(|_| open(server.address())).collect();
    for peer in &mut slow {
        peer.write_all(&[0, 0, 1, 0, 0, 0, 0]).unwrap();
    }
    for peer in &mut slow {
        let end = peer.read(&mut [0; 1]);
        assert!(matches!(end, Ok(0)), "{end:?}");
    }
    let took = since.elapsed();
    assert!(took > Duration::from_millis(1_900), "{took:?}");
    server.process.err.find("did not finish a frame in time");
    bystander.was_served_within(PROMPT);
}

/// A watcher that never comes back to reading is closed, and only that one.
#[test]
fn c6_a_stalled_watcher_is_closed_in_the_end() {
    let server = Server::start("--stall-time 1s");
    let bystander = Bystander::of(server.address());
    let mut stalled = narrow(server.address());
    let mut bytes = Vec::new();
    (0..1_000).for_each(|n| raw::put_watch(&mut bytes, 2 * n + 1, "jobs"));
    stalled.write_all(&bytes).unwrap();
    raw::churn_by(open(server.address()), "jobs", &"n".repeat(200), 200, 1);
    server.process.err.find("the peer took none of its output for too long");
    let mut left = BufReader::new(stalled);
    while raw::read_frame(&mut left).is_some() {}
    bystander.was_served_within(PROMPT);
}
