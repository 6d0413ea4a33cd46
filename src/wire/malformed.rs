//! Why bytes are not a message: what is wrong, and at which field.

use std::fmt;

use super::field::wire_type;
use crate::error::Error;

/// What was wrong with an encoded message. Small and free to make: it borrows nothing from the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    fault: Fault,
    place: Place,
    /// The nested message that holds the place, or "" for the outermost.
    parent: &'static str,
}

/// The ways to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The bytes end before the value does.
    CutShort,
    /// A varint of over ten bytes, or over 64 bits.
    Varint,
    /// A field number that is 0 or over 2^29 - 1.
    FieldNumber(u64),
    /// A wire type that does not exist.
    WireType(u8),
    /// Another wire type than this field has.
    Unexpected { found: u8, wanted: u8 },
    /// The end of a group that was not the last one opened.
    GroupEnd,
    /// Groups inside groups, too many deep.
    Depth,
    /// A string whose bytes from `at` on are not UTF-8.
    NotUtf8 { at: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Tag,
    Number(u32),
    Name(&'static str),
}

impl Malformed {
    /// At a tag, before any field is known.
    pub(crate) fn tag(fault: Fault) -> Self {
        Self { fault, place: Place::Tag, parent: "" }
    }

    /// At a field whose name is known.
    pub(crate) fn named(fault: Fault, field: &'static str) -> Self {
        Self { fault, place: Place::Name(field), parent: "" }
    }

    /// The same fault, now known to be in the value of field `number`.
    pub(crate) fn at(self, number: u32) -> Self {
        Self { place: Place::Number(number), ..self }
    }

    /// The same fault, now known to be in the nested message `parent`.
    pub(crate) fn inside(self, parent: &'static str) -> Self {
        Self { parent, ..self }
    }

    /// The same fault, in the nested message `parent` unless it is known to be in one deeper.
    #[cold]
    pub(crate) fn within(self, parent: &'static str) -> Self {
        match self.parent {
            "" => self.inside(parent),
            _ => self,
        }
    }

    /// As the engine's error, of the message with this full protobuf name.
    pub(crate) fn of(self, message: &'static str) -> Error {
        Error::Undecodable { message, why: self.to_string() }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Tag => f.write_str("a tag")?,
            Place::Number(number) => write!(f, "field {number}")?,
            Place::Name(name) => f.write_str(name)?,
        }
        if !self.parent.is_empty() {
            write!(f, " of {}", self.parent)?;
        }
        self.fault.fmt(f)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Fault::CutShort => f.write_str(" goes past the end of the message"),
            Fault::Varint => f.write_str(" has a varint of over 64 bits"),
            Fault::FieldNumber(n) => {
                write!(f, " has field number {n}; numbers go from 1 to 536870911")
            }
            Fault::WireType(raw) => write!(f, " has wire type {raw}, which does not exist"),
            Fault::Unexpected { found, wanted } => {
                write!(f, " is {}, not {}", wire_type::name(found), wire_type::name(wanted))
            }
            Fault::GroupEnd => f.write_str(" ends a group that is not the last one opened"),
            Fault::Depth => f.write_str(" nests groups too deep; at most 100 levels are allowed"),
            Fault::NotUtf8 { at } => write!(f, " is not valid UTF-8 from byte {at} on"),
        }
    }
}
