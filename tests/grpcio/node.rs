//! ttrpc clients that stand beside those over gRPC: the `ttrpc` crate's own, which was not written here.

use std::sync::{Arc, Mutex};

use prost::Message;
use tenure_schema::atomix::runtime::election::v1 as pb;
use tenure_schema::atomix::runtime::v1::PrimitiveId;
use tokio::runtime::Runtime;
use ttrpc::asynchronous::Client;
use ttrpc::proto::Request;

use crate::support::{PATIENCE, eventually};

const ELECTION: &str = "atomix.runtime.election.v1.LeaderElection";

/// Three clients, each on a connection of its own, and one that watches.
pub(crate) struct Others {
    runtime: Runtime,
    clients: Vec<Client>,
    observer: Client,
    seen: Vec<(String, Arc<Mutex<Vec<String>>>)>,
}

fn request(method: &str, election: &str, candidate: &str) -> Request {
    let id = Some(PrimitiveId { name: election.into() });
    let mut request = Request::new();
    request.service = ELECTION.into();
    request.method = method.into();
    // The messages without a candidate, and those with, have the same fields.
    request.payload = pb::EnterRequest { id, candidate: candidate.into() }.encode_to_vec();
    request
}

fn show(payload: &[u8]) -> String {
    let term = pb::EnterResponse::decode(payload).expect("a term").term.unwrap_or_default();
    let waiting: Vec<String> = term.candidates.iter().map(|it| format!("{it:?}")).collect();
    format!("t{} {:?} [{}]", term.term, term.leader, waiting.join(", "))
}

impl Others {
    pub(crate) fn at(address: &str) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let target = format!("tcp://{address}");
        let connect = || runtime.block_on(Client::connect(&target)).expect("a connection");
        let (clients, observer) = ((0..3).map(|_| connect()).collect(), connect());
        Self { runtime, clients, observer, seen: Vec::new() }
    }

    /// The reply's term, or nothing where it has none.
    pub(crate) fn call(&self, of: usize, method: &str, election: &str, candidate: &str) -> String {
        let mut request = request(method, election, candidate);
        request.timeout_nano = PATIENCE.as_nanos() as i64;
        let reply = self.runtime.block_on(self.clients[of].request(request)).expect("it is served");
        match method {
            "Create" => {
                assert_eq!(reply.payload, [0x0a, 0x02, 0x0a, 0x00]);
                String::new()
            }
            "Close" => String::new(),
            _ => show(&reply.payload),
        }
    }

    pub(crate) fn watch(&mut self, election: &str) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        self.seen.push((election.to_owned(), seen.clone()));
        let watch = self.observer.new_stream(request("Watch", election, ""), false, true);
        let mut watch = self.runtime.block_on(watch).expect("a watch");
        self.runtime.spawn(async move {
            while let Ok(message) = watch.recv().await {
                seen.lock().expect("unharmed").push(show(&message));
            }
        });
        // Behind it on the same connection: the server has it once this is answered.
        let behind = self.observer.request(request("GetTerm", election, ""));
        self.runtime.block_on(behind).expect("it is served");
    }

    /// What the watch of that election has seen, once that is so much.
    pub(crate) fn seen(&self, election: &str, count: usize) -> String {
        let (_, seen) = self.seen.iter().find(|(name, _)| name == election).expect("watched");
        let seen = || seen.lock().expect("unharmed");
        eventually("the watch sees them all", || seen().len() >= count);
        seen().join("; ")
    }
}
