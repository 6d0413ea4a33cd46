//! The first bytes tell what a connection speaks, and what to say to whoever speaks something else.

use std::fmt;

/// What a peer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Ttrpc,
    /// With prior knowledge, as gRPC does.
    Http2,
    Http1,
    Tls,
    Unknown,
}

impl Protocol {
    /// In the order of their numbers.
    pub(crate) const ALL: [Protocol; 5] =
        [Protocol::Ttrpc, Protocol::Http2, Protocol::Http1, Protocol::Tls, Protocol::Unknown];
}

/// How a connection begins that is not ttrpc. A ttrpc frame begins with 0x00, since none is as long
/// as 16 MiB.
const BEGINNINGS: [(&[u8], Protocol); 11] = [
    (b"\x16", Protocol::Tls),
    (b"PRI *", Protocol::Http2),
    (b"GET ", Protocol::Http1),
    (b"HEAD ", Protocol::Http1),
    (b"POST ", Protocol::Http1),
    (b"PUT ", Protocol::Http1),
    (b"DELETE ", Protocol::Http1),
    (b"CONNECT ", Protocol::Http1),
    (b"OPTIONS ", Protocol::Http1),
    (b"TRACE ", Protocol::Http1),
    (b"PATCH ", Protocol::Http1),
];

/// Tells the protocol from the bytes received so far, or `None` if they are too few.
pub(crate) fn sniff(bytes: &[u8]) -> Option<Protocol> {
    if *bytes.first()? == 0x00 {
        return Some(Protocol::Ttrpc);
    }
    let known = BEGINNINGS.iter().find(|(beginning, _)| bytes.starts_with(beginning));
    match known {
        Some((_, protocol)) => Some(*protocol),
        None if BEGINNINGS.iter().any(|(beginning, _)| beginning.starts_with(bytes)) => None,
        None => Some(Protocol::Unknown),
    }
}

impl Protocol {
    pub(crate) fn is_http(self) -> bool {
        matches!(self, Protocol::Http1 | Protocol::Http2)
    }

    /// What a peer that speaks this can understand of "not here".
    pub(crate) fn refusal(self) -> &'static [u8] {
        match self {
            Protocol::Http1 => {
                b"HTTP/1.1 501 Not Implemented\r\n\
                  Content-Type: text/plain; charset=utf-8\r\n\
                  Content-Length: 55\r\n\
                  Connection: close\r\n\
                  \r\n\
                  This port speaks ttrpc; HTTP and gRPC are switched off\n"
            }
            // An empty SETTINGS; GOAWAY: no stream was served, PROTOCOL_ERROR, and a word for people.
            Protocol::Http2 => {
                b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\
                  \x00\x00\x28\x07\x00\x00\x00\x00\x00\
                  \x00\x00\x00\x00\x00\x00\x00\x01\
                  this port speaks ttrpc, not gRPC"
            }
            // A fatal alert: handshake_failure.
            Protocol::Tls => b"\x15\x03\x01\x00\x02\x02\x28",
            Protocol::Ttrpc | Protocol::Unknown => b"",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Ttrpc => "ttrpc",
            Protocol::Http2 => "HTTP/2",
            Protocol::Http1 => "HTTP/1",
            Protocol::Tls => "TLS",
            Protocol::Unknown => "an unknown protocol",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w9_the_first_bytes_tell() {
        let told = |bytes: &[u8]| sniff(bytes);
        assert_eq!(told(b""), None);
        assert_eq!(told(b"\0"), Some(Protocol::Ttrpc));
        assert_eq!(told(b"\x16\x03\x01"), Some(Protocol::Tls));
        assert_eq!(told(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Some(Protocol::Http2));
        assert_eq!(told(b"POST / HTTP/1.1\r\n"), Some(Protocol::Http1));
        assert_eq!(told(b"GET"), None);
        assert_eq!(told(b"P"), None);
        assert_eq!(told(b"PING\r\n"), Some(Protocol::Unknown));
        assert_eq!(told(b"*1\r\n$4\r\nPING\r\n"), Some(Protocol::Unknown));
        assert_eq!(told(b"SSH-2.0-OpenSSH_9.2\r\n"), Some(Protocol::Unknown));
        assert_eq!(told(b"\x01\0\0\0"), Some(Protocol::Unknown));
    }

    #[test]
    fn refusals_say_their_own_length() {
        let http1 = std::str::from_utf8(Protocol::Http1.refusal()).unwrap();
        let (head, body) = http1.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());

        let goaway = &Protocol::Http2.refusal()[9..];
        let length = u32::from_be_bytes([0, goaway[0], goaway[1], goaway[2]]) as usize;
        assert_eq!(length, goaway.len() - 9);
    }
}
