//! The fuzz targets' corpus, replayed as an ordinary test.

use std::fs;
use std::path::{Path, PathBuf};

#[allow(unreachable_pub)] // it is a crate of its own too
#[path = "../fuzz/src/lib.rs"]
mod fuzz;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let listing = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut paths: Vec<_> = listing.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_target_takes_its_corpus() {
    for (name, target) in fuzz::TARGETS {
        let inputs = entries(&corpus().join(name));
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for input in inputs {
            println!("{}", input.display()); // the last line shown is the input that failed
            target(&fs::read(&input).unwrap());
        }
    }
}

#[test]
fn every_corpus_has_a_target() {
    for folder in entries(&corpus()) {
        // `connection_corpus.rs` replays the one that needs the server.
        let known = folder.ends_with("connection");
        let known = known || fuzz::TARGETS.iter().any(|(name, _)| folder.ends_with(name));
        assert!(known, "{} belongs to no target", folder.display());
    }
}

/// Decoders take any cut of any input, and any target's input.
#[test]
fn w1_every_cut_of_every_input() {
    for (name, _) in fuzz::TARGETS {
        for input in entries(&corpus().join(name)) {
            println!("{}", input.display());
            let raw = fs::read(&input).unwrap();
            for cut in 0..raw.len().min(256) {
                fuzz::TARGETS.iter().for_each(|(_, target)| target(&raw[..cut]));
            }
        }
    }
}
