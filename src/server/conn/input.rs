//! Bytes on their way in, to frames. Whole frames are used where they lie; only what is left of a
//! frame at the end of a read is kept, so nothing is allocated that has not arrived.

use std::mem;

use crate::limits::FRAME_CLOSE_BYTES;
use crate::wire::frame::{HEADER_LEN, Header};

#[derive(Default)]
pub(super) struct Input {
    /// What could not be used yet: part of a frame, and more behind it if the connection is full.
    held: Vec<u8>,
    /// Bytes still to come of a frame that is too long.
    skip: usize,
    /// Frames that came to their end.
    pub(super) frames: u64,
}

/// What stands at the front of the input.
pub(super) enum Piece<'a> {
    Frame(Header, &'a [u8]),
    /// A frame over the limit, whose body will be skipped.
    TooLong(Header),
    /// A frame so long that the peer can't mean it.
    Absurd(Header),
    /// Not enough.
    Short,
}

impl Input {
    /// Takes the next piece off `bytes`.
    #[inline]
    pub(super) fn next<'a>(&mut self, bytes: &mut &'a [u8], limit: usize) -> Piece<'a> {
        if self.skip > 0 && !self.skip_some(bytes) {
            return Piece::Short;
        }
        let Some((raw, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Piece::Short;
        };
        let header = Header::decode(raw);
        let length = header.length as usize;
        if length > limit {
            *bytes = rest;
            self.skip = length;
            let absurd = length > FRAME_CLOSE_BYTES;
            return if absurd { Piece::Absurd(header) } else { Piece::TooLong(header) };
        }
        let Some((payload, rest)) = rest.split_at_checked(length) else { return Piece::Short };
        *bytes = rest;
        self.frames += 1;
        Piece::Frame(header, payload)
    }

    /// True if nothing is left to skip.
    fn skip_some(&mut self, bytes: &mut &[u8]) -> bool {
        let count = self.skip.min(bytes.len());
        *bytes = &bytes[count..];
        self.skip -= count;
        if self.skip == 0 {
            self.frames += 1;
        }
        self.skip == 0
    }

    /// True in the middle of a frame.
    pub(super) fn is_unfinished(&self) -> bool {
        self.skip > 0 || !self.held.is_empty()
    }

    pub(super) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    #[cfg(feature = "internals")]
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    pub(super) fn hold(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Moves from `bytes` what the first held frame lacks. True if that was enough to go on.
    pub(super) fn complete(&mut self, bytes: &mut &[u8]) -> bool {
        let lacking = match self.held.first_chunk::<HEADER_LEN>() {
            None => HEADER_LEN - self.held.len(),
            Some(raw) => HEADER_LEN + Header::decode(raw).length as usize - self.held.len(),
        };
        let count = lacking.min(bytes.len());
        self.hold(&bytes[..count]);
        *bytes = &bytes[count..];
        count == lacking
    }

    /// Takes out what is held, to work it off.
    pub(super) fn take(&mut self) -> Vec<u8> {
        mem::take(&mut self.held)
    }

    /// Puts back what was taken, less the `used` bytes at its front.
    pub(super) fn put_back(&mut self, mut taken: Vec<u8>, used: usize) {
        taken.drain(..used);
        if !taken.is_empty() {
            self.held = taken;
        }
    }
}
