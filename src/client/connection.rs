//! One connection: requests go out as they come, a thread reads the answers and hands each to who
//! waits for it.

use std::collections::HashMap;
use std::io::{self, BufReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use super::socket::Socket;
use super::{Address, ClientError};
use crate::wire::envelope::{Request, Response, put_request};
use crate::wire::frame::{HEADER_LEN, Header, flag, kind};

/// What the reader hands on: one frame of a stream.
struct Frame {
    header: Header,
    body: Vec<u8>,
}

pub(super) struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    address: Address,
    socket: Socket,
    sending: Mutex<Sending>,
    waiting: Mutex<Waiting>,
}

struct Sending {
    next_stream: u32,
    buffer: Vec<u8>,
}

#[derive(Default)]
struct Waiting {
    streams: HashMap<u32, Sender<Frame>>,
    /// Set once the reader has ended: nobody will ever be answered again.
    lost: Option<String>,
}

/// Bytes of a frame's body at most, as the protocol has it.
const FRAME_BYTES: u32 = 4 << 20;

impl Connection {
    pub(super) fn open(address: &Address, patience: Duration) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            address: address.clone(),
            socket: Socket::connect(address, patience)?,
            sending: Mutex::new(Sending { next_stream: 1, buffer: Vec::new() }),
            waiting: Mutex::default(),
        });
        let reader = shared.clone();
        thread::Builder::new()
            .name("tenure-client".into())
            .spawn(move || reader.read_until_lost())?;
        Ok(Self { shared })
    }

    pub(super) fn address(&self) -> &Address {
        &self.shared.address
    }

    /// One request, one answer: its payload, waited for no longer than `patience`.
    pub(super) fn call_within(
        &self,
        service: &str,
        method: &str,
        payload: &[u8],
        patience: Duration,
    ) -> Result<Vec<u8>, ClientError> {
        let mut replies = self.stream(service, method, payload)?;
        let what = || format!("{service}/{method} at {}", self.shared.address);
        match replies.next_within(patience) {
            Some(Err(ClientError::TimedOut { .. })) => Err(ClientError::TimedOut { what: what() }),
            Some(reply) => reply,
            None => Err(ClientError::Protocol("no answer".into())),
        }
    }

    /// One request, any number of answers.
    pub(super) fn stream(
        &self,
        service: &str,
        method: &str,
        payload: &[u8],
    ) -> Result<Replies, ClientError> {
        let request = Request { service, method, payload, ..Request::default() };
        let (stream, frames) = self.shared.send(&request)?;
        Ok(Replies { frames, stream, shared: self.shared.clone(), ended: false })
    }

    pub(super) fn close(&self) {
        self.shared.socket.shut_down();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn send(&self, request: &Request<'_>) -> Result<(u32, Receiver<Frame>), ClientError> {
        let (to, frames) = channel();
        let mut sending = lock(&self.sending);
        let stream = sending.next_stream;
        sending.next_stream = stream.wrapping_add(2);
        {
            let mut waiting = lock(&self.waiting);
            if let Some(why) = &waiting.lost {
                return Err(self.lost(why.clone()));
            }
            waiting.streams.insert(stream, to);
        }
        sending.buffer.clear();
        // A request that is complete and answered by one or by many looks the same to the server:
        // flag REMOTE_CLOSED marks the many, as stock clients send it.
        let flags =
            if matches!(request.method, "Watch" | "Observe") { flag::REMOTE_CLOSED } else { 0 };
        put_request(&mut sending.buffer, stream, flags, request);
        self.socket.write_all(&sending.buffer).map_err(|error| self.lost(error.to_string()))?;
        Ok((stream, frames))
    }

    /// Tells the server that nobody listens to a stream any more.
    fn cancel(&self, stream: u32) {
        lock(&self.waiting).streams.remove(&stream);
        let flags = flag::REMOTE_CLOSED | flag::NO_DATA;
        let header = Header { length: 0, stream, kind: kind::DATA, flags };
        let _sending = lock(&self.sending);
        // A connection that is gone has no streams either.
        let _gone = self.socket.write_all(&header.encode());
    }

    fn read_until_lost(&self) {
        let why = match self.read() {
            Ok(()) => "the server closed it".to_owned(),
            Err(error) => error.to_string(),
        };
        let mut waiting = lock(&self.waiting);
        waiting.lost = Some(why);
        waiting.streams.clear();
    }

    fn read(&self) -> io::Result<()> {
        let mut from = BufReader::new(&self.socket);
        loop {
            let mut header = [0; HEADER_LEN];
            match from.read_exact(&mut header) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                done => done?,
            }
            let header = Header::decode(&header);
            if header.length > FRAME_BYTES {
                let why = format!("a frame of {} bytes", header.length);
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            let mut body = Vec::new();
            let length = u64::from(header.length);
            if (&mut from).take(length).read_to_end(&mut body)? as u64 != length {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "cut in mid-frame"));
            }
            self.hand_on(Frame { header, body });
        }
    }

    fn hand_on(&self, frame: Frame) {
        let stream = frame.header.stream;
        let ends = frame.ends_stream();
        let mut waiting = lock(&self.waiting);
        if let Some(to) = waiting.streams.get(&stream) {
            let nobody_cares = to.send(frame).is_err();
            if ends || nobody_cares {
                waiting.streams.remove(&stream);
            }
        }
    }

    fn lost(&self, why: String) -> ClientError {
        ClientError::Lost { address: self.address.clone(), why }
    }

    fn why_lost(&self) -> ClientError {
        let why = lock(&self.waiting).lost.clone();
        self.lost(why.unwrap_or_else(|| "it ended in the middle".into()))
    }
}

