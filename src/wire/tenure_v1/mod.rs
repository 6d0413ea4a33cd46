//! The messages of Tenure's own services (`proto/tenure/v1`), one file for each of its schemas.

pub(crate) mod connection;
pub(crate) mod elections;
pub(crate) mod sessions;
pub(crate) mod storage;

#[cfg(test)]
mod tests;
