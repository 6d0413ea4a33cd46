//! Identities that cross module borders: sessions and names.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use crate::error::{Error, NameFault};

/// The public identity of a session, unique for the life of an engine. Shown in logs and replies;
/// it proves nothing about who asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(NonZeroU64);

impl SessionId {
    /// The id with this number, or `None` for 0, which names no session.
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// The id as a number, never 0.
    pub fn number(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}", self.0)
    }
}

/// The secret that proves owning an explicit session: 128 random bits. Keep it like a password; it is
/// never logged, and shows itself only when asked to.
///
/// Two keys are compared in constant time. As text it is 32 hexadecimal digits.
#[derive(Clone, Eq)]
pub struct SessionKey([u8; 16]);

impl SessionKey {
    /// The key with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The key as bytes, for a message.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The key as 32 hexadecimal digits.
    pub fn to_hex(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }
}

impl TryFrom<&[u8]> for SessionKey {
    type Error = Error;

    fn try_from(bytes: &[u8]) -> Result<Self, Error> {
        let wrong = |_| malformed_key(format!("has {} bytes; give all 16", bytes.len()));
        bytes.try_into().map(Self).map_err(wrong)
    }
}

impl FromStr for SessionKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // `from_str_radix` alone would take a sign.
        if text.len() != 32 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(malformed_key("give 32 hexadecimal digits".into()));
        }
        let bits = u128::from_str_radix(text, 16);
        let wrong = |_| malformed_key("give 32 hexadecimal digits".into());
        bits.map(|bits| Self(bits.to_be_bytes())).map_err(wrong)
    }
}

/// Says nothing of what was given: that may be most of a secret.
fn malformed_key(why: String) -> Error {
    Error::InvalidSetting { setting: "session key", why }
}

impl PartialEq for SessionKey {
    fn eq(&self, other: &Self) -> bool {
        (u128::from_ne_bytes(self.0) ^ u128::from_ne_bytes(other.0)) == 0
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

/// What keeps a session alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionKind {
    /// A connection's own session: it ends with the connection.
    Connection,
    /// An embedded session: it lives until its owner drops it.
    Owned,
    /// A session with a deadline, which lives until then whatever happens to its connection.
    Exclusive,
    /// A session with a deadline, which ends with its connection all the same.
    Fast,
}

impl SessionKind {
    /// In the order of their numbers.
    pub(crate) const ALL: [SessionKind; 4] =
        [SessionKind::Connection, SessionKind::Owned, SessionKind::Exclusive, SessionKind::Fast];
}

/// Who holds a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Holder {
    pub(crate) session: SessionId,
    pub(crate) kind: SessionKind,
}

/// Checks a name that came from outside: 1 to `max` bytes of UTF-8 without control characters.
/// `field` is what the error calls it, for example `"candidate"`.
pub(crate) fn checked_name<'a>(
    field: &'static str,
    raw: &'a [u8],
    max: usize,
) -> Result<&'a str, Error> {
    if raw.is_empty() {
        return Err(Error::InvalidName { field, fault: NameFault::Empty });
    }
    checked_note(field, raw, max)
}

/// The same of what is text already.
pub(crate) fn check_name(field: &'static str, name: &str, max: usize) -> Result<(), Error> {
    match name {
        "" => Err(Error::InvalidName { field, fault: NameFault::Empty }),
        name => check_words(field, name, max),
    }
}

/// Checks words for people that came from outside: as a name, but there may be none.
pub(crate) fn checked_note<'a>(
    field: &'static str,
    raw: &'a [u8],
    max: usize,
) -> Result<&'a str, Error> {
    let fault = |fault| Error::InvalidName { field, fault };
    if raw.len() > max {
        return Err(fault(NameFault::TooLong { bytes: raw.len(), max }));
    }
    let words = std::str::from_utf8(raw)
        .map_err(|error| fault(NameFault::NotUtf8 { at: error.valid_up_to() }))?;
    check_words(field, words, max).map(|()| words)
}

/// True if each is one of ASCII's characters from space to tilde; eight are looked at in one go.
fn is_plain(bytes: &[u8]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let (eights, rest) = bytes.as_chunks::<8>();
    // The lowest byte that is too small borrows, one that is too large has its high bit or comes to it.
    let is_plain = |eight: &[u8; 8]| {
        let x = u64::from_le_bytes(*eight);
        (x.wrapping_sub(EACH * 0x20) | x | x.wrapping_add(EACH)) & (EACH * 0x80) == 0
    };
    eights.iter().all(is_plain) && rest.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

fn check_words(field: &'static str, words: &str, max: usize) -> Result<(), Error> {
    let fault = |fault| Err(Error::InvalidName { field, fault });
    if words.len() > max {
        return fault(NameFault::TooLong { bytes: words.len(), max });
    }
    // Most are plain, and looking at bytes is cheaper than at characters.
    if is_plain(words.as_bytes()) {
        return Ok(());
    }
    match words.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, c)) => fault(NameFault::Control { at, code: c as u32 }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn plain_is_told_byte_for_byte() {
        for byte in 0..=u8::MAX {
            for at in 0..20 {
                let mut bytes = *b"twenty plain letters";
                bytes[at] = byte;
                assert_eq!(is_plain(&bytes), (b' '..=b'~').contains(&byte), "{byte:#x} at {at}");
            }
        }
    }

    #[test]
    fn a_key_reads_as_it_is_written() {
        let key: SessionKey = TEXT.parse().unwrap();
        assert_eq!((key.to_hex().as_str(), key.as_bytes()[..2].to_vec()), (TEXT, vec![0, 0x11]));
        assert_eq!(TEXT.to_uppercase().parse::<SessionKey>().unwrap(), key);
        assert_eq!(SessionKey::try_from(&key.as_bytes()[..]).unwrap(), key);
        for place in 0..16 {
            let mut other = *key.as_bytes();
            other[place] ^= 0x80;
            assert_ne!(SessionKey::from_bytes(other), key);
        }
    }

    /// Row A4: neither the key nor what was tried in its place is shown.
    #[test]
    fn a4_a_key_shows_itself_to_nobody() {
        let key: SessionKey = TEXT.parse().unwrap();
        assert_eq!(format!("{key:?} {:#?}", Some(&key)).matches("SessionKey(..)").count(), 2);
        let half = &TEXT[..31];
        for wrong in ["", half, &format!("{TEXT}0"), &format!("+{half}"), &format!("g{half}")] {
            let error = wrong.parse::<SessionKey>().unwrap_err();
            assert_eq!(error.to_string(), "session key: give 32 hexadecimal digits");
        }
        let error = SessionKey::try_from(&[7u8; 15][..]).unwrap_err();
        assert_eq!(error.to_string(), "session key: has 15 bytes; give all 16");
    }

    #[test]
    fn a_note_is_a_name_that_may_be_empty() {
        assert_eq!(checked_note("reason", b"", 4), Ok(""));
        assert_eq!(checked_note("reason", b"four", 4), Ok("four"));
        for (raw, what) in [(&b"fives"[..], "5 bytes"), (b"\xff", "UTF-8"), (b"a\nb", "U+000A")] {
            let error = checked_note("reason", raw, 4).unwrap_err().to_string();
            assert!(error.starts_with("reason ") && error.contains(what), "{error}");
        }
    }
}
