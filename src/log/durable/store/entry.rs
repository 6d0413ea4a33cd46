//! A batch as it stands in the journal.
//!
//! Four numbers, then records: the table, the key and the value, each behind its length. The journal has a
//! checksum over all of it, so what is found here and can't be read was not written by this version.

use super::Batch;

#[derive(Clone, Copy)]
enum Table {
    Elections = 1,
    Created = 2,
    Sessions = 3,
}

/// Instead of a length, where a record is removed.
const REMOVED: u32 = u32::MAX;
const NUMBERS: usize = 4 * 8;
const RECORD: usize = 1 + 4 + 4;

/// How many bytes [`put`] appends.
pub(super) fn len(batch: &Batch) -> usize {
    let mut len = NUMBERS;
    each(batch, |_, key, value| len += RECORD + key.len() + value.map_or(0, <[u8]>::len));
    len
}

pub(super) fn put(batch: &Batch, out: &mut Vec<u8>) {
    for number in [batch.floor, batch.index, batch.session_ids, batch.starts] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    each(batch, |table, key, value| {
        out.push(table as u8);
        out.extend_from_slice(&(key.len() as u32).to_be_bytes());
        out.extend_from_slice(&value.map_or(REMOVED, |it| it.len() as u32).to_be_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(value.unwrap_or_default());
    });
}

fn each(batch: &Batch, mut each: impl FnMut(Table, &[u8], Option<&[u8]>)) {
    let Batch { elections, created, sessions, .. } = batch;
    elections.iter().for_each(|(key, raw)| each(Table::Elections, key.as_bytes(), raw.as_deref()));
    created.iter().for_each(|(key, raw)| each(Table::Created, key.as_bytes(), raw.as_deref()));
    sessions.iter().for_each(|(id, raw)| each(Table::Sessions, &id.to_be_bytes(), raw.as_deref()));
}

/// Reads it back; none if it is not what [`put`] writes.
pub(super) fn read(mut raw: &[u8]) -> Option<Batch> {
    let mut number = || u64_of(&mut raw);
    let mut batch = Batch {
        floor: number()?,
        index: number()?,
        session_ids: number()?,
        starts: number()?,
        ..Batch::default()
    };
    while let Some((table, rest)) = raw.split_first() {
        raw = rest;
        let (key, value) = (u32_of(&mut raw)?, u32_of(&mut raw)?);
        let key = raw.split_off(..key as usize)?;
        let value = match value {
            REMOVED => None,
            len => Some(raw.split_off(..len as usize)?.to_vec()),
        };
        let name = || std::str::from_utf8(key).ok().map(Box::<str>::from);
        match *table {
            it if it == Table::Elections as u8 => drop(batch.elections.insert(name()?, value)),
            it if it == Table::Created as u8 => drop(batch.created.insert(name()?, value)),
            it if it == Table::Sessions as u8 => {
                let id = u64::from_be_bytes(key.try_into().ok()?);
                batch.sessions.insert(id, value);
            }
            _ => return None,
        }
    }
    Some(batch)
}

fn u64_of(raw: &mut &[u8]) -> Option<u64> {
    raw.split_off(..8)?.try_into().ok().map(u64::from_be_bytes)
}

fn u32_of(raw: &mut &[u8]) -> Option<u32> {
    raw.split_off(..4)?.try_into().ok().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    fn records() -> impl Strategy<Value = std::collections::BTreeMap<Box<str>, Option<Vec<u8>>>> {
        let value = proptest::option::of(vec(any::<u8>(), 0..40));
        btree_map(any::<String>().prop_map(Box::from), value, 0..8)
    }

    fn batches() -> impl Strategy<Value = Batch> {
        let sessions = btree_map(any::<u64>(), proptest::option::of(vec(any::<u8>(), 0..40)), 0..8);
        (records(), records(), sessions, any::<[u64; 4]>()).prop_map(
            |(elections, created, sessions, [floor, index, session_ids, starts])| Batch {
                elections,
                created,
                sessions,
                floor,
                index,
                session_ids,
                starts,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_put_is_read_back(batch in batches()) {
            let mut raw = Vec::new();
            put(&batch, &mut raw);
            prop_assert_eq!(raw.len(), len(&batch));
            prop_assert_eq!(read(&raw), Some(batch));
        }

        /// Neither a panic nor more memory than there are bytes.
        #[test]
        fn anything_is_read_or_refused(raw in vec(any::<u8>(), 0..200)) {
            if let Some(batch) = read(&raw) {
                prop_assert!(len(&batch) <= raw.len());
            }
        }

        #[test]
        fn what_is_cut_short_is_no_whole_batch(batch in batches(), at in any::<prop::sample::Index>()) {
            let mut raw = Vec::new();
            put(&batch, &mut raw);
            raw.truncate(at.index(raw.len()));
            prop_assert_ne!(read(&raw), Some(batch));
        }
    }
}
