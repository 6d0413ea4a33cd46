//! Requests that are wrong: each is refused with a sentence, by name, and nothing else suffers.

use protobuf::Message;
use tenure_schema::ttrpc_tenure::elections::ListElectionsRequest;
use ttrpc::Code;

use crate::peer::{Host, Peer, by, refused};

const METHODS: [(&str, &str); 18] = [
    ("Connection/Hello", "HelloRequest"),
    ("Sessions/Open", "OpenRequest"),
    ("Sessions/KeepAlive", "KeepAliveRequest"),
    ("Sessions/Close", "CloseRequest"),
    ("Sessions/List", "ListRequest"),
    ("Sessions/End", "EndRequest"),
    ("Elections/Enter", "EnterRequest"),
    ("Elections/Withdraw", "ChangeRequest"),
    ("Elections/Anoint", "ChangeRequest"),
    ("Elections/Promote", "ChangeRequest"),
    ("Elections/Demote", "ChangeRequest"),
    ("Elections/Evict", "ChangeRequest"),
    ("Elections/Observe", "ObserveRequest"),
    ("Elections/List", "ListElectionsRequest"),
    ("Elections/Describe", "DescribeRequest"),
    ("Elections/History", "HistoryRequest"),
    ("Elections/Check", "CheckRequest"),
    ("Elections/Delete", "DeleteRequest"),
];

#[tokio::test]
async fn bytes_that_are_no_message_are_refused_by_its_name() {
    let host = Host::start();
    let peer = host.peer().await;
    for (method, message) in METHODS {
        let answer = peer.call(method, vec![0x0a, 0x05, b'x']).await;
        let what = format!("tenure.v1.{message} can't be decoded: ");
        assert_eq!(refused(answer, &what), Code::INVALID_ARGUMENT, "{method}");
        // An unknown field of 65,537 bytes.
        let long = [&[0xfa, 0x7f, 0x81, 0x80, 0x04][..], &[0; 65_537]].concat();
        let answer = peer.call(method, long).await;
        let what = "limit reached: request_bytes (65536)";
        assert_eq!(refused(answer, what), Code::RESOURCE_EXHAUSTED, "{method}");
    }
    assert_eq!((host.engine.sessions(), host.engine.elections()), (0, 0));
}

#[tokio::test]
async fn unknown_fields_are_skipped_and_unknown_methods_named() {
    let host = Host::start();
    let peer = host.peer().await;
    peer.call("Elections/List", vec![0xfa, 0x7f, 0x01, 0x00]).await.unwrap();
    let nothing = ListElectionsRequest::new().write_to_bytes().unwrap();
    for method in ["Connection/Goodbye", "Sessions/Enter", "Elections/Open", "Nothing/Hello"] {
        let answer = peer.call(method, nothing.clone()).await;
        let what = format!("unknown method /tenure.v1.{method}");
        assert_eq!(refused(answer, &what), Code::UNIMPLEMENTED);
    }
}

impl Peer {
    async fn all_about(&self, name: &str, candidate: &str, what: &str) {
        let answer = self.enter(0, name, candidate).await;
        assert_eq!(refused(answer, what), Code::INVALID_ARGUMENT, "Enter");
        for method in ["Withdraw", "Anoint", "Promote", "Demote", "Evict"] {
            let answer = self.change(method, &by(0, name, candidate)).await;
            assert_eq!(refused(answer, what), Code::INVALID_ARGUMENT, "{method}");
        }
    }
}

#[tokio::test]
async fn names_are_checked_wherever_they_stand() {
    let host = Host::start();
    let peer = host.peer().await;
    let long = "x".repeat(513);
    for (name, what) in [
        ("", "is empty; give it at least one byte"),
        (&*long, "has 513 bytes; at most 512 are allowed"),
        ("a\nb", "has the control character U+000A at byte 1"),
    ] {
        peer.all_about("jobs", name, &format!("candidate {what}")).await;
        let what = format!("election name {what}");
        peer.all_about(name, "a", &what).await;
        let named = protobuf_name(name);
        for method in ["Observe", "Describe", "History", "Check", "Delete"] {
            let answer = peer.call(&format!("Elections/{method}"), named.clone()).await;
            assert_eq!(refused(answer, &what), Code::INVALID_ARGUMENT, "{method}");
        }
    }
    let mut request = by(0, "jobs", "a");
    request.reason = "x".repeat(257);
    for method in ["Withdraw", "Anoint", "Promote", "Demote", "Evict"] {
        let answer = peer.change(method, &request).await;
        assert_eq!(refused(answer, "reason has 257 bytes"), Code::INVALID_ARGUMENT);
    }
    assert_eq!(host.engine.elections(), 0);
}

/// A message whose field 1 is this text.
fn protobuf_name(name: &str) -> Vec<u8> {
    let length = [name.len() as u8 & 0x7f | 0x80, (name.len() >> 7) as u8];
    [&[0x0a], &length[..], name.as_bytes()].concat()
}
