//! Holds the code to its design: arrows point down, clocks are read in one file, atomic orderings
//! stand in four.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each part of `src/` may use of the others. Ground may be used by all.
const ARROWS: &[(&str, &[&str])] = &[
    // ground
    ("id", &["error"]),
    ("error", &["id"]),
    ("limits", &["error"]),
    ("meter", &["error"]),
    ("silence", &[]),
    ("clock", &[]),
    ("sync", &[]),
    ("elector", &[]),
    ("transcript", &[]),
    ("random", &["error"]),
    ("bell", &[]),
    // pure
    ("election", &[]),
    ("wheel", &[]),
    ("wire", &[]),
    // concurrent
    ("lease", &[]),
    ("log", &["election", "wire"]),
    ("shard", &["election", "wheel", "lease", "log"]),
    // faces
    ("engine", &["election", "wheel", "lease", "log", "shard"]),
    ("service", &["election", "engine", "shard", "wire"]),
    ("server", &["election", "engine", "shard", "service", "wheel", "wire"]),
    ("client", &["wire"]),
    ("fence", &[]),
    ("storage", &["log"]),
    ("testkit", &["engine"]),
    // the fuzzer's and the benches' door opens on everything
    (
        "internals",
        &["client", "election", "engine", "log", "server", "service", "shard", "wheel", "wire"],
    ),
];

const GROUND: &[&str] = &[
    "id",
    "error",
    "limits",
    "meter",
    "silence",
    "clock",
    "sync",
    "elector",
    "transcript",
    "bell",
    "random",
];

/// The files that may name an atomic ordering; each opens with why it is right.
const ORDERINGS: &[&str] =
    &["lease.rs", "shard/mailbox.rs", "shard/published.rs", "shard/watch.rs", "sync.rs"];

struct Source {
    /// Path below `src/`, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// The part of `src/` it belongs to: its folder, or its own name.
    fn part(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Its lines without comments, numbered from 1.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line.split("//").next().unwrap_or_default()))
    }
}

fn sources() -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("src can be read") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    let sources: Vec<Source> = found
        .into_iter()
        .map(|path| Source {
            text: fs::read_to_string(&path).expect("a source can be read"),
            path: path.strip_prefix(&root).expect("below src").to_string_lossy().replace('\\', "/"),
        })
        .collect();
    assert!(sources.len() > 20, "found only {} sources", sources.len());
    sources
}

/// The parts that a line names, as `crate::part`, or as `crate::{part, ..}`.
fn named_parts(line: &str) -> BTreeSet<&str> {
    line.match_indices("crate::")
        .filter(|(at, _)| !line[..*at].ends_with('$'))
        .flat_map(|(at, prefix)| {
            let rest = &line[at + prefix.len()..];
            let names = match rest.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap_or(list),
                None => rest,
            };
            let many = rest.starts_with('{');
            names.split(',').take(if many { usize::MAX } else { 1 })
        })
        .map(|name| {
            let name = name.trim();
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
            &name[..end]
        })
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn arrows_point_down() {
    let known: BTreeSet<&str> = ARROWS.iter().map(|(part, _)| *part).collect();
    let mut wrong = Vec::new();
    for source in sources() {
        let part = source.part();
        if matches!(part, "lib" | "bin") {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(it, _)| *it == part) else {
            wrong.push(format!("{}: add its part to the table of arrows", source.path));
            continue;
        };
        for (at, line) in source.code() {
            for named in named_parts(line) {
                let ground = GROUND.contains(&named) && !GROUND.contains(&part);
                if known.contains(named) && named != part && !ground && !allowed.contains(&named) {
                    wrong.push(format!("src/{}:{at}: {part} may not use {named}", source.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that point up:\n{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_arrows_reads() {
    let parts = |line| named_parts(line).into_iter().collect::<Vec<_>>();
    assert_eq!(parts("use crate::shard::{Cell, Act};"), ["shard"]);
    assert_eq!(parts("use crate::{wire, engine::Engine};"), ["engine", "wire"]);
    assert_eq!(parts("let x = crate::limits::SHARDS + $crate::nothing;"), ["limits"]);
    assert!(parts("use std::sync::Arc;").is_empty());
}

/// Lines of code that contain one of `needles`, outside the files of `allowed`.
fn strays(needles: &[&str], allowed: &[&str]) -> Vec<String> {
    sources()
        .iter()
        .filter(|source| !allowed.contains(&source.path.as_str()))
        .flat_map(|source| {
            source
                .code()
                .filter(|(_, line)| needles.iter().any(|needle| line.contains(needle)))
                .map(|(at, line)| format!("src/{}:{at}: {}", source.path, line.trim()))
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn clocks_are_read_in_one_file() {
    let strays = strays(&["Instant::now", "SystemTime::now", "clock_gettime"], &["clock.rs"]);
    assert!(strays.is_empty(), "take the time from clock.rs:\n{}", strays.join("\n"));
}

#[test]
fn orderings_stand_in_four_files() {
    let needles =
        ["Ordering::Relaxed", "Ordering::Acquire", "Ordering::Release", "AcqRel", "SeqCst"];
    let strays = strays(&needles, ORDERINGS);
    assert!(strays.is_empty(), "use crossbeam's AtomicCell, or a Mark:\n{}", strays.join("\n"));
}

#[test]
fn mio_is_named_in_one_file_of_each_program() {
    let strays = strays(&["mio::"], &["server/reactor.rs", "bin/tenure/bench/socket.rs"]);
    assert!(strays.is_empty(), "only a reactor knows mio:\n{}", strays.join("\n"));
}
