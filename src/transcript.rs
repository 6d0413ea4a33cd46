//! Tests that a person can review: conversations in text, each command with its answer.
//!
//! A line that begins with `>` is a command, the lines below it the answer; `#` is a comment.
//! `TENURE_REWRITE=1 cargo test --lib FILTER` writes the answers anew: review the difference.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Plays every transcript in `folder`, which is below `src/`, each on a stage of its own.
pub(crate) fn hold<S: Default>(folder: &str, play: impl Fn(&mut S, &str) -> String) {
    let rewrite = std::env::var_os("TENURE_REWRITE").is_some_and(|value| value == "1");
    let mut differences = String::new();
    for path in transcripts(folder) {
        let written = std::fs::read_to_string(&path).unwrap();
        let mut stage = S::default();
        let played = played(&written, |command| play(&mut stage, command));
        if rewrite {
            std::fs::write(&path, played).unwrap();
        } else {
            differences += &difference(&path, &written, &played);
        }
    }
    assert!(differences.is_empty(), "- as written, + as played:\n{differences}");
}

fn transcripts(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
    let mut paths: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no transcripts in {}", folder.display());
    paths
}

/// The transcript with each command's true answer below it.
fn played(written: &str, mut play: impl FnMut(&str) -> String) -> String {
    let mut played = String::new();
    for line in written.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            writeln!(played, "{line}\n{}", play(command)).unwrap();
        } else if line.is_empty() || line.starts_with('#') {
            writeln!(played, "{line}").unwrap();
        }
    }
    played
}

fn difference(path: &Path, written: &str, played: &str) -> String {
    let (mut old, mut new): (Vec<_>, Vec<_>) =
        (written.lines().collect(), played.lines().collect());
    while let (Some(a), Some(b)) = (old.last(), new.last())
        && a == b
    {
        old.pop();
        new.pop();
    }
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    if same == old.len() && same == new.len() {
        return String::new();
    }
    let mut text = format!("{}:{}\n", path.display(), same + 1);
    old[same..].iter().for_each(|line| writeln!(text, "  - {line}").unwrap());
    new[same..].iter().for_each(|line| writeln!(text, "  + {line}").unwrap());
    text
}

#[test]
fn a_difference_shows_both_sides_and_where() {
    let path = Path::new("x.txt");
    assert_eq!(difference(path, "a\nb\nc\n", "a\nb\nc\n"), "");
    assert_eq!(difference(path, "a\nb\nc\n", "a\nd\nc\n"), "x.txt:2\n  - b\n  + d\n");
    assert_eq!(difference(path, "a\nc\n", "a\nb\nc\n"), "x.txt:2\n  + b\n");
}
