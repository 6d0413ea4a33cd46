//! A connection without its socket: what a request costs between two system calls.
//! `cargo bench --bench connection`.

#[path = "../tests/raw/mod.rs"]
mod raw;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use raw::{enter, get_term, withdraw};
use tenure::internals::LooseConnection;
use tenure::{Engine, Moment};

const NOW: Moment = Moment::from_nanos(1);
const BATCH: u32 = 128;

/// Feeds a batch, as one read brings it, and takes the replies, as one write does.
fn turn(conn: &mut LooseConnection, batch: &[u8]) -> usize {
    conn.feed(NOW, batch);
    while conn.fetch() {}
    let len = black_box(conn.pending()).len();
    conn.sent(NOW, len);
    len
}

fn batch(frame: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    (0..BATCH).flat_map(|n| frame(2 * n + 1)).collect()
}

fn requests(c: &mut Criterion) {
    let engine = Engine::builder().open().unwrap();
    let mut conn = LooseConnection::new(&engine, NOW);
    let name = |n: u32| format!("team-{n}/service-{n}");
    for n in 0..BATCH {
        turn(&mut conn, &enter(1, &name(n), "node-a"));
    }

    let mut group = c.benchmark_group("connection");
    group.throughput(Throughput::Elements(BATCH.into()));
    let same = batch(|stream| get_term(stream, &name(0)));
    group.bench_function("GetTerm, one name", |b| b.iter(|| turn(&mut conn, &same)));
    let many = batch(|stream| get_term(stream, &name(stream / 2)));
    group.bench_function("GetTerm, 128 names", |b| b.iter(|| turn(&mut conn, &many)));
    let unknown = batch(|stream| get_term(stream, "unknown"));
    group.bench_function("GetTerm, unknown name", |b| b.iter(|| turn(&mut conn, &unknown)));
    let again = batch(|stream| enter(stream, &name(0), "node-a"));
    group.bench_function("Enter again", |b| b.iter(|| turn(&mut conn, &again)));
    let pairs: Vec<u8> = (0..BATCH / 2)
        .flat_map(|n| [enter(4 * n + 1, "pair", "b"), withdraw(4 * n + 3, "pair", "b")])
        .flatten()
        .collect();
    group.bench_function("Enter and Withdraw", |b| b.iter(|| turn(&mut conn, &pairs)));
    group.finish();
}

criterion_group!(benches, requests);
criterion_main!(benches);
