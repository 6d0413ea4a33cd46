//! ttrpc's frames: ten bytes of header, then as many as it says.

/// Bytes of a frame's header.
pub(crate) const HEADER_LEN: usize = 10;

/// What a frame is. Others are ignored.
pub(crate) mod kind {
    pub(crate) const REQUEST: u8 = 1;
    pub(crate) const RESPONSE: u8 = 2;
    pub(crate) const DATA: u8 = 3;
}

/// What a frame says about its stream.
pub(crate) mod flag {
    /// The sender sends no more.
    pub(crate) const REMOTE_CLOSED: u8 = 1;
    /// The sender has more to send.
    pub(crate) const REMOTE_OPEN: u8 = 2;
    /// The frame carries no message, which is not the same as an empty one.
    pub(crate) const NO_DATA: u8 = 4;
}

/// What stands before a frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes of the payload.
    pub(crate) length: u32,
    pub(crate) stream: u32,
    /// One of [`kind`].
    pub(crate) kind: u8,
    /// Of [`flag`].
    pub(crate) flags: u8,
}

impl Header {
    #[inline]
    pub(crate) fn decode(raw: &[u8; HEADER_LEN]) -> Self {
        let [l0, l1, l2, l3, s0, s1, s2, s3, kind, flags] = *raw;
        Self {
            length: u32::from_be_bytes([l0, l1, l2, l3]),
            stream: u32::from_be_bytes([s0, s1, s2, s3]),
            kind,
            flags,
        }
    }

    #[inline]
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let [l0, l1, l2, l3] = self.length.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [l0, l1, l2, l3, s0, s1, s2, s3, self.kind, self.flags]
    }
}

/// Appends the header of a frame whose payload of so many bytes is to follow.
#[inline]
pub(crate) fn begin(out: &mut Vec<u8>, stream: u32, kind: u8, length: usize) {
    out.reserve(HEADER_LEN + length);
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    out.extend_from_slice(&Header { length, stream, kind, flags: 0 }.encode());
}

/// Appends a frame whose payload is what `body` appends. The length is filled in afterwards, so that
/// it is right whatever `body` does.
#[inline]
pub(crate) fn put(
    out: &mut Vec<u8>,
    stream: u32,
    kind: u8,
    flags: u8,
    body: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(&Header { length: 0, stream, kind, flags }.encode());
    let payload = out.len();
    body(out);
    let length = u32::try_from(out.len().saturating_sub(payload)).unwrap_or(u32::MAX);
    if let Some(slot) = out.get_mut(start..).and_then(|frame| frame.first_chunk_mut()) {
        *slot = length.to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_bytes() {
        let header = Header { length: 5, stream: 0x0102_0305, kind: kind::DATA, flags: 4 };
        assert_eq!(header.encode(), *b"\0\0\0\x05\x01\x02\x03\x05\x03\x04");
    }

    #[test]
    fn a_frame_is_appended_with_its_length() {
        let mut out = b"before".to_vec();
        put(&mut out, 7, kind::DATA, 0, |out| out.extend_from_slice(b"hello"));
        assert_eq!(out, b"before\0\0\0\x05\0\0\0\x07\x03\x00hello");
    }

    proptest! {
        #[test]
        fn round_trip(raw: [u8; HEADER_LEN]) {
            prop_assert_eq!(Header::decode(&raw).encode(), raw);
        }
    }
}
