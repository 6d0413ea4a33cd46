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
        _ => {
            let mut length = Vec::new();
            varint::put(&mut length, len as u64);
            out.splice(start - 1..start, length);
        }
    }
}

#[inline]
fn tag(out: &mut Vec<u8>, number: u32, layout: u8) {
    varint::put(out, u64::from(number) << 3 | u64::from(layout));
}

const fn tag_len(number: u32) -> usize {
    varint::encoded_len((number as u64) << 3)
}
