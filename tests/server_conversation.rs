//! A stock ttrpc client holds the conversation of SPEC section 1 with a served engine.
#![cfg(feature = "server")]

#[path = "support/conversation.rs"]
mod conversation;

use std::time::Duration;

use conversation::{ALL_CLOSED, BEFORE, C2_CLOSED, STEPS, Step};
use prost::Message;
use tenure::{Engine, Server};
use tenure_schema::atomix::runtime::election::v1 as pb;
use tenure_schema::atomix::runtime::v1::PrimitiveId;
use ttrpc::asynchronous::{Client, StreamInner};
use ttrpc::proto::Request;

const ELECTION: &str = "atomix.runtime.election.v1.LeaderElection";
const ELECTIONS: &str = "atomix.runtime.election.v1.LeaderElections";
const PATIENCE: Duration = Duration::from_secs(60);

fn id() -> Option<PrimitiveId> {
    Some(PrimitiveId { name: "the/election".into() })
}

fn request(service: &str, method: &str, payload: Vec<u8>) -> Request {
    let mut request = Request::new();
    request.service = service.into();
    request.method = method.into();
    request.payload = payload;
    request.timeout_nano = PATIENCE.as_nanos() as i64;
    request
}

fn show(term: Option<pb::Term>) -> String {
    let term = term.expect("a reply holds a term");
    format!("t{} {:?} {:?}", term.term, term.leader, term.candidates)
}

struct Node(Client);

impl Node {
    async fn connect(server: &Server) -> Self {
        let address = &server.addresses()[0];
        let target = match address.strip_prefix("unix://") {
            Some(_) => address.clone(),
            None => format!("tcp://{address}"),
        };
        let node = Self(Client::connect(&target).await.unwrap());
        node.create().await;
        node
    }

    async fn create(&self) {
        let create = pb::CreateRequest { id: id(), tags: vec![] };
        let reply =
            self.0.request(request(ELECTIONS, "Create", create.encode_to_vec())).await.unwrap();
        assert_eq!(reply.payload, [0x0a, 0x02, 0x0a, 0x00]);
    }

    async fn close(&self) {
        let close = pb::CloseRequest { id: id() };
        let reply =
            self.0.request(request(ELECTIONS, "Close", close.encode_to_vec())).await.unwrap();
        assert_eq!(reply.payload, b"");
    }

    async fn term(&self) -> String {
        let get = pb::GetTermRequest { id: id() };
        let reply =
            self.0.request(request(ELECTION, "GetTerm", get.encode_to_vec())).await.unwrap();
        show(pb::GetTermResponse::decode(&*reply.payload).unwrap().term)
    }

    async fn change(&self, method: &str, candidate: &str) -> String {
        let enter = pb::EnterRequest { id: id(), candidate: candidate.into() };
        let reply = self.0.request(request(ELECTION, method, enter.encode_to_vec())).await.unwrap();
        show(pb::EnterResponse::decode(&*reply.payload).unwrap().term)
    }

    async fn watch(&self) -> Watch {
        let watch = pb::WatchRequest { id: id() };
        let mut request = request(ELECTION, "Watch", watch.encode_to_vec());
        request.timeout_nano = 0;
        Watch(self.0.new_stream(request, false, true).await.unwrap())
    }
}

struct Watch(StreamInner);

impl Watch {
    async fn next(&mut self) -> Option<String> {
        let received = tokio::time::timeout(PATIENCE, self.0.recv()).await.expect("in time");
        match received {
            Ok(message) => Some(show(pb::WatchResponse::decode(&*message).unwrap().term)),
            Err(ttrpc::Error::Eof) => None,
            Err(error) => panic!("the watch failed: {error}"),
        }
    }
}

async fn converse(server: &Server) {
    let c1 = Node::connect(server).await;
    let c2 = Node::connect(server).await;
    let c3 = Node::connect(server).await;
    let mut watch = c1.watch().await;
    assert_eq!(c1.term().await, BEFORE);

    let nodes = [&c1, &c2, &c3];
    for Step { by, method, candidate, state } in STEPS {
        assert_eq!(nodes[by].change(method, candidate).await, state, "{method} {candidate}");
        assert_eq!(watch.next().await.as_deref(), Some(state), "{method} {candidate}");
    }
    c2.close().await;
    assert_eq!(watch.next().await.as_deref(), Some(C2_CLOSED));

    c1.close().await;
    assert_eq!(watch.next().await.as_deref(), Some(ALL_CLOSED));
    assert_eq!(watch.next().await, None);
    c3.close().await;
    c1.create().await;
    assert_eq!(c1.term().await, ALL_CLOSED);
}

#[tokio::test]
async fn the_conversation_holds_over_tcp() {
    let engine = Engine::builder().open().unwrap();
    let server = Server::builder(engine).listen("127.0.0.1:0").spawn().unwrap();
    converse(&server).await;
}

#[tokio::test]
async fn the_conversation_holds_over_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::builder().open().unwrap();
    let address = format!("unix://{}/socket", dir.path().display());
    let reactors = std::num::NonZeroUsize::new(2).unwrap();
    let server = Server::builder(engine).listen(address).reactors(reactors).spawn().unwrap();
    converse(&server).await;
}

#[tokio::test]
async fn a_killed_leaders_successor_leads_at_once() {
    let engine = Engine::builder().open().unwrap();
    let server = Server::builder(engine).listen("127.0.0.1:0").spawn().unwrap();
    let leader = Node::connect(&server).await;
    let heir = Node::connect(&server).await;
    leader.change("Enter", "c1").await;
    heir.change("Enter", "c2").await;
    let mut watch = heir.watch().await;
    assert_eq!(watch.next().await.as_deref(), Some(r#"t1 "c1" ["c2"]"#));
    drop(leader);
    assert_eq!(watch.next().await.as_deref(), Some(r#"t2 "c2" []"#));
}

#[tokio::test]
async fn a_dropped_watch_does_not_disturb_its_connection() {
    let engine = Engine::builder().open().unwrap();
    let server = Server::builder(engine).listen("127.0.0.1:0").spawn().unwrap();
    let node = Node::connect(&server).await;
    drop(node.watch().await);
    assert_eq!(node.change("Enter", "c1").await, r#"t1 "c1" []"#);
    assert_eq!(node.change("Enter", "c2").await, r#"t1 "c1" ["c2"]"#);
    assert_eq!(node.term().await, r#"t1 "c1" ["c2"]"#);
}

#[tokio::test]
async fn an_error_has_its_code_and_a_sentence() {
    let engine = Engine::builder().open().unwrap();
    let server = Server::builder(engine).listen("127.0.0.1:0").spawn().unwrap();
    let node = Node::connect(&server).await;
    let error = node.0.request(request(ELECTION, "Abdicate", vec![])).await.unwrap_err();
    let ttrpc::Error::RpcStatus(status) = error else { panic!("{error}") };
    assert_eq!(status.code(), ttrpc::Code::UNIMPLEMENTED);
    assert_eq!(status.message(), format!("unknown method /{ELECTION}/Abdicate"));
}
