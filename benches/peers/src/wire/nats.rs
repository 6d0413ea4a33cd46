//! NATS' text protocol.

use anyhow::{Context, Result, bail};

use super::{Dialect, Heard, Kind, Request};

#[derive(Debug, Default)]
pub struct Nats {
    is_ready: bool,
}

impl Dialect for Nats {
    fn greet(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\nPING\r\n",
        );
    }

    fn is_ready(&self) -> bool {
        self.is_ready
    }

    fn put(&mut self, request: &Request, out: &mut Vec<u8>) -> u64 {
        out.extend_from_slice(&request.bytes);
        0
    }

    fn next(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Option<Heard>> {
        let Some(end) = input.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
        let line = std::str::from_utf8(&input[..end])?;
        let head = end + 2;
        match line.split(' ').next().unwrap_or("") {
            "INFO" | "+OK" => Ok(Some(Heard::nothing(head))),
            "PING" => {
                out.extend_from_slice(b"PONG\r\n");
                Ok(Some(Heard::nothing(head)))
            }
            "PONG" => {
                let kind = if self.is_ready { Kind::Answer } else { Kind::Nothing };
                self.is_ready = true;
                Ok(Some(Heard { kind, ..Heard::nothing(head) }))
            }
            "MSG" | "HMSG" => message(line, head, input.len()),
            _ => bail!("the server said {line:?}"),
        }
    }
}

/// `MSG subject sid [reply] length`; with headers, their length comes before.
fn message(line: &str, head: usize, there: usize) -> Result<Option<Heard>> {
    let mut words = line.split(' ');
    let size: usize = words.next_back().context("a message has no length")?.parse()?;
    let id = line.split(' ').nth(2).context("a message has no subscription")?.parse()?;
    let len = head + size + 2;
    let heard = Heard { kind: Kind::Notice, id, body: head..head + size, len };
    Ok((there >= len).then_some(heard))
}

pub fn subscribe(subject: &str) -> Request {
    Request::new(format!("SUB {subject} 1\r\n").into_bytes())
}

pub fn publish(subject: &str, reply: &str, body: &str) -> Request {
    let reply = if reply.is_empty() { String::new() } else { format!("{reply} ") };
    Request::new(format!("PUB {subject} {reply}{}\r\n{body}\r\n", body.len()).into_bytes())
}

pub fn ping() -> Request {
    Request::new(b"PING\r\n".to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_with_and_without_headers() {
        let mut wire = Nats { is_ready: true };
        let mut next = |raw: &[u8]| wire.next(raw, &mut Vec::new()).unwrap();
        let heard = next(b"MSG a.b 1 2\r\nhi\r\nPING\r\n").unwrap();
        assert_eq!((heard.kind, heard.body, heard.len), (Kind::Notice, 13..15, 17));
        let heard = next(b"HMSG a 7 12 14\r\nNATS/1.0\r\n\r\nhi\r\n").unwrap();
        assert_eq!((heard.id, heard.len), (7, 32));
        assert_eq!(next(b"MSG a.b 1 2\r\nhi\r"), None);
    }

    #[test]
    fn a_ping_is_answered() {
        let (mut wire, mut out) = (Nats::default(), Vec::new());
        wire.next(b"PING\r\n", &mut out).unwrap();
        assert_eq!(out, b"PONG\r\n");
        assert!(!wire.is_ready());
        wire.next(b"PONG\r\n", &mut out).unwrap();
        assert!(wire.is_ready());
    }
}
