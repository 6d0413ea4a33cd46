//! The embedded engine: reading, changing, publishing. `cargo bench --bench engine`.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Cache};
use criterion::{Bencher, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tenure::{Election, Engine, Session};

fn engine(shards: usize) -> Engine {
    Engine::builder().shards(NonZeroUsize::new(shards).unwrap()).open().unwrap()
}

/// An election in which `standing` candidates stand, and the session that holds them.
fn election(engine: &Engine, name: &str, standing: usize) -> (Session, Election) {
    let session = engine.session().unwrap();
    let election = engine.election(name).unwrap();
    for at in 0..standing {
        election.enter(&session, &format!("candidate-{at}")).unwrap();
    }
    (session, election)
}

/// Runs `work` in a loop on another thread until dropped.
struct Beside {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Beside {
    fn run(mut work: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                work();
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The observer beside arc-swap's own `Cache` of the same snapshots, alone and with a writer that
/// never rests. Where each looks is hidden from the compiler, as it is in a program.
fn observer_read(c: &mut Criterion) {
    let mut group = c.benchmark_group("observer_read");
    let engine = engine(1);
    let (session, election) = election(&engine, "e", 1);
    let mut observer = election.observe();
    let swap = Arc::new(ArcSwap::new(election.term()));
    let mut cache = Cache::new(swap.clone());

    let mut anchor = |b: &mut Bencher| b.iter(|| black_box(&mut cache).load().number());
    let mut ours = |b: &mut Bencher| b.iter(|| black_box(&mut observer).term().number());
    group.bench_function("arc_swap_cache", &mut anchor);
    group.bench_function("observer", &mut ours);
    // One writer for both: each state of the election goes into the anchor too.
    let _writer = Beside::run(move || {
        swap.store(election.enter(&session, "other").unwrap());
        swap.store(election.withdraw(&session, "other").unwrap());
    });
    group.bench_function("arc_swap_cache_beside_a_writer", &mut anchor);
    group.bench_function("observer_beside_a_writer", &mut ours);
    group.finish();
}

fn read_by_name(c: &mut Criterion) {
    let mut group = c.benchmark_group("read_by_name");
    let engine = engine(4);
    let names: Vec<String> = (0..100_000).map(|n| format!("service/{n}")).collect();
    let (_session, _kept) = {
        let session = engine.session().unwrap();
        let kept: Vec<_> = names.iter().map(|name| engine.election(name).unwrap()).collect();
        kept.iter().for_each(|election| drop(election.enter(&session, "a").unwrap()));
        (session, kept)
    };
    let map: dashmap::DashMap<String, u64> = names.iter().map(|name| (name.clone(), 1)).collect();
    group.bench_function("dashmap_hot", |b| b.iter(|| *map.get(black_box("service/7")).unwrap()));
    group.bench_function("hot", |b| {
        b.iter(|| engine.term(black_box("service/7")).unwrap().number())
    });
    let mut random = fastrand::Rng::with_seed(7);
    group.bench_function("random_of_100k", |b| {
        b.iter(|| engine.term(&names[random.usize(..names.len())]).unwrap().number())
    });
    group.finish();
}

fn change(c: &mut Criterion) {
    let mut group = c.benchmark_group("change");
    for standing in [0, 3, 10, 100] {
        let engine = engine(1);
        let (session, election) = election(&engine, "e", standing);
        group.bench_function(BenchmarkId::new("enter_withdraw_pair", standing), |b| {
            b.iter(|| {
                election.enter(&session, "one-more").unwrap();
                election.withdraw(&session, "one-more").unwrap()
            });
        });
        group.bench_function(BenchmarkId::new("enter", standing), |b| {
            b.iter_custom(|rounds| enter_alone(&election, &session, rounds));
        });
    }
    group.finish();
}

/// Time of the enters alone, of pairs that put the list back.
fn enter_alone(election: &Election, session: &Session, rounds: u64) -> Duration {
    let mut spent = Duration::ZERO;
    // Reading the clock costs about a tenth of an enter, so it is read around a whole batch: each
    // batch enters into as many elections as it needs no withdrawal in between.
    const BATCH: u64 = 8;
    let mut left = rounds;
    while left > 0 {
        let batch = left.min(BATCH);
        let started = Instant::now();
        for n in 0..batch {
            election.enter(session, NEW[n as usize]).unwrap();
        }
        spent += started.elapsed();
        for n in 0..batch {
            election.withdraw(session, NEW[n as usize]).unwrap();
        }
        left -= batch;
    }
    spent
}

const NEW: [&str; 8] = ["new-0", "new-1", "new-2", "new-3", "new-4", "new-5", "new-6", "new-7"];

/// Pairs per second in all: one thread, two on one shard, two on two shards.
fn contention(c: &mut Criterion) {
    let mut group = c.benchmark_group("contention");
    group.throughput(Throughput::Elements(1));
    for (what, shards, threads) in
        [("one_thread", 1, 1), ("two_threads_one_shard", 1, 2), ("two_threads_two_shards", 2, 2)]
    {
        let engine = engine(shards);
        let elections = apart(&engine, threads);
        group.bench_function(what, |b| {
            b.iter_custom(|pairs| {
                // From when all have started, so that starting threads is not what is measured.
                let (each, together) = (pairs.div_ceil(threads as u64), Barrier::new(threads));
                thread::scope(|scope| {
                    let workers: Vec<_> = elections
                        .iter()
                        .map(|(session, election)| {
                            let together = &together;
                            scope.spawn(move || {
                                together.wait();
                                let started = Instant::now();
                                for _ in 0..each {
                                    election.enter(session, "a").unwrap();
                                    election.withdraw(session, "a").unwrap();
                                }
                                started.elapsed()
                            })
                        })
                        .collect();
                    workers.into_iter().map(|worker| worker.join().unwrap()).max().unwrap()
                })
            });
        });
    }
    group.finish();
}

/// Elections that fall on different shards, as far as there are any.
fn apart(engine: &Engine, count: usize) -> Vec<(Session, Election)> {
    let mut found: Vec<(Session, Election)> = Vec::new();
    for n in 0.. {
        if found.len() == count {
            break;
        }
        let election = engine.election(&format!("e{n}")).unwrap();
        let shards: Vec<usize> = found.iter().map(|(_, it)| it.shard()).collect();
        if !shards.contains(&election.shard()) || engine.shards() == 1 {
            found.push((engine.session().unwrap(), election));
        }
    }
    found
}

/// What one change costs its writer while many threads read.
fn publish(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish");
    for readers in [1, 16, 128] {
        let engine = engine(1);
        let (session, election) = election(&engine, "e", 1);
        let _readers: Vec<Beside> = (0..readers)
            .map(|_| {
                let mut observer = election.observe();
                Beside::run(move || {
                    black_box(observer.term().number());
                    thread::sleep(Duration::from_micros(200));
                })
            })
            .collect();
        group.bench_function(BenchmarkId::new("readers", readers), |b| {
            b.iter(|| {
                election.enter(&session, "b").unwrap();
                election.withdraw(&session, "b").unwrap()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, observer_read, read_by_name, change, contention, publish);
criterion_main!(benches);
