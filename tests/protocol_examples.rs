//! Plays the byte examples of `docs/protocol.md` against a server, so that they stay true.
//!
//! Each fenced block marked `wire` is one connection. `>` is what the client sends, `<` what the
//! server answers, `< end` that it closes; bytes are hex or quoted text, and `;` begins a comment. A
//! line without a mark goes on with the one above.
#![cfg(feature = "server")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use tenure::{Engine, Server};

#[derive(Debug)]
enum Line {
    Sent(Vec<u8>),
    Received(Vec<u8>),
    End,
}

/// The bytes of one line: hex pairs and quoted text, up to a comment.
fn bytes(text: &str) -> Vec<u8> {
    let mut found = Vec::new();
    // Every second part is quoted.
    for (at, part) in text.split('"').enumerate() {
        if at % 2 == 1 {
            found.extend_from_slice(part.as_bytes());
            continue;
        }
        let code = part.split(';').next().unwrap_or_default();
        let hex = code.split_whitespace();
        found.extend(hex.map(|pair| u8::from_str_radix(pair, 16).expect("two hex digits")));
        if code.len() < part.len() {
            break;
        }
    }
    found
}

fn lines(block: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for text in block.lines().filter(|line| !line.trim().is_empty()) {
        match text.as_bytes()[0] {
            b'>' => lines.push(Line::Sent(bytes(&text[1..]))),
            b'<' if text[1..].trim_start().starts_with("end") => lines.push(Line::End),
            b'<' => lines.push(Line::Received(bytes(&text[1..]))),
            _ => match lines.last_mut() {
                Some(Line::Sent(before) | Line::Received(before)) => before.extend(bytes(text)),
                before => panic!("{text:?} goes on with {before:?}"),
            },
        }
    }
    lines
}

fn blocks(page: &str) -> Vec<&str> {
    let starts = page.split("```wire\n").skip(1);
    starts.map(|rest| rest.split("```").next().unwrap_or(rest)).collect()
}

fn play(block: &str) {
    let server = Server::builder(Engine::builder().open().unwrap())
        .listen("127.0.0.1:0")
        .spawn()
        .unwrap();
    let mut peer = TcpStream::connect(&server.addresses()[0]).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    for line in lines(block) {
        match line {
            Line::Sent(bytes) => peer.write_all(&bytes).unwrap(),
            Line::Received(expected) => {
                let mut received = vec![0; expected.len()];
                peer.read_exact(&mut received).unwrap();
                assert!(
                    received == expected,
                    "expected {:?}\nreceived {:?}\nin\n{block}",
                    expected.escape_ascii().to_string(),
                    received.escape_ascii().to_string()
                );
            }
            Line::End => assert_eq!(peer.read(&mut [0]).unwrap(), 0, "it goes on in\n{block}"),
        }
    }
}

#[test]
fn the_page_on_the_protocol_tells_the_truth() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/protocol.md");
    let page = std::fs::read_to_string(path).unwrap();
    let blocks = blocks(&page);
    assert!(blocks.len() >= 6, "only {} examples", blocks.len());
    blocks.into_iter().for_each(play);
}

#[test]
fn the_reader_of_examples_reads() {
    assert_eq!(bytes(r#" 0a 02 "a;" ff ; not 00"#), b"\x0a\x02a;\xff");
    let lines = lines("> 00\n  01\n< 02\n< end of it\n");
    assert!(
        matches!(&lines[..], [Line::Sent(sent), Line::Received(received), Line::End]
            if sent == &[0, 1] && received == &[2])
    );
}
