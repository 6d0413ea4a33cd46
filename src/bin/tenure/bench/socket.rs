//! Sockets that never block, and waiting for them. The only file of the command that knows mio.

use std::io::{self, Read, Write};
use std::net::ToSocketAddrs;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result};
use mio::{Events, Interest, Poll, Token};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tenure::client::{Address, ClientError};

/// A connection to a server.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(mio::net::TcpStream),
    Unix(mio::net::UnixStream),
}

impl Socket {
    /// Connects, waiting at most `patience` for each of the host's addresses.
    pub(super) fn connect(address: &Address, patience: Duration) -> Result<Self> {
        let made = match address {
            Address::Tcp(host) => tcp(host, patience),
            Address::Unix(path) => UnixStream::connect(path).and_then(|stream| {
                stream.set_nonblocking(true)?;
                Ok(Socket::Unix(mio::net::UnixStream::from_std(stream)))
            }),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "no such kind of address")),
        };
        let address = address.clone();
        Ok(made.map_err(|why| ClientError::Unreachable { address, why })?)
    }
}

fn tcp(host: &str, patience: Duration) -> io::Result<Socket> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in host.to_socket_addrs()? {
        match std::net::TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                return Ok(Socket::Tcp(mio::net::TcpStream::from_std(stream)));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read(buffer),
            Socket::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.write(bytes),
            Socket::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits for sockets, each known by a number.
pub(super) struct Waiter {
    poll: Poll,
    events: Events,
}

impl Waiter {
    pub(super) fn new() -> Result<Self> {
        let poll = Poll::new().context("can't wait for sockets")?;
        Ok(Self { poll, events: Events::with_capacity(1024) })
    }

    pub(super) fn add(&mut self, socket: &mut Socket, number: usize) -> Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        let added = match socket {
            Socket::Tcp(stream) => registry.register(stream, Token(number), both),
            Socket::Unix(stream) => registry.register(stream, Token(number), both),
        };
        added.context("can't wait for a socket")
    }

    pub(super) fn leave(&mut self, socket: &mut Socket) -> Result<()> {
        let registry = self.poll.registry();
        let left = match socket {
            Socket::Tcp(stream) => registry.deregister(stream),
            Socket::Unix(stream) => registry.deregister(stream),
        };
        left.context("can't leave a socket alone")
    }

    /// The sockets to look at, within `patience`. To the nanosecond, which mio's own timeout is not: it
    /// counts milliseconds.
    pub(super) fn wait(&mut self, patience: Duration) -> Result<impl Iterator<Item = usize>> {
        const ROUNDED: Duration = Duration::from_millis(50);
        let patience = match patience {
            Duration::ZERO => patience,
            short if short < ROUNDED => {
                self.sleep(short)?;
                Duration::ZERO
            }
            long => long,
        };
        match self.poll.poll(&mut self.events, Some(patience)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            done => done.context("can't wait for sockets")?,
        }
        Ok(self.events.iter().map(|event| event.token().0))
    }

    /// Until a socket is ready, or `patience` is over.
    fn sleep(&self, patience: Duration) -> Result<()> {
        let until = Timespec::try_from(patience).context("too long a wait")?;
        match poll(&mut [PollFd::new(self.poll.registry(), PollFlags::IN)], Some(&until)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("can't wait for sockets"),
        }
    }
}
