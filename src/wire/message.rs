//! Messages as owned values, from a list of their fields: for calls that are not on the hot path.
//!
//! `message!` makes a struct, its decoder and its encoder. How deep messages nest is fixed by their
//! types, so nothing recurses by what a peer sends; unknown fields are skipped, the last of a repeated
//! scalar wins, and a message that comes twice is merged, as protobuf has it.

use std::collections::BTreeMap;

use super::Malformed;
use super::field::{Fields, Value};
use super::put;

/// A message whose fields are listed.
pub(crate) trait Message: Default {
    /// Its fields as they are listed, to be held against the schema: name, type and number.
    #[cfg(test)]
    const FIELDS: &'static [(&'static str, &'static str, u32)];

    /// Takes in more of its fields.
    fn merge(&mut self, fields: Fields<'_>) -> Result<(), Malformed>;

    /// Appends its fields in the order of their numbers.
    fn put(&self, out: &mut Vec<u8>);

    fn decode(raw: &[u8]) -> Result<Self, Malformed> {
        let mut message = Self::default();
        message.merge(Fields::new(raw))?;
        Ok(message)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.put(&mut out);
        out
    }
}

/// A value that a field may have.
pub(crate) trait FieldValue: Default {
    /// Takes in one occurrence of the field `name`.
    fn take(
        &mut self,
        around: &Fields<'_>,
        value: Value<'_>,
        name: &'static str,
    ) -> Result<(), Malformed>;

    /// Appends the field, if it is not at its default.
    fn put(&self, out: &mut Vec<u8>, number: u32);
}

macro_rules! integers {
    ($($type:ty => $to_wire:expr,)*) => {$(
        impl FieldValue for $type {
            fn take(
                &mut self,
                _: &Fields<'_>,
                value: Value<'_>,
                name: &'static str,
            ) -> Result<(), Malformed> {
                // Too wide a value is cut to its low bits, as protobuf has it.
                *self = value.varint(name)? as $type;
                Ok(())
            }

            fn put(&self, out: &mut Vec<u8>, number: u32) {
                let to_wire: fn($type) -> u64 = $to_wire;
                put::uint(out, number, to_wire(*self));
            }
        }
    )*};
}

integers! {
    u64 => |value| value,
    u32 => u64::from,
    // Also every enum: a value that this version does not know is kept.
    i32 => |value| i64::from(value).cast_unsigned(),
    i64 => i64::cast_unsigned,
}

impl FieldValue for bool {
    fn take(
        &mut self,
        _: &Fields<'_>,
        value: Value<'_>,
        name: &'static str,
    ) -> Result<(), Malformed> {
        *self = value.varint(name)? != 0;
        Ok(())
    }

    fn put(&self, out: &mut Vec<u8>, number: u32) {
        put::uint(out, number, u64::from(*self));
    }
}

/// `optional`: there also at 0.
impl FieldValue for Option<u64> {
    fn take(
        &mut self,
        _: &Fields<'_>,
        value: Value<'_>,
        name: &'static str,
    ) -> Result<(), Malformed> {
        *self = Some(value.varint(name)?);
        Ok(())
    }

    fn put(&self, out: &mut Vec<u8>, number: u32) {
        if let Some(value) = *self {
            put::present_uint(out, number, value);
        }
    }
}

impl FieldValue for String {
    fn take(
        &mut self,
        _: &Fields<'_>,
        value: Value<'_>,
        name: &'static str,
    ) -> Result<(), Malformed> {
        value.text(name)?.clone_into(self);
        Ok(())
    }

    fn put(&self, out: &mut Vec<u8>, number: u32) {
        put::text(out, number, self);
    }
}

impl FieldValue for Vec<u8> {
    fn take(
        &mut self,
        _: &Fields<'_>,
        value: Value<'_>,
        name: &'static str,
    ) -> Result<(), Malformed> {
        value.bytes(name)?.clone_into(self);
        Ok(())
    }

    fn put(&self, out: &mut Vec<u8>, number: u32) {
        put::bytes(out, number, self);
    }
}

impl FieldValue for Vec<String> {
    fn take(
        &mut self,
        _: &Fields<'_>,
        value: Value<'_>,
        name: &'static str,
    ) -> Result<(), Malformed> {
        self.push(value.text(name)?.to_owned());
        Ok(())
    }

    fn put(&self, out: &mut Vec<u8>, number: u32) {
        self.iter().for_each(|item| put::item(out, number, item.as_bytes()));
    }
}

impl<M: Message> FieldValue for Option<M> {
    fn take(
        &mut self,
        around: &Fields<'_>,
        value: Value<'_>,
        name: &'static str,
    ) -> Result<(), Malformed> {
        let fields = around.inside(value, name)?;
        self.get_or_insert_default().merge(fields).map_err(|malformed| malformed.within(name))
    }

    fn put(&self, out: &mut Vec<u8>, number: u32) {
        self.iter().for_each(|message| put::nested(out, number, |out| message.put(out)));
    }
}

impl<M: Message> FieldValue for Vec<M> {
    fn take(
        &mut self,
        around: &Fields<'_>,
        value: Value<'_>,
        name: &'static str,
    ) -> Result<(), Malformed> {
        let mut message = M::default();
        message.merge(around.inside(value, name)?).map_err(|malformed| malformed.within(name))?;
        self.push(message);
        Ok(())
    }

    fn put(&self, out: &mut Vec<u8>, number: u32) {
        self.iter().for_each(|message| put::nested(out, number, |out| message.put(out)));
    }
}

/// `map<string, string>`: the last of a key wins.
impl FieldValue for BTreeMap<String, String> {
    fn take(
        &mut self,
        around: &Fields<'_>,
        value: Value<'_>,
        name: &'static str,
    ) -> Result<(), Malformed> {
        let mut entry = MapEntry::default();
        entry.merge(around.inside(value, name)?).map_err(|malformed| malformed.within(name))?;
        self.insert(entry.key, entry.value);
        Ok(())
    }

    fn put(&self, out: &mut Vec<u8>, number: u32) {
        self.iter().for_each(|(key, value)| put::entry(out, number, key, value));
    }
}

/// Makes messages of lists of fields: `name: type = number`.
macro_rules! message {
    ($(
        $(#[$meta:meta])*
        struct $name:ident {
            $($(#[$field_meta:meta])* $field:ident: $type:ty = $number:literal,)*
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub(crate) struct $name {
            $($(#[$field_meta])* pub(crate) $field: $type,)*
        }

        impl $crate::wire::message::Message for $name {
            #[cfg(test)]
            const FIELDS: &'static [(&'static str, &'static str, u32)] =
                &[$((stringify!($field), stringify!($type), $number),)*];

            #[allow(unused_mut, unused_variables, reason = "for a message without fields")]
            fn merge(
                &mut self,
                mut fields: $crate::wire::field::Fields<'_>,
            ) -> Result<(), $crate::wire::Malformed> {
                while let Some((number, value)) = fields.next()? {
                    match number {
                        $($number => $crate::wire::message::FieldValue::take(
                            &mut self.$field, &fields, value, stringify!($field),
                        )?,)*
                        _ => {}
                    }
                }
                Ok(())
            }

            #[allow(unused_variables, reason = "for a message without fields")]
            fn put(&self, out: &mut Vec<u8>) {
                $($crate::wire::message::FieldValue::put(&self.$field, out, $number);)*
            }
        }
    )*};
}

pub(crate) use message;

message! {
    struct MapEntry {
        key: String = 1,
        value: String = 2,
    }
}
