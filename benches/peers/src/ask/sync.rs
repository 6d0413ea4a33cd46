//! The disk alone: what no durable change can go without.

use std::io::Write;
use std::time::Instant;

use anyhow::Result;

use crate::fleet::{Mode, Places};
use crate::net::p50;

/// Appends 4 KiB at a time to a file that grows, each with an `fdatasync`.
pub(super) fn p50_us(places: &Places, count: usize) -> Result<f64> {
    let mut file = std::fs::File::create(places.folder(Mode::Disk)?.join("log"))?;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let began = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    Ok(p50(&mut times).as_secs_f64() * 1e6)
}
