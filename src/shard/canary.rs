//! Faults planted on purpose, to see that the tests notice. Each holds for the thread that planted it.

use std::cell::Cell;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canary {
    /// A command is applied whatever has become of its session since it was handed over.
    SessionUnchecked,
    /// A watch whose last message has not left yet is passed over, and not told again.
    LastStateDropped,
}

thread_local! {
    static PLANTED: Cell<Option<Canary>> = const { Cell::new(None) };
}

/// Plants a fault, or takes it away.
pub fn plant(canary: Option<Canary>) {
    PLANTED.set(canary);
}

pub(crate) fn sings(canary: Canary) -> bool {
    PLANTED.get() == Some(canary)
}
