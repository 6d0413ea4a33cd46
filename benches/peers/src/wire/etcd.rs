//! What is asked of etcd, in its protobuf messages.

use super::Request;
use super::proto::{Message, bytes, number};

fn call(path: &'static str, message: Message) -> Request {
    Request { path, bytes: message.0, stays_open: false }
}

pub fn range(key: &str, serializable: bool) -> Request {
    let message = Message::new().text(1, key).uint(7, serializable.into());
    call("/etcdserverpb.KV/Range", message)
}

pub fn put(key: &str, value: &str) -> Request {
    call("/etcdserverpb.KV/Put", Message::new().text(1, key).text(2, value))
}

/// A watch on one key; the stream takes more of them.
pub fn watch(key: &str) -> Request {
    let create = Message::new().text(1, key);
    let message = Message::new().message(1, create);
    Request { path: "/etcdserverpb.Watch/Watch", bytes: message.0, stays_open: true }
}

/// Of a watch's message: whether it tells of a change, and not that the watch was made.
pub fn is_event(watched: &[u8]) -> bool {
    !bytes(watched, 11).is_empty()
}

pub fn grant_lease(seconds: u64) -> Request {
    call("/etcdserverpb.Lease/LeaseGrant", Message::new().uint(1, seconds))
}

/// The lease that was granted, and its seconds.
pub fn granted(answer: &[u8]) -> (u64, u64) {
    (number(answer, 2), number(answer, 3))
}

pub fn keep_alive(lease: u64) -> Request {
    let message = Message::new().uint(1, lease);
    Request { path: "/etcdserverpb.Lease/LeaseKeepAlive", bytes: message.0, stays_open: false }
}

pub fn campaign(election: &str, lease: u64, value: &str) -> Request {
    let message = Message::new().text(1, election).uint(2, lease).text(3, value);
    call("/v3electionpb.Election/Campaign", message)
}

/// With the key that a campaign was answered with.
pub fn resign(campaigned: &[u8]) -> Request {
    call("/v3electionpb.Election/Resign", Message::new().bytes(1, bytes(campaigned, 2)))
}
