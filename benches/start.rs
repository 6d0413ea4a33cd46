//! How long a start takes over a store of a million elections with a hundred thousand candidates.
//!
//! `cargo bench --bench start [-- ELECTIONS]` makes the store (minutes, and about 250 MB in the system's
//! temporary folder), ends without a word, as a crash does, and opens it: after the crash, then after orderly
//! ends. Ready means that everything can be asked.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tenure::{Engine, Limits, SessionSettings};

const THREADS: usize = 64;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [role, folder, elections] = &args[..]
        && role == "fill"
    {
        return fill(Path::new(folder), elections.parse().expect("a number"));
    }
    let quick = args.iter().any(|arg| arg == "--test");
    let asked = args.iter().find_map(|arg| arg.parse().ok());
    let elections = asked.unwrap_or(if quick { 1_000 } else { 1_000_000 });
    let folder = tempfile::tempdir().expect("a folder");
    let mut filling = Command::new(std::env::current_exe().expect("this program"));
    let filled = filling.args(["fill".as_ref(), folder.path(), elections.to_string().as_ref()]);
    let _it_crashed = filled.status().expect("it runs");
    println!("{elections} elections, one in ten with a candidate");
    for after in ["a crash", "an orderly end", "an orderly end", "an orderly end"] {
        let began = Instant::now();
        let engine = open(folder.path());
        let took = began.elapsed();
        assert_eq!(engine.elections(), elections);
        println!("   ready after {after}: {:.2} s", took.as_secs_f64());
    }
}

fn open(folder: &Path) -> Engine {
    let limits = Limits { elections: 2_000_000, ..Limits::DEFAULT };
    Engine::builder().limits(limits).data_dir(folder).open().expect("a store that opens")
}

fn fill(folder: &Path, elections: usize) {
    let engine = open(folder);
    thread::scope(|scope| {
        for part in 0..THREADS {
            let engine = &engine;
            scope.spawn(move || {
                let ttl = Duration::from_secs(24 * 60 * 60);
                let settings = SessionSettings { ttl, ..SessionSettings::default() };
                let (session, _) = engine.open_session(settings).expect("a session");
                for n in (part..elections).step_by(THREADS) {
                    let election = engine.election(&format!("election/{n:07}")).expect("a name");
                    election.enter(&session, "candidate").expect("a place");
                    if n % 10 != 0 {
                        election.withdraw(&session, "candidate").expect("no place");
                    }
                }
            });
        }
    });
    std::process::abort();
}
