//! The twin of `web` in a build without that feature: nobody is handed over.

use std::io;
use std::sync::Arc;

use crossbeam::channel::Sender;

use super::listener::Listener;
use super::sniff::Protocol;
use super::socket::Socket;
use super::{Life, Shared};

/// A connection that speaks HTTP. There is none.
pub(super) struct Guest {
    pub(super) socket: Socket,
    pub(super) protocol: Protocol,
    pub(super) received: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Entrance;

pub(super) struct Arrivals;

pub(super) struct Web;

impl Entrance {
    pub(super) fn open() -> (Self, Arrivals) {
        (Self, Arrivals)
    }

    pub(super) fn admit(&self, guest: Guest) -> Result<(), Guest> {
        Err(guest)
    }
}

impl Web {
    pub(super) fn start(
        _shared: &Arc<Shared>,
        _arrivals: Arrivals,
        _admin: Vec<Listener>,
        _ending: Sender<()>,
    ) -> io::Result<Self> {
        Ok(Self)
    }

    pub(super) fn tell(&self, _life: Life) {}
}
