//! Timers as data: `advance(now)` yields what is due.
