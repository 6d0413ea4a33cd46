//! The `ttrpc` crate's own async client, generated from `proto/`, against a served engine and against
//! the real `tenure serve`: what another party's reading of the protocol makes of this server.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use support::Server as Binary;
use support::conversation::{ALL_CLOSED, BEFORE, C2_CLOSED, LAST, STEPS, Step};
use tempfile::TempDir;
use tenure::{CacheRule, Engine, Server};
use tenure_schema::ttrpc_client::election::{
    AnointRequest, DemoteRequest, EnterRequest, EvictRequest, GetTermRequest, PromoteRequest, Term,
    WatchRequest, WatchResponse, WithdrawRequest,
};
use tenure_schema::ttrpc_client::election_ttrpc::LeaderElectionClient;
use tenure_schema::ttrpc_client::elections::{CloseRequest, CreateRequest};
use tenure_schema::ttrpc_client::elections_ttrpc::LeaderElectionsClient;
use tenure_schema::ttrpc_client::runtime::PrimitiveID;
use ttrpc::Code;
use ttrpc::asynchronous::{Client, ClientStreamReceiver};
use ttrpc::context::{self, Context};

const PATIENCE: Duration = Duration::from_secs(60);
const NAME: &str = "the/election";

/// What may stand behind an address.
enum Target {
    Engine(Server, Option<TempDir>),
    Process(
        Binary,
        #[allow(dead_code, reason = "kept until the process has ended")] Option<TempDir>,
    ),
}

fn unix() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix://{}/socket", folder.path().display());
    (folder, address)
}

impl Target {
    fn engine() -> Self {
        let server = Server::builder(Engine::builder().open().unwrap()).listen("127.0.0.1:0");
        Target::Engine(server.spawn().unwrap(), None)
    }

    fn engine_over_unix() -> Self {
        let (folder, address) = unix();
        let server = Server::builder(Engine::builder().open().unwrap()).listen(address);
        Target::Engine(server.spawn().unwrap(), Some(folder))
    }

    fn process() -> Self {
        Target::Process(Binary::start("--reactors 2"), None)
    }

    fn process_over_unix() -> Self {
        let (folder, address) = unix();
        Target::Process(Binary::start(&format!("--listen {address}")), Some(folder))
    }

    async fn connect(&self) -> Node {
        let address = match self {
            Target::Engine(server, _) => &server.addresses()[0],
            Target::Process(server, _) => &server.addresses[0],
        };
        Node::connect(address).await
    }
}

/// One connection.
struct Node {
    raw: Client,
    election: LeaderElectionClient,
    elections: LeaderElectionsClient,
}

fn id(name: &str) -> protobuf::MessageField<PrimitiveID> {
    Some(PrimitiveID { name: name.into(), ..Default::default() }).into()
}

fn patiently() -> Context {
    context::with_duration(PATIENCE)
}

fn show(term: &Term) -> String {
    format!("t{} {:?} {:?}", term.term, term.leader, term.candidates)
}

/// Calls a method about a candidate, for its term.
macro_rules! change {
    ($node:expr, $method:ident, $request:ident, $name:expr, $candidate:expr) => {{
        let (id, candidate) = (id($name), $candidate.into());
        let request = $request { id, candidate, ..Default::default() };
        $node.election.$method(patiently(), &request).await.map(|reply| reply.term.unwrap())
    }};
}

impl Node {
    async fn connect(address: &str) -> Self {
        let target = match address.strip_prefix("unix://") {
            Some(_) => address.to_owned(),
            None => format!("tcp://{address}"),
        };
        let raw = Client::connect(&target).await.unwrap();
        let election = LeaderElectionClient::new(raw.clone());
        let elections = LeaderElectionsClient::new(raw.clone());
        Self { raw, election, elections }
    }

