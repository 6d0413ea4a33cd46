//! The server that is measured: one that is there, or one of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Resource, getrlimit, setrlimit};
use tenure::client::Address;

use super::conn::Conn;
use super::proto::{self, CONNECTION, Frame, Message};
use crate::args::bench::Target;

/// A server, and what it said of itself.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: Address,
    pub(super) version: String,
    pub(super) is_durable: bool,
    pub(super) is_own: bool,
    /// How long to wait for a connection, and for an answer.
    pub(super) connect: Duration,
    pub(super) patience: Duration,
    _own: Option<Own>,
}

impl Server {
    pub(super) fn of(target: &Target) -> Result<Self> {
        allow_many_connections();
        let own = if target.spawn { Some(Own::start(target)?) } else { None };
        let address = own.as_ref().map_or(&target.to.server, |own| &own.address).clone();
        let (connect, patience) = (target.to.connect_timeout, target.to.timeout);
        let mut conn = Conn::open(&address, connect)?;
        let hello = Message::new().text(1, "tenure bench").text(2, env!("CARGO_PKG_VERSION"));
        let hello = conn.ask(&Frame::call(CONNECTION, "Hello", hello), patience)?;
        Ok(Self {
            address,
            version: String::from_utf8_lossy(proto::bytes(&hello, 1)).into_owned(),
            is_durable: proto::number(&hello, 4) != 0,
            is_own: own.is_some(),
            connect,
            patience,
            _own: own,
        })
    }

    pub(super) fn connect(&self) -> Result<Conn> {
        Conn::open(&self.address, self.connect)
    }

    /// What it does before it answers a change.
    pub(super) fn mode(&self) -> &'static str {
        match self.is_durable {
            true => "durable, a change is answered once it is on the disk",
            false => "in memory",
        }
    }
}

/// A server that ends with this process.
#[derive(Debug)]
struct Own {
    process: Child,
    address: Address,
}

impl Own {
    fn start(target: &Target) -> Result<Self> {
        let itself = std::env::current_exe().context("can't find this program again")?;
        let mut command = Command::new(&itself);
        command.arg("guard").arg(std::process::id().to_string()).arg("--").arg(&itself);
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "error"]);
        match &target.data_dir {
            Some(folder) => command.arg("--data-dir").arg(folder),
            None => command.arg("--memory"),
        };
        let process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut process = process.context("can't start a server")?;
        let mut line = String::new();
        if let Some(out) = process.stdout.take() {
            BufReader::new(out).read_line(&mut line).context("can't hear the server")?;
        }
        let address = line.trim().rsplit(' ').next().and_then(|word| word.parse().ok());
        match address {
            Some(address) => Ok(Self { process, address }),
            None => {
                let _over = process.kill();
                let _over = process.wait();
                anyhow::bail!("the server did not start; what it said stands above")
            }
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _over = self.process.kill();
        let _over = self.process.wait();
    }
}

/// As many descriptors as the system allows; a server of its own inherits it. If it can't be raised, the
/// connection that is one too many tells.
fn allow_many_connections() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _as_it_was = setrlimit(Resource::Nofile, limit);
}
