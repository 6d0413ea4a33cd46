//! A message as the fields it is made of, in the order they came.

use super::Malformed;
use super::malformed::Fault;
use super::varint;

/// Messages and groups inside each other, at most. It is prost's limit too.
const MAX_DEPTH: usize = 100;

const MAX_NUMBER: u64 = (1 << 29) - 1;

/// How a field's value is laid out: the low three bits of its tag.
pub(crate) mod wire_type {
    pub(crate) const VARINT: u8 = 0;
    pub(crate) const FIXED64: u8 = 1;
    pub(crate) const BYTES: u8 = 2;
    pub(crate) const GROUP: u8 = 3;
    pub(crate) const GROUP_END: u8 = 4;
    pub(crate) const FIXED32: u8 = 5;

    /// What protobuf's documentation calls it, with an article.
    pub(crate) fn name(wire_type: u8) -> &'static str {
        match wire_type {
            VARINT => "a varint",
            FIXED64 => "a 64-bit value",
            BYTES => "a length-delimited value",
            GROUP => "a group",
            FIXED32 => "a 32-bit value",
            _ => "of no known type",
        }
    }
}

/// One field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    /// A whole group, already skipped: proto3 has no field that could be one.
    Group,
    Fixed32(u32),
}

impl<'a> Value<'a> {
    /// The value of an integer or bool field called `field`.
    #[inline]
    pub(crate) fn varint(self, field: &'static str) -> Result<u64, Malformed> {
        match self {
            Value::Varint(value) => Ok(value),
            other => Err(other.unexpected(wire_type::VARINT, field)),
        }
    }

    /// The value of a bytes or message field called `field`.
    #[inline]
    pub(crate) fn bytes(self, field: &'static str) -> Result<&'a [u8], Malformed> {
        match self {
            Value::Bytes(value) => Ok(value),
            other => Err(other.unexpected(wire_type::BYTES, field)),
        }
    }

    /// The value of a string field called `field`.
    #[inline]
    pub(crate) fn text(self, field: &'static str) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes(field)?)
            .map_err(|error| Malformed::named(Fault::NotUtf8 { at: error.valid_up_to() }, field))
    }

    #[cold]
    fn unexpected(self, wanted: u8, field: &'static str) -> Malformed {
        let found = match self {
            Value::Varint(_) => wire_type::VARINT,
            Value::Fixed64(_) => wire_type::FIXED64,
            Value::Bytes(_) => wire_type::BYTES,
            Value::Group => wire_type::GROUP,
            Value::Fixed32(_) => wire_type::FIXED32,
        };
        Malformed::named(Fault::Unexpected { found, wanted }, field)
    }
}

/// Walks the fields of one message.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    /// Messages around this one.
    depth: usize,
    /// What this message is called in the one around it; "" for the outermost.
    parent: &'static str,
}

