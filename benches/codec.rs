//! The codec beside prost, on the same bytes. `cargo bench --bench codec`.
//!
//! Both come out as owned values, as the fuzzer compares them; the server itself borrows, and takes
//! less (`cargo bench --bench connection`).

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use prost::Message;
use tenure::internals;
use tenure_schema::atomix::runtime::election::v1 as pb;
use tenure_schema::atomix::runtime::v1::PrimitiveId;
use tenure_schema::ttrpc;

fn envelope() -> Vec<u8> {
    let payload = pb::EnterRequest {
        id: Some(PrimitiveId { name: "billing/cron".into() }),
        candidate: "node-a".into(),
    };
    ttrpc::Request {
        service: "atomix.runtime.election.v1.LeaderElection".into(),
        method: "Enter".into(),
        payload: payload.encode_to_vec(),
        timeout_nano: 5_000_000_000,
        metadata: Vec::new(),
    }
    .encode_to_vec()
}

fn reply(candidates: usize) -> Vec<u8> {
    let candidates = (0..candidates).map(|n| format!("candidate-{n}")).collect();
    let term = pb::Term { term: 7, leader: "node-a".into(), candidates };
    pb::GetTermResponse { term: Some(term) }.encode_to_vec()
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    let raw = envelope();
    group.bench_function("envelope", |b| {
        b.iter(|| internals::decode_request(black_box(&raw)).unwrap())
    });
    group.bench_function("envelope_prost", |b| {
        b.iter(|| ttrpc::Request::decode(black_box(&*raw)).unwrap())
    });
    for candidates in [0, 10, 1_000] {
        let raw = reply(candidates);
        group.bench_function(format!("term_of_{candidates}"), |b| {
            b.iter(|| internals::decode_term_reply(black_box(&raw)).unwrap())
        });
        group.bench_function(format!("term_of_{candidates}_prost"), |b| {
            b.iter(|| pb::GetTermResponse::decode(black_box(&*raw)).unwrap())
        });
    }
    group.finish();
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    let raw = envelope();
    let (facts, message) =
        (internals::decode_request(&raw).unwrap(), ttrpc::Request::decode(&*raw).unwrap());
    group.bench_function("envelope", |b| b.iter(|| internals::encode_request(black_box(&facts))));
    group.bench_function("envelope_prost", |b| b.iter(|| black_box(&message).encode_to_vec()));
    let payload = reply(10);
    group.bench_function("response_frame", |b| {
        b.iter(|| internals::response_frame(7, black_box(&payload)))
    });
    group.finish();
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
