//! Sockets that a service manager opened before it started the server (`sd_listen_fds(3)`).

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;

use anyhow::{Context, Result, bail};
use listenfd::ListenFd;
use tenure::ServerBuilder;

/// In the manager's order. They are used instead of `--listen`.
#[derive(Default)]
pub(crate) struct Listeners {
    tcp: Vec<TcpListener>,
    unix: Vec<UnixListener>,
}

impl Listeners {
    /// To be called before any thread is started: it takes its variables away from the environment.
    pub(crate) fn handed_over() -> Result<Self> {
        let mut from = ListenFd::from_env();
        let mut listeners = Self::default();
        for place in 0..from.len() {
            if let Ok(Some(tcp)) = from.take_tcp_listener(place) {
                listeners.tcp.push(tcp);
            } else if let Ok(Some(unix)) = from.take_unix_listener(place) {
                listeners.unix.push(unix);
            } else {
                bail!("socket {place} of the service manager is neither TCP nor a Unix stream");
            }
        }
        Ok(listeners)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tcp.is_empty() && self.unix.is_empty()
    }

    pub(crate) fn tcp_addresses(&self) -> Result<Vec<SocketAddr>> {
        let addresses = self.tcp.iter().map(TcpListener::local_addr);
        addresses
            .collect::<Result<_, _>>()
            .context("a socket of the service manager has no address")
    }

    pub(crate) fn serve(self, server: ServerBuilder) -> ServerBuilder {
        let server = self.tcp.into_iter().fold(server, ServerBuilder::tcp_listener);
        self.unix.into_iter().fold(server, ServerBuilder::unix_listener)
    }
}
