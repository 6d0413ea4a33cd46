//! Instructions and allocations of each operation on the hot paths, counted by callgrind, beside what is
//! expected: times are noisy, and these are not.
//!
//! `cargo run --release --manifest-path benches/instructions/Cargo.toml` compares with `expected.txt`;
//! `TENURE_REWRITE=1` writes it anew. Each operation runs N times and 2N times, each in a process of its
//! own: the difference of the totals, by N, is what one takes, whatever the preparation took.

mod callgrind;
mod expected;
mod work;

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;

use callgrind::{Folder, totals};
use expected::{Cost, Costs, Place};
use work::{WORKS, Work};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    if let [name, times] = &args[..] {
        return work_alone(name, times);
    }
    compare().unwrap_or_else(|error| {
        eprintln!("instructions: {error}");
        ExitCode::FAILURE
    })
}

/// The process that callgrind looks at.
fn work_alone(name: &str, times: &str) -> ExitCode {
    let work = WORKS.iter().find(|work| work.name == name);
    match (work, times.parse()) {
        (Some(work), Ok(times)) => {
            (work.run)(times);
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}

fn compare() -> Result<ExitCode, Failure> {
    let Some(valgrind) = version_of("valgrind") else {
        eprintln!("instructions: NOT COUNTED: there is no valgrind here; install it to compare");
        return Ok(missing(env::var_os("CI_VALGRIND").is_some()));
    };
    let here =
        Place::here(&version_of("rustc").ok_or("there is no rustc here to tell its version")?)?;
    println!("{here}, {valgrind}");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("expected.txt");
    if env::var_os("TENURE_REWRITE").is_some() {
        let found = count_all(&Costs::new())?;
        fs::write(&file, expected::written(&here, &found))?;
        println!("written to {}", file.display());
        expected::show(&found, &found);
        return Ok(ExitCode::SUCCESS);
    }
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let (place, expected) = expected::read(&text)?;
    let is_good = expected::show(&count_all(&expected)?, &expected);
    if place != here {
        println!(
            "NOT COMPARED: what is expected was counted with {place}; TENURE_REWRITE=1 counts anew"
        );
    } else if !is_good {
        println!("if that is wanted, TENURE_REWRITE=1 writes it down");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Where it was there when the run began, as in CI, it has to be.
fn missing(is_wanted: bool) -> ExitCode {
    if is_wanted { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// On two threads: callgrind counts each process by itself.
fn count_all(expected: &Costs) -> Result<Costs, Failure> {
    let folder = Folder::make()?;
    let (some, others) = WORKS.split_at(WORKS.len() / 2);
    let count = |works: &[Work]| -> Result<Vec<(String, Cost)>, Failure> {
        let of = |work: &Work| {
            let cost = settled(work, expected.get(work.name), &folder.0)?;
            Ok((work.name.to_owned(), cost))
        };
        works.iter().map(of).collect()
    };
    let (others, some) = thread::scope(|scope| {
        let some = scope.spawn(|| count(some));
        (count(others), some.join())
    });
    let some = some.map_err(|_| "a thread that counts failed")??;
    Ok(some.into_iter().chain(others?).collect())
}

/// Once, where that is as expected; or else the middle one of three, since the keys of hashes are random
/// and now and then two names meet.
fn settled(work: &Work, expected: Option<&Cost>, folder: &Path) -> Result<Cost, Failure> {
    let first = cost(work, folder)?;
    if expected.is_some_and(|expected| first.is_within(expected)) {
        return Ok(first);
    }
    let mut costs = [first, cost(work, folder)?, cost(work, folder)?];
    costs.sort_by(|a, b| a.instructions.total_cmp(&b.instructions));
    let [_, middle, _] = costs;
    Ok(middle)
}

fn cost(work: &Work, folder: &Path) -> Result<Cost, Failure> {
    let once = totals(work, work.times, folder)?;
    let twice = totals(work, 2 * work.times, folder)?;
    let each = |once: u64, twice: u64| (twice as f64 - once as f64) / work.times as f64;
    Ok(Cost {
        instructions: each(once.instructions, twice.instructions),
        // One of the preparation more or less is none of the operation.
        allocations: each(once.allocations, twice.allocations).max(0.0),
    })
}

fn version_of(program: &str) -> Option<String> {
    let told = Command::new(program).arg("--version").output().ok()?;
    told.status.success().then(|| String::from_utf8_lossy(&told.stdout).trim().to_owned())
}
