//! The least that any server has to do: to read a request and to write as many bytes as Tenure does. What it
//! takes is the machine's own.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rustix::fs::{Mode, OFlags};

use crate::ask::{ELECTION, LEADER};
use crate::wire::ttrpc;

const LISTENER: Token = Token(usize::MAX);
/// The flags' place in a frame; set in a request whose answer is a stream.
const FLAGS: usize = 9;
const STREAM: std::ops::Range<usize> = 4..8;
/// How long one that does not sleep looks for more.
const AWAKE: Duration = Duration::from_millis(1);

/// What comes of the bytes that a connection sent.
trait Server {
    fn heard(&mut self, who: usize, bytes: &[u8], peers: &mut [Option<Peer>]);

    /// All that had come was heard.
    fn end_pass(&mut self, _peers: &mut [Option<Peer>]) {}
}

struct Peer {
    socket: TcpStream,
    /// Bytes of a request that is not there as a whole.
    partly: usize,
    rest: VecDeque<u8>,
}

impl Peer {
    fn flush(&mut self) {
        while !self.rest.is_empty() {
            match self.socket.write(self.rest.make_contiguous()) {
                Ok(count) => drop(self.rest.drain(..count)),
                Err(_) => break,
            }
        }
    }
}

/// As many answers as there were requests, by their lengths alone.
struct Echo {
    request: usize,
    answer: Vec<u8>,
    out: Vec<u8>,
}

impl Server for Echo {
    fn heard(&mut self, who: usize, bytes: &[u8], peers: &mut [Option<Peer>]) {
        let Some(peer) = &mut peers[who] else { return };
        let there = peer.partly + bytes.len();
        peer.partly = there % self.request;
        self.out.clear();
        (0..there / self.request).for_each(|_| self.out.extend_from_slice(&self.answer));
        peer.rest.extend(&self.out);
    }
}

/// A block that the file has already, made safe on the disk: who keeps a change can't do with less.
struct Disk {
    file: File,
    /// Somewhere in it a block begins where the disk wants it.
    room: Vec<u8>,
    at: u64,
}

const BLOCK: usize = 4096;
const BLOCKS: u64 = 512;

impl Disk {
    fn new(path: &Path) -> Result<Self> {
        std::fs::write(path, vec![0; BLOCKS as usize * BLOCK])?;
        File::open(path)?.sync_all()?;
        let synced = OFlags::WRONLY | OFlags::DSYNC;
        let open = |flags| rustix::fs::open(path, flags, Mode::empty());
        // As Tenure does where a file system has no way past the cache.
        let file = open(synced | OFlags::DIRECT).or_else(|_| open(synced))?.into();
        Ok(Self { file, room: vec![7; 2 * BLOCK], at: 0 })
    }

    fn keep(&mut self) -> std::io::Result<()> {
        let start = self.room.as_ptr().align_offset(BLOCK);
        self.file.write_all_at(&self.room[start..start + BLOCK], self.at * BLOCK as u64)?;
        self.at = (self.at + 1) % BLOCKS;
        Ok(())
    }
}

/// As the echo, but a block is safe before an answer leaves.
struct Keep {
    echo: Echo,
    disk: Disk,
}

impl Server for Keep {
    fn heard(&mut self, who: usize, bytes: &[u8], peers: &mut [Option<Peer>]) {
        match self.disk.keep() {
            Ok(()) => self.echo.heard(who, bytes, peers),
            Err(error) => {
                eprintln!("can't keep: {error}");
                peers[who] = None;
            }
        }
    }
}

/// Hands the lead on, and knows nothing of who leads but who comes next: each line is of those who sent the same
/// Enter. One block keeps all that a pass has heard.
struct Relay {
    disk: Option<Disk>,
    answer: Vec<u8>,
    lines: HashMap<Vec<u8>, Line>,
    /// The line each stands in.
    stands: HashMap<usize, Vec<u8>>,
    /// Who leads from now on, and who has let go, with the streams of their answers.
    leads: Vec<(usize, [u8; 4])>,
    let_go: Vec<(usize, [u8; 4])>,
}

#[derive(Default)]
struct Line {
    is_led: bool,
    waits: VecDeque<(usize, [u8; 4])>,
}

impl Relay {
    fn frame(&mut self, who: usize, stream: [u8; 4], envelope: &[u8]) {
        if ttrpc::is_withdraw(envelope) {
            self.let_go.push((who, stream));
            let line = self.stands.get(&who).and_then(|enter| self.lines.get_mut(enter));
            line.into_iter().for_each(|line| line.is_led = false);
        } else {
            self.stands.insert(who, envelope.to_vec());
            let line = self.lines.entry(envelope.to_vec()).or_default();
            line.waits.push_back((who, stream));
        }
        let line = self.stands.get(&who).and_then(|enter| self.lines.get_mut(enter));
        if let Some(line) = line.filter(|line| !line.is_led)
            && let Some(next) = line.waits.pop_front()
        {
            line.is_led = true;
            self.leads.push(next);
        }
    }
}

