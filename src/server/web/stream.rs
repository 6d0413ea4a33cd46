//! A handed-over socket: what was read of it already comes first, and a peer that takes nothing is left.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Sleep, sleep};

use super::meter::Meter;
use crate::server::socket::Socket;

pub(super) struct Stream {
    socket: Either,
    /// What was received before, from here on.
    received: Vec<u8>,
    used: usize,
    /// The peer has said its last.
    is_over: bool,
    stall_time: Duration,
    /// Runs while the peer takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    meter: Arc<Meter>,
}

enum Either {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub(super) fn new(
        socket: Socket,
        received: Vec<u8>,
        stall_time: Duration,
        meter: Arc<Meter>,
    ) -> io::Result<Self> {
        meter.read(received.len());
        let socket = match socket {
            Socket::Tcp(stream, _) => Either::Tcp(TcpStream::from_std(stream)?),
            Socket::Unix(stream) => Either::Unix(UnixStream::from_std(stream)?),
        };
        Ok(Self { socket, received, used: 0, is_over: false, stall_time, stalled: None, meter })
    }

    /// True while the peer's last word is kept back: some close their side as soon as they have asked, and
    /// hyper would drop their answer.
    fn is_early(&mut self, cx: &Context<'_>) -> bool {
        if !std::mem::replace(&mut self.is_over, true) {
            // What was read just before has not been looked at.
            cx.waker().wake_by_ref();
            return true;
        }
        self.meter.owes_answer(cx)
    }

    /// Watches over a write that did not go through.
    fn timed(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            self.stalled = None;
            self.meter.wrote(written.as_ref().copied().unwrap_or_default());
            return Poll::Ready(written);
        }
        let wait = self.stall_time;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(wait)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Either {
    fn reader(&mut self) -> Pin<&mut (dyn AsyncRead + Unpin)> {
        match self {
            Either::Tcp(stream) => Pin::new(stream),
            Either::Unix(stream) => Pin::new(stream),
        }
    }

    fn writer(&mut self) -> Pin<&mut (dyn AsyncWrite + Unpin)> {
        match self {
            Either::Tcp(stream) => Pin::new(stream),
            Either::Unix(stream) => Pin::new(stream),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.used == self.received.len() {
            let (before, room) = (into.filled().len(), into.remaining());
            ready!(self.socket.reader().poll_read(cx, into))?;
            let read = into.filled().len() - before;
            if read == 0 && room > 0 && self.is_early(cx) {
                return Poll::Pending;
            }
            self.meter.read(read);
            return Poll::Ready(Ok(()));
        }
        let rest = &self.received[self.used..];
        let count = rest.len().min(into.remaining());
        into.put_slice(&rest[..count]);
        self.used += count;
        if self.used == self.received.len() {
            (self.received, self.used) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.socket.writer().poll_write(cx, bytes);
        self.timed(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.socket.writer().poll_write_vectored(cx, pieces);
        self.timed(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.socket.writer().poll_flush(cx))?;
        self.meter.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.writer().poll_shutdown(cx)
    }
}
