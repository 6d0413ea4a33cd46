//! `tenure demo`: what a failover looks like, on this machine, in a few seconds.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tenure::client::{Address, Options, Session};
use tenure::fence::Fence;
use tenure::{Clock, Engine, Moment, Server};

use crate::args::Failover;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);
const NAMES: [&str; 3] = ["alice", "bob", "carol"];
const TTL: Duration = Duration::from_secs(1);

pub(crate) fn run() -> Result<()> {
    let engine = Engine::builder().open()?;
    let server = Server::builder(engine).listen("127.0.0.1:0").spawn()?;
    let address = server.addresses()[0].clone();
    println!("A server listens on {address}; three processes contend for the lead.");

    println!("\n1. The leader's process is killed (failover: fast).");
    let mut stage = Stage::set(&address, "killed", Failover::Fast)?;
    let (leader, term) = stage.next_leader()?;
    println!("   {leader} leads in term {term}.");
    let killed = stage.signal(&leader, Signal::KILL)?;
    let (heir, next) = stage.next_leader()?;
    let gap = stage.led_at - killed;
    println!(
        "   kill -9 {leader}: {heir} knows that it leads in term {next} after {} us.",
        gap.as_micros()
    );
    drop(stage);

    println!(
        "\n2. The leader's process is stopped, and wakes up too late (failover: exclusive, TTL {TTL:?})."
    );
    let mut stage = Stage::set(&address, "stopped", Failover::Exclusive)?;
    let fence = Fence::new();
    let (leader, term) = stage.next_leader()?;
    println!("   {leader} leads in term {term}.");
    fence.admit(stage.write(&leader)?)?;
    println!("   {leader} writes with term {term}: accepted.");
    let stopped = stage.signal(&leader, Signal::STOP)?;
    let (heir, next) = stage.next_leader()?;
    let gap = stage.led_at - stopped;
    println!(
        "   {leader} is stopped: {heir} leads in term {next} after {} ms, not before the deadline.",
        gap.as_millis()
    );
    fence.admit(stage.write(&heir)?)?;
    println!("   {heir} writes with term {next}: accepted.");
    stage.signal(&leader, Signal::CONT)?;
    let late = stage.write(&leader)?;
    match fence.admit(late) {
        Ok(()) => bail!("a stale write was accepted: term {late} after {next}"),
        Err(stale) => println!("   {leader} wakes up in the middle of a write: refused, {stale}."),
    }
    drop(stage);
    server.drain(Duration::ZERO);
    println!(
        "\nThe term is what makes this safe: give it to whatever the leader changes (docs/fencing.md)."
    );
    Ok(())
}

/// Three candidates, each in a process of its own.
struct Stage {
    candidates: Vec<(String, Child, ChildStdin)>,
    said: Receiver<(String, String)>,
    /// When the last one that began to lead knew it.
    led_at: Moment,
}

impl Stage {
    fn set(address: &str, election: &str, failover: Failover) -> Result<Self> {
        let (to, said) = channel();
        let mut candidates = Vec::new();
        for name in NAMES {
            let mut child = Command::new(std::env::current_exe()?)
                .args(["demo-candidate", address, election, name, &TTL.as_millis().to_string()])
                .arg(match failover {
                    Failover::Exclusive => "exclusive",
                    Failover::Fast => "fast",
                })
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .context("can't start a candidate")?;
            let (from, input) = (child.stdout.take(), child.stdin.take());
            let (from, input) = from.zip(input).context("a candidate has no pipes")?;
            let (to, name) = (to.clone(), name.to_owned());
            candidates.push((name.clone(), child, input));
            thread::spawn(move || {
                for line in BufReader::new(from).lines().map_while(io::Result::ok) {
                    if to.send((name.clone(), line)).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self { candidates, said, led_at: Moment::default() })
    }

    /// Who begins to lead next, and in which term.
    fn next_leader(&mut self) -> Result<(String, u64)> {
        loop {
            let (name, line) = self.next_line()?;
            if let ["leads", term, at] = words(&line)[..] {
                self.led_at = Moment::from_nanos(at.parse()?);
                return Ok((name, term.parse()?));
            }
        }
    }

    /// Lets a candidate write: the term that it gave.
    fn write(&mut self, name: &str) -> Result<u64> {
        let (_, _, input) = self.find(name)?;
        writeln!(input, "write").context("a candidate has gone")?;
        loop {
            let (who, line) = self.next_line()?;
            if let ["writes", term] = words(&line)[..]
                && who == name
            {
                return Ok(term.parse()?);
            }
        }
    }

    /// Signals a candidate, and says when.
    fn signal(&mut self, name: &str, signal: Signal) -> Result<Moment> {
        let (_, child, _) = self.find(name)?;
        let at = Clock::system().now();
        kill_process(Pid::from_child(child), signal).context("can't signal a candidate")?;
        Ok(at)
    }

    fn find(&mut self, name: &str) -> Result<&mut (String, Child, ChildStdin)> {
        self.candidates.iter_mut().find(|(it, ..)| it == name).context("no such candidate")
    }

    fn next_line(&self) -> Result<(String, String)> {
        match self.said.recv_timeout(PATIENCE) {
            Ok(said) => Ok(said),
            Err(RecvTimeoutError::Timeout) => bail!("nobody says anything"),
            Err(RecvTimeoutError::Disconnected) => bail!("all candidates have ended"),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for (_, child, _) in &mut self.candidates {
            let _over = child.kill();
            let _over = child.wait();
        }
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// Contends, says when it leads, and writes when it is told to, whatever it believes by then. Ends with its
/// standard input.
pub(crate) fn candidate(
    address: &Address,
    election: &str,
    name: &str,
    ttl_millis: u64,
    failover: Failover,
) -> Result<()> {
    let options = Options {
        ttl: Duration::from_millis(ttl_millis),
        on_disconnect: failover.into(),
        owner: name.to_owned(),
        ..Options::default()
    };
    let session = Session::open(address, options)?;
    let leads = session.election(election).lead(name)?;
    println!("leads {} {}", leads.term(), Clock::system().now().nanos());
    for _told in io::stdin().lines() {
        // Without a look at `leads.is_valid()`: this one was in the middle of it.
        println!("writes {}", leads.term());
    }
    Ok(())
}
