//! Faults of the disk, each test named after its row in the list of faults. `simulated` makes them in
//! memory, `real` with the system's help where it gives it, `damaged` changes files.

#[path = "../platter/mod.rs"]
mod platter;
#[path = "../support/mod.rs"]
mod support;

mod damaged;
mod real;
mod simulated;
