//! The driver of a connection without a runtime: a thread that sleeps in `poll`.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Address;
use super::core::Settings;
use super::link::{Connection, Driven, Inner, Turn};
use super::session::jitter;
use super::socket::Socket;
use crate::clock::Clock;

/// A connection with a thread of its own.
pub(super) fn start(address: &Address, patience: Duration) -> io::Result<Connection> {
    let (bell, hears) = UnixStream::pair()?;
    for end in [&bell, &hears] {
        end.set_nonblocking(true)?;
    }
    let settings = Settings { address: address.clone(), jitter, patience };
    // A full pipe has been rung already.
    let ring = move || drop((&bell).write(&[0]));
    let (connection, inner) = Connection::driven(settings, Clock::system(), Box::new(ring));
    let name = "tenure-client".into();
    thread::Builder::new().name(name).spawn(move || run(&inner, &hears))?;
    Ok(connection)
}

fn run(inner: &Arc<Inner>, hears: &UnixStream) {
    let _driven = Driven(inner.clone());
    let mut buffer = vec![0; 64 << 10];
    while let Some(turn) = inner.turn() {
        if let Some(epoch) = turn.dial {
            dial(inner, epoch);
        }
        let can_read = wait(hears, &turn);
        if let Some(line) = turn.socket.filter(|_| can_read) {
            // Read too early is read again.
            let _nothing_yet = inner.read(&line, &mut buffer);
        }
    }
}

/// Connects on a thread of its own, since that and a look-up of a name may take long.
fn dial(inner: &Arc<Inner>, epoch: u64) {
    let dials = inner.clone();
    let dialing = thread::Builder::new().name("tenure-dial".into()).spawn(move || {
        let socket = Socket::connect(&dials.address, dials.patience);
        dials.dialed(epoch, socket.and_then(|it| it.set_nonblocking().map(|()| it)));
    });
    if let Err(why) = dialing {
        inner.dialed(epoch, Err(why));
    }
}

/// Sleeps until the bell rings or the socket is ready, no longer than the nap: true if there may be
/// something to read.
fn wait(hears: &UnixStream, turn: &Turn) -> bool {
    let nap = Timespec { tv_sec: turn.nap.as_secs() as _, tv_nsec: turn.nap.subsec_nanos().into() };
    let mut wanted = PollFlags::IN;
    wanted.set(PollFlags::OUT, turn.wants_to_write);
    let mut fds = vec![PollFd::new(hears, PollFlags::IN)];
    fds.extend(turn.socket.as_ref().map(|(_, socket)| PollFd::new(&**socket, wanted)));
    // A signal is as good as a bell.
    let _interrupted = poll(&mut fds, Some(&nap));
    let ready: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
    if ready.first().is_some_and(|it| !it.is_empty()) {
        let mut rings = [0; 64];
        while let Ok(64) = (&mut &*hears).read(&mut rings) {}
    }
    let can_read = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
    ready.get(1).is_some_and(|it| it.intersects(can_read))
}
