//! gRPC and HTTP, on connections that the reactors hand over.
//!
//! A small tokio runtime serves them: no thread of it runs anything for ttrpc, and no reactor anything
//! for HTTP. Both go through the method table.
//!
//! Reading order: `guest` (one connection), `stream` and `meter` (its socket), `visit` (its calls), `grpc`
//! (their framing), `reply` and `inbox` (what is owed to a call), `outgoing` (its way out), `http` (pages
//! and JSON), `health`, `admin` (an address for those who run the server).

mod admin;
mod grpc;
mod guest;
mod health;
mod http;
mod inbox;
mod meter;
mod outgoing;
mod reply;
mod stream;
mod visit;
mod watchdog;

use std::io;
use std::sync::Arc;

use axum::Router;
use crossbeam::channel::Sender;
use hyper::body::Incoming;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::service::Routes;

use self::http::Ground;
pub(super) use self::http::check_origin;
use self::outgoing::Outgoing;
use self::visit::Visit;
use super::conn::End;
use super::listener::Listener;
use super::sniff::Protocol;
use super::socket::Socket;
use super::{Life, Shared};

/// A connection that speaks HTTP, with what was received of it.
pub(super) struct Guest {
    pub(super) socket: Socket,
    pub(super) protocol: Protocol,
    pub(super) received: Vec<u8>,
}

/// Where the reactors hand connections over.
pub(super) struct Entrance(Option<mpsc::UnboundedSender<Guest>>);

pub(super) type Arrivals = mpsc::UnboundedReceiver<Guest>;

/// The web side, while it runs.
pub(super) struct Web {
    site: Arc<Site>,
    runtime: Option<Runtime>,
}

/// What every connection of it shares.
pub(super) struct Site {
    pub(super) shared: Arc<Shared>,
    life: watch::Sender<Life>,
    /// The services that are not Tenure's: health and reflection.
    stock: Routes,
    routers: Routers,
}

/// Where a connection came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// With everybody.
    Main,
    /// By an address for those who run the server.
    Admin,
}

struct Routers {
    main: Router,
    admin: Router,
}

impl Entrance {
    pub(super) fn open() -> (Self, Arrivals) {
        let (to, arrivals) = mpsc::unbounded_channel();
        (Self(Some(to)), arrivals)
    }

    /// Fails if nobody serves any more.
    pub(super) fn admit(&self, guest: Guest) -> Result<(), Guest> {
        match &self.0 {
            Some(to) => to.send(guest).map_err(|unsent| unsent.0),
            None => Err(guest),
        }
    }
}

impl Web {
    /// Starts serving who arrives, and who comes to the `admin` listeners. `ending` is dropped when the
    /// last connection has ended after a drain.
    pub(super) fn start(
        shared: &Arc<Shared>,
        arrivals: Arrivals,
        admin: Vec<Listener>,
        ending: Sender<()>,
    ) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(shared.reactors.len())
            .thread_name("tenure-web")
            .enable_all()
            .build()?;
        let (life, listens) = watch::channel(Life::Serving);
        let (stock, reporter) = health::services();
        let router = |side| http::router(Ground::new(shared.clone(), listens.clone(), side));
        let site = Arc::new(Site {
            routers: Routers { main: router(Side::Main), admin: router(Side::Admin) },
            shared: shared.clone(),
            life,
            stock,
        });
        runtime.spawn(health::keep(site.clone(), reporter));
        runtime.spawn(receive(site.clone(), arrivals, admin, ending));
        Ok(Self { site, runtime: Some(runtime) })
    }

    pub(super) fn tell(&self, life: Life) {
        // Never back from the end to draining.
        self.site.life.send_if_modified(|now| {
            let is_news = life > *now;
            *now = life.max(*now);
            is_news
        });
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.tell(Life::Stopped);
        if let Some(runtime) = self.runtime.take() {
            // What its threads run ends at its next wait.
            runtime.shutdown_background();
        }
    }
}

impl Site {
    /// Answers a gRPC call: to the method table, or to a stock service.
    async fn grpc(
        &self,
        visit: Arc<Visit>,
        request: ::http::Request<Incoming>,
    ) -> ::http::Response<Outgoing> {
        if request.uri().path().starts_with("/grpc.") {
            let Ok(response) = tower::Service::call(&mut self.stock.clone(), request).await;
            return response.map(|body| Outgoing::new(visit, None, body, 0));
        }
        grpc::answer(visit, request).await
    }

    fn router(&self, side: Side) -> Router {
        match side {
            Side::Main => self.routers.main.clone(),
            Side::Admin => self.routers.admin.clone(),
        }
    }
}

/// Serves everybody, each in a task of their own, until the server has drained.
async fn receive(
    site: Arc<Site>,
    mut arrivals: Arrivals,
    admin: Vec<Listener>,
    ending: Sender<()>,
) {
    for listener in admin {
        tokio::spawn(admin::accept(site.clone(), listener));
    }
    let mut guests = JoinSet::new();
    let mut life = site.life.subscribe();
    while *life.borrow_and_update() == Life::Serving || !guests.is_empty() {
        tokio::select! {
            Some(guest) = arrivals.recv() => {
                guests.spawn(guest::serve(site.clone(), Side::Main, guest));
            }
            Some(done) = guests.join_next() => {
                if let Err(error) = done {
                    tracing::error!(%error, "a connection's task failed");
                }
            }
            told = life.changed() => if told.is_err() { return },
        }
    }
    // Handed over while the last one ended.
    arrivals.close();
    while let Ok(guest) = arrivals.try_recv() {
        site.shared.ended(site.shared.engine.clock().now(), End::Drained, &guest.socket);
    }
    drop(ending);
}
