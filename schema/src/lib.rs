//! What prost makes of Tenure's schemas. Tests and fuzz targets hold the hand-written codec to it.

#![allow(missing_docs, clippy::all)]

include!(concat!(env!("OUT_DIR"), "/_all.rs"));
