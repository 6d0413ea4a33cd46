//! An address for those who run the server: probes, metrics, and changes by HTTP.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Guest, Side, Site, guest};
use crate::server::listener::{Bound, Listener, SocketFile};
use crate::server::sniff::Protocol;
use crate::server::socket::Socket;

/// Connections at once. They are not counted with the others, whose flood must not lock out who could end it.
const MOST: usize = 256;
/// How long accepting waits when it failed: no descriptor may be free.
const BACK_OFF: Duration = Duration::from_millis(50);

/// True for the error of one peer, who was gone again; others are the server's.
fn is_their_own(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset];
    kinds.contains(&error.kind()) || error.kind() == io::ErrorKind::InvalidInput
}

enum Door {
    Tcp(TcpListener, Duration),
    Unix(UnixListener, #[expect(dead_code, reason = "removed with its listener")] SocketFile),
}

/// Lets everybody in who comes. It stays open while the server drains, so that a probe is answered.
pub(super) async fn accept(site: Arc<Site>, listener: Listener) {
    let door = match Door::of(listener) {
        Ok(door) => door,
        Err(error) => return tracing::error!(%error, "an admin address can't be polled"),
    };
    let mut guests = JoinSet::new();
    loop {
        while guests.try_join_next().is_some() {}
        match door.accept().await {
            // Who is one too many is closed.
            Ok(_) if guests.len() >= MOST => {}
            Ok(socket) => {
                let (protocol, received) = (Protocol::Http1, Vec::new());
                let guest = Guest { socket, protocol, received };
                guests.spawn(guest::serve(site.clone(), Side::Admin, guest));
            }
            Err(error) if is_their_own(&error) => {}
            Err(error) => {
                tracing::debug!(%error, "nobody could be let in");
                sleep(BACK_OFF).await;
            }
        }
    }
}

impl Door {
    fn of(listener: Listener) -> io::Result<Self> {
        Ok(match listener.into_bound() {
            (Bound::Tcp(listener, _), silence) => {
                Door::Tcp(TcpListener::from_std(listener)?, silence)
            }
            (Bound::Unix(listener, file), _) => Door::Unix(UnixListener::from_std(listener)?, file),
        })
    }

    async fn accept(&self) -> io::Result<Socket> {
        match self {
            Door::Tcp(listener, silence) => {
                let (stream, peer) = listener.accept().await?;
                Socket::tcp(stream.into_std()?, peer, *silence)
            }
            Door::Unix(listener, _) => Socket::unix(listener.accept().await?.0.into_std()?),
        }
    }
}
