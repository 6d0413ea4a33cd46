//! What prost makes of Tenure's schemas. Tests and fuzz targets hold the hand-written codec to it.

#![allow(missing_docs, clippy::all)]

include!(concat!(env!("OUT_DIR"), "/_all.rs"));

pub use prost_types::Duration;

/// What the `ttrpc` crate's own generator makes of the v1 election services and of the latch. Tests hold the server
/// to its clients.
#[cfg(feature = "ttrpc-client")]
#[allow(unreachable_pub, unused)]
pub mod ttrpc_client {
    include!(concat!(env!("OUT_DIR"), "/ttrpc/mod.rs"));
}

/// The same of Tenure's own services.
#[cfg(feature = "ttrpc-client")]
#[allow(unreachable_pub, unused)]
pub mod ttrpc_tenure {
    include!(concat!(env!("OUT_DIR"), "/ttrpc_tenure/mod.rs"));
}

/// All schemas, compiled: an encoded `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));