impl Server for Relay {
    fn heard(&mut self, who: usize, mut bytes: &[u8], _peers: &mut [Option<Peer>]) {
        // What a client puts into one write comes as a whole over loopback.
        while let Some((&[a, b, c, d, s, t, u, v, _, _], rest)) = bytes.split_first_chunk()
            && let Some((envelope, rest)) =
                rest.split_at_checked(u32::from_be_bytes([a, b, c, d]) as usize)
        {
            self.frame(who, [s, t, u, v], envelope);
            bytes = rest;
        }
    }

    fn end_pass(&mut self, peers: &mut [Option<Peer>]) {
        if self.leads.is_empty() && self.let_go.is_empty() {
            return;
        }
        if let Some(Err(error)) = self.disk.as_mut().map(Disk::keep) {
            eprintln!("can't keep: {error}");
            std::process::exit(1);
        }
        // Who leads first: it is waited for.
        for (who, stream) in self.leads.drain(..).chain(self.let_go.drain(..)) {
            if let Some(peer) = &mut peers[who] {
                self.answer[STREAM].copy_from_slice(&stream);
                peer.rest.extend(&self.answer);
                peer.flush();
            }
        }
    }
}

/// Writes the same to all who asked for a stream, whenever somebody else asks for anything.
struct Fan {
    message: Vec<u8>,
    answer: Vec<u8>,
    watchers: Vec<usize>,
}

impl Server for Fan {
    fn heard(&mut self, who: usize, bytes: &[u8], peers: &mut [Option<Peer>]) {
        if bytes.get(FLAGS).is_some_and(|flags| *flags != 0) {
            self.watchers.push(who);
            if let Some(peer) = &mut peers[who] {
                peer.rest.extend(&self.message);
            }
            return;
        }
        self.watchers.retain(|&watcher| peers[watcher].is_some());
        for &watcher in &self.watchers {
            if let Some(peer) = &mut peers[watcher] {
                peer.rest.extend(&self.message);
                peer.flush();
            }
        }
        if let Some(peer) = &mut peers[who] {
            peer.rest.extend(&self.answer);
        }
    }
}

impl Echo {
    fn new() -> Self {
        let request = ttrpc::get_term(ELECTION).bytes.len();
        Self { request, answer: ttrpc::term(LEADER), out: Vec::new() }
    }
}

pub fn echo() -> Result<()> {
    serve(&mut Echo::new(), Duration::ZERO)
}

pub fn keep(path: &Path) -> Result<()> {
    serve(&mut Keep { echo: Echo::new(), disk: Disk::new(path)? }, Duration::ZERO)
}

/// Keeps what it does in a file, if there is one; `awake`: does not sleep between hand-overs.
pub fn relay(path: Option<&Path>, awake: bool) -> Result<()> {
    let mut relay = Relay {
        disk: path.map(Disk::new).transpose()?,
        answer: ttrpc::term(LEADER),
        lines: HashMap::new(),
        stands: HashMap::new(),
        leads: Vec::new(),
        let_go: Vec::new(),
    };
    serve(&mut relay, if awake { AWAKE } else { Duration::ZERO })
}

pub fn fan() -> Result<()> {
    let message = ttrpc::watched("watch-a", "watch-b");
    let answer = ttrpc::term(LEADER);
    serve(&mut Fan { message, answer, watchers: Vec::new() }, Duration::ZERO)
}

fn serve(server: &mut impl Server, awake: Duration) -> Result<()> {
    let mut listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
    println!("listens on {}", listener.local_addr()?);
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut peers: Vec<Option<Peer>> = Vec::new();
    let mut buffer = vec![0; 256 << 10];
    let mut heard = Instant::now();
    loop {
        let is_awake = !awake.is_zero() && heard.elapsed() < awake;
        poll.poll(&mut events, is_awake.then_some(Duration::ZERO))?;
        if !awake.is_zero() && !events.is_empty() {
            heard = Instant::now();
        }
        for event in &events {
            match event.token() {
                LISTENER => accept(&listener, &poll, &mut peers)?,
                Token(who) => look(who, &mut peers, &mut buffer, server),
            }
        }
        server.end_pass(&mut peers);
    }
}

fn accept(listener: &TcpListener, poll: &Poll, peers: &mut Vec<Option<Peer>>) -> Result<()> {
    while let Ok((mut socket, _)) = listener.accept() {
        socket.set_nodelay(true)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut socket, Token(peers.len()), both)?;
        peers.push(Some(Peer { socket, partly: 0, rest: VecDeque::new() }));
    }
    Ok(())
}

fn look(who: usize, peers: &mut [Option<Peer>], buffer: &mut [u8], server: &mut impl Server) {
    loop {
        let Some(peer) = &mut peers[who] else { return };
        match peer.socket.read(buffer) {
            Ok(count @ 1..) => {
                server.heard(who, &buffer[..count], peers);
                if count < buffer.len() {
                    break;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            _ => return peers[who] = None,
        }
    }
    if let Some(peer) = &mut peers[who] {
        peer.flush();
    }
}
