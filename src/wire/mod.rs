//! Bytes to messages and back: total, without recursion, borrowing what it can.