impl Frame {
    fn ends_stream(&self) -> bool {
        self.header.kind == kind::RESPONSE || self.header.flags & flag::REMOTE_CLOSED != 0
    }
}

/// The answers to one request, in their order.
pub(super) struct Replies {
    frames: Receiver<Frame>,
    stream: u32,
    shared: Arc<Shared>,
    ended: bool,
}

impl Replies {
    /// The next answer, or [`ClientError::TimedOut`] if none comes in time; then it may come later.
    pub(super) fn next_within(
        &mut self,
        patience: Duration,
    ) -> Option<Result<Vec<u8>, ClientError>> {
        if self.ended {
            return None;
        }
        match self.frames.recv_timeout(patience) {
            Ok(frame) => self.take(Some(frame)),
            Err(RecvTimeoutError::Disconnected) => self.take(None),
            Err(RecvTimeoutError::Timeout) => {
                Some(Err(ClientError::TimedOut { what: "waiting".into() }))
            }
        }
    }

    fn take(&mut self, frame: Option<Frame>) -> Option<Result<Vec<u8>, ClientError>> {
        let Some(frame) = frame else {
            self.ended = true;
            return Some(Err(self.shared.why_lost()));
        };
        self.ended = frame.ends_stream();
        match frame.header.kind {
            kind::RESPONSE => Some(answer(&frame.body)),
            _ if frame.header.flags & flag::NO_DATA != 0 => None,
            _ => Some(Ok(frame.body)),
        }
    }
}

impl Iterator for Replies {
    type Item = Result<Vec<u8>, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let frame = self.frames.recv().ok();
        self.take(frame)
    }
}

impl Drop for Replies {
    /// Whoever stops listening in the middle says so, or the server would go on for ever.
    fn drop(&mut self) {
        if !self.ended {
            self.shared.cancel(self.stream);
        }
    }
}

impl std::fmt::Debug for Replies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Replies from {}", self.shared.address)
    }
}

fn answer(envelope: &[u8]) -> Result<Vec<u8>, ClientError> {
    let response = Response::decode(envelope)?;
    match response.status.filter(|status| status.code != 0) {
        None => Ok(response.payload.to_vec()),
        Some(status) => {
            Err(ClientError::Refused { code: status.code, message: status.message.to_owned() })
        }
    }
}

/// A panic elsewhere left nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
