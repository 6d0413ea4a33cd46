//! A server whose clock a test turns, and clients of it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tenure::internals::HeldLog;
use tenure::{Clock, Engine, Server, SessionId};
use tenure_schema::ttrpc_client::election_ttrpc::LeaderElectionClient;
use tenure_schema::ttrpc_client::{election as v1, runtime::PrimitiveID};
use tenure_schema::ttrpc_tenure::connection_ttrpc::ConnectionClient;
use tenure_schema::ttrpc_tenure::elections::{ChangeRequest, DescribeRequest, EnterRequest, State};
use tenure_schema::ttrpc_tenure::elections_ttrpc::ElectionsClient;
use tenure_schema::ttrpc_tenure::sessions::{Failover, KeepAliveRequest, OpenRequest};
use tenure_schema::ttrpc_tenure::sessions_ttrpc::SessionsClient;
use ttrpc::Code;
use ttrpc::asynchronous::Client;
use ttrpc::context::{self, Context};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const TTL: Duration = Duration::from_secs(3);

pub(crate) struct Host {
    pub(crate) engine: Engine,
    pub(crate) clock: Clock,
    pub(crate) server: Server,
}

impl Host {
    pub(crate) fn start() -> Self {
        let clock = Clock::manual();
        clock.advance(Duration::from_secs(1_000));
        let engine = Engine::builder().clock(clock.clone()).manual_timers().open().unwrap();
        Self::of(engine, clock)
    }

    /// Over a log with a single shard that keeps nothing before it is told to.
    pub(crate) fn over(log: &Arc<HeldLog>) -> Self {
        let builder = Engine::builder().shards(NonZeroUsize::MIN).manual_timers();
        let clock = Clock::manual();
        Self::of(log.open(builder.clock(clock.clone())).unwrap(), clock)
    }

    fn of(engine: Engine, clock: Clock) -> Self {
        let server = Server::builder(engine.clone()).listen("127.0.0.1:0").spawn().unwrap();
        Self { engine, clock, server }
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.engine.tick(self.clock.now());
    }

    pub(crate) async fn peer(&self) -> Peer {
        let raw = Client::connect(&format!("tcp://{}", self.server.addresses()[0])).await.unwrap();
        Peer {
            connection: ConnectionClient::new(raw.clone()),
            sessions: SessionsClient::new(raw.clone()),
            elections: ElectionsClient::new(raw.clone()),
            v1: LeaderElectionClient::new(raw.clone()),
            raw,
        }
    }

    /// Left until the session's deadline, if it lives.
    pub(crate) fn remaining(&self, session: u64) -> Option<Duration> {
        let info = self.engine.session_info(SessionId::new(session).unwrap());
        info.map(|info| info.remaining)
    }

    /// Waits until something holds.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "in vain: {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// One connection.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) connection: ConnectionClient,
    pub(crate) sessions: SessionsClient,
    pub(crate) elections: ElectionsClient,
    pub(crate) v1: LeaderElectionClient,
    pub(crate) raw: Client,
}

/// A session that was opened: its id and its key.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) id: u64,
    pub(crate) key: Vec<u8>,
}

pub(crate) fn patiently() -> Context {
    context::with_duration(PATIENCE)
}

/// With the key of a session in the metadata.
pub(crate) fn with_key(key: &[u8]) -> Context {
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    with_text(&hex)
}

pub(crate) fn with_text(key: &str) -> Context {
    let mut context = patiently();
    context.add("tenure-session".into(), key.into());
    context
}

impl Peer {
    pub(crate) async fn open(&self, failover: Failover) -> Opened {
        let request = OpenRequest {
            ttl_micros: TTL.as_micros() as u64,
            failover: failover.into(),
            owner: "tests".into(),
            ..Default::default()
        };
        let reply = self.sessions.open(patiently(), &request).await.unwrap();
        Opened { id: reply.session, key: reply.key }
    }

    /// An exclusive session.
    pub(crate) async fn session(&self) -> Opened {
        self.open(Failover::FAILOVER_EXCLUSIVE).await
    }

    pub(crate) async fn resume(&self, key: &[u8]) -> ttrpc::Result<u64> {
        let request = OpenRequest { key: key.to_vec(), ..Default::default() };
        self.sessions.open(patiently(), &request).await.map(|reply| reply.session)
    }

    pub(crate) async fn keep_alive(&self, session: u64) -> ttrpc::Result<Duration> {
        let request = KeepAliveRequest { session, ..Default::default() };
        let reply = self.sessions.keep_alive(patiently(), &request).await?;
        Ok(Duration::from_micros(reply.ttl_micros))
    }

