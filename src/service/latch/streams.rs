//! The Events streams of one latch session.

use std::collections::{BTreeMap, BTreeSet};

use super::refusal::Refusal;
use super::stream::{Place, Response, Stream};
use crate::limits::LATCH_STREAMS;

/// The open streams of a session. `W` calls a reader.
#[derive(Debug)]
pub(super) struct Streams<W> {
    open: BTreeMap<Key, Stream<W>>,
    /// Streams without a number that there have been.
    unnumbered: u64,
}

/// A stream's request id. Those of request 0, which is no number, are told apart by their count.
type Key = (u64, u64);

/// Who reads a stream. To be given back with [`Streams::detach`].
#[derive(Debug)]
pub(super) struct Reader {
    stream: Key,
    place: Place,
}

impl<W: Clone> Streams<W> {
    /// Opens the stream of this request at an index, in the state with a revision.
    ///
    /// # Errors
    /// If there are as many as may be.
    pub(super) fn open(
        &mut self,
        request: u64,
        (index, revision): (u64, u64),
        call: W,
    ) -> Result<Reader, Refusal> {
        if self.open.len() >= LATCH_STREAMS {
            return Err(Refusal::TooManyStreams);
        }
        let mut key = (request, 0);
        if request == 0 {
            self.unnumbered += 1;
            key.1 = self.unnumbered;
        }
        let mut stream = Stream::new(index, revision);
        let (place, _first) = stream.attach(call);
        self.open.insert(key, stream);
        Ok(Reader { stream: key, place })
    }

    /// A new reader of this request's stream, if that is open; and the former one, to be called.
    pub(super) fn reattach(&mut self, request: u64, call: W) -> Option<(Reader, Option<W>)> {
        let stream = (request, 0);
        let (place, former) = self.open.get_mut(&stream)?.attach(call);
        Some((Reader { stream, place }, former))
    }

    pub(super) fn is_open(&self, request: u64) -> bool {
        self.open.contains_key(&(request, 0))
    }

    /// What comes next for this reader, where the newest state has this revision.
    pub(super) fn next(&mut self, reader: &mut Reader, revision: u64) -> Option<Response> {
        let Some(stream) = self.open.get_mut(&reader.stream) else {
            return Some(Response::Replaced);
        };
        let response = stream.next(&mut reader.place, revision);
        if matches!(response, Some(Response::Close { .. })) {
            self.open.remove(&reader.stream);
        }
        response
    }

    /// The reader has gone. Its stream stays for another, if it has a number to be found by.
    pub(super) fn detach(&mut self, reader: &Reader) {
        let Some(stream) = self.open.get_mut(&reader.stream) else { return };
        let was_attached = stream.detach(&reader.place);
        let is_numbered = reader.stream.0 > 0;
        if was_attached && (!is_numbered || stream.is_over()) {
            self.open.remove(&reader.stream);
        }
    }

    /// The client reads these streams, of which it has the responses up to the one given. Other numbered
    /// ones up to this request are closed. Who is to be called goes to `calls`.
    pub(super) fn acknowledge(
        &mut self,
        request: u64,
        streams: impl Iterator<Item = (u64, u64)>,
        calls: &mut Vec<W>,
    ) {
        let numbered = self.open.keys().filter(|key| key.1 == 0).copied();
        let mut unlisted: BTreeSet<Key> = numbered.filter(|key| key.0 <= request).collect();
        for (id, response) in streams {
            unlisted.remove(&(id, 0));
            if let Some(stream) = self.open.get_mut(&(id, 0)) {
                stream.acknowledge(response);
            }
        }
        unlisted.into_iter().for_each(|key| self.close(key, calls));
    }

    pub(super) fn close_all(&mut self, calls: &mut Vec<W>) {
        let keys: Vec<Key> = self.open.keys().copied().collect();
        keys.into_iter().for_each(|key| self.close(key, calls));
    }

    fn close(&mut self, key: Key, calls: &mut Vec<W>) {
        let Some(stream) = self.open.get_mut(&key) else { return };
        calls.extend(stream.close().cloned());
        if stream.is_over() {
            self.open.remove(&key);
        }
    }
}

impl<W> Default for Streams<W> {
    fn default() -> Self {
        Self { open: BTreeMap::new(), unnumbered: 0 }
    }
}
