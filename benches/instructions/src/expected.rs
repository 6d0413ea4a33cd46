//! What is expected, in a file, and how it compares.

use std::collections::BTreeMap;
use std::env;
use std::fmt::{self, Write};

use crate::Failure;

/// A patch release of the compiler or of the C library may take another way. What a change of ours costs by
/// mistake is more, and what is least, an allocation, is counted by itself.
const TOLERANCE: f64 = 0.02;
/// Of an operation of so few instructions that a part of one would be the tolerance.
const LEAST: f64 = 1.0;
/// Of an allocation: what grows by doubling allocates less often than it is used.
const ROUNDED: f64 = 0.05;

pub type Costs = BTreeMap<String, Cost>;

/// Of one operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    pub instructions: f64,
    pub allocations: f64,
}

impl Cost {
    /// Fewer are out of bounds, too: what was won has to be written down, or it may be lost unseen.
    pub fn is_within(&self, expected: &Cost) -> bool {
        let most = (TOLERANCE * expected.instructions).max(LEAST);
        (self.instructions - expected.instructions).abs() <= most
            && (self.allocations - expected.allocations).abs() <= ROUNDED
    }
}

/// Prints both, and says whether they agree.
pub fn show(found: &Costs, expected: &Costs) -> bool {
    let mut all_good = found.len() == expected.len();
    println!("{:<28}{:>24}{:>24}", "", "instructions", "allocations");
    println!("{:<28}{:>12}{:>12}{:>12}{:>12}", "", "expected", "found", "expected", "found");
    for (name, found) in found {
        let Some(it) = expected.get(name) else {
            println!("{name:<28}  not expected");
            all_good = false;
            continue;
        };
        let is_good = found.is_within(it);
        let verdict = if is_good { "" } else { "  OUT OF BOUNDS" };
        println!(
            "{name:<28}{:>12.1}{:>12.1}{:>12.2}{:>12.2}{verdict}",
            it.instructions, found.instructions, it.allocations, found.allocations
        );
        all_good &= is_good;
    }
    all_good
}

/// What counts depend on, beside the code.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// Major and minor: a patch release hardly changes what is generated.
    rustc: String,
    machine: String,
}

impl Place {
    /// By what rustc says of itself.
    pub fn here(rustc: &str) -> Result<Self, Failure> {
        let version = rustc.split(' ').nth(1).ok_or("rustc tells no version")?;
        let rustc = version.split('.').take(2).collect::<Vec<_>>().join(".");
        Ok(Self { rustc, machine: env::consts::ARCH.to_owned() })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rustc {} on {}", self.rustc, self.machine)
    }
}

pub fn written(place: &Place, costs: &Costs) -> String {
    let mut out = String::from(
        "# Instructions and allocations of each operation, as TENURE_REWRITE=1 writes them; see src/main.rs.\n",
    );
    let _never_fails = writeln!(out, "rustc {}\nmachine {}", place.rustc, place.machine);
    for (name, Cost { instructions, allocations }) in costs {
        let _never_fails = writeln!(out, "{name} {instructions:.1} {allocations:.2}");
    }
    out
}

pub fn read(text: &str) -> Result<(Place, Costs), Failure> {
    let mut place = Place { rustc: String::new(), machine: String::new() };
    let mut costs = Costs::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match *line.split(' ').collect::<Vec<_>>() {
            ["rustc", version] => place.rustc = version.to_owned(),
            ["machine", name] => place.machine = name.to_owned(),
            [name, instructions, allocations] => {
                let (instructions, allocations) = (instructions.parse()?, allocations.parse()?);
                costs.insert(name.to_owned(), Cost { instructions, allocations });
            }
            _ => return Err(format!("{line:?} is not a name and its two numbers").into()),
        }
    }
    Ok((place, costs))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn cost(instructions: f64, allocations: f64) -> Cost {
        Cost { instructions, allocations }
    }

    #[test]
    fn what_is_written_is_read() {
        let place = Place::here("rustc 1.95.1 (abc 2026-01-01)").unwrap();
        assert_eq!(place.rustc, "1.95");
        let costs = Costs::from([("a".into(), cost(5.0, 0.0)), ("b".into(), cost(1234.5, 2.25))]);
        assert_eq!(read(&written(&place, &costs)).unwrap(), (place, costs));
        assert!(read("a 5").is_err() && read("a b c").is_err());
    }

    #[test]
    fn a_change_by_a_fiftieth_is_seen() {
        let expected = cost(1_000.0, 2.0);
        assert!(
            cost(1_020.0, 2.0).is_within(&expected) && !cost(1_021.0, 2.0).is_within(&expected)
        );
        assert!(cost(980.0, 2.0).is_within(&expected) && !cost(979.0, 2.0).is_within(&expected));
        assert!(cost(7.0, 0.0).is_within(&cost(6.0, 0.0)));
        assert!(!cost(7.1, 0.0).is_within(&cost(6.0, 0.0)));
    }

    /// However many instructions the rest has.
    #[test]
    fn one_allocation_more_is_seen() {
        assert!(!cost(100_000.0, 3.0).is_within(&cost(100_000.0, 2.0)));
        assert!(!cost(100_000.0, 2.0).is_within(&cost(100_000.0, 3.0)));
        assert!(cost(100_000.0, 2.01).is_within(&cost(100_000.0, 2.0)));
    }
}
