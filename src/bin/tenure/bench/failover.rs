//! The leader's process is killed, and its successor's learns that it leads. Each candidate is a process of
//! its own, with a session of its own; all clocks are the machine's one.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tenure::client::{Address, EnterOptions, Options, Session};
use tenure::{Clock, Moment};

use super::progress::Progress;
use super::report::Plan;
use super::tally::Tally;
use super::target::Server;
use crate::args::Failover;
use crate::args::bench::{Death, Until};

pub(super) fn run(server: &Server, death: &Death) -> Result<(Plan, Tally)> {
    let policy = match death.failover {
        Failover::Exclusive => "exclusive",
        Failover::Fast => "fast",
    };
    let ttl = death.ttl();
    let plan = Plan {
        workload: "failover",
        unit: "failovers",
        connections: 2,
        in_flight: 1,
        threads: 1,
        rate: None,
        policy,
        more: vec![("ttl", humantime::format_duration(ttl).to_string())],
    };
    let mut stage = Stage::set(server, policy, ttl)?;
    let progress = Progress::start(Until::Done(death.kills()), plan.unit);
    let mut tally = Tally::new(Clock::system().now(), false);
    for _ in 0..death.kills() {
        let fallen = stage.kill()?;
        if death.failover == Failover::Exclusive && fallen.led < fallen.until {
            bail!("a successor led before the deadline of the leader before it");
        }
        tally.is_done(fallen.killed, fallen.killed, fallen.led);
        progress.count().fetch_add(1);
    }
    Ok((plan, tally))
}

/// One that leads and one that waits.
struct Stage {
    address: String,
    election: String,
    policy: &'static str,
    ttl: Duration,
    patience: Duration,
    leader: Candidate,
    next: Candidate,
    made: usize,
    said: Said,
    say: Sender<(usize, String)>,
}

/// How one leader's death went.
struct Fallen {
    killed: Moment,
    led: Moment,
    /// The dead leader's own deadline, as it last told it.
    until: Moment,
}

impl Stage {
    fn set(server: &Server, policy: &'static str, ttl: Duration) -> Result<Self> {
        let (say, lines) = channel();
        let mut said = Said { lines, early: Vec::new() };
        let address = server.address.to_string();
        // The dead of another run may still stand where they stood.
        let election = format!("bench/failover/{}", std::process::id());
        let patience = server.patience + ttl;
        let start = |number| Candidate::start(number, [&address, &election, policy], ttl, &say);
        let leader = start(0)?;
        said.wait_for(0, "leads", patience)?;
        let next = start(1)?;
        said.wait_for(1, "stands", patience)?;
        Ok(Self { address, election, policy, ttl, patience, leader, next, made: 2, said, say })
    }

    fn kill(&mut self) -> Result<Fallen> {
        writeln!(self.leader.input, "until").context("the leader has gone by itself")?;
        let until = self.said.wait_for(self.leader.number, "until", self.patience)?;
        let killed = Clock::system().now();
        self.leader.process.kill().context("can't kill the leader")?;
        let led = self.said.wait_for(self.next.number, "leads", self.patience)?;
        let heir = [&self.address[..], &self.election, self.policy];
        let new = Candidate::start(self.made, heir, self.ttl, &self.say)?;
        self.made += 1;
        self.leader = std::mem::replace(&mut self.next, new);
        self.said.wait_for(self.next.number, "stands", self.patience)?;
        Ok(Fallen { killed, led, until })
    }
}

/// What the candidates say: who, a word, and when.
struct Said {
    lines: Receiver<(usize, String)>,
    /// What was said before it was waited for.
    early: Vec<(usize, String)>,
}

impl Said {
    fn wait_for(&mut self, number: usize, word: &str, patience: Duration) -> Result<Moment> {
        let is_it = |it: &(usize, String)| it.0 == number && it.1.starts_with(word);
        let line = match self.early.iter().position(is_it) {
            Some(at) => self.early.remove(at),
            None => loop {
                let line = self.lines.recv_timeout(patience).with_context(|| {
                    format!("candidate {number} did not say that it {word}, in {patience:?}")
                })?;
                if is_it(&line) {
                    break line;
                }
                self.early.push(line);
            },
        };
        let at = line.1.split(' ').nth(1).context("a candidate did not say when")?;
        Ok(Moment::from_nanos(at.parse().context("a candidate did not say when")?))
    }
}

struct Candidate {
    number: usize,
    process: Child,
    input: ChildStdin,
}

impl Candidate {
    fn start(
        number: usize,
        [address, election, policy]: [&str; 3],
        ttl: Duration,
        say: &Sender<(usize, String)>,
    ) -> Result<Self> {
        let itself = std::env::current_exe().context("can't find this program again")?;
        let mut process = Command::new(itself)
            .args(["bench-candidate", address, election, &format!("candidate-{number}")])
            .args([&ttl.as_millis().to_string(), policy])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("can't start a candidate")?;
        let (out, input) = (process.stdout.take(), process.stdin.take());
        let (out, input) = out.zip(input).context("a candidate has no pipes")?;
        let say = say.clone();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(io::Result::ok) {
                if say.send((number, line)).is_err() {
                    break;
                }
            }
        });
        Ok(Self { number, process, input })
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        let _over = self.process.kill();
        let _over = self.process.wait();
    }
}

/// The other process: stands, leads, and tells its deadline when it is asked to. Ends with its standard
/// input.
pub(crate) fn candidate(
    address: &Address,
    election: &str,
    name: &str,
    ttl_millis: u64,
    failover: Failover,
) -> Result<()> {
    let clock = Clock::system();
    let say = |word: &str, at: Moment| println!("{word} {}", at.nanos());
    let options = Options {
        ttl: Duration::from_millis(ttl_millis),
        on_disconnect: failover.into(),
        owner: name.to_owned(),
        ..Options::default()
    };
    let session = Session::open(address, options)?;
    let election = session.election(election);
    election.enter(name, &EnterOptions::default())?;
    say("stands", clock.now());
    let leads = election.lead(name)?;
    say("leads", clock.now());
    for _asked in io::stdin().lines() {
        say("until", clock.now() + leads.remaining());
    }
    Ok(())
}
