//! Where clients come in: TCP and Unix sockets.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Type};

use super::socket::Socket;
use crate::error::Error;

/// Connections that wait to be accepted, as far as the kernel allows.
const BACKLOG: i32 = 4096;

/// A bound address.
pub(crate) struct Listener {
    bound: Bound,
    silence: Duration,
    /// Given up when descriptors run out, to accept one peer and send it away: it would otherwise
    /// wait without a word, and the listener stay ready for ever.
    spare: Option<File>,
}

pub(super) enum Bound {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener, SocketFile),
}

/// A socket that listens already.
#[derive(Debug)]
pub(super) enum Prebound {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// What came of an attempt to accept.
pub(super) enum Accepted {
    Peer(Socket),
    /// It was gone again, or its options could not be set.
    Lost,
    /// No descriptor is free, so it was sent away.
    SentAway(io::Error),
    /// No descriptor is free, and none to send anybody away with.
    Exhausted,
    Nobody,
}

impl Listener {
    /// Binds `host:port` or `unix:///path`.
    pub(super) fn bind(address: &str, silence: Duration) -> Result<Self, Error> {
        let bound = match address.strip_prefix("unix://") {
            Some(path) => bind_unix(Path::new(path)),
            None => bind_tcp(address),
        };
        let bound = bound.map_err(|error| Error::InvalidSetting {
            setting: "listen",
            why: format!("can't listen on {address}: {error}"),
        })?;
        Ok(Self { bound, silence, spare: spare() })
    }

    /// Takes over a socket that listens already.
    pub(super) fn of(socket: &Prebound, silence: Duration) -> Result<Self, Error> {
        let bound = take_over(socket).map_err(|error| Error::InvalidSetting {
            setting: "listen",
            why: format!("can't listen on a socket that was handed over: {error}"),
        })?;
        Ok(Self { bound, silence, spare: spare() })
    }

    /// For whoever accepts in another way; with how long a peer's host may fall silent.
    #[cfg(feature = "web")]
    pub(super) fn into_bound(self) -> (Bound, Duration) {
        (self.bound, self.silence)
    }

    pub(super) fn accept(&mut self) -> Accepted {
        let accepted = match &self.bound {
            Bound::Tcp(listener, _) => {
                listener.accept().map(|(stream, peer)| Socket::tcp(stream, peer, self.silence))
            }
            Bound::Unix(listener, _) => listener.accept().map(|(stream, _)| Socket::unix(stream)),
        };
        match accepted {
            Ok(socket) => socket.map_or(Accepted::Lost, Accepted::Peer),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Accepted::Nobody,
            Err(error) if is_exhausted(&error) => self.send_one_away(error),
            Err(_) => Accepted::Lost,
        }
    }

    /// The kernel says so before it looks whether anybody waits.
    fn send_one_away(&mut self, error: io::Error) -> Accepted {
        if self.spare.take().is_none() {
            self.spare = spare();
            return Accepted::Exhausted;
        }
        let gone = match &self.bound {
            Bound::Tcp(listener, _) => listener.accept().map(drop),
            Bound::Unix(listener, _) => listener.accept().map(drop),
        };
        self.spare = spare();
        match gone {
            Ok(()) => Accepted::SentAway(error),
            Err(gone) if gone.kind() == ErrorKind::WouldBlock => Accepted::Nobody,
            Err(_) => Accepted::Exhausted,
        }
    }
}

/// The address, as bound.
impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.bound {
            Bound::Tcp(_, address) => address.fmt(f),
            Bound::Unix(_, file) => write!(f, "unix://{}", file.path.display()),
        }
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        match &self.bound {
            Bound::Tcp(listener, _) => listener.as_raw_fd(),
            Bound::Unix(listener, _) => listener.as_raw_fd(),
        }
    }
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

fn is_exhausted(error: &io::Error) -> bool {
    let codes = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    codes.iter().any(|code| error.raw_os_error() == Some(code.raw_os_error()))
}

