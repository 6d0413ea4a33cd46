//! Python's stock grpcio against `tenure serve`: the scripts beside this assert, and this does for them what
//! can't be done from there. They need python3 and PyPI; TENURE_NO_PYTHON=1 leaves them out.

mod node;
#[path = "../support/mod.rs"]
mod support;

use std::net::TcpStream;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use node::Others;
use rustix::process::Signal;
use support::proxy::{Proxy, Way};
use support::python::{self, Python, play};
use support::{Bystander, PATIENCE, Server, raw, resident, words};
use tenure::client::{Address, Leadership, Options, Session};

const BOTH: [Way; 2] = [Way::ToServer, Way::ToClient];

/// Runs a script against this address.
#[track_caller]
fn script(name: &str, address: &str, answer: impl FnMut(&[&str]) -> String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/grpcio");
    let python = Python::with(include_str!("requirements.txt"));
    // A script's name, and what it is told besides the address.
    let (name, rest) = name.split_once(' ').unwrap_or((name, ""));
    let mut command = python.run(&folder.join(name));
    command.arg(address).args(words(rest));
    play(command, answer);
}

fn nothing(asked: &[&str]) -> String {
    panic!("nothing to ask for here: {asked:?}")
}

fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a number")
}

#[test]
fn the_conversation_holds_beside_ttrpc_clients() {
    if !python::is_wanted() {
        return;
    }
    let server = Server::start("--reactors 2");
    let mut others = Others::at(server.address());
    let bystander = Bystander::of(server.address());
    script("conversation.py", server.address(), |asked| match asked {
        ["ttrpc", of, method, rest @ ..] => {
            others.call(number(of), method, rest[0], rest.get(1).unwrap_or(&""))
        }
        ["watch", election] => {
            others.watch(election);
            String::new()
        }
        ["seen", election, count] => others.seen(election, number(count)),
        other => nothing(other),
    });
    bystander.was_served_within(PATIENCE);
}

#[test]
fn the_latch_conversation_holds_beside_ttrpc_clients() {
    if !python::is_wanted() {
        return;
    }
    let server = Server::start("--reactors 2");
    let bystander = Bystander::of(server.address());
    script("latch.py", server.address(), |asked| match asked {
        ["term", election] => server.client().term(election).expect("served").number.to_string(),
        other => nothing(other),
    });
    bystander.was_served_within(PATIENCE);
}

#[test]
fn every_method_is_served_and_refused_as_over_ttrpc() {
    if !python::is_wanted() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&format!("--data-dir {}", folder.path().display()));
    script("methods.py", server.address(), nothing);
}

#[test]
fn explicit_sessions_are_chosen_and_resumed() {
    if !python::is_wanted() {
        return;
    }
    let server = Server::start("");
    let mut contender: Option<JoinHandle<Leadership>> = None;
    let rust = open(server.address());
    script("sessions.py", server.address(), |asked| match asked {
        ["lead", election, candidate] => {
            let (election, candidate) = (rust.election(election), candidate.to_string());
            contender = Some(thread::spawn(move || election.lead(&candidate).expect("the lead")));
            String::new()
        }
        ["acts?"] => {
            let is_over = contender.as_ref().expect("it contends").is_finished();
            if is_over { "yes".into() } else { "no".into() }
        }
        ["acts"] => {
            let leads = contender.take().expect("it contends").join().expect("it leads");
            assert!(leads.is_valid());
            leads.term().to_string()
        }
        other => nothing(other),
    });
}

fn open(address: &str) -> Session {
    let address: Address = address.parse().expect("an address");
    let ttl = Duration::from_secs(10);
    Session::open(&address, Options { ttl, ..Options::default() }).expect("a session")
}

#[test]
fn stock_tools_reflect_ask_for_health_and_see_a_drain() {
    if !python::is_wanted() {
        return;
    }
    let mut server = Server::start("--drain 5s");
    let address = server.address().to_owned();
    script("stock.py", &address, |asked| match asked {
        ["drain"] => {
            server.process.signal(Signal::TERM);
            String::new()
        }
        ["exit"] => server.process.wait().code().map_or_else(String::new, |code| code.to_string()),
        other => nothing(other),
    });
}

#[test]
fn who_takes_too_much_is_bounded() {
    if !python::is_wanted() {
        return;
    }
    let server = Server::start("--reactors 2");
    let bystander = Bystander::of(server.address());
    script("limits.py", server.address(), |asked| match asked {
        ["memory"] => resident(server.process.id()).to_string(),
        ["churn", election, changes] => {
            let socket = TcpStream::connect(server.address()).expect("a connection");
            raw::churn_by(socket, election, "churning", number(changes), 4);
            String::new()
        }
        other => nothing(other),
    });
    bystander.was_served_within(PATIENCE);
}

/// Row T3, over gRPC, where the server has to ask whether a client lives.
#[test]
fn t3_silence_is_not_the_servers_own() {
    if !python::is_wanted() {
        return;
    }
    let server = Server::start("--silence 2s");
    script("silence.py 2", server.address(), |asked| match asked {
        ["pause", seconds] => {
            server.process.stop();
            thread::sleep(Duration::from_secs_f64(number(seconds)));
            server.process.go_on();
            String::new()
        }
        other => nothing(other),
    });
}

/// A server that can be killed and started again where it was.
fn restarting(kind: &str, args: &str) {
    if !python::is_wanted() {
        return;
    }
    let mut server = Some(Server::start(args));
    let address = server.as_ref().expect("started").address().to_owned();
    script(&format!("lost.py {kind}"), &address, |asked| match asked {
        ["restart"] => {
            server = None;
            server = Some(Server::start(&format!("{args} --listen {address}")));
            String::new()
        }
        other => nothing(other),
    });
    drop(server);
}

#[test]
fn a_published_client_meets_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    restarting("durable", &format!("--data-dir {}", folder.path().display()));
}

#[test]
fn a_published_client_meets_a_restart_that_forgets() {
    restarting("memory", "");
}

#[test]
fn a_published_client_meets_a_cut() {
    if !python::is_wanted() {
        return;
    }
    let server = Server::start("");
    let mut proxy = None;
    script("lost.py cut", server.address(), |asked| {
        match asked {
            ["proxy"] => return proxy.insert(Proxy::before(server.address())).address().to_owned(),
            ["sessions"] => return server.client().sessions().expect("served").len().to_string(),
            _ => {}
        }
        let proxy = proxy.as_ref().expect("there is one");
        match asked {
            ["cut"] => {
                proxy.cut();
                BOTH.into_iter().for_each(|way| proxy.unblock(way));
            }
            ["block"] => BOTH.into_iter().for_each(|way| proxy.block(way)),
            other => return nothing(other),
        }
        String::new()
    });
}