impl<'a> Fields<'a> {
    /// The fields of a whole message.
    #[inline]
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message, depth: 0, parent: "" }
    }

    /// The fields of the message that is the `value` of this message's field `field`.
    #[inline]
    pub(crate) fn inside(&self, value: Value<'a>, field: &'static str) -> Result<Self, Malformed> {
        Ok(Self { rest: value.bytes(field)?, depth: self.depth + 1, parent: field })
    }

    /// The next field's number and value, or `None` at the end of the message.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, layout) = self.tag()?;
        let value = match layout {
            wire_type::GROUP => self.group(number)?,
            _ => self.value(number, layout)?,
        };
        Ok(Some((number, value)))
    }

    /// The length-delimited values of field `wanted`, up to the first malformed field: for a second
    /// walk over a message that has been checked.
    pub(crate) fn values_of(mut self, wanted: u32) -> impl Iterator<Item = &'a [u8]> + Clone {
        std::iter::from_fn(move || {
            while let Ok(Some((number, value))) = self.next() {
                match value {
                    Value::Bytes(bytes) if number == wanted => return Some(bytes),
                    _ => {}
                }
            }
            None
        })
    }

    #[inline]
    fn tag(&mut self) -> Result<(u32, u8), Malformed> {
        let tag = varint::take(&mut self.rest).map_err(|fault| fault.inside(self.parent))?;
        let number = tag >> 3;
        if number == 0 || number > MAX_NUMBER {
            return Err(Malformed::tag(Fault::FieldNumber(number)).inside(self.parent));
        }
        Ok((number as u32, (tag & 7) as u8))
    }

    #[inline]
    fn value(&mut self, number: u32, layout: u8) -> Result<Value<'a>, Malformed> {
        match layout {
            wire_type::VARINT => self.varint(number).map(Value::Varint),
            wire_type::BYTES => {
                let len = self.varint(number)?;
                let taken = usize::try_from(len).ok().and_then(|len| self.take(len));
                taken.map(Value::Bytes).ok_or_else(|| self.fault(Fault::CutShort, number))
            }
            wire_type::FIXED64 => {
                self.array(number).map(|raw| Value::Fixed64(u64::from_le_bytes(raw)))
            }
            wire_type::FIXED32 => {
                self.array(number).map(|raw| Value::Fixed32(u32::from_le_bytes(raw)))
            }
            wire_type::GROUP_END => Err(self.fault(Fault::GroupEnd, number)),
            other => Err(self.fault(Fault::WireType(other), number)),
        }
    }

    /// Skips the group that field `number` has just opened. The numbers of the groups that are open
    /// are kept in a fixed array, so a hostile nest costs neither stack nor heap.
    #[cold]
    fn group(&mut self, number: u32) -> Result<Value<'a>, Malformed> {
        let mut open = OpenGroups::new(number);
        while let Some(innermost) = open.innermost() {
            let (number, layout) = self.tag()?;
            match layout {
                wire_type::GROUP_END if number == innermost => open.close(),
                wire_type::GROUP_END => return Err(self.fault(Fault::GroupEnd, number)),
                _ if self.depth + open.count >= MAX_DEPTH => {
                    return Err(self.fault(Fault::Depth, number));
                }
                wire_type::GROUP => open.push(number),
                _ => drop(self.value(number, layout)?),
            }
        }
        Ok(Value::Group)
    }

    #[inline]
    fn varint(&mut self, number: u32) -> Result<u64, Malformed> {
        varint::take(&mut self.rest).map_err(|fault| fault.at(number).inside(self.parent))
    }

    fn array<const N: usize>(&mut self, number: u32) -> Result<[u8; N], Malformed> {
        match self.rest.split_first_chunk() {
            Some((raw, rest)) => {
                self.rest = rest;
                Ok(*raw)
            }
            None => Err(self.fault(Fault::CutShort, number)),
        }
    }

    #[inline]
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    #[cold]
    fn fault(&self, fault: Fault, number: u32) -> Malformed {
        Malformed::tag(fault).at(number).inside(self.parent)
    }
}

/// The groups that wait for their end, the outermost first.
struct OpenGroups {
    numbers: [u32; MAX_DEPTH],
    count: usize,
}

impl OpenGroups {
    fn new(number: u32) -> Self {
        Self { numbers: [number; MAX_DEPTH], count: 1 }
    }

    fn innermost(&self) -> Option<u32> {
        self.numbers.get(self.count.checked_sub(1)?).copied()
    }

    fn close(&mut self) {
        self.count -= 1;
    }

