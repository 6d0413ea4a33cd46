//! The rules of an election: no clock, no lock, no thread, no IO.
