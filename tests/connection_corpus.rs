//! The corpus of the fuzz target `connection`, replayed as an ordinary test.

use std::fs;
use std::path::{Path, PathBuf};

#[allow(unreachable_pub, dead_code)] // it belongs to a crate of its own too
#[path = "../fuzz/src/connection.rs"]
mod fuzz;

/// The seeds. What a fuzzer has added, by its hash, it has also tried.
fn inputs() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/connection");
    let is_seed = |path: &PathBuf| path.file_name().is_some_and(|name| name.len() < 40);
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries.filter(is_seed).collect();
    paths.sort();
    assert!(paths.len() > 20, "only {} seeds", paths.len());
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn a_connection_takes_its_corpus() {
    inputs().iter().for_each(|input| fuzz::connection(input));
}

/// W1 and W8: any cut, in many ways of falling to pieces.
#[test]
fn w8_every_cut_and_many_ways_to_fall_to_pieces() {
    for input in inputs() {
        for cut in (1..input.len().min(400)).step_by(3) {
            fuzz::connection(&input[..cut]);
        }
        let mut input = input;
        for pieces in 0..40 {
            if let Some(first) = input.first_mut() {
                *first = pieces;
            }
            fuzz::connection(&input);
        }
    }
}
