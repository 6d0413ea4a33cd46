//! One connection: frames out, frames in, without blocking.

use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tenure::Clock;
use tenure::client::{Address, ClientError};

use super::proto::{self, DATA, Frame, HEADER, RESPONSE, Refusal};
use super::socket::{Socket, Waiter};

const BUFFER: usize = 64 << 10;
/// Longer than any frame that a server sends.
const LONGEST: usize = 16 << 20;
/// Calls under way at a time while a load is set up.
const BATCH: usize = 128;

pub(super) struct Conn {
    address: Address,
    socket: Socket,
    out: Vec<u8>,
    sent: usize,
    input: Vec<u8>,
    /// Of the input, what is there and not yet looked at.
    unread: Range<usize>,
    next_stream: u32,
}

/// A frame that came, whose body is in the connection's input.
#[derive(Clone, Debug)]
pub(super) struct Arrived {
    pub(super) stream: u32,
    kind: u8,
    body: Range<usize>,
}

impl Conn {
    pub(super) fn open(address: &Address, patience: Duration) -> Result<Self> {
        Ok(Self {
            address: address.clone(),
            socket: Socket::connect(address, patience)?,
            out: Vec::new(),
            sent: 0,
            input: vec![0; BUFFER],
            unread: 0..0,
            next_stream: 1,
        })
    }

    pub(super) fn join(&mut self, waiter: &mut Waiter, number: usize) -> Result<()> {
        waiter.add(&mut self.socket, number)
    }

    /// Appends to what is to be sent; see [`flush`](Self::flush).
    pub(super) fn put(&mut self, frame: &Frame, stream: u32) {
        frame.put(stream, &mut self.out);
    }

    /// The same on a stream that was not used before, whose number it gives.
    pub(super) fn put_next(&mut self, frame: &Frame) -> u32 {
        let stream = self.next_stream;
        self.next_stream = stream.wrapping_add(2);
        self.put(frame, stream);
        stream
    }

    /// Sends what the system takes.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.out.len() {
            match self.socket.write(&self.out[self.sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Reads once, and says whether there may be more; what came is there for [`next`](Self::next).
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        self.make_room();
        match self.socket.read(&mut self.input[self.unread.end..]) {
            Ok(0) => Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed it")),
            Ok(count) => {
                self.unread.end += count;
                Ok(self.unread.end == self.input.len())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
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

    /// The next frame that is there as a whole.
    pub(super) fn next(&mut self) -> io::Result<Option<Arrived>> {
        let unread = &self.input[self.unread.clone()];
        let Some(&[l0, l1, l2, l3, s0, s1, s2, s3, kind, _]) = unread.first_chunk::<HEADER>()
        else {
            return Ok(None);
        };
        let len = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if len > LONGEST {
            let why = format!("a frame of {len} bytes came");
            return Err(io::Error::new(ErrorKind::InvalidData, why));
        }
        if unread.len() < HEADER + len {
            return Ok(None);
        }
        let at = self.unread.start + HEADER;
        self.unread.start = at + len;
        let stream = u32::from_be_bytes([s0, s1, s2, s3]);
        Ok(Some(Arrived { stream, kind, body: at..at + len }))
    }

    /// What a frame says: the payload of an answer, or a message of a stream. An answer of a workload is
    /// never empty, so an empty one is no success.
    pub(super) fn said(&self, arrived: &Arrived) -> Result<&[u8], Refusal> {
        let body = &self.input[arrived.body.clone()];
        let said = match arrived.kind {
            RESPONSE => proto::payload(body)?,
            DATA => body,
            _ => &[],
        };
        if said.is_empty() { Err((2, "an answer makes no sense".to_owned())) } else { Ok(said) }
    }

    /// Asks and waits for the answer: for setting up.
    pub(super) fn ask(&mut self, frame: &Frame, patience: Duration) -> Result<Vec<u8>> {
        let answers = self.ask_all(std::slice::from_ref(frame), patience)?;
        answers.into_iter().next().context("no answer came")
    }

    /// The answers to many requests, in their order. For setting up, before the connection is waited for
    /// elsewhere.
    pub(super) fn ask_all(&mut self, frames: &[Frame], patience: Duration) -> Result<Vec<Vec<u8>>> {
        let mut waiter = Waiter::new()?;
        self.join(&mut waiter, 0)?;
        let mut answers = Vec::with_capacity(frames.len());
        for batch in frames.chunks(BATCH) {
            answers.extend(self.ask_batch(batch, &mut waiter, patience)?);
        }
        waiter.leave(&mut self.socket)?;
        Ok(answers)
    }

    fn ask_batch(
        &mut self,
        batch: &[Frame],
        waiter: &mut Waiter,
        patience: Duration,
    ) -> Result<Vec<Vec<u8>>> {
        let clock = Clock::system();
        let deadline = clock.now() + patience;
        let first = self.next_stream;
        batch.iter().for_each(|frame| _ = self.put_next(frame));
        let mut answers = vec![Vec::new(); batch.len()];
        let mut missing = batch.len();
        while missing > 0 {
            self.flush().map_err(|why| self.lost(&why))?;
            while self.fill().map_err(|why| self.lost(&why))? {}
            while let Some(arrived) = self.next().map_err(|why| self.lost(&why))? {
                let answer = self.said(&arrived).map_err(|(code, message)| {
                    anyhow::Error::new(ClientError::Refused { code, message })
                })?;
                let at = (arrived.stream.wrapping_sub(first) / 2) as usize;
                let Some(slot) = answers.get_mut(at) else { bail!("an answer to nothing came") };
                slot.extend_from_slice(answer);
                missing -= 1;
            }
            let left = deadline - clock.now();
            if missing > 0 && left.is_zero() {
                let what = format!("a request to {}, within {patience:?}", self.address);
                return Err(ClientError::TimedOut { what }.into());
            }
            if missing > 0 {
                waiter.wait(left)?.for_each(drop);
            }
        }
        Ok(answers)
    }

    fn lost(&self, why: &io::Error) -> ClientError {
        ClientError::Lost { address: self.address.clone(), why: why.to_string() }
    }
}
