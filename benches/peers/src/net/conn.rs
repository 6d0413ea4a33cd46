//! One connection: frames out, frames in, without blocking.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mio::net::TcpStream;

use crate::wire::{Dialect, Heard, Kind, Request};

const BUFFER: usize = 64 << 10;
const CONNECT: Duration = Duration::from_secs(5);

pub struct Conn<D> {
    pub socket: TcpStream,
    pub dialect: D,
    pub out: Vec<u8>,
    sent: usize,
    input: Vec<u8>,
    /// Of the input, what is there and not yet looked at, and the last frame that was.
    unread: Range<usize>,
    frame: usize,
    has_ended: bool,
}

impl<D: Dialect> Conn<D> {
    pub fn open(address: SocketAddr, mut dialect: D) -> Result<Self> {
        let socket = std::net::TcpStream::connect_timeout(&address, CONNECT)
            .with_context(|| format!("can't connect to {address}"))?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let mut out = Vec::new();
        dialect.greet(&mut out);
        Ok(Self {
            socket: TcpStream::from_std(socket),
            dialect,
            out,
            sent: 0,
            input: vec![0; BUFFER],
            unread: 0..0,
            frame: 0,
            has_ended: false,
        })
    }

    /// Appends to what is sent at the next [`flush`](Self::flush).
    pub fn put(&mut self, request: &Request) -> u64 {
        self.dialect.put(request, &mut self.out)
    }

    pub fn send(&mut self, request: &Request) -> Result<u64> {
        let id = self.put(request);
        self.flush()?;
        Ok(id)
    }

    pub fn flush(&mut self) -> Result<()> {
        while self.sent < self.out.len() {
            match self.socket.write(&self.out[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("can't send"),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Reads once, and says whether there may be more.
    pub fn fill(&mut self) -> Result<bool> {
        self.make_room();
        match self.socket.read(&mut self.input[self.unread.end..]) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(count) => {
                self.unread.end += count;
                Ok(self.unread.end == self.input.len())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error).context("can't receive"),
        }
    }

    fn make_room(&mut self) {
        if self.unread.is_empty() {
            self.unread = 0..0;
        }
        if self.unread.end == self.input.len() {
            self.input.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        if self.unread.end == self.input.len() {
            self.input.resize(2 * self.unread.end, 0);
        }
    }

    /// The next frame that is there as a whole and says something.
    pub fn next(&mut self) -> Result<Option<Heard>> {
        loop {
            let unread = &self.input[self.unread.clone()];
            if unread.is_empty() {
                return Ok(None);
            }
            let Some(heard) = self.dialect.next(unread, &mut self.out)? else { return Ok(None) };
            self.frame = self.unread.start;
            self.unread.start += heard.len;
            if heard.kind != Kind::Nothing {
                return Ok(Some(heard));
            }
        }
    }

    /// What the last frame said.
    pub fn said(&self, heard: &Heard) -> &[u8] {
        &self.input[self.frame + heard.body.start..self.frame + heard.body.end]
    }

    /// True the first time that the other side is seen to have ended it.
    pub fn has_ended(&mut self) -> bool {
        let mut waste = [0; 4096];
        while !self.has_ended {
            match self.socket.read(&mut waste) {
                Ok(0) => {}
                Ok(_) => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => {}
            }
            self.has_ended = true;
            return true;
        }
        false
    }
}
