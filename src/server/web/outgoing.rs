//! A response on its way out: piece by piece, and counted until the peer has room for it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::visit::{Place, Visit};

/// Bytes of one piece. The next is asked for when there is room, so what is asked for shows that the
/// peer goes on reading.
const PIECE: usize = 16 << 10;

/// Any response's body.
pub(super) struct Outgoing {
    body: tonic::body::Body,
    visit: Arc<Visit>,
    /// What is left of a message.
    rest: Bytes,
    /// Bytes counted as waiting.
    owed: usize,
    /// Given up when all has left.
    _place: Option<Place>,
}

impl Outgoing {
    /// `ready` bytes of it wait already, before anybody asks for them.
    pub(super) fn new(
        visit: Arc<Visit>,
        place: Option<Place>,
        body: tonic::body::Body,
        ready: usize,
    ) -> Self {
        visit.owe(ready);
        Self { body, visit, rest: Bytes::new(), owed: ready, _place: place }
    }

    fn set_owed(&mut self, owed: usize) {
        if owed > self.owed {
            self.visit.owe(owed - self.owed);
        } else if owed < self.owed {
            self.visit.pay(self.owed - owed);
        }
        self.owed = owed;
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.set_owed(0);
        self.visit.meter.handed_over();
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.rest.is_empty() {
            // The last piece has found room.
            self.set_owed(0);
            match ready!(Pin::new(&mut self.body).poll_frame(cx)).transpose()? {
                None => return Poll::Ready(None),
                Some(frame) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
            }
        }
        let left = self.rest.len();
        self.set_owed(left);
        let piece = self.rest.split_to(left.min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        match hint.upper() {
            Some(upper) => {
                hint.set_upper(upper + rest);
                hint.set_lower(hint.lower() + rest);
            }
            None => hint.set_lower(hint.lower() + rest),
        }
        hint
    }
}
