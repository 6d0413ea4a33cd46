//! What can be asked for.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};

use crate::ask::Plan;
use crate::figures::Question;
use crate::fleet::System;

/// Asks Tenure, etcd, ZooKeeper, Redis and NATS the same questions, in turn, and compares.
///
/// A full run writes its tables into docs/performance.md and docs/peers.svg; a part of one only prints
/// them, unless --write is given.
#[derive(Debug, Parser)]
#[command(name = "tenure-peers")]
pub struct Args {
    /// Rounds; the figures are medians of them.
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: usize,
    /// A smoke run: one round, and little of each. Its figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// Ask these systems only, with commas; Tenure and the bare server are always asked.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SYSTEM")]
    systems: Vec<System>,
    /// Ask these questions only, with commas.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "QUESTION")]
    questions: Vec<Question>,
    /// Where data goes that is kept on disk. [default: target/peers of the repository]
    #[arg(long, value_name = "DIR")]
    disk: Option<PathBuf>,
    /// Write the tables although this is but a part.
    #[arg(long)]
    write: bool,
    #[command(subcommand)]
    pub part: Option<Part>,
}

/// What this program is in processes of its own.
#[derive(Debug, Subcommand)]
pub enum Part {
    #[command(hide = true)]
    Hold {
        core: usize,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    #[command(hide = true)]
    Echo,
    #[command(hide = true)]
    Keep { path: PathBuf },
    #[command(hide = true)]
    Fan,
    #[command(hide = true)]
    Relay {
        #[arg(long)]
        awake: bool,
        path: Option<PathBuf>,
    },
    #[command(hide = true)]
    Lead { system: String, address: SocketAddr, name: String },
}

impl Args {
    /// Of the repository.
    pub fn root(&self) -> Result<PathBuf> {
        let itself = std::env::current_exe()?;
        let root = itself.ancestors().find(|folder| folder.join("docs/performance.md").exists());
        Ok(root.context("this program has left the repository it was built in")?.to_owned())
    }

    pub fn disk(&self, root: &Path) -> PathBuf {
        self.disk.clone().unwrap_or_else(|| root.join("target/peers"))
    }

    pub fn systems(&self) -> Vec<System> {
        let all = System::value_variants().iter().copied();
        let is_asked = |system: &System| match system {
            System::Bare | System::Tenure => true,
            peer => self.systems.is_empty() || self.systems.contains(peer),
        };
        all.filter(is_asked).collect()
    }

    pub fn plan(&self) -> Plan {
        let all = || Question::value_variants().to_vec();
        Plan {
            rounds: if self.quick { 1 } else { self.rounds.max(1) },
            quick: self.quick,
            questions: if self.questions.is_empty() { all() } else { self.questions.clone() },
        }
    }

    /// Nothing was left out.
    pub fn writes(&self) -> bool {
        let is_full = !self.quick && self.systems.is_empty() && self.questions.is_empty();
        is_full && self.rounds >= 5 || self.write
    }

    pub fn command(&self) -> String {
        let words: Vec<_> = std::env::args().skip(1).collect();
        format!("benches/peers/run {}", words.join(" ")).trim().to_owned()
    }
}
