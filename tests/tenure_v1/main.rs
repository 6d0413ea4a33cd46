//! Tenure's own services, asked by the `ttrpc` crate's client as its generator makes it from the schemas:
//! one test for each sentence about them, over real sockets. Time stands still unless a test turns it.
#![cfg(feature = "server")]

mod acting;
mod changes;
mod looking;
mod observing;
mod peer;
mod requests;
mod sessions;
mod waiting;
