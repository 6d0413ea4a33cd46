//! One connection of the web side, from its hand-over to its end.

use std::convert::Infallible;
use std::error::Error as _;
use std::future::{Future, pending};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::sleep;
use tonic::body::Body;
use tower::ServiceExt;

use super::stream::Stream;
use super::visit::Visit;
use super::{Guest, Side, Site, grpc};
use crate::server::Life;
use crate::server::conn::End;
use crate::server::sniff::Protocol;

/// Bytes of a request's headers, all together.
const HEADER_BYTES: u32 = 16 << 10;
/// Bytes that a response may have waiting, before its next message is asked for.
const SEND_BYTES: usize = 64 << 10;
/// Streams beyond those that may be under way: they are refused with a reason, instead of waiting in the
/// client without one.
const STREAMS_OVER: usize = 1024;

/// For a peer of a draining server to read what was answered.
const LINGER: Duration = Duration::from_secs(1);

/// Serves a connection until it ends.
pub(super) async fn serve(site: Arc<Site>, side: Side, guest: Guest) {
    let peer = guest.socket.to_string();
    let visit = Arc::new(Visit::new(site.shared.clone(), &peer));
    let end = speak(&site, side, guest, &visit).await;
    let shared = &site.shared;
    // First of all: others wait for the lead.
    part(&site, &visit, end);
    shared.ended(shared.engine.clock().now(), end, &peer);
}

async fn speak(site: &Arc<Site>, side: Side, guest: Guest, visit: &Arc<Visit>) -> End {
    let terms = &site.shared.terms;
    let Ok(stream) = Stream::new(guest.socket, guest.received, terms.stall_time) else {
        return End::Broken;
    };
    let io = TokioIo::new(stream);
    let service = service_fn(|request| answer(site.clone(), side, visit.clone(), request));
    match guest.protocol {
        Protocol::Http2 => {
            let connection = http2_of(site).serve_connection(io, service);
            drive(site, visit, connection, |it| it.graceful_shutdown()).await
        }
        _ => {
            let connection = http1_of(site).serve_connection(io, service);
            drive(site, visit, connection, |it| it.graceful_shutdown()).await
        }
    }
}

async fn answer(
    site: Arc<Site>,
    side: Side,
    visit: Arc<Visit>,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    if request.version() == http::Version::HTTP_2 && grpc::is_meant(request.headers()) {
        return Ok(site.grpc(visit, request).await);
    }
    request.extensions_mut().insert(visit);
    let response = site.router(side).oneshot(request.map(axum::body::Body::new)).await?;
    Ok(response.map(Body::new))
}

fn http1_of(site: &Site) -> http1::Builder {
    let mut http1 = http1::Builder::new();
    http1
        .timer(TokioTimer::new())
        .header_read_timeout(site.shared.terms.frame_time)
        .max_buf_size(HEADER_BYTES as usize);
    http1
}

fn http2_of(site: &Site) -> http2::Builder<TokioExecutor> {
    let streams = site.shared.engine.limits().streams + STREAMS_OVER;
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(u32::try_from(streams).unwrap_or(u32::MAX))
        .max_header_list_size(HEADER_BYTES)
        .max_send_buf_size(SEND_BYTES);
    let silence = site.shared.settings.silence;
    if !silence.is_zero() {
        // Asked half-way, so that the answer has as long to come.
        http2.keep_alive_interval(silence / 2).keep_alive_timeout(silence / 2);
    }
    http2
}

/// Serves the connection until it ends by itself, the server does, or nobody asks any more.
async fn drive<C>(site: &Site, visit: &Visit, connection: C, finish: fn(Pin<&mut C>)) -> End
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connection);
    let mut life = site.life.subscribe();
    let mut is_finishing = false;
    loop {
        match *life.borrow_and_update() {
            Life::Serving => {}
            Life::Draining if is_finishing => {}
            Life::Draining => {
                is_finishing = true;
                visit.drain();
                finish(connection.as_mut());
            }
            Life::Stopped => return End::Drained,
        }
        tokio::select! {
            done = connection.as_mut() => return done.map_or_else(|error| why(&error), |()| {
                if is_finishing { End::Drained } else { End::PeerClosed }
            }),
            told = life.changed() => if told.is_err() { return End::Drained },
            () = idleness(site, visit) => return End::Idle,
            () = rest(visit), if is_finishing => return End::Drained,
        }
    }
}

/// Ends a while after the last call of ours was answered: streams of stock services may never end.
async fn rest(visit: &Visit) {
    loop {
        sleep(LINGER).await;
        if !visit.is_busy() {
            return;
        }
    }
}

/// Ends when no request came for too long.
async fn idleness(site: &Site, visit: &Visit) {
    let Some(idle) = site.shared.terms.idle else { return pending().await };
    loop {
        let left = (visit.last_asked() + idle).since(site.shared.engine.clock().now());
        if left.is_zero() {
            return;
        }
        sleep(left).await;
    }
}

fn why(error: &hyper::Error) -> End {
    let h2 = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    if let Some(io) = io.or_else(|| h2.and_then(h2::Error::get_io)) {
        let is_stalled = io.kind() == io::ErrorKind::TimedOut;
        return if is_stalled { End::Stalled } else { End::Broken };
    }
    if error.is_timeout() {
        return End::Silent;
    }
    let is_gone = error.is_incomplete_message() || error.is_closed() || error.is_canceled();
    if is_gone || h2.is_some_and(h2::Error::is_go_away) && h2.is_some_and(h2::Error::is_remote) {
        return End::PeerClosed;
    }
    tracing::debug!(%error, "a rule of HTTP was broken");
    End::BrokenHttp
}

/// Ends the connection's own session, now or when its grace has passed.
fn part(site: &Site, visit: &Visit, end: End) {
    let Some(session) = visit.take_session() else { return };
    let grace = site.shared.settings.disconnect_grace;
    if grace.is_zero() || end == End::Drained {
        return session.end_disconnected();
    }
    tokio::spawn(async move {
        sleep(grace).await;
        session.end_disconnected();
    });
}
