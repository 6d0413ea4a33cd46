//! The driver of a connection on tokio: a task.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::client::core::Settings;
use crate::client::link::{Connection, Driven, Inner, Line};
use crate::client::session::jitter;
use crate::client::socket::Socket;
use crate::client::{Address, ClientError};
use crate::clock::Clock;

/// A connection with a task of its own on the present runtime.
pub(super) fn start(address: &Address, patience: Duration) -> Result<Connection, ClientError> {
    let runtime = Handle::try_current().map_err(|why| ClientError::Unreachable {
        address: address.clone(),
        why: io::Error::new(io::ErrorKind::Unsupported, why.to_string()),
    })?;
    let bell = Arc::new(Notify::new());
    let rung = bell.clone();
    let ring = move || rung.notify_one();
    let settings = Settings { address: address.clone(), jitter, patience };
    let (connection, inner) = Connection::driven(settings, Clock::system(), Box::new(ring));
    runtime.spawn(run(Driven(inner), bell));
    Ok(connection)
}

type Dialing = Pin<Box<dyn Future<Output = io::Result<Socket>> + Send>>;

/// A socket, and a second descriptor of it that the runtime watches: the first is written to by whoever has
/// something to say, on any thread.
struct Watched {
    line: Line,
    second: Second,
}

enum Second {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Watched {
    fn new(line: Line) -> io::Result<Self> {
        let second = match &*line.1 {
            Socket::Tcp(socket) => Second::Tcp(TcpStream::from_std(socket.try_clone()?)?),
            Socket::Unix(socket) => Second::Unix(UnixStream::from_std(socket.try_clone()?)?),
        };
        Ok(Self { line, second })
    }

    /// Does `act` for as long as the socket is ready for it, or until it is done; then true.
    fn poll(
        &self,
        interest: Interest,
        context: &mut Context<'_>,
        mut act: impl FnMut() -> io::Result<()>,
    ) -> bool {
        loop {
            let ready = match (&self.second, interest.is_readable()) {
                (Second::Tcp(socket), true) => socket.poll_read_ready(context),
                (Second::Tcp(socket), false) => socket.poll_write_ready(context),
                (Second::Unix(socket), true) => socket.poll_read_ready(context),
                (Second::Unix(socket), false) => socket.poll_write_ready(context),
            };
            // An error is the runtime's end, with which this ends too.
            if !matches!(ready, Poll::Ready(Ok(()))) {
                return false;
            }
            let done = match &self.second {
                Second::Tcp(socket) => socket.try_io(interest, &mut act),
                Second::Unix(socket) => socket.try_io(interest, &mut act),
            };
            if done.is_ok() {
                return true;
            }
        }
    }
}

async fn run(driven: Driven, bell: Arc<Notify>) {
    let inner = &driven.0;
    let mut buffer = vec![0; 64 << 10];
    let mut dialing: Option<(u64, Dialing)> = None;
    let mut watched: Option<Watched> = None;
    while let Some(turn) = inner.turn() {
        if let Some(epoch) = turn.dial {
            let (address, patience) = (inner.address.clone(), inner.patience);
            dialing = Some((epoch, Box::pin(dial(address, patience))));
        }
        if watched.as_ref().map(|it| it.line.0) != turn.socket.as_ref().map(|line| line.0) {
            watched = watch(inner, turn.socket);
        }
        let mut rung = pin!(bell.notified());
        let mut nap = pin!(tokio::time::sleep(turn.nap));
        poll_fn(|context| {
            if let Some((epoch, dial)) = &mut dialing
                && let Poll::Ready(dialed) = dial.as_mut().poll(context)
            {
                inner.dialed(*epoch, dialed);
                dialing = None;
                return Poll::Ready(());
            }
            let mut is_ready = rung.as_mut().poll(context).is_ready();
            is_ready |= nap.as_mut().poll(context).is_ready();
            if let Some(watched) = &watched {
                let read = || inner.read(&watched.line, &mut buffer);
                is_ready |= watched.poll(Interest::READABLE, context, read);
                is_ready |= turn.wants_to_write
                    && watched.poll(Interest::WRITABLE, context, || inner.write());
            }
            if is_ready { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

fn watch(inner: &Inner, line: Option<Line>) -> Option<Watched> {
    let line = line?;
    let epoch = line.0;
    match Watched::new(line) {
        Ok(watched) => Some(watched),
        Err(why) => {
            inner.with(|core, now| core.cut(now, epoch, &why.to_string()));
            None
        }
    }
}

async fn dial(address: Address, patience: Duration) -> io::Result<Socket> {
    let connected = tokio::time::timeout(patience, connect(&address)).await;
    connected.unwrap_or_else(|_| {
        Err(io::Error::new(io::ErrorKind::TimedOut, "no answer to the attempt to connect"))
    })
}

async fn connect(address: &Address) -> io::Result<Socket> {
    match address {
        Address::Tcp(address) => {
            Socket::tcp(TcpStream::connect(address.as_str()).await?.into_std()?)
        }
        Address::Unix(path) => Ok(Socket::Unix(UnixStream::connect(path).await?.into_std()?)),
    }
}
