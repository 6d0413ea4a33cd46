//! What several benches share: the server as a process, distributions of times, and clients.
#![allow(dead_code, unreachable_pub, reason = "each bench uses its own part")]

pub mod crowd;
#[cfg(feature = "web")]
pub mod grpc;
pub mod load;

#[cfg(feature = "cli")]
use std::io::{BufRead, BufReader};
#[cfg(feature = "cli")]
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// True if this word stands on the command line.
pub fn is_asked(word: &str) -> bool {
    std::env::args().any(|arg| arg == word)
}

/// `tenure serve --memory`, killed when dropped.
#[cfg(feature = "cli")]
pub struct Server {
    process: Child,
    pub address: String,
}

#[cfg(feature = "cli")]
impl Server {
    pub fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
        command.args(["serve", "--memory", "--listen", "127.0.0.1:0", "--log-level", "error"]);
        let mut process = command.stdout(Stdio::piped()).spawn().expect("a server");
        let mut line = String::new();
        let mut out = BufReader::new(process.stdout.take().expect("its output"));
        out.read_line(&mut line).expect("its address");
        let address = line.trim().rsplit(' ').next().expect("its address").to_owned();
        Self { process, address }
    }

    /// Seconds of a processor that it has taken so far.
    pub fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()));
        let stat = stat.expect("Linux tells what a process takes");
        let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
        let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
        let second = rustix::param::clock_ticks_per_second() as f64;
        (ticks(11) + ticks(12)) / second
    }
}

#[cfg(feature = "cli")]
impl Drop for Server {
    fn drop(&mut self) {
        let _over = self.process.kill();
        let _over = self.process.wait();
    }
}

pub fn percentile(sorted: &[Duration], percent: f64) -> Duration {
    let at = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
    sorted[at.clamp(1, sorted.len()) - 1]
}

/// Sorts and prints them.
pub fn report(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |percent| percentile(times, percent).as_secs_f64() * 1e3;
    println!("{what}, {} times", times.len());
    println!(
        "   ms: min {:.3}  p50 {:.3}  p90 {:.3}  p99 {:.3}  max {:.3}",
        times[0].as_secs_f64() * 1e3,
        at(50.0),
        at(90.0),
        at(99.0),
        at(100.0)
    );
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Ends with what was broken; in failure, if that is asked for.
pub fn judge(broken: &[String]) {
    broken.iter().for_each(|it| println!("BROKEN: {it}"));
    if !broken.is_empty() && is_asked("--check") {
        std::process::exit(1);
    }
}
