//! Fields to bytes. A plain proto3 value is left out at its default; an element of a repeated field
//! and a nested message are not.

use super::field::wire_type;
use super::varint;

/// Bytes that a varint field takes.
pub(crate) const fn uint_len(number: u32, value: u64) -> usize {
    match value {
        0 => 0,
        _ => tag_len(number) + varint::encoded_len(value),
    }
}

/// Bytes that a string or bytes field of `len` bytes takes.
pub(crate) const fn bytes_len(number: u32, len: usize) -> usize {
    match len {
        0 => 0,
        _ => item_len(number, len),
    }
}

/// Bytes that a nested message, or an element of a repeated field, of `len` bytes takes.
pub(crate) const fn item_len(number: u32, len: usize) -> usize {
    tag_len(number) + varint::encoded_len(len as u64) + len
}

/// Appends an integer or bool field. A signed integer comes as its 64-bit two's complement.
pub(crate) fn uint(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        present_uint(out, number, value);
    }
}

/// Appends an integer field that is there also at 0.
pub(crate) fn present_uint(out: &mut Vec<u8>, number: u32, value: u64) {
    tag(out, number, wire_type::VARINT);
    varint::put(out, value);
}

/// Appends a bytes field.
#[inline]
pub(crate) fn bytes(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    if !value.is_empty() {
        item(out, number, value);
    }
}

/// Appends a string field.
pub(crate) fn text(out: &mut Vec<u8>, number: u32, value: &str) {
    bytes(out, number, value.as_bytes());
}

/// Appends an element of a repeated string or bytes field.
#[inline]
pub(crate) fn item(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    prefix(out, number, value.len());
    out.extend_from_slice(value);
}

/// Appends what stands before the `len` bytes of a nested message, which are to follow.
#[inline]
pub(crate) fn prefix(out: &mut Vec<u8>, number: u32, len: usize) {
    // Nearly always each takes a byte, and both are put at once.
    if let (1..16, 0..0x80) = (number, len) {
        return out.extend_from_slice(&[(number as u8) << 3 | wire_type::BYTES, len as u8]);
    }
    tag(out, number, wire_type::BYTES);
    varint::put(out, len as u64);
}

/// Appends a nested message, or a bytes field, of what `body` appends. Its length is filled in afterwards:
/// one byte is left for it, and where it takes more, what was appended moves.
#[inline]
pub(crate) fn nested(out: &mut Vec<u8>, number: u32, body: impl FnOnce(&mut Vec<u8>)) {
    prefix(out, number, 0);
    let start = out.len();
    body(out);
    let len = out.len().saturating_sub(start);
    match out.get_mut(start - 1) {
        Some(slot) if len < 0x80 => *slot = len as u8,
        _ => widen(out, start, len),
    }
}

/// Appends an entry of a map of strings, as protobuf has it: a nested message of a key and a value.
pub(crate) fn entry(out: &mut Vec<u8>, number: u32, key: &str, value: &str) {
    nested(out, number, |out| {
        text(out, 1, key);
        text(out, 2, value);
    });
}

/// Puts a length of several bytes where one was left for it, in front of `start`.
fn widen(out: &mut Vec<u8>, start: usize, len: usize) {
    let end = out.len();
    varint::put(out, len as u64);
    let first = out.remove(end);
    let more = out.len() - end;
    if let Some(slot) = out.get_mut(start - 1) {
        *slot = first;
    }
    if let Some(rest) = out.get_mut(start..) {
        rest.rotate_right(more);
    }
}

#[inline]
fn tag(out: &mut Vec<u8>, number: u32, layout: u8) {
    varint::put(out, u64::from(number) << 3 | u64::from(layout));
}

const fn tag_len(number: u32) -> usize {
    varint::encoded_len((number as u64) << 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As if its length had been known, behind what stands there already.
    #[test]
    fn a_length_of_any_width_is_filled_in_afterwards() {
        for len in [0, 1, 127, 128, 129, 16_383, 16_384, 2_097_152] {
            let body: Vec<u8> = (0..len).map(|at| at as u8).collect();
            for (outer, inner) in [(1, 15), (16, 2_048)] {
                let (mut known, mut filled_in) = (b"before".to_vec(), b"before".to_vec());
                let mut within = b"first".to_vec();
                item(&mut within, inner, &body);
                item(&mut known, outer, &within);
                nested(&mut filled_in, outer, |out| {
                    out.extend_from_slice(b"first");
                    nested(out, inner, |out| out.extend_from_slice(&body));
                });
                assert!(filled_in == known, "{len} bytes");
            }
        }
    }
}
