//! What a latch answers. A header is there also when it is empty.

use super::HEADER;
use crate::wire::put;

/// `Latch.participants`.
const PARTICIPANTS: u32 = 3;

/// What every reply says first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResponseHeader<'a> {
    pub(crate) session_id: u64,
    pub(crate) stream_id: u64,
    pub(crate) response_id: u64,
    pub(crate) index: u64,
    pub(crate) kind: Kind,
    /// Why it failed, if it did.
    pub(crate) failure: Option<&'a str>,
}

/// Where in a stream a response stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    #[default]
    Response = 0,
    OpenStream = 1,
    CloseStream = 2,
}

/// `ResponseStatus.ERROR`.
const ERROR: u64 = 1;

/// The state of a latch. The participants are all of them, the leader first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latch<'a, I> {
    pub(crate) id: u64,
    pub(crate) leader: Option<&'a str>,
    pub(crate) participants: I,
}

impl ResponseHeader<'_> {
    /// Appends the reply to Create, KeepAlive and Close; and an Event that says nothing of the latch.
    pub(crate) fn put_reply(&self, out: &mut Vec<u8>) {
        let message = self.failure.unwrap_or_default();
        let status = if self.failure.is_some() { ERROR } else { 0 };
        let numbers = [(1, self.session_id), (2, self.stream_id), (3, self.response_id)];
        let more = [(4, self.index), (6, status), (7, self.kind as u64)];
        let numbers = numbers.into_iter().chain(more);
        let len: usize = numbers.clone().map(|(number, value)| put::uint_len(number, value)).sum();
        put::prefix(out, HEADER, len + put::bytes_len(8, message.len()));
        numbers.for_each(|(number, value)| put::uint(out, number, value));
        put::text(out, 8, message);
    }
}

impl<'a, I: Iterator<Item = &'a str> + Clone> Latch<'a, I> {
    /// Appends the reply to Latch and Get.
    pub(crate) fn put_reply(&self, out: &mut Vec<u8>, header: &ResponseHeader<'_>) {
        header.put_reply(out);
        self.put(out, 2);
    }

    /// Appends an Event. Its type is CHANGED, which is 0.
    pub(crate) fn put_event(&self, out: &mut Vec<u8>, header: &ResponseHeader<'_>) {
        header.put_reply(out);
        self.put(out, 3);
    }

    fn put(&self, out: &mut Vec<u8>, number: u32) {
        let leader = self.leader.unwrap_or_default();
        let participants = self.participants.clone();
        let names: usize = participants.map(|name| put::item_len(PARTICIPANTS, name.len())).sum();
        let len = put::uint_len(1, self.id) + put::bytes_len(2, leader.len()) + names;
        put::prefix(out, number, len);
        put::uint(out, 1, self.id);
        put::text(out, 2, leader);
        let participants = self.participants.clone();
        participants.for_each(|name| put::item(out, PARTICIPANTS, name.as_bytes()));
    }
}
