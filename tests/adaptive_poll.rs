//! Whether a reactor sleeps between changes, as the system counts it.
#![cfg(all(feature = "server", target_os = "linux"))]

mod raw;

use std::fs;
use std::iter;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use raw::{Raw, enter, get_term, withdraw};
use tenure::{Engine, Server};

const HOUR: Duration = Duration::from_secs(3_600);
const ROUNDS: u32 = 200;

/// How often the only reactor of this process has gone to sleep.
fn sleeps() -> u64 {
    loop {
        // The one before may be there for a moment after it was waited for.
        if let [status] = &reactors()[..] {
            let line =
                status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            return line.unwrap().trim().parse().unwrap();
        }
    }
}

/// What the system says of each reactor of this process.
fn reactors() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten().map(|task| task.path());
    let is_reactor = |task: &PathBuf| {
        fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim_end() == "tenure-0")
    };
    tasks
        .filter(is_reactor)
        .filter_map(|task| fs::read_to_string(task.join("status")).ok())
        .collect()
}

/// How often a reactor sleeps while a client asks for these, each once it has the answer to the one before.
fn sleeps_while(limit: Duration, requests: impl Fn(u32) -> [Vec<u8>; 2]) -> u64 {
    let engine = Engine::builder().open().unwrap();
    let builder = Server::builder(engine).listen("127.0.0.1:0").adaptive_poll(limit);
    let server = builder.reactors(NonZeroUsize::MIN).spawn().unwrap();
    let mut client = Raw::connect(&server);
    let mut ask = |round| requests(round).iter().for_each(|request| _ = client.ask(request));
    (0..20).for_each(&mut ask);
    let before = sleeps();
    (20..20 + ROUNDS).for_each(&mut ask);
    sleeps() - before
}

fn pair(round: u32) -> [Vec<u8>; 2] {
    [enter(4 * round + 1, "e", "c"), withdraw(4 * round + 3, "e", "c")]
}

fn reads(round: u32) -> [Vec<u8>; 2] {
    [get_term(4 * round + 1, "e"), get_term(4 * round + 3, "e")]
}

/// Whether that many sleeps are seen once. Where others want the cores too, a reactor that looks is kept from it
/// and sleeps, and one that sleeps finds the next request there before it does: then it is tried again.
fn is_seen(limit: Duration, requests: fn(u32) -> [Vec<u8>; 2], expected: fn(u64) -> bool) -> bool {
    let began = Instant::now();
    iter::repeat_with(|| expected(sleeps_while(limit, requests)))
        .take_while(|_| began.elapsed() < raw::PATIENCE)
        .any(|is_as_expected| is_as_expected)
}

/// One test, since all threads of this process are looked at.
#[test]
fn it_sleeps_after_reads_and_looks_after_changes() {
    let (seldom, often) = (|sleeps| sleeps < 20, |sleeps| sleeps > 40);
    if thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
        assert!(is_seen(HOUR, pair, seldom), "it never waits awake between changes");
    }
    assert!(
        is_seen(Duration::ZERO, pair, often),
        "it never sleeps between changes, and was told to"
    );
    assert!(is_seen(HOUR, reads, often), "it never sleeps between reads");
}