    /// The caller has seen to it that fewer than `MAX_DEPTH` are open.
    fn push(&mut self, number: u32) {
        if let Some(slot) = self.numbers.get_mut(self.count) {
            *slot = number;
            self.count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(message: &[u8]) -> Result<Vec<(u32, Value<'_>)>, String> {
        let mut fields = Fields::new(message);
        let mut seen = Vec::new();
        while let Some(field) = fields.next().map_err(|malformed| malformed.to_string())? {
            seen.push(field);
        }
        Ok(seen)
    }

    /// `levels` groups of field 1 inside each other, with `core` in the innermost.
    fn nest(levels: usize, core: &[u8]) -> Vec<u8> {
        [&vec![0x0b; levels][..], core, &vec![0x0c; levels]].concat()
    }

    #[test]
    fn every_layout() {
        let message = b"\x08\x96\x01\x11\x01\0\0\0\0\0\0\0\x1a\x02hi\x25\x02\0\0\0\x2b\x08\x01\x2c";
        assert_eq!(
            fields(message).unwrap(),
            [
                (1, Value::Varint(150)),
                (2, Value::Fixed64(1)),
                (3, Value::Bytes(b"hi")),
                (4, Value::Fixed32(2)),
                (5, Value::Group),
            ]
        );
    }

    #[test]
    fn w1_cut_anywhere_is_an_error_or_fewer_fields() {
        let message = b"\x08\x96\x01\x11\x01\0\0\0\0\0\0\0\x1a\x02hi\x25\x02\0\0\0\x2b\x08\x01\x2c";
        let ends = [0, 3, 12, 16, 21, 25];
        for cut in 0..=message.len() {
            assert_eq!(fields(&message[..cut]).is_ok(), ends.contains(&cut), "cut at {cut}");
        }
    }

    #[test]
    fn w4_malformed_fields() {
        for (message, why) in [
            (&b"\x00\x01"[..], "a tag has field number 0; numbers go from 1 to 536870911"),
            (
                b"\x80\x80\x80\x80\x10\x01",
                "a tag has field number 536870912; numbers go from 1 to 536870911",
            ),
            (b"\x0e", "field 1 has wire type 6, which does not exist"),
            (b"\x0f", "field 1 has wire type 7, which does not exist"),
            (b"\x12\x05four", "field 2 goes past the end of the message"),
            (
                b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                "field 2 goes past the end of the message",
            ),
            (b"\x0c", "field 1 ends a group that is not the last one opened"),
            (b"\x0b\x14", "field 2 ends a group that is not the last one opened"),
            (b"\x0b\x13\x0c\x14", "field 1 ends a group that is not the last one opened"),
            (b"\x0b\x08\x01", "a tag goes past the end of the message"),
            (b"\x0b\x0e\x0c", "field 1 has wire type 6, which does not exist"),
        ] {
            assert_eq!(fields(message), Err(why.to_owned()), "{message:x?}");
        }
    }

    #[test]
    fn w4_highest_field_number_is_accepted() {
        assert_eq!(fields(b"\xf8\xff\xff\xff\x0f\x01").unwrap(), [(536_870_911, Value::Varint(1))]);
    }

    #[test]
    fn w4_group_depth() {
        let too_deep = "field 1 nests groups too deep; at most 100 levels are allowed";
        assert!(fields(&nest(100, b"")).is_ok());
        assert!(fields(&nest(99, b"\x08\x01")).is_ok());
        assert_eq!(fields(&nest(100, b"\x08\x01")), Err(too_deep.into()));
        assert_eq!(fields(&nest(101, b"")), Err(too_deep.into()));
        assert_eq!(fields(&vec![0x0b; 1 << 20]), Err(too_deep.into()));
    }

    #[test]
    fn w4_group_depth_counts_the_messages_around() {
        let nested = |levels| {
            let message = nest(levels, b"");
            let mut outer = Fields::new(&[]);
            for _ in 0..2 {
                outer = outer.inside(Value::Bytes(&message), "id").unwrap();
            }
            outer.next().map(drop).map_err(|malformed| malformed.to_string())
        };
        assert_eq!(nested(98), Ok(()));
        assert_eq!(
            nested(99),
            Err("field 1 of id nests groups too deep; at most 100 levels are allowed".into())
        );
    }

    #[test]
    fn w5_wrong_wire_type() {
        let why = Value::Varint(1).text("candidate").unwrap_err().to_string();
        assert_eq!(why, "candidate is a varint, not a length-delimited value");
        let why = Value::Group.varint("term").unwrap_err().to_string();
        assert_eq!(why, "term is a group, not a varint");
        assert!(Value::Fixed64(1).varint("term").is_err());
        assert!(Value::Fixed32(1).bytes("payload").is_err());
    }

    #[test]
    fn w6_not_utf8_names_the_field() {
        let why = Value::Bytes(b"ok\xff").text("candidate").unwrap_err();
        assert_eq!(why.to_string(), "candidate is not valid UTF-8 from byte 2 on");
    }
}