    async fn try_change(&self, method: &str, name: &str, c: &str) -> ttrpc::Result<Term> {
        match method {
            "Enter" => change!(self, enter, EnterRequest, name, c),
            "Withdraw" => change!(self, withdraw, WithdrawRequest, name, c),
            "Anoint" => change!(self, anoint, AnointRequest, name, c),
            "Promote" => change!(self, promote, PromoteRequest, name, c),
            "Demote" => change!(self, demote, DemoteRequest, name, c),
            "Evict" => change!(self, evict, EvictRequest, name, c),
            _ => unreachable!("{method}"),
        }
    }

    async fn change(&self, method: &str, candidate: &str) -> String {
        show(&self.try_change(method, NAME, candidate).await.unwrap())
    }

    async fn term(&self) -> String {
        let request = GetTermRequest { id: id(NAME), ..Default::default() };
        show(&self.election.get_term(patiently(), &request).await.unwrap().term.unwrap())
    }

    async fn create(&self) {
        let request = CreateRequest { id: id(NAME), ..Default::default() };
        let reply = self.elections.create(patiently(), &request).await.unwrap();
        assert!(!reply.config.as_ref().unwrap().cache.as_ref().unwrap().enabled);
    }

    async fn close(&self) {
        let request = CloseRequest { id: id(NAME), ..Default::default() };
        self.elections.close(patiently(), &request).await.unwrap();
    }

    async fn watch_for(&self, name: &str, patience: Context) -> Watch {
        let request = WatchRequest { id: id(name), ..Default::default() };
        Watch(self.election.watch(patience, &request).await.unwrap())
    }

    async fn watch(&self) -> Watch {
        self.watch_for(NAME, Context::default()).await
    }

    /// A call without the generated code.
    async fn call(&self, service: &str, method: &str, payload: &[u8]) -> ttrpc::Result<Vec<u8>> {
        let mut request = ttrpc::proto::Request::new();
        request.service = service.into();
        request.method = method.into();
        request.payload = payload.into();
        request.timeout_nano = PATIENCE.as_nanos() as i64;
        Ok(self.raw.request(request).await?.payload)
    }
}

struct Watch(ClientStreamReceiver<WatchResponse>);

impl Watch {
    async fn try_next(&mut self) -> ttrpc::Result<Option<String>> {
        let received = tokio::time::timeout(PATIENCE, self.0.recv()).await.expect("in time");
        Ok(received?.map(|event| show(&event.term.unwrap())))
    }

    async fn next(&mut self) -> Option<String> {
        self.try_next().await.unwrap()
    }
}

#[track_caller]
fn status<T: std::fmt::Debug>(result: ttrpc::Result<T>) -> (Code, String) {
    match result.expect_err("it is refused") {
        ttrpc::Error::RpcStatus(status) => (status.code(), status.message().to_owned()),
        other => panic!("not a status: {other}"),
    }
}

/// SPEC section 1, with a connection for each candidate and every event taken in its order.
async fn converse(target: &Target) {
    let (c1, c2, c3) = (target.connect().await, target.connect().await, target.connect().await);
    for node in [&c1, &c2, &c3] {
        node.create().await;
    }
    let mut watch = c1.watch().await;
    // Opened before anything happened and read only at the end: it may skip, and ends at the newest.
    let mut lazy = c2.watch_for(NAME, Context::default()).await;
    assert_eq!(c1.term().await, BEFORE);

    let nodes = [&c1, &c2, &c3];
    for Step { by, method, candidate, state } in STEPS {
        assert_eq!(nodes[by].change(method, candidate).await, state, "{method} {candidate}");
        assert_eq!(watch.next().await.as_deref(), Some(state), "{method} {candidate}");
        assert_eq!(c3.term().await, state, "{method} {candidate}");
    }
    // Nothing to do: no event between this and the next.
    assert_eq!(c1.change("Anoint", "c2").await, LAST);
    assert_eq!(c3.change("Evict", "nobody").await, LAST);

    c2.close().await;
    assert_eq!(watch.next().await.as_deref(), Some(C2_CLOSED));
    let mut last = None;
    while let Some(state) = lazy.next().await {
        last = Some(state);
    }
    // Close ends the closer's watch at the newest it had led to.
    assert_eq!(last.as_deref(), Some(C2_CLOSED));

    c1.close().await;
    assert_eq!(watch.next().await.as_deref(), Some(ALL_CLOSED));
    assert_eq!(watch.next().await, None, "Close ends the watch, with OK");
    c3.close().await;
    for node in [&c1, &c2, &c3] {
        node.create().await;
    }
    assert_eq!(c1.term().await, ALL_CLOSED);
}