/// Binds the first address of the host that can be bound.
fn bind_tcp(address: &str) -> io::Result<Bound> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the host has no address");
    for candidate in address.to_socket_addrs()? {
        match bind_socket(candidate) {
            Ok(listener) => {
                let bound = listener.local_addr()?;
                return Ok(Bound::Tcp(listener, bound));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind_socket(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = socket2::Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // A server that starts again is not kept out by connections of its former life.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_unix(path: &Path) -> io::Result<Bound> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_abandoned(path) => {
            fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        other => other?,
    };
    listener.set_nonblocking(true)?;
    let inode = Some(fs::symlink_metadata(path)?.ino());
    Ok(Bound::Unix(listener, SocketFile { path: path.to_owned(), inode }))
}

fn take_over(socket: &Prebound) -> io::Result<Bound> {
    match socket {
        Prebound::Tcp(listener) => {
            must_listen(&SockRef::from(listener))?;
            listener.set_nonblocking(true)?;
            Ok(Bound::Tcp(listener.try_clone()?, listener.local_addr()?))
        }
        Prebound::Unix(listener) => {
            must_listen(&SockRef::from(listener))?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            let path = address.as_pathname().unwrap_or(Path::new("@")).to_owned();
            Ok(Bound::Unix(listener.try_clone()?, SocketFile { path, inode: None }))
        }
    }
}

/// From one that is only bound, accepting would fail for ever.
fn must_listen(socket: &SockRef<'_>) -> io::Result<()> {
    // Other systems don't tell.
    #[cfg(target_os = "linux")]
    if !socket.is_listener()? {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it does not listen"));
    }
    let _elsewhere = socket;
    Ok(())
}

/// True for a socket that nobody listens on: what a killed server leaves behind.
fn is_abandoned(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == ErrorKind::ConnectionRefused;
    is_socket && UnixStream::connect(path).err().is_some_and(refused)
}

/// Removed with its listener, unless somebody else has put theirs in its place.
pub(super) struct SocketFile {
    path: PathBuf,
    /// `None` for one that somebody else made: it stays.
    inode: Option<u64>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|meta| Some(meta.ino()) == self.inode) {
            let _best_effort = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_secs(10);

    #[test]
    fn the_address_is_printed_as_bound() {
        let listener = Listener::bind("127.0.0.1:0", SILENCE).unwrap();
        let printed: SocketAddr = listener.to_string().parse().unwrap();
        assert_ne!(printed.port(), 0);
    }

    #[test]
    fn an_abandoned_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let address = format!("unix://{}", path.display());

        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "std leaves the file behind, as a killed process does");
        let first = Listener::bind(&address, SILENCE).unwrap();
        assert_eq!(first.to_string(), address);
        assert!(Listener::bind(&address, SILENCE).is_err());
        drop(first);
        assert!(!path.exists());

        fs::write(&path, "no socket").unwrap();
        assert!(Listener::bind(&address, SILENCE).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"no socket");
    }

    #[test]
    fn a_socket_that_listens_already_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let theirs = Prebound::Unix(UnixListener::bind(&path).unwrap());
        let listener = Listener::of(&theirs, SILENCE).unwrap();
        assert_eq!(listener.to_string(), format!("unix://{}", path.display()));
        drop(listener);
        assert!(path.exists(), "its file is not ours");

        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let mut listener = Listener::of(&Prebound::Tcp(tcp), SILENCE).unwrap();
        assert_eq!(listener.to_string(), address.to_string());
        assert!(matches!(listener.accept(), Accepted::Nobody), "it does not block");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_socket_that_does_not_listen_is_refused() {
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let error = Listener::of(&Prebound::Tcp(socket.into()), SILENCE).err().unwrap();
        assert!(error.to_string().contains("does not listen"), "{error}");
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        for address in ["localhost", "127.0.0.1:99999", "unix:///no/such/directory/socket"] {
            let error = Listener::bind(address, SILENCE).err().unwrap().to_string();
            assert!(error.starts_with(&format!("listen: can't listen on {address}: ")), "{error}");
        }
    }
}
