//! Faults planted on purpose, to see that the tests notice. Each holds for the thread that planted it.

use std::cell::Cell;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCanary {
    /// The deadline is counted from when the answer came, without a margin.
    CountsFromReceipt,
    /// Who leads acts at once.
    IgnoresValidAfter,
    /// A term is released when it is won.
    ReleasesEarly,
}

thread_local! {
    static PLANTED: Cell<Option<ClientCanary>> = const { Cell::new(None) };
}

/// Plants a fault, or takes it away.
pub fn plant_in_client(canary: Option<ClientCanary>) {
    PLANTED.set(canary);
}

pub(super) fn sings(canary: ClientCanary) -> bool {
    PLANTED.get() == Some(canary)
}
