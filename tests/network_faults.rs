//! Faults of a network, made in one: a namespace of its own, where an address that is taken away leaves
//! both ends of its connections with packets that go nowhere and are never answered.
//!
//! Needs `unshare`, `nsenter` and `ip`, and a kernel that lets users make namespaces; where they are
//! missing, a test says so and passes.
#![cfg(target_os = "linux")]

mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{Running, Server, run, tenure, unmoved, words};

/// Two addresses, neither of which needs the other.
const STAYS: &str = "10.77.0.1";
const GOES: &str = "10.77.0.2";

/// A network namespace, kept by a process that sleeps in it.
struct Network(Running);

impl Network {
    fn new() -> Option<Self> {
        let script = format!(
            "ip link set lo up && ip addr add {STAYS}/32 dev lo && ip addr add {GOES}/32 dev lo \
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
        let mut command = Command::new("ip");
        command.args(words(line));
        let done = run(&mut self.inside(&command));
        assert_eq!(done.code, Some(0), "ip {line}: {}", done.err);
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
