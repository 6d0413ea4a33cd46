//! Many watching sockets and one that changes, heard by one thread; and a server that only writes.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream as Blocking};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const HEADER: usize = 10;
const BUFFER: usize = 256 << 10;

pub fn connect(server: SocketAddr) -> Blocking {
    let socket = Blocking::connect(server).expect("a server");
    socket.set_nodelay(true).expect("an option");
    socket
}

/// The next frame's length, read to its end.
pub fn read_frame(socket: &mut Blocking) -> usize {
    let mut header = [0; HEADER];
    socket.read_exact(&mut header).expect("a header");
    let length = length(&header);
    let read = std::io::copy(&mut socket.take(length as u64), &mut std::io::sink());
    assert_eq!(read.expect("a body"), length as u64);
    HEADER + length
}

fn length(header: &[u8; HEADER]) -> usize {
    u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize
}

/// One socket, and where it is within a frame.
struct Hearer {
    socket: TcpStream,
    header: [u8; HEADER],
    /// Of the header, what is there; then what is missing of the body.
    known: usize,
    missing: usize,
    /// Frames since the last change.
    frames: usize,
}

impl Hearer {
    fn new(socket: Blocking) -> Self {
        socket.set_nonblocking(true).expect("a socket");
        let socket = TcpStream::from_std(socket);
        Self { socket, header: [0; HEADER], known: 0, missing: 0, frames: 0 }
    }

    fn hear(&mut self, buffer: &mut [u8]) {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => panic!("the server closed the connection"),
                Ok(count) => {
                    self.take(&buffer[..count]);
                    if count < buffer.len() {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.known < HEADER {
                let count = bytes.len().min(HEADER - self.known);
                self.header[self.known..self.known + count].copy_from_slice(&bytes[..count]);
                (self.known, bytes) = (self.known + count, &bytes[count..]);
                if self.known < HEADER {
                    return;
                }
                self.missing = length(&self.header);
            }
            let count = bytes.len().min(self.missing);
            (self.missing, bytes) = (self.missing - count, &bytes[count..]);
            if self.missing == 0 {
                self.known = 0;
                self.frames += 1;
            }
        }
    }
}

/// Those who watch, and the one who changes what they watch.
pub struct Crowd {
    poll: Poll,
    events: Events,
    hearers: Vec<Hearer>,
    /// Frames that each watching connection gets for a change; the changer, which is the last, gets one.
    frames: usize,
    turns: usize,
    buffer: Vec<u8>,
}

impl Crowd {
    /// Of sockets that owe nothing.
    pub fn new(watching: Vec<Blocking>, frames: usize, changer: Blocking) -> Self {
        let poll = Poll::new().expect("a poll");
        let all = watching.into_iter().chain([changer]).map(Hearer::new);
        let mut hearers: Vec<Hearer> = all.collect();
        for (number, hearer) in hearers.iter_mut().enumerate() {
            let (socket, token) = (&mut hearer.socket, Token(number));
            poll.registry().register(socket, token, Interest::READABLE).expect("a place");
        }
        let events = Events::with_capacity(1024);
        Self { poll, events, hearers, frames, turns: 0, buffer: vec![0; BUFFER] }
    }

    /// Sends one of the changes, in turn, and waits until all have it. How long until the last watcher had.
    pub fn change(&mut self, changes: &[Vec<u8>]) -> Duration {
        let change = &changes[self.turns % changes.len()];
        self.turns += 1;
        let changer = self.hearers.len() - 1;
        self.hearers.iter_mut().for_each(|hearer| hearer.frames = 0);
        let (mut left, mut is_answered) = (changer, false);
        let began = Instant::now();
        let mut took = Duration::ZERO;
        let count = self.hearers[changer].socket.write(change).expect("room for it");
        assert_eq!(count, change.len());
        while left > 0 || !is_answered {
            self.poll.poll(&mut self.events, None).expect("events");
            for event in &self.events {
                let number = event.token().0;
                let hearer = &mut self.hearers[number];
                let before = hearer.frames;
                hearer.hear(&mut self.buffer);
                if number == changer {
                    is_answered |= hearer.frames == 1;
                } else if before < self.frames && hearer.frames == self.frames {
                    left -= 1;
                    if left == 0 {
                        took = began.elapsed();
                    }
                }
                assert!(hearer.frames <= self.frames, "more than what was asked for");
            }
        }
        took
    }
}

/// What a bare server says for each change: to who changes, and to each of the others.
#[derive(Clone)]
pub struct Speech {
    pub change: usize,
    pub reply: Vec<u8>,
    pub event: Vec<u8>,
}

/// Writes to all what a change is worth, whenever one of its connections has sent as many bytes as one has.
pub fn bare(speech: Speech, stop: Arc<AtomicBool>) -> SocketAddr {
    let mut listener = TcpListener::bind("127.0.0.1:0".parse().expect("one")).expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let mut poll = Poll::new().expect("a poll");
        let mut events = Events::with_capacity(1024);
        poll.registry()
            .register(&mut listener, Token(usize::MAX), Interest::READABLE)
            .expect("a place");
        let mut peers: Vec<Mouth> = Vec::new();
        let mut buffer = vec![0; BUFFER];
        while !stop.load(Ordering::Relaxed) {
            poll.poll(&mut events, Some(Duration::from_millis(200))).expect("events");
            for event in &events {
                let number = event.token().0;
                if number == usize::MAX {
                    while let Ok((mut socket, _)) = listener.accept() {
                        socket.set_nodelay(true).expect("an option");
                        let (token, both) =
                            (Token(peers.len()), Interest::READABLE | Interest::WRITABLE);
                        poll.registry().register(&mut socket, token, both).expect("a place");
                        peers.push(Mouth { socket, owed: 0 });
                    }
                    continue;
                }
                if event.is_writable() {
                    peers[number].speak(&speech.event);
                }
                let Ok(count) = peers[number].socket.read(&mut buffer) else { continue };
                if count == speech.change {
                    assert_eq!(
                        peers[number].socket.write(&speech.reply).ok(),
                        Some(speech.reply.len())
                    );
                    for (_, peer) in peers.iter_mut().enumerate().filter(|&(it, _)| it != number) {
                        peer.owed += speech.event.len();
                        peer.speak(&speech.event);
                    }
                }
            }
        }
    });
    address
}

struct Mouth {
    socket: TcpStream,
    /// Bytes of the event that have not left.
    owed: usize,
}

impl Mouth {
    fn speak(&mut self, event: &[u8]) {
        while self.owed > 0 {
            let at = event.len() - self.owed.min(event.len());
            match self.socket.write(&event[at..]) {
                Ok(count) => self.owed -= count,
                Err(_) => return,
            }
        }
    }
}
