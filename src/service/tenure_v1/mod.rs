//! Tenure's own services (`proto/tenure/v1`): what the Atomix services can't say.

mod change;
pub(super) mod connection;
pub(super) mod elections;
mod line;
mod observe;
pub(super) mod sessions;
mod state;
pub(super) mod storage;
mod wait;

use std::time::Duration;

use crate::error::Error;
use crate::wire::message::Message;

/// Lines of a page: at most, and where the request does not say.
const PAGE_MAX: u32 = 1_000;
const PAGE_DEFAULT: u32 = 100;

/// Bytes of a request. Each of ours fits several times; and decoded into owned values, a frame full of
/// empty elements would weigh many times as much.
const REQUEST_BYTES: usize = 64 << 10;

/// Decodes the request called `name` in `tenure.v1`.
fn decode<M: Message>(payload: &[u8], name: &'static str) -> Result<M, Error> {
    if payload.len() > REQUEST_BYTES {
        let advice =
            "give names and metadata within their limits, and fewer released terms at a time";
        return Err(Error::LimitReached {
            limit: "request_bytes",
            max: REQUEST_BYTES as u64,
            advice,
        });
    }
    M::decode(payload).map_err(|malformed| malformed.of(name))
}

/// Rounded up: time that is still to wait must not read as none.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)
}

fn page_size(asked: u32) -> usize {
    let size = if asked == 0 { PAGE_DEFAULT } else { asked.min(PAGE_MAX) };
    size as usize
}
