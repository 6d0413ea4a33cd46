//! Protobuf by hand: a few fields of a few messages.

/// A message under construction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message(pub Vec<u8>);

impl Message {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn uint(mut self, field: u8, value: u64) -> Self {
        if value > 0 {
            self.0.push(field << 3);
            self.varint(value);
        }
        self
    }

    pub fn text(self, field: u8, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    pub fn message(self, field: u8, message: Message) -> Self {
        self.bytes(field, &message.0)
    }

    pub fn bytes(mut self, field: u8, bytes: &[u8]) -> Self {
        self.0.push(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

struct Field<'a> {
    number: u64,
    value: u64,
    bytes: &'a [u8],
}

/// The fields of a message, up to its end or to where it makes no sense.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let key = varint(&mut self.0)?;
        let number = key >> 3;
        match key & 7 {
            0 => Some(Field { number, value: varint(&mut self.0)?, bytes: &[] }),
            2 => {
                let len = usize::try_from(varint(&mut self.0)?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(len)?;
                self.0 = rest;
                Some(Field { number, value: 0, bytes })
            }
            _ => None,
        }
    }
}

fn varint(raw: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = raw.split_first()?;
        *raw = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// The last value of a numeric field; 0 if it is not there.
pub fn number(message: &[u8], field: u64) -> u64 {
    Fields(message).filter(|it| it.number == field).last().map_or(0, |it| it.value)
}

/// The last value of a field with bytes, text or a message; nothing if it is not there.
pub fn bytes(message: &[u8], field: u64) -> &[u8] {
    Fields(message).filter(|it| it.number == field).last().map_or(&[], |it| it.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read_back() {
        let inner = Message::new().uint(1, 1 << 40).text(2, "a");
        let outer = Message::new().message(2, inner).uint(3, 0);
        assert_eq!(number(bytes(&outer.0, 2), 1), 1 << 40);
        assert_eq!(bytes(bytes(&outer.0, 2), 2), b"a");
        assert_eq!(number(&outer.0, 3), 0);
    }

    #[test]
    fn what_makes_no_sense_ends_a_message() {
        for raw in [&b"\x12\x05ab"[..], b"\x08", b"\x0b", &[0xff; 11]] {
            assert_eq!(Fields(raw).count(), 0, "{raw:?}");
        }
    }
}
