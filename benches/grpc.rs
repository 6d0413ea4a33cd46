//! gRPC's GetTerm beside a bare tonic server that returns fixed bytes; and ttrpc's with `web` and idle gRPC
//! connections beside a server that speaks ttrpc alone. In one run, round by round.
//!
//! `cargo bench --bench grpc [-- --check]` prints a table: the medians of both, and of their ratios; with
//! `--check` it fails below a bound of the project. Servers have one thread each. The bare one reads a
//! message, and answers with one of the same length as Tenure's, through the same kind of codec.

mod support;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use support::grpc::{Channel, ELECTION as SERVICE, framed};
use support::load::{ELECTION, LEADER, Load, cores, pin, pin_to_all};
use support::{is_asked, judge, median};
use tenure::{Engine, Server};
use tenure_schema::atomix::runtime::election::v1::{GetTermRequest, GetTermResponse, Term};
use tenure_schema::atomix::runtime::v1::PrimitiveId;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tonic::Status;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tower::Service;

const ROUNDS: usize = 11;
/// Of a bare server's speed.
const GRPC_BOUND: f64 = 0.85;
/// Of the speed without `web`. Less is more than noise.
const TTRPC_BOUND: f64 = 0.95;
const IDLE: usize = 100;

fn main() {
    // `cargo test --benches` asks every bench for a quick look only.
    let scale = if is_asked("--test") { 100 } else { 1 };
    let cores = cores();
    let (one, two) = (cores[0], cores[cores.len() - 1]);
    let mut broken = Vec::new();
    println!("{} cores; client pinned to core {one}; {ROUNDS} rounds, interleaved", cores.len());

    println!("{:<30}{:>12}{:>12}{:>8}", "gRPC, streams", "bare tonic", "tenure", "ratio");
    for (placement, core) in [("one core", one), ("two cores", two)] {
        for (streams, calls) in [(1, 10_000), (64, 40_000)] {
            pin(core); // threads inherit it
            let (bare, tenure) = (bare(), served(false));
            pin(one);
            let load = Calls { streams, calls: calls / scale };
            let tenure_at: SocketAddr = tenure.addresses()[0].parse().expect("an address");
            let what = format!("{streams}, {placement}");
            let ratio =
                side_by_side(&what, &mut || load.run(bare.address), &mut || load.run(tenure_at));
            if ratio < GRPC_BOUND {
                broken.push(format!("gRPC, {what}: {ratio:.2} of a bare server"));
            }
            pin_to_all(&cores);
        }
    }

    println!(
        "{:<30}{:>12}{:>12}{:>8}",
        "ttrpc, connections x in flight", "alone", "idle gRPC", "ratio"
    );
    for (connections, in_flight, requests) in [(1, 1, 10_000), (8, 128, 4_000_000)] {
        pin(two);
        let (alone, with_web) = (served(true), served(false));
        pin(one);
        let idle = idle(&with_web.addresses()[0]);
        let load = Load { connections, in_flight, requests: requests / scale, spins: false };
        let rate =
            |server: &Server| load.run(server.addresses()[0].parse().expect("an address")).rate();
        let what = format!("{connections} x {in_flight}");
        let ratio = side_by_side(&what, &mut || rate(&alone), &mut || rate(&with_web));
        if ratio < TTRPC_BOUND {
            broken.push(format!("ttrpc, {what}: {ratio:.2} of the speed without web"));
        }
        drop(idle);
        pin_to_all(&cores);
    }
    judge(&broken);
}

/// Runs both in turn, prints the medians of their rates and of the rounds' ratios, and returns the latter: what
/// else the machine does changes from round to round.
fn side_by_side(what: &str, one: &mut dyn FnMut() -> f64, other: &mut dyn FnMut() -> f64) -> f64 {
    one();
    other();
    let (mut ones, mut others): (Vec<f64>, Vec<f64>) = (0..ROUNDS)
        .map(|round| {
            // What comes second may find the machine warmer.
            if round % 2 == 0 {
                let one = one();
                (one, other())
            } else {
                let other = other();
                (one(), other)
            }
        })
        .unzip();
    let mut ratios: Vec<f64> = ones.iter().zip(&others).map(|(one, other)| other / one).collect();
    let (one, other) = (median(&mut ones), median(&mut others));
    let ratio = median(&mut ratios);
    println!("{what:<30}{:>8.1} k/s{:>8.1} k/s{ratio:>8.2}", one / 1e3, other / 1e3);
    ratio
}

