//! `tenure.v1.Storage`: what the server keeps, for those who look after it.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;

use crossbeam::channel::{Receiver, Sender, TryRecvError, bounded};

use super::decode;
use crate::clock::Moment;
use crate::engine::Engine;
use crate::error::Error;
use crate::service::{Answer, Caller, ReplyTo, Step, Task};
use crate::shard::{Sink, Ticket};
use crate::wire::message::Message;
use crate::wire::tenure_v1::storage::{BackupRequest, BackupResponse};

pub(in crate::service) const SERVICE: &str = "tenure.v1.Storage";

/// Bytes in one message.
const PIECE: usize = 256 << 10;
/// Pieces that wait for a slow reader.
const AHEAD: usize = 2;

impl Caller {
    pub(in crate::service) fn backup(
        &mut self,
        payload: &[u8],
        to: ReplyTo<'_>,
    ) -> Result<Answer<'_>, Error> {
        let BackupRequest {} = decode(payload, "tenure.v1.BackupRequest")?;
        let (sink, ticket) = to.claim()?;
        if !self.engine.is_durable() {
            let why = "this server keeps everything in memory; there is nothing to back up".into();
            return Err(Error::InvalidSetting { setting: "data-dir", why });
        }
        Ok(Answer::Stream(Box::new(Backup::start(&self.engine, sink, ticket)?)))
    }
}

/// A backup that another thread reads from the disk: no reactor waits for that.
struct Backup {
    pieces: Receiver<Piece>,
}

type Piece = Result<Vec<u8>, Error>;

impl Backup {
    fn start(engine: &Engine, sink: &Arc<dyn Sink>, ticket: Ticket) -> Result<Self, Error> {
        let (sender, pieces) = bounded(AHEAD);
        let (engine, sink) = (engine.clone(), sink.clone());
        let copy = move || {
            let mut pieces = Pieces { piece: Vec::new(), sender, sink: sink.clone(), ticket };
            let failed = engine.back_up_to(&mut pieces).err().map(error_in);
            if let Some(error) = failed {
                // Nobody listens any more, or is told now.
                let _gone = pieces.sender.send(Err(error));
            }
            drop(pieces);
            sink.changed(ticket);
        };
        let started = thread::Builder::new().name("tenure-backup".into()).spawn(copy);
        started.map(|_| Self { pieces }).map_err(|error| {
            let why = format!("no thread can be started: {error}");
            Error::InvalidSetting { setting: "backup", why }
        })
    }
}

fn error_in(error: io::Error) -> Error {
    let said = error.to_string();
    let ours = error.into_inner().and_then(|inner| inner.downcast::<Error>().ok());
    ours.map_or(Error::InvalidSetting { setting: "backup", why: said }, |error| *error)
}

impl Task for Backup {
    fn poll(&mut self, _: Moment, out: &mut Vec<u8>) -> Step {
        match self.pieces.try_recv() {
            Ok(Ok(data)) => {
                BackupResponse { data }.put(out);
                Step::Message
            }
            Ok(Err(error)) => Step::Fail(error),
            Err(TryRecvError::Empty) => Step::Wait(None),
            Err(TryRecvError::Disconnected) => Step::End,
        }
    }
}

/// Cuts what is written into pieces, and waits while nobody takes them.
struct Pieces {
    piece: Vec<u8>,
    sender: Sender<Piece>,
    sink: Arc<dyn Sink>,
    ticket: Ticket,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.piece);
        let sent = self.sender.send(Ok(piece));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        self.sink.changed(self.ticket);
        Ok(())
    }
}
