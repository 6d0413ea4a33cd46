//! What a roster knows of each candidate, in a fixed number of ASCII bytes: seven bits of a number in each.

use std::sync::Arc;

use crate::election::Metadata;
use crate::id::{Holder, SessionId, SessionKind};
use crate::limits::{NAME_BOUND, STANDING_BOUND};

/// So many candidates and more are counted in four bytes behind this one, instead of in it.
const MANY: usize = 0x7f;

/// What is known of a candidate beside its name, as it is packed: the session, then the length of the name
/// (rather than an offset: a length stays true wherever the head is copied to), with the kind of the session
/// and whether the candidate says something in the uppermost bits.
#[derive(Clone, Copy)]
pub(super) struct Head<'a>(pub(super) &'a [u8; HEAD]);

/// Bytes of the session.
const SESSION: usize = 10;
/// Bytes of a head.
pub(super) const HEAD: usize = SESSION + 4;
/// In the last byte, beside the four uppermost bits of the length.
const SAYS: u8 = 1 << 4;
const KIND_BIT: u32 = 5;
const KIND: u8 = 0b11;
const FLAGS: u8 = KIND << KIND_BIT | SAYS;

const _: () = assert!(
    SessionKind::ALL.len() <= KIND as usize + 1
        && NAME_BOUND <= 1 << 25
        && STANDING_BOUND <= 1 << 28
);

impl<'a> Head<'a> {
    pub(super) fn of(name: &str, holder: Holder, says: Option<&Arc<Metadata>>) -> Packed {
        debug_assert!(name.len() < NAME_BOUND, "the rules bound names before they come here");
        let flags = (holder.kind as u8) << KIND_BIT | if says.is_some() { SAYS } else { 0 };
        let (low, high) = packed10(holder.session.number());
        let [a, b, c, d, e, f, g, h] = low.to_le_bytes();
        let [i, j] = high.to_le_bytes();
        let [k, l, m, n] = packed4(name.len());
        Packed([a, b, c, d, e, f, g, h, i, j, k, l, m, n | flags, 0, 0])
    }

    pub(super) fn name_bytes(self) -> usize {
        unpacked4(self.packed_name_bytes())
    }

    /// Whether both are the same session's, with names of one length.
    pub(super) fn is_alike(self, other: Head<'_>) -> bool {
        self.packed_session() == other.packed_session()
            && self.packed_name_bytes() == other.packed_name_bytes()
    }

    fn packed_name_bytes(self) -> [u8; 4] {
        let [.., a, b, c, d] = *self.0;
        [a, b, c, d & !FLAGS]
    }

    fn flags(self) -> u8 {
        let [.., flags] = *self.0;
        flags
    }

    pub(super) fn says_something(self) -> bool {
        self.flags() & SAYS != 0
    }

    pub(super) fn session(self) -> SessionId {
        let (low, high) = self.packed_session();
        let [high, highest] = high.to_le_bytes();
        let id = unpacked8(low) | u64::from(high) << 56 | u64::from(highest) << 63;
        SessionId::new(id).expect("a session's id was packed")
    }

    /// As the function of that name has it.
    pub(super) fn packed_session(self) -> (u64, u16) {
        let [a, b, c, d, e, f, g, h, i, j, ..] = *self.0;
        (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u16::from_le_bytes([i, j]))
    }

    pub(super) fn holder(self) -> Holder {
        let kind = SessionKind::ALL[usize::from(self.flags() >> KIND_BIT & KIND)];
        Holder { session: self.session(), kind }
    }
}

/// A session as the heads have it, to be compared with.
pub(super) fn packed_session(session: SessionId) -> (u64, u16) {
    packed10(session.number())
}

/// The beginning of a list of so many candidates, with room for so many bytes behind it and no more.
pub(super) fn put_count(count: usize, more: usize) -> String {
    if count < MANY {
        let mut list = String::with_capacity(1 + more);
        list.push(char::from(count as u8));
        return list;
    }
    let mut list = String::with_capacity(5 + more);
    list.push(char::from(MANY as u8));
    list.extend(packed4(count).map(char::from));
    list
}

/// How many candidates are in a list, and where their heads begin.
#[inline]
pub(super) fn counted(list: &[u8]) -> (usize, usize) {
    match list.first() {
        Some(&first) if usize::from(first) < MANY => (usize::from(first), 1),
        Some(_) => (counted_apart(list), 5),
        None => (0, 0),
    }
}

/// A number with seven bits in each of ten bytes, the lowest first: eight of them, and two.
fn packed10(number: u64) -> (u64, u16) {
    let x = number & 0x0fff_ffff | (number >> 28 & 0x0fff_ffff) << 32;
    let x = x & 0x0000_3fff_0000_3fff | (x & 0x0fff_c000_0fff_c000) << 2;
    let x = x & 0x007f_007f_007f_007f | (x & 0x3f80_3f80_3f80_3f80) << 1;
    (x, (number >> 56 & 0x7f | number >> 63 << 8) as u16)
}

/// The 56 bits in the lower eight: neighbours move together, two by two.
fn unpacked8(x: u64) -> u64 {
    let x = x & 0x007f_007f_007f_007f | (x & 0x7f00_7f00_7f00_7f00) >> 1;
    let x = x & 0x0000_3fff_0000_3fff | (x & 0x3fff_0000_3fff_0000) >> 2;
    x & 0x0fff_ffff | (x >> 32) << 28
}

fn packed4(number: usize) -> [u8; 4] {
    [0, 7, 14, 21].map(|bits| (number >> bits & 0x7f) as u8)
}

#[cold]
fn counted_apart(list: &[u8]) -> usize {
    let [_, count @ ..] = *list.first_chunk::<5>().expect("a count is written whole");
    unpacked4(count)
}

/// Most often it is in the lowest byte alone.
fn unpacked4(bytes: [u8; 4]) -> usize {
    let x = u32::from_le_bytes(bytes);
    if x <= 0x7f {
        return x as usize;
    }
    let x = x & 0x007f_007f | (x & 0x7f00_7f00) >> 1;
    (x & 0x3fff | x >> 16 << 14) as usize
}

/// A head on its way into a list. In whole words: so it is found to be ASCII by words, and not byte by byte.
#[repr(align(8))]
pub(super) struct Packed([u8; 16]);

impl Packed {
    pub(super) fn text(&self) -> &str {
        &str::from_utf8(&self.0).expect("what is packed is ASCII")[..HEAD]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also those at the ends of what can be packed.
    #[test]
    fn a_head_gives_back_what_it_was_made_of() {
        let says = Arc::new(Metadata::new("here", []).unwrap());
        let long = [127, 128, NAME_BOUND - 1].map(|bytes| "y".repeat(bytes));
        let [byte, more, most] = &long;
        for (number, name) in [(1, ""), (2, byte), (u64::MAX, more), (1 << 63, most)] {
            for (kind, says) in
                SessionKind::ALL.into_iter().zip([None, Some(&says)].into_iter().cycle())
            {
                let holder = Holder { session: SessionId::new(number).unwrap(), kind };
                let packed = Head::of(name, holder, says);
                let head = Head(packed.0.first_chunk().unwrap());
                assert_eq!((head.holder(), head.name_bytes()), (holder, name.len()));
                assert_eq!(head.says_something(), says.is_some());
                assert!(packed.0.is_ascii());
            }
        }
    }
}
