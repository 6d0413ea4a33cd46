//! One Events stream: response ids without gaps, and the newest state instead of every state.
//!
//! No clock, no lock, no message: it says which response comes next, and its reader makes it.

/// What a latch's session remembers of a stream. `W` calls its reader.
#[derive(Debug)]
pub(super) struct Stream<W> {
    /// The index at which it was opened.
    opened: u64,
    /// The last response id that was said.
    said: u64,
    /// The last one that the client has received.
    acknowledged: u64,
    /// The revision of the newest state said; at first, of the state in which it was opened.
    revision: u64,
    reader: Option<Attached<W>>,
    /// Readers that it has had.
    readers: u64,
    closing: bool,
}

#[derive(Debug)]
struct Attached<W> {
    number: u64,
    call: W,
}

/// Where one reader of a stream stands: the response id that it is to have next.
#[derive(Debug)]
pub(super) struct Place {
    reader: u64,
    next: u64,
}

/// What a reader is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Response {
    /// Type OPEN_STREAM, without the latch.
    Open { index: u64 },
    /// The newest state.
    State { id: u64 },
    /// Type CLOSE_STREAM, without the latch; then the end.
    Close { id: u64 },
    /// The end: another reader has taken its place.
    Replaced,
}

impl<W> Stream<W> {
    /// One that is opened at this index, in the state with this revision.
    pub(super) fn new(opened: u64, revision: u64) -> Self {
        Self {
            opened,
            said: 0,
            acknowledged: 0,
            revision,
            reader: None,
            readers: 0,
            closing: false,
        }
    }

    /// A reader, from the first response on that was not acknowledged. It takes the place of the one
    /// before, if that is there still.
    pub(super) fn attach(&mut self, call: W) -> (Place, Option<W>) {
        self.readers += 1;
        let number = self.readers;
        let former = self.reader.replace(Attached { number, call });
        (Place { reader: number, next: self.acknowledged + 1 }, former.map(|it| it.call))
    }

    /// This reader has gone. False if another one had taken its place.
    pub(super) fn detach(&mut self, place: &Place) -> bool {
        let was_attached = self.is_read_from(place);
        if was_attached {
            self.reader = None;
        }
        was_attached
    }

    /// What comes next for this reader, where the newest state has this `revision`; `None` if nothing is
    /// new. What it returns counts as said.
    pub(super) fn next(&mut self, place: &mut Place, revision: u64) -> Option<Response> {
        if !self.is_read_from(place) {
            return Some(Response::Replaced);
        }
        let id = place.next;
        let is_new = id > self.said;
        let response = match id {
            1 => Response::Open { index: self.opened },
            _ if is_new && self.closing => Response::Close { id },
            _ if is_new && revision <= self.revision => return None,
            _ => {
                self.revision = self.revision.max(revision);
                Response::State { id }
            }
        };
        self.said = self.said.max(id);
        place.next += 1;
        Some(response)
    }

    /// The client has received the responses up to this one.
    pub(super) fn acknowledge(&mut self, response: u64) {
        self.acknowledged = self.acknowledged.max(response.min(self.said));
    }

    /// Its next new response is its last. Whoever reads it is to be called.
    pub(super) fn close(&mut self) -> Option<&W> {
        self.closing = true;
        self.reader.as_ref().map(|reader| &reader.call)
    }

    /// True if nobody reads it and nobody will.
    pub(super) fn is_over(&self) -> bool {
        self.closing && self.reader.is_none()
    }

    fn is_read_from(&self, place: &Place) -> bool {
        self.reader.as_ref().is_some_and(|reader| reader.number == place.reader)
    }
}