#[tokio::test]
async fn the_conversation_holds_with_an_engine() {
    converse(&Target::engine()).await;
}

#[tokio::test]
async fn the_conversation_holds_with_an_engine_over_unix() {
    converse(&Target::engine_over_unix()).await;
}

#[tokio::test]
async fn the_conversation_holds_with_the_binary() {
    converse(&Target::process()).await;
}

#[tokio::test]
async fn the_conversation_holds_with_the_binary_over_unix() {
    converse(&Target::process_over_unix()).await;
}

#[tokio::test]
async fn a_lost_connection_is_a_lost_candidate() {
    let target = Target::process();
    let (leader, heir) = (target.connect().await, target.connect().await);
    leader.change("Enter", "c1").await;
    heir.change("Enter", "c2").await;
    let mut watch = heir.watch().await;
    assert_eq!(watch.next().await.as_deref(), Some(r#"t1 "c1" ["c2"]"#), "the present state first");
    drop(leader);
    assert_eq!(watch.next().await.as_deref(), Some(r#"t2 "c2" []"#));
}

#[tokio::test]
async fn both_services_create_and_close() {
    const SERVICES: [&str; 2] =
        ["atomix.runtime.election.v1.LeaderElections", "atomix.runtime.election.v1.LeaderElection"];
    let rule = CacheRule { names: vec!["cached/*".into()], tags: vec!["cache".into()] };
    let server = Server::builder(Engine::builder().open().unwrap()).cache_rule(rule);
    let target = Target::Engine(server.listen("127.0.0.1:0").spawn().unwrap(), None);
    let node = target.connect().await;
    let create = |name: &str, tags: &[&str]| {
        let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
        let request = CreateRequest { id: id(name), tags, ..Default::default() };
        protobuf::Message::write_to_bytes(&request).unwrap()
    };
    for service in SERVICES {
        for _ in 0..2 {
            let plain = node.call(service, "Create", &create("plain", &[])).await.unwrap();
            assert_eq!(plain, [0x0a, 0x02, 0x0a, 0x00], "{service}");
            let by_name = node.call(service, "Create", &create("cached/1", &[])).await.unwrap();
            assert_eq!(by_name, [0x0a, 0x04, 0x0a, 0x02, 0x08, 0x01], "{service}");
            let by_tag = node.call(service, "Create", &create("x", &["a", "cache"])).await.unwrap();
            assert_eq!(by_tag, [0x0a, 0x04, 0x0a, 0x02, 0x08, 0x01], "{service}");
        }
        // Close, of what was used and of what was never heard of.
        assert_eq!(node.try_change("Enter", "plain", "c").await.unwrap().leader, "c");
        for name in ["plain", "plain", "unheard of"] {
            let close = CloseRequest { id: id(name), ..Default::default() };
            let close = protobuf::Message::write_to_bytes(&close).unwrap();
            let reply = node.call(service, "Close", &close).await.unwrap();
            assert!(reply.is_empty(), "{service} {name}");
        }
        let term = node.try_change("Evict", "plain", "c").await.unwrap();
        assert_eq!((term.leader.as_str(), term.candidates.len()), ("", 0), "{service}");
    }
    // The generated clients of both know them too.
    let request = CreateRequest { id: id("cached/2"), ..Default::default() };
    let reply = node.election.create(patiently(), &request).await.unwrap();
    assert!(reply.config.unwrap().cache.unwrap().enabled);
    let request = CloseRequest { id: id("cached/2"), ..Default::default() };
    node.election.close(patiently(), &request).await.unwrap();
}

/// The latest non-empty tags win, whoever gave them.
#[tokio::test]
async fn an_elections_tags_count_until_it_gets_others() {
    const NO: &[u8] = &[0x0a, 0x02, 0x0a, 0x00];
    const YES: &[u8] = &[0x0a, 0x04, 0x0a, 0x02, 0x08, 0x01];
    let rule = CacheRule { names: vec![], tags: vec!["cache".into()] };
    let engine = Engine::builder().open().unwrap();
    let server = Server::builder(engine.clone()).cache_rule(rule).listen("127.0.0.1:0");
    let target = Target::Engine(server.spawn().unwrap(), None);
    let (first, second) = (target.connect().await, target.connect().await);
    for (node, tags, cached) in [
        (&first, &[][..], NO),
        (&first, &["cache", "x"], YES),
        (&second, &[], YES),
        (&second, &["x"], NO),
        (&first, &[], NO),
        (&second, &["cache"], YES),
        (&first, &[], YES),
    ] {
        let given = tags.iter().map(|&tag| tag.to_owned()).collect();
        let request = CreateRequest { id: id(NAME), tags: given, ..Default::default() };
        let request = protobuf::Message::write_to_bytes(&request).unwrap();
        let service = "atomix.runtime.election.v1.LeaderElections";
        assert_eq!(node.call(service, "Create", &request).await.unwrap(), cached, "{tags:?}");
    }
    engine.election(NAME).unwrap().delete().unwrap();
    let request = CreateRequest { id: id(NAME), ..Default::default() };
    let reply = first.elections.create(patiently(), &request).await.unwrap();
    assert!(!reply.config.unwrap().cache.unwrap().enabled, "they went with it");
}

#[tokio::test]
async fn close_leaves_one_election_alone() {
    let target = Target::engine();
    let node = target.connect().await;
    node.change("Enter", "c").await;
    node.try_change("Enter", "another", "c").await.unwrap();
    let mut other = node.watch_for("another", Context::default()).await;
    assert_eq!(other.next().await.as_deref(), Some(r#"t1 "c" []"#));
    node.close().await;
    assert_eq!(node.term().await, r#"t1 "" []"#);
    let anointed = node.try_change("Anoint", "another", "c").await.unwrap();
    assert_eq!(show(&anointed), r#"t1 "c" []"#);
    node.try_change("Enter", "another", "d").await.unwrap();
    assert_eq!(other.next().await.as_deref(), Some(r#"t1 "c" ["d"]"#), "it was not ended");
}

#[tokio::test]
async fn errors_have_their_codes_and_a_sentence() {
    let target = Target::process();
    let (node, other) = (target.connect().await, target.connect().await);
    let long = "n".repeat(513);

    for (name, candidate, expected) in [
        ("", "c", "election name is empty; give it at least one byte"),
        (NAME, "", "candidate is empty; give it at least one byte"),
        (&*long, "c", "election name has 513 bytes; at most 512 are allowed"),
        (NAME, &*long, "candidate has 513 bytes; at most 512 are allowed"),
        (NAME, "a\nb", "candidate has the control character U+000A at byte 1; remove it"),
    ] {
        for method in ["Enter", "Withdraw", "Anoint", "Promote", "Demote", "Evict"] {
            let (code, message) = status(node.try_change(method, name, candidate).await);
            assert_eq!(code, Code::INVALID_ARGUMENT, "{method} {message}");
            assert_eq!(message, expected, "{method}");
        }
    }
    assert_eq!(node.term().await, r#"t0 "" []"#, "nothing was changed");

    let service = "atomix.runtime.election.v1.LeaderElection";
    let (code, message) = status(node.call(service, "Abdicate", &[]).await);
    assert_eq!(code, Code::UNIMPLEMENTED);
    assert_eq!(message, format!("unknown method /{service}/Abdicate"));
    let (code, message) = status(node.call("atomix.Nothing", "GetTerm", &[]).await);
    assert_eq!(code, Code::UNIMPLEMENTED);
    assert_eq!(message, "unknown method /atomix.Nothing/GetTerm");

    let (code, message) = status(node.call(service, "Enter", b"\x0a\x05ab").await);
    assert_eq!(code, Code::INVALID_ARGUMENT);
    assert!(message.starts_with("atomix.runtime.election.v1.EnterRequest can't be decoded: "));

    node.change("Enter", "c1").await;
    let (code, message) = status(other.try_change("Withdraw", NAME, "c1").await);
    assert_eq!(code, Code::PERMISSION_DENIED);
    assert!(message.contains("held by another session") && message.contains("use Evict"));

    // On the v1 services a candidate of a connection passes to whoever enters it: a new term.
    assert_eq!(other.change("Enter", "c1").await, r#"t2 "c1" []"#);
    let (code, _) = status(node.try_change("Withdraw", NAME, "c1").await);
    assert_eq!(code, Code::PERMISSION_DENIED);

    // A watch is refused on its stream.
    let mut refused = node.watch_for("", Context::default()).await;
    let (code, message) = status(refused.try_next().await);
    assert_eq!(
        (code, &*message),
        (Code::INVALID_ARGUMENT, "election name is empty; give it at least one byte")
    );
    assert_eq!(node.term().await, r#"t2 "c1" []"#, "the connection goes on");
}

#[tokio::test]
async fn a_limit_is_named() {
    let target = Target::Process(Binary::start("--max-candidates 2 --max-streams 3"), None);
    let node = target.connect().await;
    node.change("Enter", "c1").await;
    node.change("Enter", "c2").await;
    let (code, message) = status(node.try_change("Enter", NAME, "c3").await);
    assert_eq!(code, Code::RESOURCE_EXHAUSTED);
    assert!(message.contains("candidates (2)"), "{message}");

    let mut watches = Vec::new();
    for _ in 0..3 {
        let mut watch = node.watch().await;
        assert!(watch.next().await.is_some());
        watches.push(watch);
    }
    let (code, message) = status(node.watch().await.try_next().await);
    assert_eq!(code, Code::RESOURCE_EXHAUSTED);
    assert!(message.contains("streams (3)"), "{message}");
    assert_eq!(node.term().await, r#"t1 "c1" ["c2"]"#);
}

/// As Go's client cancels; the Rust one can't say it.
#[test]
fn a_watch_is_cancelled_by_its_last_word() {
    use std::io::Write;
    use support::raw;

    let server = Binary::start("");
    let mut socket = std::net::TcpStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let client = server.client();
    client.enter(NAME, "c1").unwrap();
    let mut bytes = Vec::new();
    raw::put_watch(&mut bytes, 1, NAME);
    socket.write_all(&bytes).unwrap();
    let first = raw::read_frame(&mut socket).unwrap();
    assert_eq!((first.stream, raw::term(&first).leader), (1, "c1".to_owned()));

    // The last word, and a new watch under the same id.
    let mut bytes = Vec::new();
    raw::put_frame(&mut bytes, 1, raw::DATA, 5, &[]);
    raw::put_watch(&mut bytes, 1, NAME);
    socket.write_all(&bytes).unwrap();
    let end = raw::read_frame(&mut socket).unwrap();
    assert_eq!((end.stream, end.kind, end.flags, end.body.len()), (1, raw::DATA, 5, 0));
    let again = raw::read_frame(&mut socket).unwrap();
    assert_eq!((again.stream, raw::term(&again).leader), (1, "c1".to_owned()));
    client.enter(NAME, "c2").unwrap();
    assert_eq!(raw::term(&raw::read_frame(&mut socket).unwrap()).candidates, ["c2"]);
}

/// The client sends nothing when a watch is dropped, and skips what still comes for it.
#[tokio::test]
async fn a_dropped_watch_disturbs_nobody() {
    let target = Target::process();
    let node = target.connect().await;
    let mut kept = node.watch().await;
    for _ in 0..100 {
        drop(node.watch().await);
    }
    for n in 1..=50 {
        let entered = node.change("Enter", "c1").await;
        assert_eq!(entered, format!(r#"t{n} "c1" []"#));
        assert_eq!(kept.next().await, Some(entered));
        let left = node.change("Withdraw", "c1").await;
        assert_eq!(kept.next().await, Some(left));
    }
}

#[tokio::test]
async fn a_watch_ends_when_its_time_is_up() {
    let target = Target::engine();
    let node = target.connect().await;
    // Before the watch, whose first word then goes out as it begins, however short its time.
    node.change("Enter", "c1").await;
    let patience = context::with_duration(Duration::from_millis(100));
    let mut watch = node.watch_for(NAME, patience).await;
    assert_eq!(watch.next().await.as_deref(), Some(r#"t1 "c1" []"#));
    let (code, message) = status(watch.try_next().await);
    assert_eq!((code, &*message), (Code::DEADLINE_EXCEEDED, "deadline exceeded"));
    assert_eq!(node.term().await, r#"t1 "c1" []"#);
}

#[tokio::test]
async fn a_time_that_is_over_is_refused() {
    let target = Target::engine();
    let node = target.connect().await;
    let mut watch = node.watch_for(NAME, context::with_timeout(-1)).await;
    assert_eq!(status(watch.try_next().await).0, Code::DEADLINE_EXCEEDED);
    // The time of a call is generous for a reply at once.
    let request = GetTermRequest { id: id(NAME), ..Default::default() };
    node.election.get_term(patiently(), &request).await.unwrap();
}

#[tokio::test]
async fn a_watch_ends_with_unavailable_when_the_server_drains() {
    let Target::Engine(server, folder) = Target::engine() else { unreachable!() };
    let target = Target::Engine(server, folder);
    let node = target.connect().await;
    node.change("Enter", "c1").await;
    let mut watch = node.watch().await;
    assert!(watch.next().await.is_some());
    let Target::Engine(server, _folder) = target else { unreachable!() };
    let drained = tokio::task::spawn_blocking(move || server.drain(PATIENCE));
    let (code, message) = status(watch.try_next().await);
    assert_eq!(code, Code::UNAVAILABLE);
    assert_eq!(message, "the server is draining; connect to it again when it is back");
    drop((watch, node));
    assert!(drained.await.unwrap(), "nothing had to be cut off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_calls_at_once_on_one_connection() {
    let target = Target::process();
    let node = target.connect().await;
    let mut watch = node.watch().await;
    let calls: Vec<_> = (0..200)
        .map(|n| {
            let election = node.election.clone();
            tokio::spawn(async move {
                if n % 2 == 0 {
                    let candidate = format!("c{n}");
                    let request = EnterRequest { id: id(NAME), candidate, ..Default::default() };
                    election.enter(patiently(), &request).await.unwrap().term.unwrap()
                } else {
                    let request = GetTermRequest { id: id(NAME), ..Default::default() };
                    election.get_term(patiently(), &request).await.unwrap().term.unwrap()
                }
            })
        })
        .collect();
    for (n, call) in calls.into_iter().enumerate() {
        let term = call.await.unwrap();
        if n % 2 == 0 {
            let mine = format!("c{n}");
            assert_eq!(term.term, 1);
            assert!(term.leader == mine || term.candidates.contains(&mine), "an answer to another");
        } else {
            assert!(term.term <= 1);
        }
    }
    let last = node.try_change("Promote", NAME, "nobody").await.unwrap();
    let all: BTreeSet<_> = last.candidates.iter().chain([&last.leader]).cloned().collect();
    let expected: BTreeSet<_> = (0..200).step_by(2).map(|n| format!("c{n}")).collect();
    assert_eq!(all, expected);
    let newest = show(&last);
    while watch.next().await.as_ref() != Some(&newest) {}
}