/// A server of Tenure's with one thread for each side.
fn served(ttrpc_only: bool) -> Server {
    let engine = Engine::builder().open().expect("an engine");
    let session = engine.session().expect("a session");
    engine.election(ELECTION).expect("a name").enter(&session, LEADER).expect("it leads");
    std::mem::forget(session);
    let server = Server::builder(engine).listen("127.0.0.1:0").reactors(NonZeroUsize::MIN);
    let server = if ttrpc_only { server.ttrpc_only() } else { server };
    server.spawn().expect("a server")
}

/// GetTerm on one connection, so many at a time.
struct Calls {
    streams: usize,
    calls: usize,
}

impl Calls {
    /// Calls a second.
    fn run(&self, server: SocketAddr) -> f64 {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let id = Some(PrimitiveId { name: ELECTION.into() });
        let request = framed(&GetTermRequest { id }.encode_to_vec());
        let path = format!("/{SERVICE}/GetTerm");
        let each = self.calls.div_ceil(self.streams);
        runtime.block_on(async {
            let channel = Channel::open(&server.to_string()).await;
            assert_eq!(channel.unary(&path, request.clone()).await, answer());
            let began = Instant::now();
            let streams: Vec<_> = (0..self.streams)
                .map(|_| {
                    let (channel, path, request) = (channel.clone(), path.clone(), request.clone());
                    tokio::spawn(async move {
                        for _ in 0..each {
                            let mut answer = channel.call(&path, request.clone()).await;
                            while answer.next().await.is_some() {}
                        }
                    })
                })
                .collect();
            for stream in streams {
                stream.await.expect("each call was answered");
            }
            (each * self.streams) as f64 / began.elapsed().as_secs_f64()
        })
    }
}

fn answer() -> Bytes {
    let term = Term { term: 1, leader: LEADER.into(), candidates: Vec::new() };
    GetTermResponse { term: Some(term) }.encode_to_vec().into()
}

/// Connections that have called once and say nothing more, for as long as the runtime lives.
fn idle(address: &str) -> Runtime {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let id = Some(PrimitiveId { name: ELECTION.into() });
    let request = framed(&GetTermRequest { id }.encode_to_vec());
    let path = format!("/{SERVICE}/GetTerm");
    runtime.block_on(async {
        for _ in 0..IDLE {
            let channel = Channel::open(address).await;
            channel.unary(&path, request.clone()).await;
            tokio::spawn(async move {
                std::future::pending::<()>().await;
                drop(channel);
            });
        }
    });
    runtime
}

/// A tonic server, as its generator would make it, that knows one answer.
struct Bare {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

fn bare() -> Bare {
    let runtime =
        Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("bound");
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = tonic::transport::Server::builder().add_service(Fixed(answer()));
    runtime.spawn(server.serve_with_incoming(incoming));
    Bare { address, runtime: Some(runtime) }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

#[derive(Clone)]
struct Fixed(Bytes);

impl NamedService for Fixed {
    const NAME: &'static str = SERVICE;
}

impl Service<http::Request<Body>> for Fixed {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let fixed = self.clone();
        Box::pin(async move { Ok(Grpc::new(Raw).unary(fixed, request).await) })
    }
}

impl UnaryService<Bytes> for Fixed {
    type Response = Bytes;
    type Future = Ready<Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, _request: tonic::Request<Bytes>) -> Self::Future {
        ready(Ok(tonic::Response::new(self.0.clone())))
    }
}

/// Messages as they are on the wire.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(bytes.copy_to_bytes(bytes.remaining())))
    }
}