    pub(crate) async fn enter(&self, session: u64, name: &str, c: &str) -> ttrpc::Result<State> {
        self.enter_as(&enter(session, name, c)).await
    }

    pub(crate) async fn enter_as(&self, request: &EnterRequest) -> ttrpc::Result<State> {
        let reply = self.elections.enter(patiently(), request).await?;
        Ok(reply.state.unwrap())
    }

    pub(crate) async fn change(
        &self,
        method: &str,
        request: &ChangeRequest,
    ) -> ttrpc::Result<State> {
        let (to, ctx) = (&self.elections, patiently());
        let reply = match method {
            "Withdraw" => to.withdraw(ctx, request).await,
            "Anoint" => to.anoint(ctx, request).await,
            "Promote" => to.promote(ctx, request).await,
            "Demote" => to.demote(ctx, request).await,
            "Evict" => to.evict(ctx, request).await,
            _ => unreachable!("{method}"),
        };
        Ok(reply?.state.unwrap())
    }

    pub(crate) async fn state(&self, name: &str) -> State {
        let request = DescribeRequest { election: name.into(), ..Default::default() };
        self.elections.describe(patiently(), &request).await.unwrap().state.unwrap()
    }

    pub(crate) async fn shown(&self, name: &str) -> String {
        show(&self.state(name).await)
    }

    /// Enter of the v1 service.
    pub(crate) async fn enter_v1(&self, to: Context, name: &str, c: &str) -> ttrpc::Result<String> {
        let id = Some(PrimitiveID { name: name.into(), ..Default::default() }).into();
        let request = v1::EnterRequest { id, candidate: c.into(), ..Default::default() };
        let term = self.v1.enter(to, &request).await?.term.unwrap();
        Ok(format!("t{} {} {:?}", term.term, term.leader, term.candidates))
    }

    pub(crate) async fn withdraw_v1(&self, to: Context, name: &str, c: &str) -> ttrpc::Result<u64> {
        let id = Some(PrimitiveID { name: name.into(), ..Default::default() }).into();
        let request = v1::WithdrawRequest { id, candidate: c.into(), ..Default::default() };
        Ok(self.v1.withdraw(to, &request).await?.term.unwrap().term)
    }

    pub(crate) async fn term_v1(&self, to: Context, name: &str) -> ttrpc::Result<u64> {
        let id = Some(PrimitiveID { name: name.into(), ..Default::default() }).into();
        let request = v1::GetTermRequest { id, ..Default::default() };
        Ok(self.v1.get_term(to, &request).await?.term.unwrap().term)
    }

    /// A call without the generated code.
    pub(crate) async fn call(&self, method: &str, payload: Vec<u8>) -> ttrpc::Result<Vec<u8>> {
        let (service, method) = method.split_once('/').unwrap();
        let mut request = ttrpc::proto::Request::new();
        request.service = format!("tenure.v1.{service}");
        request.method = method.into();
        request.payload = payload;
        request.timeout_nano = PATIENCE.as_nanos() as i64;
        Ok(self.raw.request(request).await?.payload)
    }
}

pub(crate) fn enter(session: u64, name: &str, candidate: &str) -> EnterRequest {
    let (election, candidate) = (name.into(), candidate.into());
    EnterRequest { session, election, candidate, ..Default::default() }
}

pub(crate) fn by(session: u64, name: &str, candidate: &str) -> ChangeRequest {
    let (election, candidate) = (name.into(), candidate.into());
    ChangeRequest { session, election, candidate, ..Default::default() }
}

pub(crate) fn show(state: &State) -> String {
    let waiting: Vec<&str> = state.candidates.iter().map(|it| it.name.as_str()).collect();
    let leader = state.leader.as_ref().map_or("-", |leader| leader.name.as_str());
    format!("t{} {leader} {waiting:?}", state.term)
}

#[track_caller]
pub(crate) fn status<T: std::fmt::Debug>(result: ttrpc::Result<T>) -> (Code, String) {
    match result.expect_err("it is refused") {
        ttrpc::Error::RpcStatus(status) => (status.code(), status.message().to_owned()),
        other => panic!("not a status: {other}"),
    }
}

/// The code, if the message says `what`.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: ttrpc::Result<T>, what: &str) -> Code {
    let (code, message) = status(result);
    assert!(message.contains(what), "{what:?} is not in {message:?}");
    code
}
