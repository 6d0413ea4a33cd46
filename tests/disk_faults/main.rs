//! Faults of the disk, each test named after its row in the list of faults. `simulated` makes them in
//! memory, `damaged` changes files. No child is started here, which would hold files for a moment that
//! are opened again.

#[path = "../platter/mod.rs"]
mod platter;
#[path = "../support/mod.rs"]
mod support;

mod damaged;
mod simulated;
