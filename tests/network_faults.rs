//! Faults of a network, made in one: a namespace of its own, where an address that is taken away leaves
//! both ends of its connections with packets that go nowhere and are never answered, and where rules drop
//! what goes to a port, comes from it, or is unlucky.
//!
//! Needs `unshare`, `nsenter` and `ip`, and a kernel that lets users make namespaces; some tests need
//! `tc`, `ss` or `nft` besides. Where they are missing, a test says so and passes.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::{Done, Running, Server, eventually, run, tenure, unmoved, words};
use tempfile::TempDir;

/// Two addresses, neither of which needs the other.
const STAYS: &str = "10.77.0.1";
const GOES: &str = "10.77.0.2";

/// A network namespace, kept by a process that sleeps in it.
struct Network(Running);

impl Network {
    fn new() -> Option<Self> {
        let script = format!(
            "ip link set lo up && ip addr add {STAYS}/32 dev lo && ip addr add {GOES}/32 dev lo \
             && ip rule add prio 100 lookup local && ip rule del prio 0 \
             && echo ready && exec sleep 600"
        );
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "sh", "-c", &script]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Not there at all, or not allowed: either way there is nothing to test with.
        let keeper = command.spawn().is_ok_and(|mut child| {
            let _over = child.kill();
            child.wait().is_ok()
        });
        let keeper = keeper.then(|| Running::start(&mut command))?;
        (keeper.out.next().as_deref() == Some("ready")).then_some(Self(keeper))
    }

    /// The same command, run in here.
    fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.args(["--preserve-credentials", "--user", "--net", "--target"]);
        inside.arg(self.0.id().to_string()).arg(command.get_program()).args(command.get_args());
        unmoved(&mut inside);
        inside.stdin(Stdio::null());
        inside
    }

    fn ip(&self, line: &str) {
        let done = self.tool("ip", line);
        assert_eq!(done.code, Some(0), "ip {line}: {}", done.err);
    }

    fn tool(&self, program: &str, line: &str) -> Done {
        let mut command = Command::new(program);
        command.args(words(line));
        run(&mut self.inside(&command))
    }

    /// True if this can be done here; if not, says so.
    fn can(&self, program: &str, line: &str) -> bool {
        let is_there = Command::new(program).arg("-V").stdout(Stdio::null()).status().is_ok();
        let refused = match is_there.then(|| self.tool(program, line)) {
            Some(done) if done.code == Some(0) => return true,
            Some(done) => done.err,
            None => "no such command".to_owned(),
        };
        eprintln!("passed untested: {program} {line}: {}", refused.trim());
        false
    }

    /// From now on packets that `which` names go nowhere: `dport N` or `sport N`.
    fn swallow(&self, which: &str) {
        self.ip(&format!("rule add prio 10 ipproto tcp {which} blackhole"));
    }

    fn heal(&self) {
        while self.tool("ip", "rule del prio 10").code == Some(0) {}
    }

    fn serve(&self, args: &str) -> Server {
        let listen = format!("--listen {STAYS}:0 --listen {GOES}:0 --allow-plaintext {args}");
        Server::start_by(self.inside(&tenure(["serve"])), &listen)
    }

    fn ask(&self, line: &str, address: &str) -> Running {
        let mut command = tenure(words(line));
        command.args(["--server", address]);
        Running::start(&mut self.inside(&command))
    }
}

macro_rules! network_or_pass {
    () => {
        match Network::new() {
            Some(network) => network,
            None => {
                eprintln!("passed untested: no network namespace can be made here");
                return;
            }
        }
    };
}

/// Row C2: the peer's host is gone without a word. That is found within the silence limit, not by it
/// alone, and its place passes on.
#[test]
fn c2_half_open_tcp() {
    let network = network_or_pass!();
    let server = network.serve("--silence 2s");
    let [stays, goes] = [&server.addresses[0], &server.addresses[1]];
    // It ends with its connection, and not before: the deadline is far away.
    let gone = network.ask("enter jobs gone --failover fast --ttl 1h", goes);
    gone.out.find("term 1");
    let heir = network.ask("enter jobs heir", stays);
    heir.out.find("term 1");
    let cut = Instant::now();
    network.ip(&format!("addr del {GOES}/32 dev lo"));
    assert_eq!(heir.out.find("term 2"), "jobs: term 2, heir leads");
    let silent = cut.elapsed();
    assert!(silent > Duration::from_millis(500), "{silent:?}: it was not silent for long");
}

