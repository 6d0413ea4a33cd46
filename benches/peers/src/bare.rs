//! The least that any server has to do: to read a request and to write as many bytes as Tenure does. What it
//! takes is the machine's own.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};

use anyhow::Result;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

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

pub fn echo() -> Result<()> {
    let request = ttrpc::get_term(ELECTION).bytes.len();
    serve(&mut Echo { request, answer: ttrpc::term(LEADER), out: Vec::new() })
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
