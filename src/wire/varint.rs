//! Integers of variable length, as protobuf writes them: seven bits a byte, the lowest first.

use super::Malformed;
use super::malformed::Fault;

/// Bytes of the longest varint.
const MAX_LEN: usize = 10;

/// The bytes that [`put`] appends for `value`: 1 to 10.
pub(crate) const fn encoded_len(value: u64) -> usize {
    if value < 0x80 {
        return 1;
    }
    let bits = u64::BITS - value.leading_zeros();
    bits.div_ceil(7) as usize
}

/// Appends `value` in its shortest form.
#[inline]
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a varint off the front of `input`. Forms longer than need be are fine, up to ten bytes.
#[inline]
pub(crate) fn take(input: &mut &[u8]) -> Result<u64, Malformed> {
    match *input {
        [byte, rest @ ..] if *byte < 0x80 => {
            *input = rest;
            Ok(u64::from(*byte))
        }
        _ => take_long(input),
    }
}

/// The bytes after a length that takes one byte, and what is behind them.
#[inline]
pub(crate) fn counted(input: &[u8]) -> Option<(&[u8], &[u8])> {
    match input {
        [len @ 0..0x80, rest @ ..] => rest.split_at_checked(usize::from(*len)),
        _ => None,
    }
}

/// [`take`] for more than one byte: kept out of line, so that the common case stays small.
fn take_long(input: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0;
    for (at, &byte) in input.iter().take(MAX_LEN).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte >= 0x80 {
            continue;
        }
        if at == MAX_LEN - 1 && byte > 1 {
            break;
        }
        *input = input.get(at + 1..).unwrap_or_default();
        return Ok(value);
    }
    let whole = input.len() >= MAX_LEN;
    Err(Malformed::tag(if whole { Fault::Varint } else { Fault::CutShort }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(mut input: &[u8]) -> Result<(u64, usize), String> {
        let before = input.len();
        let value = take(&mut input).map_err(|malformed| malformed.to_string())?;
        Ok((value, before - input.len()))
    }

    #[test]
    fn known_bytes() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (127, &[0x7f]),
            (128, &[0x80, 0x01]),
            (300, &[0xac, 0x02]),
            (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ] {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(encoded_len(value), bytes.len());
            assert_eq!(taken(bytes), Ok((value, bytes.len())));
        }
    }

    #[test]
    fn w3_varint_overflow() {
        let over_64_bits = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        let over_10_bytes = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
        for bytes in [&over_64_bits[..], &over_10_bytes] {
            assert_eq!(taken(bytes), Err("a tag has a varint of over 64 bits".into()));
        }
    }

    #[test]
    fn w3_varint_not_minimal() {
        assert_eq!(taken(&[0x81, 0x00, 0xff]), Ok((1, 2)));
        let ten = [0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
        assert_eq!(taken(&ten), Ok((1, 10)));
    }

    #[test]
    fn w1_varint_cut_short() {
        for bytes in [&[][..], &[0x80], &[0xff; 9]] {
            assert_eq!(taken(bytes), Err("a tag goes past the end of the message".into()));
        }
    }

    proptest! {
        #[test]
        fn w3_as_prost(raw in proptest::collection::vec(any::<u8>(), 0..12), long: bool) {
            let mut raw = raw;
            if long {
                raw.iter_mut().take(9).for_each(|byte| *byte |= 0x80);
            }
            let mut rest = &raw[..];
            let theirs = prost::encoding::decode_varint(&mut rest).ok();
            prop_assert_eq!(taken(&raw).ok(), theirs.map(|value| (value, raw.len() - rest.len())));
        }

        #[test]
        fn round_trip(value: u64, bits in 0u32..64) {
            let value = value >> bits;
            let mut out = Vec::new();
            put(&mut out, value);
            prop_assert_eq!(out.len(), encoded_len(value));
            prop_assert_eq!(taken(&out), Ok((value, out.len())));
        }
    }
}
