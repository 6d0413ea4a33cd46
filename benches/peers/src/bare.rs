//! The least that any server has to do: to read a request and to write as many bytes as Tenure does. What it
//! takes is the machine's own.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Result;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rustix::fs::{Mode, OFlags};

use crate::ask::{ELECTION, LEADER};
use crate::wire::ttrpc;

const LISTENER: Token = Token(usize::MAX);
/// The flags' place in a frame; set in a request whose answer is a stream.
const FLAGS: usize = 9;

/// What comes of the bytes that a connection sent.
trait Server {
    fn heard(&mut self, who: usize, bytes: &[u8], peers: &mut [Option<Peer>]);
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

/// As the echo, but a block that the file has already is safe on the disk before an answer leaves: no server of
/// one thread that keeps each change can do with less.
struct Keep {
    echo: Echo,
    file: File,
    /// Somewhere in it a block begins where the disk wants it.
    room: Vec<u8>,
    at: u64,
}

const BLOCK: usize = 4096;
const BLOCKS: u64 = 512;

impl Keep {
    fn new(path: &Path) -> Result<Self> {
        std::fs::write(path, vec![0; BLOCKS as usize * BLOCK])?;
        File::open(path)?.sync_all()?;
        let synced = OFlags::WRONLY | OFlags::DSYNC;
        let open = |flags| rustix::fs::open(path, flags, Mode::empty());
        // As Tenure does where a file system has no way past the cache.
        let file = open(synced | OFlags::DIRECT).or_else(|_| open(synced))?.into();
        Ok(Self { echo: Echo::new(), file, room: vec![7; 2 * BLOCK], at: 0 })
    }

    fn keep(&mut self) -> std::io::Result<()> {
        let start = self.room.as_ptr().align_offset(BLOCK);
        self.file.write_all_at(&self.room[start..start + BLOCK], self.at * BLOCK as u64)?;
        self.at = (self.at + 1) % BLOCKS;
        Ok(())
    }
}

impl Server for Keep {
    fn heard(&mut self, who: usize, bytes: &[u8], peers: &mut [Option<Peer>]) {
        match self.keep() {
            Ok(()) => self.echo.heard(who, bytes, peers),
            Err(error) => {
                eprintln!("can't keep: {error}");
                peers[who] = None;
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
    serve(&mut Echo::new())
}

pub fn keep(path: &Path) -> Result<()> {
    serve(&mut Keep::new(path)?)
}

pub fn fan() -> Result<()> {
    let message = ttrpc::watched("watch-a", "watch-b");
    serve(&mut Fan { message, answer: ttrpc::term(LEADER), watchers: Vec::new() })
}

fn serve(server: &mut impl Server) -> Result<()> {
    let mut listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
    println!("listens on {}", listener.local_addr()?);
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut peers: Vec<Option<Peer>> = Vec::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => accept(&listener, &poll, &mut peers)?,
                Token(who) => look(who, &mut peers, &mut buffer, server),
            }
        }
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