/// Row C2, seen from the other end: a client whose server's host is gone is told by its own keep-alive, for
/// it sends nothing that could fail.
#[test]
fn c2_a_watch_notices_that_its_server_is_gone() {
    let network = network_or_pass!();
    let server = network.serve("--silence 0s");
    let mut watch = network.ask("watch jobs", &server.addresses[1]);
    watch.out.find("term 0");
    network.ip(&format!("addr del {GOES}/32 dev lo"));
    assert_eq!(watch.wait().code(), Some(6));
    assert!(watch.err.rest().contains(" was lost: "));
}

/// Two who contend for the lead of `jobs`: `far` by the address that the faults are about, `near` by the
/// other one. Whoever leads writes its term to a file all the time, with nobody to refuse it.
struct Contest {
    network: Network,
    server: Server,
    written: TempDir,
    _both: [Running; 2],
}

impl Contest {
    /// Begins with `far` in the lead.
    fn begin(network: Network) -> Self {
        let server = network.serve("");
        let written = tempfile::tempdir().expect("a folder");
        let script = format!(
            "while :; do echo $TENURE_TERM >> {}/terms; sleep 0.02; done",
            written.path().display()
        );
        let [near, far] = [&server.addresses[0], &server.addresses[1]];
        let contend = |name: &str, address: &str| {
            let line = format!("run jobs --ttl 1s --candidate {name} --server {address} -- sh -c");
            let mut command = tenure(words(&line));
            command.arg(&script);
            Running::start(&mut network.inside(&command))
        };
        let far = contend("far", far);
        let look = |network: &Network| {
            let line = format!("describe jobs --server {near}");
            run(&mut network.inside(&tenure(words(&line)))).out
        };
        eventually("far leads", || look(&network).contains("leads: far"));
        let both = [contend("near", near), far];
        eventually("near stands", || look(&network).contains("2. near"));
        Self { network, server, written, _both: both }
    }

    /// `which` is `dport` or `sport`: what goes to the server at the far address, or comes from it.
    fn swallow(&self, which: &str) {
        self.network.swallow(&format!("{which} {}", self.far_port()));
    }

    fn far_port(&self) -> &str {
        self.server.addresses[1].rsplit_once(':').expect("host:port").1
    }

    fn describe(&self) -> String {
        let line = format!("describe jobs --server {}", self.server.address());
        run(&mut self.network.inside(&tenure(words(&line)))).out
    }

    #[track_caller]
    fn eventually_leads(&self, name: &str) {
        let leads = format!("leads: {name}");
        eventually(&leads, || self.describe().contains(&leads));
    }

    #[track_caller]
    fn eventually_stand_both(&self) {
        eventually("both stand", || {
            let queue = self.describe();
            queue.contains(". near,") && queue.contains(". far,")
        });
    }

    /// The terms that were written, in the order of the writes.
    fn terms(&self) -> Vec<u64> {
        let written = fs::read_to_string(self.written.path().join("terms")).unwrap_or_default();
        let lines = written.lines();
        lines.map(|line| line.parse().expect("a whole line for each write")).collect()
    }

    /// Nobody wrote beside a later leader, and somebody writes still.
    #[track_caller]
    fn was_never_led_by_two(&self) {
        let before = self.terms();
        assert!(before.is_sorted(), "an old leader wrote after a new one: {before:?}");
        eventually("somebody acts", || self.terms().len() > before.len());
    }
}

/// Row C8: nothing arrives any more, and nobody is told. The lead passes on at the deadline, and the one
/// who was cut off comes back.
#[test]
fn c8_a_blackhole_passes_the_lead_on_and_heals() {
    let contest = Contest::begin(network_or_pass!());
    contest.swallow("dport");
    contest.swallow("sport");
    contest.eventually_leads("near");
    contest.was_never_led_by_two();
    contest.network.heal();
    contest.eventually_stand_both();
    contest.was_never_led_by_two();
}

/// Row C8: what one side says arrives, what the other says does not.
#[test]
fn c8_a_one_way_partition_passes_the_lead_on_and_heals() {
    for way in ["dport", "sport"] {
        let contest = Contest::begin(network_or_pass!());
        contest.swallow(way);
        if way == "dport" {
            contest.eventually_leads("near");
        } else {
            // Its renewals still arrive, and no answer does: it must stop, whoever leads then.
            let written = contest.terms().len();
            thread::sleep(Duration::from_secs(3));
            let terms = contest.terms();
            assert!(terms.len() - written < 150 || terms.last() > Some(&1), "it acts unheard");
        }
        contest.was_never_led_by_two_so_far();
        contest.network.heal();
        contest.eventually_stand_both();
        contest.was_never_led_by_two();
    }
}
