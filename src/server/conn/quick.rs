//! The requests that come most, GetTerm and changes by a candidate's name, in the bytes that clients write
//! for them.
//!
//! Every encoder in use writes fields in order and lengths in their shortest form, so such a request
//! begins with the same bytes each time, and one comparison says what a walk over its fields would.
//! Anything else, right or wrong, takes that walk.

use crate::service::Method;
use crate::wire::envelope::Request;
use crate::wire::varint::{self, counted};

/// Service, method, and the payload's tag.
const BEGINNING: &[u8] = b"\x0a\x29atomix.runtime.election.v1.LeaderElection\x12\x07GetTerm\x1a";
const SERVICE: &str = "atomix.runtime.election.v1.LeaderElection";
/// How the envelope of any of its requests begins: the service, and the method's tag.
const SERVICE_FIELD: &[u8] = b"\x0a\x29atomix.runtime.election.v1.LeaderElection\x12";
const PAYLOAD: u8 = 0x1a;
const TIMEOUT: u8 = 0x20;
const ID: u8 = 0x0a;
const NAME: u8 = 0x0a;

/// The election that a plain GetTerm asks for: bytes that may be no name.
#[inline]
pub(super) fn get_term(envelope: &[u8]) -> Option<&[u8]> {
    let (payload, rest) = counted(envelope.strip_prefix(BEGINNING)?)?;
    let (id, []) = counted(payload.strip_prefix(&[ID])?)? else { return None };
    let (name, []) = counted(id.strip_prefix(&[NAME])?)? else { return None };
    is_timeout(rest).then_some(name)
}

/// The envelope of a plain change by a candidate's name, and which method it asks for, without the walk over
/// its fields.
#[inline]
pub(super) fn change(envelope: &[u8]) -> Option<(Method, Request<'_>)> {
    let (method, rest) = counted(envelope.strip_prefix(SERVICE_FIELD)?)?;
    let (number, method) = match method {
        b"Enter" => (Method::ENTER, "Enter"),
        b"Withdraw" => (Method::WITHDRAW, "Withdraw"),
        b"Anoint" => (Method::ANOINT, "Anoint"),
        b"Promote" => (Method::PROMOTE, "Promote"),
        b"Demote" => (Method::DEMOTE, "Demote"),
        b"Evict" => (Method::EVICT, "Evict"),
        _ => return None,
    };
    let (payload, rest) = counted(rest.strip_prefix(&[PAYLOAD])?)?;
    let timeout_nano = timeout(rest)?;
    let request = Request { service: SERVICE, method, payload, timeout_nano, ..Request::default() };
    Some((number, request))
}

/// The timeout that `bytes` are, or 0 for nothing.
#[inline]
fn timeout(bytes: &[u8]) -> Option<i64> {
    let [TIMEOUT, rest @ ..] = bytes else { return bytes.is_empty().then_some(0) };
    let mut rest = rest;
    let timeout = varint::take(&mut rest).ok()?;
    rest.is_empty().then_some(timeout as i64)
}

/// True for nothing, and for a timeout that is not negative.
#[inline]
fn is_timeout(bytes: &[u8]) -> bool {
    match bytes {
        [] => true,
        [TIMEOUT, more @ .., 0..0x80] => more.len() < 9 && more.iter().all(|byte| *byte >= 0x80),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::election_v1::NamedRequest;

    fn encoded(service: &str, method: &str, name: &str, timeout_nano: i64) -> Vec<u8> {
        let (mut payload, mut envelope) = (Vec::new(), Vec::new());
        NamedRequest { name }.encode(&mut payload);
        let request =
            Request { service, method, payload: &payload, timeout_nano, ..Request::default() };
        request.encode(&mut envelope);
        envelope
    }

    #[test]
    fn what_clients_write_is_recognized() {
        for timeout in [0, 1, 127, 128, 5_000_000_000, i64::MAX] {
            let envelope = encoded(SERVICE, "GetTerm", "billing/cron", timeout);
            assert_eq!(get_term(&envelope), Some(&b"billing/cron"[..]), "{timeout}");
        }
        assert_eq!(get_term(&encoded(SERVICE, "GetTerm", "e", -1)), None);
        assert_eq!(get_term(&encoded(SERVICE, "Withdraw", "e", 0)), None);
        assert_eq!(get_term(&encoded(SERVICE, "GetTerm", &"x".repeat(200), 0)), None);
    }

    #[test]
    fn changes_are_recognized_as_clients_write_them() {
        for method in ["Enter", "Withdraw", "Anoint", "Promote", "Demote", "Evict"] {
            for timeout in [0, 1, 5_000_000_000, i64::MAX, -1] {
                let envelope = encoded(SERVICE, method, "e", timeout);
                let (number, found) = change(&envelope).unwrap();
                assert_eq!(number, Method::of(SERVICE, method));
                assert_eq!((found.service, found.method), (SERVICE, method));
                assert_eq!(
                    (found.payload, found.timeout_nano),
                    (&b"\x0a\x03\x0a\x01e"[..], timeout)
                );
            }
        }
        assert!(change(&encoded(SERVICE, "Create", "e", 0)).is_none());
        assert!(change(&encoded("other", "Enter", "e", 0)).is_none());
    }

    proptest! {
        /// Whatever is recognized, the walk over its fields reads the same.
        #[test]
        fn the_quick_way_and_the_walk_agree_on_changes(
            method in prop::sample::select(&["Enter", "Withdraw", "Evict"][..]),
            timeout in any::<i64>(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            tail in prop::collection::vec(any::<u8>(), 0..4),
        ) {
            let mut envelope = encoded(SERVICE, method, "e", timeout);
            for (at, byte) in edits {
                let at = at.index(envelope.len());
                envelope[at] = byte;
            }
            envelope.extend(tail);
            if let Some((number, found)) = change(&envelope) {
                let request = Request::decode(&envelope).unwrap();
                prop_assert_eq!(number, Method::of(request.service, request.method));
                prop_assert_eq!((request.service, request.method), (found.service, found.method));
                prop_assert_eq!(request.payload, found.payload);
                prop_assert_eq!(request.timeout_nano, found.timeout_nano);
                prop_assert_eq!(request.metadata().count(), 0);
            }
        }

        /// Whatever is recognized, the walk over its fields reads the same.
        #[test]
        fn the_quick_way_and_the_walk_agree(
            name in "[a-z]{0,8}",
            timeout in any::<i64>(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            tail in prop::collection::vec(any::<u8>(), 0..4),
        ) {
            let mut envelope = encoded(SERVICE, "GetTerm", &name, timeout);
            for (at, byte) in edits {
                let at = at.index(envelope.len());
                envelope[at] = byte;
            }
            envelope.extend(tail);
            if let Some(found) = get_term(&envelope)
                && let Ok(found) = std::str::from_utf8(found)
            {
                let request = Request::decode(&envelope).unwrap();
                prop_assert_eq!((request.service, request.method), (SERVICE, "GetTerm"));
                prop_assert!(request.timeout_nano >= 0);
                prop_assert_eq!(NamedRequest::decode(request.payload).unwrap().name, found);
            }
        }
    }
}
