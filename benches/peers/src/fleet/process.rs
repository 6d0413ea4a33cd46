//! A child that is killed when it is dropped.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

pub struct Running {
    process: Child,
}

impl Running {
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let process = command.stdin(Stdio::null()).spawn();
        let name = || command.get_program().to_string_lossy().into_owned();
        Ok(Self { process: process.with_context(|| format!("can't start {}", name()))? })
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The next line of its standard output, which must be piped, and is read by this alone.
    pub fn line(&mut self) -> Result<String> {
        let out = self.process.stdout.as_mut().context("it has no output")?;
        let mut line = String::new();
        // One byte at a time: what follows the line is for the next one who asks.
        BufReader::with_capacity(1, out).read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    pub fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    pub fn kill(&mut self) {
        let _over = self.process.kill();
        let _over = self.process.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
