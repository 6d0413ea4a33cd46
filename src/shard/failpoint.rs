//! A planted fault, for tests of what a panic in a turn leaves behind.

use crate::election::Command;

/// Panics when a candidate of this name enters.
pub(super) fn failpoint(rule: &Command<'_>) {
    if let Command::Enter { candidate: "failpoint:panic", .. } = rule {
        panic!("a candidate asked for this panic");
    }
}
