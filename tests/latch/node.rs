//! A latch client that was not written here: the `ttrpc` crate's own, generated from `proto/`.

use std::time::Duration;

use tenure::{Engine, Server};
use tenure_schema::ttrpc_client::election::{AnointRequest, EnterRequest, GetTermRequest, Term};
use tenure_schema::ttrpc_client::election_ttrpc::LeaderElectionClient;
use tenure_schema::ttrpc_client::headers::{RequestHeader, ResponseHeader, StreamHeader};
use tenure_schema::ttrpc_client::latch::{
    CloseRequest, CreateRequest, EventRequest, EventResponse, GetRequest, KeepAliveRequest, Latch,
    LatchRequest,
};
use tenure_schema::ttrpc_client::latch_ttrpc::LeaderLatchServiceClient;
use tenure_schema::ttrpc_client::primitive::Name;
use tenure_schema::ttrpc_client::runtime::PrimitiveID;
use ttrpc::asynchronous::{Client, ClientStreamReceiver};
use ttrpc::context::{self, Context};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The election that is the latch of these tests.
pub(crate) const NAME: &str = "jobs.cron";

pub(crate) fn serve(engine: &Engine) -> Server {
    Server::builder(engine.clone()).listen("127.0.0.1:0").spawn().unwrap()
}

pub(crate) fn patiently() -> Context {
    context::with_duration(PATIENCE)
}

/// One connection.
pub(crate) struct Node {
    pub(crate) raw: Client,
    pub(crate) latch: LeaderLatchServiceClient,
    v1: LeaderElectionClient,
}

/// A reply: its header, and its latch if it has one.
pub(crate) struct Reply {
    pub(crate) header: ResponseHeader,
    pub(crate) latch: Option<Latch>,
}

/// A request's header for the latch of these tests.
pub(crate) fn header(session: u64, request: u64) -> RequestHeader {
    let name = Name { name: "cron".into(), namespace: "jobs".into(), ..Default::default() };
    RequestHeader {
        name: Some(name).into(),
        session_id: session,
        request_id: request,
        ..Default::default()
    }
}

pub(crate) fn acknowledging(session: u64, request: u64, streams: &[(u64, u64)]) -> RequestHeader {
    let streams = streams.iter().map(|&(stream_id, response_id)| StreamHeader {
        stream_id,
        response_id,
        ..Default::default()
    });
    RequestHeader { streams: streams.collect(), ..header(session, request) }
}

impl Reply {
    fn of(
        header: protobuf::MessageField<ResponseHeader>,
        latch: protobuf::MessageField<Latch>,
    ) -> Self {
        Self { header: header.into_option().expect("a header"), latch: latch.into_option() }
    }

    pub(crate) fn failure(&self) -> Option<&str> {
        match self.header.status.value() {
            0 => {
                assert_eq!(self.header.message, "");
                None
            }
            1 => Some(&self.header.message),
            other => panic!("status {other}"),
        }
    }

    #[track_caller]
    pub(crate) fn refused(&self) -> &str {
        self.failure().unwrap_or_else(|| panic!("not refused: {}", self.shown()))
    }

    /// The latch, as `5 a [a b]`.
    #[track_caller]
    pub(crate) fn state(&self) -> String {
        let latch = self.latch.as_ref().expect("the latch is present");
        format!("{} {:?} [{}]", latch.id, latch.leader, latch.participants.join(" "))
    }

    /// The latch of a reply that is not a failure.
    #[track_caller]
    pub(crate) fn ok(&self) -> String {
        assert_eq!(self.failure(), None);
        self.state()
    }

    /// Session, stream and response, as they stand in the header.
    pub(crate) fn ids(&self) -> (u64, u64, u64) {
        (self.header.session_id, self.header.stream_id, self.header.response_id)
    }

    /// An event, as `2 RESPONSE 5 a [a b]`.
    #[track_caller]
    pub(crate) fn shown(&self) -> String {
        let kind = ["RESPONSE", "OPEN_STREAM", "CLOSE_STREAM"][self.header.type_.value() as usize];
        let state = if self.latch.is_some() { self.state() } else { "-".into() };
        format!("{} {kind} {state}", self.header.response_id)
    }
}

impl Node {
    pub(crate) async fn to(server: &Server) -> Self {
        let raw = Client::connect(&format!("tcp://{}", server.addresses()[0])).await.unwrap();
        let latch = LeaderLatchServiceClient::new(raw.clone());
        let v1 = LeaderElectionClient::new(raw.clone());
        Self { raw, latch, v1 }
    }

