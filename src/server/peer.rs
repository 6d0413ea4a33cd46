//! One connection of a reactor with its socket.

use std::io::ErrorKind;

use super::conn::Conn;
use super::socket::Socket;
use crate::clock::Moment;
use crate::wheel::TimerId;

/// Read at once from one connection. More waits for the next pass, behind the other connections.
pub(super) const READ_BYTES: usize = 256 << 10;
/// Written at once to one connection, likewise: who reads as fast as the server writes would otherwise
/// keep it for as long as there is something new to say.
const WRITE_BYTES: usize = 256 << 10;
/// Written right after reading, at most. Who has much in flight gains more from answers that leave together.
const EARLY_BYTES: usize = 1 << 10;

pub(super) struct Peer {
    pub(super) conn: Conn,
    pub(super) socket: Socket,
    pub(super) key: u64,
    pub(super) timer: Option<(TimerId, Moment)>,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The peer will send no more than what waits to be read.
    pub(super) ended: bool,
    pub(super) is_ready: bool,
    pub(super) is_touched: bool,
}

impl Peer {
    pub(super) fn new(conn: Conn, socket: Socket, key: u64) -> Self {
        Self {
            conn,
            socket,
            key,
            timer: None,
            readable: false,
            writable: true,
            ended: false,
            is_ready: false,
            is_touched: false,
        }
    }

    /// Works off what was held back, then reads once. How many bytes it read.
    pub(super) fn read(&mut self, now: Moment, buffer: &mut [u8]) -> usize {
        if self.conn.has_work() {
            self.conn.feed(now, &[]);
        }
        if !self.readable || !self.conn.wants_read() {
            return 0;
        }
        match self.socket.read(buffer) {
            Ok(0) => {
                self.readable = false;
                self.conn.feed_end();
            }
            Ok(count) => {
                // A short read took all there was, but for an end that was told already.
                self.readable = count == buffer.len() || self.ended;
                self.conn.feed(now, &buffer[..count]);
                return count;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.conn.broken(),
        }
        0
    }

    /// Writes until all has left, the socket takes no more, or it is others' turn. How many bytes it wrote.
    pub(super) fn write(&mut self, now: Moment) -> usize {
        let mut budget = WRITE_BYTES;
        while budget > 0 && self.can_write() {
            let pending = self.conn.pending();
            let piece = &pending[..pending.len().min(budget)];
            let len = piece.len();
            match self.socket.write(piece) {
                Ok(count) => {
                    self.writable = count == len;
                    budget -= count;
                    self.conn.sent(now, count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.writable = false;
                    self.conn.sent(now, 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.conn.broken();
                    break;
                }
            }
        }
        WRITE_BYTES - budget
    }

    /// Writes what was answered at once, so that the peer may go on while others are read from; unless there is
    /// more to come, with which it can leave. How many bytes it wrote.
    pub(super) fn write_early(&mut self, now: Moment) -> usize {
        let is_whole = !self.conn.owes() && self.conn.pending().len() <= EARLY_BYTES;
        if is_whole { self.write(now) } else { 0 }
    }

    /// True if something waits for the peer, and its socket may take it.
    pub(super) fn can_write(&self) -> bool {
        self.writable && !self.conn.pending().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::engine::Engine;
    use crate::server::conn::Terms;
    use crate::server::outbox::Outbox;
    use crate::service::Latches;
    use crate::wire::election_v1::NamedRequest;
    use crate::wire::envelope::{Request, put_request};

    const NOW: Moment = Moment::from_nanos(1);

    /// A peer, and the other end of its socket.
    fn connected(engine: &Engine) -> (Peer, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (near, address) = listener.accept().unwrap();
        let hour = Duration::from_secs(3600);
        let socket = Socket::tcp(near, address, hour).unwrap();
        let (frame_time, stall_time, linger) = (hour, hour, hour);
        let terms = Terms {
            frame_time,
            stall_time,
            linger,
            idle: None,
            cache_rules: Arc::default(),
            told: Arc::default(),
            latches: Latches::of(engine),
            hands_over: false,
        };
        let sink = Arc::new(Outbox::new(|| {}));
        let conn = Conn::new(
            engine.clone(),
            (sink, 1),
            "far".into(),
            (Arc::new(terms), Arc::default()),
            NOW,
        );
        (Peer::new(conn, socket, 1), far)
    }

    #[test]
    fn who_reads_fast_is_written_to_in_turns() {
        let engine = Engine::builder().open().unwrap();
        let session = engine.session().unwrap();
        let election = engine.election("e").unwrap();
        for n in 0..100 {
            election.enter(&session, &format!("{n}{}", "x".repeat(500))).unwrap();
        }
        let (mut peer, mut far) = connected(&engine);
        let (mut payload, mut requests) = (Vec::new(), Vec::new());
        NamedRequest { name: "e" }.encode(&mut payload);
        let service = "atomix.runtime.election.v1.LeaderElection";
        for n in 0..20 {
            let request =
                Request { service, method: "GetTerm", payload: &payload, ..Request::default() };
            put_request(&mut requests, 2 * n + 1, 0, &request);
        }
        peer.conn.feed(NOW, &requests);
        let total = peer.conn.pending().len();
        assert!(total > 3 * WRITE_BYTES, "{total}");

        let mut turns = 0;
        let mut buffer = vec![0; 2 * WRITE_BYTES];
        let mut read = 0;
        while read < total {
            let before = peer.conn.pending().len();
            // As when the socket says that it takes more.
            peer.writable = true;
            peer.write(NOW);
            let written = before - peer.conn.pending().len();
            assert!(written <= WRITE_BYTES, "{written} bytes in one turn");
            assert_eq!(peer.can_write(), written == WRITE_BYTES && written < before, "{before}");
            turns += 1;
            let mut left = written;
            while left > 0 {
                let count = far.read(&mut buffer).unwrap();
                (left, read) = (left - count, read + count);
            }
        }
        assert!(turns > 3);
    }
}
