//! Faults planted on purpose, to see that the tests notice. Each holds for the thread that planted it,
//! and for the logs that it opens.

use std::cell::Cell;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canary {
    /// What a commit makes visible is visible before it.
    AnswerBeforeCommit,
    /// A turn without changes is let go at once, before the changes that its replies tell of.
    NoChangeOvertakes,
    /// After a restart, terms of deleted elections are not counted on from.
    FloorForgotten,
    /// After a restart, an election that nobody stands in begins anew.
    VacantForgotten,
    /// A start doesn't look into the journal.
    JournalForgotten,
}

thread_local! {
    static PLANTED: Cell<Option<Canary>> = const { Cell::new(None) };
}

/// Plants a fault, or takes it away.
pub fn plant(canary: Option<Canary>) {
    PLANTED.set(canary);
}

pub(super) fn planted() -> Option<Canary> {
    PLANTED.get()
}

pub(super) fn sings(canary: Canary) -> bool {
    planted() == Some(canary)
}
