//! Redis' protocol, versions 2 and 3.

use anyhow::{Result, bail, ensure};

use super::{Dialect, Heard, Kind, Request};

#[derive(Debug, Default)]
pub struct Resp;

impl Dialect for Resp {
    fn put(&mut self, request: &Request, out: &mut Vec<u8>) -> u64 {
        out.extend_from_slice(&request.bytes);
        0
    }

    fn next(&mut self, input: &[u8], _out: &mut Vec<u8>) -> Result<Option<Heard>> {
        let Some(len) = length(input)? else { return Ok(None) };
        let kind = match input {
            [b'>', ..] => Kind::Notice,
            [b'-', ..] | [b'_', ..] | [b'$' | b'*', b'-', ..] => Kind::Refused(-1),
            _ => Kind::Answer,
        };
        Ok(Some(Heard { kind, id: 0, body: 0..len, len }))
    }
}

/// Of the first value, if it is there as a whole.
fn length(input: &[u8]) -> Result<Option<usize>> {
    let Some(end) = input.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let head = end + 2;
    Ok(match input[0] {
        b'+' | b'-' | b':' | b'_' => Some(head),
        b'$' => match count(&input[1..end])? {
            None => Some(head),
            Some(count) => Some(head + count + 2).filter(|&len| len <= input.len()),
        },
        b'*' | b'>' => elements(input, head, count(&input[1..end])?.unwrap_or(0))?,
        b'%' => elements(input, head, 2 * count(&input[1..end])?.unwrap_or(0))?,
        other => bail!("a value of type {:?} came", other as char),
    })
}

fn elements(input: &[u8], mut at: usize, count: usize) -> Result<Option<usize>> {
    for _ in 0..count {
        match length(&input[at..])? {
            Some(len) => at += len,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

/// Nothing if it is -1.
fn count(digits: &[u8]) -> Result<Option<usize>> {
    if digits == b"-1" {
        return Ok(None);
    }
    ensure!(digits.len() < 9 && digits.iter().all(u8::is_ascii_digit), "a length makes no sense");
    Ok(Some(digits.iter().fold(0, |sum, digit| 10 * sum + usize::from(digit - b'0'))))
}

pub fn command(words: &[&str]) -> Request {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    Request::new(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(raw: &[u8]) -> Option<(Kind, usize)> {
        Resp.next(raw, &mut Vec::new()).unwrap().map(|heard| (heard.kind, heard.len))
    }

    #[test]
    fn a_command_byte_for_byte() {
        assert_eq!(command(&["GET", "k"]).bytes, b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    }

    #[test]
    fn values_and_their_ends() {
        assert_eq!(heard(b"+OK\r\n+"), Some((Kind::Answer, 5)));
        assert_eq!(heard(b"$3\r\nabc\r\n"), Some((Kind::Answer, 9)));
        assert_eq!(heard(b"$3\r\nabc"), None);
        assert_eq!(heard(b"$-1\r\n"), Some((Kind::Refused(-1), 5)));
        assert_eq!(heard(b"-ERR x\r\n"), Some((Kind::Refused(-1), 8)));
        assert_eq!(heard(b">2\r\n+a\r\n:1\r\n"), Some((Kind::Notice, 12)));
        assert_eq!(heard(b"*2\r\n$1\r\na\r\n*0\r\nx"), Some((Kind::Answer, 15)));
        assert_eq!(heard(b"%1\r\n+a\r\n:1\r\n"), Some((Kind::Answer, 12)));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Resp.next(b"hello\r\n", &mut Vec::new()).is_err());
        assert!(Resp.next(b"$99999999999\r\n", &mut Vec::new()).is_err());
    }
}