    /// With a timeout in milliseconds, or the default.
    pub(crate) async fn try_create(&self, timeout: Option<i64>) -> Reply {
        let duration = |ms: i64| protobuf::well_known_types::duration::Duration {
            seconds: ms / 1000,
            nanos: (ms % 1000 * 1_000_000) as i32,
            ..Default::default()
        };
        let (header, timeout) = (Some(header(0, 0)).into(), timeout.map(duration).into());
        let request = CreateRequest { header, timeout, ..Default::default() };
        let reply = self.latch.create(patiently(), &request).await.unwrap();
        Reply::of(reply.header, None.into())
    }

    pub(crate) async fn create(&self) -> u64 {
        let reply = self.try_create(None).await;
        assert_eq!(reply.failure(), None);
        reply.header.session_id
    }

    pub(crate) async fn keep_alive(&self, header: RequestHeader) -> Reply {
        let request = KeepAliveRequest { header: Some(header).into(), ..Default::default() };
        let reply = self.latch.keep_alive(patiently(), &request).await.unwrap();
        Reply::of(reply.header, None.into())
    }

    pub(crate) async fn close(&self, header: RequestHeader, delete: bool) -> Reply {
        let request = CloseRequest { header: Some(header).into(), delete, ..Default::default() };
        let reply = self.latch.close(patiently(), &request).await.unwrap();
        Reply::of(reply.header, None.into())
    }

    pub(crate) async fn join(&self, session: u64, request: u64, participant: &str) -> Reply {
        self.join_with(header(session, request), participant).await
    }

    pub(crate) async fn join_with(&self, header: RequestHeader, participant: &str) -> Reply {
        let (header, participant_id) = (Some(header).into(), participant.into());
        let request = LatchRequest { header, participant_id, ..Default::default() };
        let reply = self.latch.latch(patiently(), &request).await.unwrap();
        Reply::of(reply.header, reply.latch)
    }

    pub(crate) async fn get(&self, header: RequestHeader) -> Reply {
        let request = GetRequest { header: Some(header).into(), ..Default::default() };
        let reply = self.latch.get(patiently(), &request).await.unwrap();
        Reply::of(reply.header, reply.latch)
    }

    pub(crate) async fn events(&self, header: RequestHeader) -> Events {
        let request = EventRequest { header: Some(header).into(), ..Default::default() };
        Events(self.latch.events(Context::default(), &request).await.unwrap())
    }

    pub(crate) async fn enter(&self, candidate: &str) -> ttrpc::Result<String> {
        let (id, candidate) = (v1_id(), candidate.into());
        let request = EnterRequest { id, candidate, ..Default::default() };
        self.v1.enter(patiently(), &request).await.map(|reply| show(&reply.term))
    }

    pub(crate) async fn anoint(&self, candidate: &str) -> String {
        let (id, candidate) = (v1_id(), candidate.into());
        let request = AnointRequest { id, candidate, ..Default::default() };
        show(&self.v1.anoint(patiently(), &request).await.unwrap().term)
    }

    pub(crate) async fn term(&self) -> String {
        let request = GetTermRequest { id: v1_id(), ..Default::default() };
        show(&self.v1.get_term(patiently(), &request).await.unwrap().term)
    }

    /// A call without the generated code.
    pub(crate) async fn call(&self, method: &str, payload: &[u8]) -> ttrpc::Result<Vec<u8>> {
        let mut request = ttrpc::proto::Request::new();
        request.service = "atomix.leader.LeaderLatchService".into();
        request.method = method.into();
        request.payload = payload.into();
        request.timeout_nano = PATIENCE.as_nanos() as i64;
        Ok(self.raw.request(request).await?.payload)
    }
}

fn v1_id() -> protobuf::MessageField<PrimitiveID> {
    Some(PrimitiveID { name: NAME.into(), ..Default::default() }).into()
}

fn show(term: &Term) -> String {
    format!("t{} {} [{}]", term.term, term.leader, term.candidates.join(" "))
}

pub(crate) struct Events(ClientStreamReceiver<EventResponse>);

impl Events {
    pub(crate) async fn next(&mut self) -> Option<Reply> {
        let received = tokio::time::timeout(PATIENCE, self.0.recv()).await.expect("in time");
        received.unwrap().map(|event| Reply::of(event.header, event.latch))
    }

    /// The next event, shown.
    pub(crate) async fn say(&mut self) -> String {
        self.next().await.map_or_else(|| "the end".into(), |event| event.shown())
    }
}
