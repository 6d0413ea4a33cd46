//! One run under callgrind, and what it wrote.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use crate::Failure;
use crate::work::Work;

/// The C library's, as its own symbols name them.
const ALLOCATORS: [&str; 5] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"];

/// Of a whole process, or of the function that alone counts.
#[derive(Debug, PartialEq, Eq)]
pub struct Totals {
    pub instructions: u64,
    pub allocations: u64,
}

pub fn totals(work: &Work, times: u64, folder: &Path) -> Result<Totals, Failure> {
    let out = folder.join(format!("{}.out", work.name));
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .args(work.only.map(|function| format!("--toggle-collect={function}")))
        .arg(env::current_exe()?)
        .args([work.name, &times.to_string()])
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(format!("callgrind ended with {status} on {}", work.name).into());
    }
    read(&fs::read_to_string(&out)?)
}

/// A function is named where it is met first, and by its number from then on.
fn read(told: &str) -> Result<Totals, Failure> {
    let line = told.lines().find_map(|line| line.strip_prefix("totals: "));
    let instructions = line.ok_or("callgrind wrote no totals")?.trim().parse()?;
    let (mut allocations, mut names) = (0, HashMap::new());
    let mut called = "";
    for line in told.lines() {
        if let Some(function) = line.strip_prefix("cfn=").or_else(|| line.strip_prefix("fn=")) {
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            if !name.is_empty() {
                names.insert(number, name);
            }
            called = number;
        } else if let Some(calls) = line.strip_prefix("calls=") {
            let calls = calls.split(' ').next().unwrap_or_default();
            let name = names.get(called).copied().unwrap_or_default();
            if ALLOCATORS.contains(&name) {
                allocations += calls.parse::<u64>()?;
            }
        }
    }
    Ok(Totals { instructions, allocations })
}

/// A folder that is gone afterwards.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn make() -> Result<Self, Failure> {
        let path = env::temp_dir().join(format!("tenure-instructions-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _left_behind = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_the_allocator_are_counted_by_name_and_by_number() {
        let told = "fn=(1) main\n16 400\ncfn=(2) malloc\ncalls=3 0\n16 60\ncfn=(3) free\ncalls=3 0\n\
                    16 30\n\nfn=(4) other\ncfn=(2)\ncalls=2 0\n8 40\ncfn=(5) malloc_usable_size\n\
                    calls=9 0\n\ntotals: 1234\n";
        assert_eq!(read(told).unwrap(), Totals { instructions: 1234, allocations: 5 });
        assert!(read("fn=(1) main\n").is_err());
    }
}
