//! Bytes on their way out.

/// An empty buffer larger than this is given back.
const LARGE: usize = 1 << 20;

/// What a connection has to say and the socket has not taken yet. Positions count the bytes that were
/// ever put, so that whoever put some can tell later whether they have left.
#[derive(Default)]
pub(super) struct Output {
    buffer: Vec<u8>,
    /// Where the pending bytes begin in `buffer`.
    start: usize,
    /// Bytes that have left.
    left: u64,
}

impl Output {
    pub(super) fn pending(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.buffer.len() - self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The position after the last byte put.
    pub(super) fn end(&self) -> u64 {
        self.left + self.len() as u64
    }

    /// True if everything before `position` has left.
    pub(super) fn has_left(&self, position: u64) -> bool {
        self.left >= position
    }

    /// The buffer, to append to.
    #[inline]
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    pub(super) fn sent(&mut self, count: usize) {
        self.left += count as u64;
        self.start += count;
        if self.is_empty() {
            self.clear();
        } else if self.start > self.buffer.len() / 2 {
            // Moves at most as many bytes as have left since the last time.
            self.buffer.drain(..self.start);
            self.start = 0;
        }
    }

    /// Forgets what is pending.
    pub(super) fn clear(&mut self) {
        self.left += self.len() as u64;
        self.start = 0;
        self.buffer.clear();
        if self.buffer.capacity() > LARGE {
            self.buffer = Vec::new();
        }
    }

    /// Swaps in a spare buffer if this one never had room.
    pub(super) fn borrow_room(&mut self, spares: &mut Vec<Vec<u8>>) {
        if self.buffer.capacity() == 0
            && let Some(spare) = spares.pop()
        {
            self.buffer = spare;
        }
    }

    /// Gives an empty buffer away, to be borrowed by the next connection that has something to say.
    pub(super) fn return_room(&mut self, spares: &mut Vec<Vec<u8>>) {
        if self.is_empty() && self.buffer.capacity() > 0 {
            let buffer = std::mem::take(&mut self.buffer);
            if spares.len() < spares.capacity() {
                spares.push(buffer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_what_was_ever_put() {
        let mut out = Output::default();
        out.buffer().extend_from_slice(b"first");
        let first = out.end();
        out.buffer().extend_from_slice(b"second");
        out.sent(4);
        assert!(!out.has_left(first));
        out.sent(3);
        assert!(out.has_left(first) && !out.has_left(out.end()));
        assert_eq!(out.pending(), b"cond");
        out.sent(4);
        assert!(out.is_empty() && out.has_left(out.end()));
    }

    #[test]
    fn an_idle_connection_keeps_no_buffer() {
        let mut spares = Vec::with_capacity(1);
        let mut out = Output::default();
        out.buffer().extend_from_slice(&[0; 4096]);
        out.return_room(&mut spares);
        assert_eq!(spares.len(), 0, "what is pending stays");
        out.sent(4096);
        out.return_room(&mut spares);
        assert_eq!((out.buffer.capacity(), spares.len()), (0, 1));
        out.borrow_room(&mut spares);
        assert!(out.buffer.capacity() >= 4096);
    }
}
