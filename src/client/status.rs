//! What a server says of itself, and how much it holds.

use std::collections::BTreeMap;

use super::admin::{PAGE, SESSIONS};
use super::election::ELECTIONS;
use super::{Client, ClientError};
use crate::wire::tenure_v1::connection as hello;
use crate::wire::tenure_v1::elections as wire;
use crate::wire::tenure_v1::sessions;

const CONNECTION: &str = "tenure.v1.Connection";

/// What a server says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerView {
    /// Its version.
    pub version: String,
    /// Stays the same for as long as its data does.
    pub server_id: String,
    /// New with each start.
    pub incarnation: String,
    /// True if what it told survives a restart.
    pub durable: bool,
    /// What it can do beyond the first version of its services.
    pub features: Vec<String>,
    /// Its bounds, by name.
    pub limits: BTreeMap<&'static str, u64>,
    /// Its settings, by the name of their flag.
    pub settings: BTreeMap<String, String>,
}

/// How much a server holds. Counted page by page, so what changes meanwhile may be in it or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Elections that are known.
    pub elections: u64,
    /// Those where nobody leads.
    pub without_leader: u64,
    /// Sessions that live.
    pub sessions: u64,
}

impl Client {
    /// Which server this is.
    ///
    /// # Errors
    /// Any [`ClientError`]; UNAVAILABLE while it drains.
    pub fn hello(&self) -> Result<ServerView, ClientError> {
        let request = hello::HelloRequest {
            client_name: "tenure".into(),
            client_version: env!("CARGO_PKG_VERSION").into(),
        };
        let reply: hello::HelloResponse = self.ask(CONNECTION, "Hello", &request)?;
        Ok(reply.into())
    }

    /// How much the server holds. It takes a request for each thousand elections and sessions.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn counts(&self) -> Result<Counts, ClientError> {
        let mut counts = Counts::default();
        self.count_elections(&mut counts)?;
        self.count_sessions(&mut counts)?;
        Ok(counts)
    }

    fn count_elections(&self, counts: &mut Counts) -> Result<(), ClientError> {
        let mut request = wire::ListElectionsRequest { page_size: PAGE, ..Default::default() };
        loop {
            let page: wire::ListElectionsResponse = self.ask(ELECTIONS, "List", &request)?;
            counts.elections += page.elections.len() as u64;
            counts.without_leader +=
                page.elections.iter().filter(|it| it.leader.is_empty()).count() as u64;
            if page.next_page_token.is_empty() {
                return Ok(());
            }
            request.page_token = page.next_page_token;
        }
    }

    fn count_sessions(&self, counts: &mut Counts) -> Result<(), ClientError> {
        let mut request = sessions::ListRequest { page_size: PAGE, ..Default::default() };
        loop {
            let page: sessions::ListResponse = self.ask(SESSIONS, "List", &request)?;
            counts.sessions += page.sessions.len() as u64;
            if page.next_page_token.is_empty() {
                return Ok(());
            }
            request.page_token = page.next_page_token;
        }
    }
}

impl From<hello::HelloResponse> for ServerView {
    fn from(hello: hello::HelloResponse) -> Self {
        Self {
            version: hello.version,
            server_id: hello.server_id,
            incarnation: hello.incarnation,
            durable: hello.durable,
            features: hello.features,
            limits: by_name(&hello.limits.unwrap_or_default()),
            settings: hello.settings.into_iter().map(|it| (it.name, it.value)).collect(),
        }
    }
}

fn by_name(limits: &hello::Limits) -> BTreeMap<&'static str, u64> {
    BTreeMap::from([
        ("name_bytes", limits.name_bytes),
        ("candidates", limits.candidates),
        ("candidate_bytes", limits.candidate_bytes),
        ("elections", limits.elections),
        ("sessions", limits.sessions),
        ("connections", limits.connections),
        ("streams", limits.streams),
        ("frame_bytes", limits.frame_bytes),
        ("metadata_bytes", limits.metadata_bytes),
        ("labels", limits.labels),
    ])
}
