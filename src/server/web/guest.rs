//! One connection of the web side, from its hand-over to its end.

use std::convert::Infallible;
use std::error::Error as _;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::runtime::Handle;
use tokio::time::sleep;
use tonic::body::Body;
use tower::ServiceExt;

use super::outgoing::Outgoing;
use super::stream::Stream;
use super::visit::{STREAMS_OVER, Visit};
use super::watchdog::Watchdog;
use super::{Guest, Side, Site, grpc};
use crate::server::Life;
use crate::server::conn::End;
use crate::server::requests::Transport;
use crate::server::sniff::Protocol;

/// Bytes of a request's headers, all together.
const HEADER_BYTES: u32 = 16 << 10;
/// Bytes that a response may have waiting in HTTP/2, before more is asked for.
const SEND_BYTES: usize = 64 << 10;
/// For a client that is asked whether it lives: hyper's own clock, which a pause of the server would make
/// strike, is never to strike before ours.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Serves a connection until it ends.
pub(super) async fn serve(site: Arc<Site>, side: Side, guest: Guest) {
    let peer = guest.socket.to_string();
    let transport = match guest.protocol {
        Protocol::Http2 => Transport::Grpc,
        _ => Transport::Http,
    };
    let visit = Arc::new(Visit::new(site.shared.clone(), transport, &peer));
    let mut stay = Stay { site, side, visit, peer, end: End::Broken };
    stay.end = speak(&stay.site, side, guest, &stay.visit).await;
}

/// However a connection ends, also by a panic: its session does, and it is counted out.
struct Stay {
    site: Arc<Site>,
    side: Side,
    visit: Arc<Visit>,
    peer: String,
    end: End,
}

impl Drop for Stay {
    fn drop(&mut self) {
        // First of all: others wait for the lead.
        part(&self.site, &self.visit, self.end);
        self.visit.count_bytes();
        if self.side == Side::Main {
            self.site.shared.ended(self.visit.now(), self.end, &self.peer);
        }
    }
}

/// Ends the connection's own session, now or when its grace has passed.
fn part(site: &Site, visit: &Visit, end: End) {
    let Some(session) = visit.take_session() else { return };
    let grace = site.shared.settings.disconnect_grace;
    match Handle::try_current() {
        Ok(runtime) if !grace.is_zero() && end != End::Drained => {
            runtime.spawn(async move {
                sleep(grace).await;
                session.end_disconnected();
            });
        }
        _ => session.end_disconnected(),
    }
}

async fn speak(site: &Arc<Site>, side: Side, guest: Guest, visit: &Arc<Visit>) -> End {
    let (stall_time, meter) = (site.shared.terms.stall_time, visit.meter.clone());
    let Ok(stream) = Stream::new(guest.socket, guest.received, stall_time, meter) else {
        return End::Broken;
    };
    let io = TokioIo::new(stream);
    let service = service_fn(|request| answer(site.clone(), side, visit.clone(), request));
    let watchdog = Watchdog::new(visit, guest.protocol);
    match guest.protocol {
        Protocol::Http2 => {
            let connection = http2_of(site).serve_connection(io, service);
            drive(site, side, watchdog, connection, |it| it.graceful_shutdown()).await
        }
        _ => {
            let connection = http1_of().serve_connection(io, service);
            drive(site, side, watchdog, connection, |it| it.graceful_shutdown()).await
        }
    }
}

async fn answer(
    site: Arc<Site>,
    side: Side,
    visit: Arc<Visit>,
    mut request: Request<Incoming>,
) -> Result<Response<Outgoing>, Infallible> {
    visit.heard();
    if request.body().is_end_stream() {
        visit.came_whole();
    }
    if request.version() == http::Version::HTTP_2 && grpc::is_meant(request.headers()) {
        return Ok(site.grpc(visit, request).await);
    }
    request.extensions_mut().insert(visit.clone());
    let response = site.router(side).oneshot(request.map(axum::body::Body::new)).await?;
    visit.meter.answered();
    Ok(response.map(|body| Outgoing::new(visit, None, Body::new(body), 0)))
}

fn http1_of() -> http1::Builder {
    let mut http1 = http1::Builder::new();
    // Its own time limit counts while a connection is kept open between requests; the watchdog's does not.
    http1.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEADER_BYTES as usize);
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
        // Early enough for a client that looks at its socket every few seconds.
        http2.keep_alive_interval(silence / 3).keep_alive_timeout(NEVER);
    }
    http2
}

/// Serves the connection until it ends by itself, the server does, or the watchdog bites.
async fn drive<C>(
    site: &Site,
    side: Side,
    mut watchdog: Watchdog<'_>,
    connection: C,
    finish: fn(Pin<&mut C>),
) -> End
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connection);
    let mut life = site.life.subscribe();
    let mut finishing = None;
    loop {
        let now = *life.borrow_and_update();
        // A probe is to see that the server drains, and no watch is to be cut off in the end.
        if now == Life::Draining && side == Side::Admin {
            watchdog.visit().end_watches();
        } else if now == Life::Draining && finishing.is_none() {
            finishing = Some(End::Drained);
            watchdog.visit().drain();
            finish(connection.as_mut());
        }
        if now == Life::Stopped {
            return End::Drained;
        }
        tokio::select! {
            done = connection.as_mut() => return match (done, finishing) {
                (_, Some(end)) => end,
                (Ok(()), None) => End::PeerClosed,
                (Err(error), None) => why(&error),
            },
            told = life.changed() => if told.is_err() { return End::Drained },
            end = watchdog.bite(finishing) => match end {
                // It is told so, and has a little time to read that.
                End::Idle if finishing.is_none() => {
                    finishing = Some(end);
                    finish(connection.as_mut());
                }
                end => return end,
            },
        }
    }
}

fn why(error: &hyper::Error) -> End {
    let h2 = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    if let Some(io) = io.or_else(|| h2.and_then(h2::Error::get_io)) {
        let is_stalled = io.kind() == io::ErrorKind::TimedOut;
        return if is_stalled { End::Stalled } else { End::Broken };
    }
    let is_gone = error.is_incomplete_message() || error.is_closed() || error.is_canceled();
    if is_gone || h2.is_some_and(|h2| h2.is_go_away() && h2.is_remote()) {
        return End::PeerClosed;
    }
    tracing::debug!(%error, "a rule of HTTP was broken");
    End::BrokenHttp
}
