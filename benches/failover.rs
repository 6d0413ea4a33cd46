//! From the death of a leader's process to its successor's knowing that it leads, and the same for a
//! resignation. Real processes, SIGKILL, over loopback.
//!
//! `cargo bench --bench failover [-- --check]` prints distributions; with `--check` it fails where a bound
//! of the project is broken. The server is `tenure serve --memory`; each candidate is a process with a
//! session of its own. Both clocks are the machine's one monotonic clock.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use prost::Message;
use support::grpc::{Channel, ELECTION, framed};
use support::{Server, judge, percentile, report};
use tenure::client::{Address, OnDisconnect, Options, Session};
use tenure::{Clock, Moment};
use tenure_schema::atomix::runtime::election::v1 as pb;
use tenure_schema::atomix::runtime::v1::PrimitiveId;
use tokio::runtime::Builder;

const PATIENCE: Duration = Duration::from_secs(30);
/// Of a session under `exclusive`, the shortest there is.
const SHORT: Duration = Duration::from_millis(500);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [role, address, name, policy, ttl] = &args[..]
        && role == "candidate"
    {
        return candidate(address, name, policy, ttl);
    }
    let quick = args.iter().any(|arg| arg == "--test");
    let (kills, few) = if quick { (3, 1) } else { (200, 40) };
    let server = Server::start();
    let mut broken = Vec::new();

    let mut times: Vec<Duration> = Vec::new();
    let mut stage = Stage::new(&server.address, "fast", Duration::from_secs(10));
    for _ in 0..kills {
        times.push(stage.kill().took);
    }
    report("fast: SIGKILL to the successor's knowing", &mut times);
    bound(&mut broken, "fast, p99", percentile(&times, 99.0), Duration::from_millis(2));

    times.clear();
    for _ in 0..kills {
        times.push(stage.resign());
    }
    report("fast: a resignation", &mut times);
    bound(
        &mut broken,
        "a resignation under fast, p99",
        percentile(&times, 99.0),
        Duration::from_millis(2),
    );
    drop(stage);

    times.clear();
    let mut stage = Stage::new(&server.address, "exclusive", Duration::from_secs(10));
    for _ in 0..kills {
        times.push(stage.resign());
    }
    report("exclusive: a resignation", &mut times);
    bound(
        &mut broken,
        "a resignation under exclusive, p99",
        percentile(&times, 99.0),
        Duration::from_millis(2),
    );
    drop(stage);

    times.clear();
    let mut stage = Stage::new(&server.address, "exclusive", SHORT);
    let mut spared: Vec<Duration> = Vec::new();
    for _ in 0..few {
        let fallen = stage.kill();
        times.push(fallen.took);
        match fallen.led_at.nanos().checked_sub(fallen.until.nanos()) {
            Some(spare) => spared.push(Duration::from_nanos(spare)),
            None => broken.push("a successor led before the deadline of the one before".to_owned()),
        }
    }
    report("exclusive, TTL 500 ms: SIGKILL to the successor's knowing", &mut times);
    report("   after the dead leader's own deadline", &mut spared);
    let worst = times.last().copied().unwrap_or_default();
    bound(&mut broken, "exclusive, the longest", worst, SHORT + Duration::from_millis(50));

    drop(stage);

    times.clear();
    let mut stage = Stage::new(&server.address, "grpc", Duration::ZERO);
    for _ in 0..kills {
        times.push(stage.kill().took);
    }
    report("gRPC, a connection's own session: SIGKILL to the successor's knowing", &mut times);
    bound(&mut broken, "gRPC, p99", percentile(&times, 99.0), Duration::from_millis(5));
    judge(&broken);
}

fn bound(broken: &mut Vec<String>, what: &str, found: Duration, most: Duration) {
    if found > most {
        broken.push(format!("{what}: {found:?}, and {most:?} is the bound"));
    }
}

/// One that leads and one that waits.
struct Stage {
    address: String,
    policy: &'static str,
    ttl: Duration,
    leader: Candidate,
    next: Candidate,
    made: usize,
    /// What was said before it was waited for.
    early: Vec<(usize, String)>,
    said: Receiver<(usize, String)>,
    say: Sender<(usize, String)>,
}

/// How one leader's death went.
struct Fallen {
    took: Duration,
    led_at: Moment,
    /// The dead leader's own deadline, as it last told it.
    until: Moment,
}

impl Stage {
    fn new(address: &str, policy: &'static str, ttl: Duration) -> Self {
        let (say, said) = channel();
        let mut early = Vec::new();
        let leader = Candidate::start(0, address, policy, ttl, &say);
        wait_for(&said, &mut early, 0, "leads");
        let next = Candidate::start(1, address, policy, ttl, &say);
        wait_for(&said, &mut early, 1, "stands");
        Self { address: address.to_owned(), policy, ttl, leader, next, made: 2, early, said, say }
    }

