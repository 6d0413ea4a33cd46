//! The bounds of the embedded engine, each beside its anchor, round by round.
//!
//! `cargo bench --bench embedded [-- --check]` prints a table: the medians of both, and of the rounds' ratios or
//! differences; with `--check` it fails beyond a bound of the project. `engine` has the same operations, and more,
//! one after the other and with criterion's statistics; here both sides of a row share the machine's every mood.

mod support;

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Cache};
use support::{is_asked, judge, median};
use tenure::{Election, Engine, Session};

const ROUNDS: usize = 9;
/// An observer's read beside `Cache`'s, at most.
const OBSERVER_BOUND: f64 = 1.2;
/// A read by name over a bare look into a DashMap, in ns, at most.
const BY_NAME_BOUND: f64 = 20.0;
/// A pair of enter and withdraw where three stand, in ns, at most.
const PAIR_BOUND: f64 = 400.0;
/// Two threads on two shards beside one thread, at least.
const SHARDS_BOUND: f64 = 1.8;

const NAME: &str = "service/7";

fn main() {
    // `cargo test --benches` asks every bench for a quick look only.
    let scale = if is_asked("--test") { 1_000 } else { 1 };
    let mut broken = Vec::new();
    println!("{ROUNDS} rounds, interleaved; ns, but for pairs a second");
    println!("{:<44}{:>12}{:>12}{:>10}", "", "anchor", "tenure", "");
    let mut judged = |what: &str, Told { anchor, tenure, figure }: Told, holds: bool| {
        println!("{what:<44}{anchor:>12.2}{tenure:>12.2}{figure:>10.2}");
        if !holds {
            broken.push(format!("{what}: {figure:.2}"));
        }
    };

    let told = observer_read(10_000_000 / scale);
    judged("a read through an observer; ratio", told, told.figure <= OBSERVER_BOUND);
    for threads in [1, 2] {
        let told = read_by_name(2_000_000 / scale, threads);
        let what = format!("a read by a hot name, {threads} at once; over it");
        judged(&what, told, threads > 1 || told.figure <= BY_NAME_BOUND);
    }
    let told = pair(500_000 / scale);
    judged("enter and withdraw, three standing", told, told.figure <= PAIR_BOUND);
    let told = shards(500_000 / scale);
    judged("pairs/us: one thread, two on two; ratio", told, told.figure >= SHARDS_BOUND);
    judge(&broken);
}

/// Medians of the rounds, and of what is judged of each round.
#[derive(Clone, Copy)]
struct Told {
    anchor: f64,
    tenure: f64,
    figure: f64,
}

/// Both in turn, and the order turns too.
fn in_turn(
    mut anchor: impl FnMut() -> f64,
    mut tenure: impl FnMut() -> f64,
    figure: impl Fn(f64, f64) -> f64,
) -> Told {
    let (mut anchors, mut tenures, mut figures) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (a, t) = if round % 2 == 0 {
            let a = anchor();
            (a, tenure())
        } else {
            let t = tenure();
            (anchor(), t)
        };
        // The first one warms up.
        if round > 0 {
            anchors.push(a);
            tenures.push(t);
            figures.push(figure(a, t));
        }
    }
    let figure = median(&mut figures);
    Told { anchor: median(&mut anchors), tenure: median(&mut tenures), figure }
}

/// Nanoseconds a time.
fn timed(times: u32, mut run: impl FnMut()) -> f64 {
    let began = Instant::now();
    (0..times).for_each(|_| run());
    nanos(began.elapsed(), times)
}

fn nanos(took: Duration, times: u32) -> f64 {
    took.as_secs_f64() * 1e9 / f64::from(times)
}

fn engine(shards: usize) -> Engine {
    let shards = NonZeroUsize::new(shards).expect("some");
    Engine::builder().shards(shards).open().expect("an engine in memory opens")
}

/// An election in which so many stand, and the session that holds them.
fn election(engine: &Engine, name: &str, standing: usize) -> (Session, Election) {
    let session = engine.session().expect("a session");
    let election = engine.election(name).expect("a good name");
    for at in 0..standing {
        election.enter(&session, &format!("candidate-{at}")).expect("there is room");
    }
    (session, election)
}

/// Where each looks is hidden from the compiler, as it is in a program.
fn observer_read(times: u32) -> Told {
    let engine = engine(1);
    let (_session, election) = election(&engine, NAME, 1);
    let mut observer = election.observe();
    let mut cache = Cache::new(Arc::new(ArcSwap::new(election.term())));
    let anchor = || timed(times, || _ = black_box(black_box(&mut cache).load().number()));
    let tenure = || timed(times, || _ = black_box(black_box(&mut observer).term().number()));
    in_turn(anchor, tenure, |anchor, tenure| tenure / anchor)
}

fn read_by_name(times: u32, threads: usize) -> Told {
    let engine = engine(4);
    let names: Vec<String> = (0..1_000).map(|n| format!("service/{n}")).collect();
    let _held: Vec<_> = names.iter().map(|name| election(&engine, name, 1)).collect();
    let map: dashmap::DashMap<String, u64> = names.iter().map(|name| (name.clone(), 1)).collect();
    let anchor = || _ = black_box(*map.get(black_box(NAME)).expect("it is there"));
    let tenure = || _ = black_box(engine.term(black_box(NAME)).expect("a good name").number());
    in_turn(
        || at_once(threads, |_| timed(times, anchor)),
        || at_once(threads, |_| timed(times, tenure)),
        |anchor, tenure| tenure - anchor,
    )
}

/// Its anchor is a clock's own: nothing else does what it does.
fn pair(times: u32) -> Told {
    let engine = engine(1);
    let (session, election) = election(&engine, NAME, 3);
    let pair = || {
        election.enter(&session, "one-more").expect("there is room");
        election.withdraw(&session, "one-more").expect("it stands");
    };
    let clock = || timed(times, || _ = black_box(Instant::now()));
    in_turn(clock, || timed(times, pair), |_, tenure| tenure)
}

/// Pairs in a microsecond, in all.
fn shards(times: u32) -> Told {
    let engine = engine(2);
    let apart = two_apart(&engine);
    let pairs = |at: usize| {
        let (session, election) = &apart[at];
        timed(times, || {
            election.enter(session, "a").expect("there is room");
            election.withdraw(session, "a").expect("it stands");
        })
    };
    let rate = |threads: usize| threads as f64 * 1e3 / at_once(threads, pairs);
    in_turn(|| rate(1), || rate(2), |one, two| two / one)
}

/// The mean of what so many threads give, who begin together.
fn at_once(threads: usize, run: impl Fn(usize) -> f64 + Sync) -> f64 {
    let (together, run) = (&Barrier::new(threads), &run);
    let took: Vec<f64> = thread::scope(|scope| {
        let begin = |at| {
            scope.spawn(move || {
                together.wait();
                run(at)
            })
        };
        let workers: Vec<_> = (0..threads).map(begin).collect();
        workers.into_iter().map(|worker| worker.join().expect("no panic")).collect()
    });
    took.iter().sum::<f64>() / threads as f64
}

fn two_apart(engine: &Engine) -> Vec<(Session, Election)> {
    let one = election(engine, NAME, 0);
    let others = (0..).map(|n| election(engine, &format!("other/{n}"), 0));
    let two = others.into_iter().find(|(_, it)| it.shard() != one.1.shard());
    vec![one, two.expect("there are as many as are asked for")]
}
