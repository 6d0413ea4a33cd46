//! Our decoders and prost's, side by side, on bytes that look like messages: the fuzz targets' checks,
//! with inputs from proptest.

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tenure::internals;

#[allow(unreachable_pub)] // it is a crate of its own too
#[path = "../fuzz/src/lib.rs"]
mod fuzz;

const ENTER: &[u8] = b"\x0a\x06\x0a\x04cron\x12\x06node-a";
const TERM_REPLY: &[u8] = b"\x0a\x12\x08\x03\x12\x06node-a\x1a\x02c2\x1a\x02c3";
const CALL: &[u8] =
    b"\x0a\x01s\x12\x01m\x1a\x02hi\x20\xe8\x07\x2a\x06\x0a\x01k\x12\x01v\x2a\x00\x2a\x03\x0a\x01l";

/// Begins with the byte that chooses the message.
const LATCH: &[u8] = b"\x03\x0a\x14\x0a\x06\x0a\x04cron\x10\x07\x18\x01\x20\x63\x2a\x04\x08\x02\x10\x05\x12\x06node-a";
const LATCH_CREATE: &[u8] =
    b"\x00\x0a\x0c\x0a\x0a\x0a\x04cron\x12\x02ns\x12\x05\x08\x1e\x10\x80\x01";
const LATCH_EVENT: &[u8] =
    b"\x0a\x08\x08\x07\x10\x02\x18\x02\x20\x64\x1a\x0c\x08\x03\x12\x01a\x1a\x01a\x1a\x02c2";

fn every_target(raw: &[u8]) {
    fuzz::TARGETS.iter().for_each(|(_, target)| target(raw));
}

/// The bytes as each message of `tenure.v1` in turn: that target's first byte chooses which.
fn every_message_of_ours(raw: &[u8]) {
    for which in 0..internals::TENURE_V1.len() {
        fuzz::tenure_v1(&[&[which as u8], raw].concat());
    }
}

/// Appends a field of this number and wire type, whose value is made of `value` or `inner`.
fn field_bytes(number: u64, layout: u64, value: u64, inner: &[u8]) -> Vec<u8> {
    let mut out = varint(number << 3 | layout);
    match layout {
        0 => out.extend(varint(value)),
        1 => out.extend(value.to_le_bytes()),
        2 => out.extend([&varint(inner.len() as u64), inner].concat()),
        3 => out.extend([inner, &varint(number << 3 | 4)].concat()),
        5 => out.extend((value as u32).to_le_bytes()),
        _ => {}
    }
    out
}

fn varint(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(value, &mut out);
    out
}

/// A message: fields with the numbers we know, of any wire type, nested.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof!["[a-z]{0,4}".prop_map(Vec::from), vec(any::<u8>(), 0..6)];
    leaf.prop_recursive(3, 24, 5, |inner| vec(field(inner), 0..5).prop_map(|it| it.concat()))
}

fn field(inner: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let layout = prop_oneof![1 => 0u64..8, 3 => Just(2), 1 => Just(0)];
    let number = prop_oneof![4 => 1u64..7, 1 => 7u64..12];
    (number, layout, any::<u64>(), 0u32..64, inner).prop_map(
        |(number, layout, value, shift, inner)| field_bytes(number, layout, value >> shift, &inner),
    )
}

/// Changes to make: where, how, and with which byte.
type Mutations = Vec<(usize, u8, u8)>;

fn mutations() -> impl Strategy<Value = Mutations> {
    vec(any::<(usize, u8, u8)>(), 0..4)
}

fn mutated(mut raw: Vec<u8>, mutations: Mutations) -> Vec<u8> {
    for (at, how, byte) in mutations {
        let at = at % (raw.len() + 1);
        match (how % 4, raw.get_mut(at)) {
            (0, Some(slot)) => *slot = byte,
            (1, Some(slot)) => *slot ^= 1 << (byte % 8),
            (2, Some(_)) => drop(raw.remove(at)),
            _ => raw.insert(at, byte),
        }
    }
    raw
}

/// Where prost's recursion limit falls, for groups in the message and in messages inside it.
#[test]
fn w4_group_depth() {
    for (levels, tag) in (97..103).flat_map(|levels| [(levels, 0x3b), (levels, 0x0b)]) {
        for core in [&b""[..], b"\x38\x01"] {
            let nest = [&vec![tag; levels][..], core, &vec![tag + 1; levels]].concat();
            every_target(&field_bytes(1, 2, 0, &nest));
            every_target(&field_bytes(5, 2, 0, &nest));
            every_target(&nest);
        }
    }
}

/// The same for every message of ours, with groups in a message, and in one inside that.
#[test]
fn w4_group_depth_of_ours() {
    for levels in 97..102 {
        let nest = [vec![0x7b; levels], vec![0x7c; levels]].concat();
        every_message_of_ours(&nest);
        for (outer, inner) in (1..9).flat_map(|outer| (1..6).map(move |inner| (outer, inner))) {
            every_message_of_ours(&field_bytes(outer, 2, 0, &nest));
            every_message_of_ours(&field_bytes(outer, 2, 0, &field_bytes(inner, 2, 0, &nest)));
        }
    }
}

fn corpus_of_ours() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/tenure_v1");
    let mut inputs: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    inputs.sort();
    inputs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes(raw in vec(any::<u8>(), 0..40)) {
        every_target(&raw);
    }

    #[test]
    fn w5_arbitrary_fields(raw in message(), mutations in mutations()) {
        let raw = mutated(raw, mutations);
        every_target(&raw);
        every_message_of_ours(&raw);
    }

    #[test]
    fn mutated_messages_of_ours(raw in select(corpus_of_ours()), mutations in mutations()) {
        fuzz::tenure_v1(&mutated(raw, mutations));
    }

    #[test]
    fn mutated_messages(
        raw in prop_oneof![
            Just(ENTER),
            Just(TERM_REPLY),
            Just(CALL),
            Just(LATCH),
            Just(LATCH_CREATE),
            Just(LATCH_EVENT),
        ],
        mutations in mutations(),
    ) {
        every_target(&mutated(raw.to_vec(), mutations));
    }
}