    fn kill(&mut self) -> Fallen {
        writeln!(self.leader.input, "until").expect("the leader lives");
        let until = wait_for(&self.said, &mut self.early, self.leader.number, "until");
        let killed = Clock::system().now();
        self.leader.process.kill().expect("it can be killed");
        let led_at = wait_for(&self.said, &mut self.early, self.next.number, "leads");
        let _it_is_dead = self.leader.process.wait();
        let new = Candidate::start(self.made, &self.address, self.policy, self.ttl, &self.say);
        self.made += 1;
        self.leader = std::mem::replace(&mut self.next, new);
        wait_for(&self.said, &mut self.early, self.next.number, "stands");
        Fallen { took: led_at - killed, led_at, until }
    }

    fn resign(&mut self) -> Duration {
        writeln!(self.leader.input, "resign").expect("the leader lives");
        let resigned = wait_for(&self.said, &mut self.early, self.leader.number, "resigns");
        let led = wait_for(&self.said, &mut self.early, self.next.number, "leads");
        wait_for(&self.said, &mut self.early, self.leader.number, "stands");
        std::mem::swap(&mut self.leader, &mut self.next);
        led - resigned
    }
}

/// The moment that a candidate says with this word.
fn wait_for(
    said: &Receiver<(usize, String)>,
    early: &mut Vec<(usize, String)>,
    number: usize,
    word: &str,
) -> Moment {
    let is_it = |it: &(usize, String)| it.0 == number && it.1.starts_with(word);
    let line = early.iter().position(is_it).map(|at| early.remove(at)).unwrap_or_else(|| {
        loop {
            let line = said.recv_timeout(PATIENCE).expect("somebody says something");
            if is_it(&line) {
                return line;
            }
            early.push(line);
        }
    });
    let at = line.1.split(' ').nth(1).expect("a moment");
    Moment::from_nanos(at.parse().expect("nanoseconds"))
}

struct Candidate {
    number: usize,
    process: Child,
    input: ChildStdin,
}

impl Candidate {
    fn start(
        number: usize,
        address: &str,
        policy: &str,
        ttl: Duration,
        say: &Sender<(usize, String)>,
    ) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        let (name, ttl) = (format!("candidate-{number}"), ttl.as_millis().to_string());
        command.args(["candidate", address, &name, policy, &ttl]);
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process");
        let out = BufReader::new(process.stdout.take().expect("its output"));
        let say = say.clone();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _nobody_listens = say.send((number, line));
            }
        });
        let input = process.stdin.take().expect("its input");
        Self { number, process, input }
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        let _over = self.process.kill();
        let _over = self.process.wait();
    }
}

/// The other process, as a v1 client over gRPC: one connection, and a watch on it.
fn grpc_candidate(address: &str, name: &str) {
    let say = |word: &str| println!("{word} {}", Clock::system().now().nanos());
    // It has no deadline of its own: it may act for as long as it lives.
    thread::spawn(move || std::io::stdin().lines().map_while(Result::ok).for_each(|it| say(&it)));
    let id = Some(PrimitiveId { name: "failover/grpc".into() });
    let enter = pb::EnterRequest { id: id.clone(), candidate: name.to_owned() };
    let watch = framed(&pb::WatchRequest { id }.encode_to_vec());
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let channel = Channel::open(address).await;
        channel.unary(&format!("/{ELECTION}/Enter"), framed(&enter.encode_to_vec())).await;
        let mut terms = channel.call(&format!("/{ELECTION}/Watch"), watch).await;
        let mut leads = false;
        let mut word = Some("stands");
        while let Some(term) = terms.next().await {
            let term = pb::WatchResponse::decode(term).expect("a term").term.expect("a term");
            // Standing, and watching: what happens now will be seen.
            word.take().into_iter().for_each(say);
            if term.leader == name && !leads {
                leads = true;
                say("leads");
            }
        }
    });
}

/// The other process: stands, leads, and does as it is told.
fn candidate(address: &str, name: &str, policy: &str, ttl: &str) {
    if policy == "grpc" {
        return grpc_candidate(address, name);
    }
    let clock = Clock::system();
    let say = |word: &str, at: Moment| println!("{word} {}", at.nanos());
    let address: Address = address.parse().expect("an address");
    let on_disconnect = if policy == "fast" { OnDisconnect::Fast } else { OnDisconnect::Exclusive };
    let ttl = Duration::from_millis(ttl.parse().expect("milliseconds"));
    let options = Options { ttl, on_disconnect, ..Options::default() };
    let session = Session::open(&address, options).expect("a session");
    // Those of another run may still stand where they stood.
    let election = session.election(&format!("failover/{policy}/{ttl:?}"));
    let mut told = std::io::stdin().lines();
    loop {
        election.enter(name, &Default::default()).expect("a place");
        say("stands", clock.now());
        let leads = election.lead(name).expect("the lead");
        say("leads", clock.now());
        loop {
            match told.next() {
                Some(Ok(line)) if line == "until" => say("until", clock.now() + leads.remaining()),
                Some(Ok(line)) if line == "resign" => break,
                _ => return,
            }
        }
        say("resigns", clock.now());
        leads.resign().expect("it resigns");
    }
}
