//! `tenure run` and `tenure demo`, with real commands that end, hang, and leave children behind.

mod support;

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, test_kill_process};
use support::{Running, Server, eventually, run, tenure};
use tenure::client::ChangeByHand;

/// `tenure run` of a shell script against `server`.
fn runs(server: &Server, args: &str, script: &str) -> Running {
    let mut command = tenure(["run", "jobs", "--server", server.address()]);
    command.args(support::words(args)).args(["--", "sh", "-c", script]);
    Running::start(&mut command)
}

fn is_alive(pid: &str) -> bool {
    let pid = pid.trim().parse().ok().and_then(Pid::from_raw).expect("a process id");
    test_kill_process(pid).is_ok() && !is_zombie(pid)
}

/// Dead, and not yet waited for by whoever took it over.
#[cfg(target_os = "linux")]
fn is_zombie(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|it| it.starts_with(" Z")))
}

#[cfg(not(target_os = "linux"))]
fn is_zombie(pid: Pid) -> bool {
    let pid = pid.as_raw_nonzero().to_string();
    let stat = std::process::Command::new("ps").args(["-o", "stat=", "-p", &pid]).output();
    stat.is_ok_and(|stat| stat.stdout.starts_with(b"Z"))
}

#[test]
fn a_command_runs_while_leading_and_its_code_is_passed_through() {
    let server = Server::start("");
    let mut one = runs(
        &server,
        "--candidate w1",
        "echo $TENURE_TERM $TENURE_ELECTION $TENURE_CANDIDATE; exit 7",
    );
    assert_eq!(one.wait().code(), Some(7), "{}", one.err.rest());
    assert_eq!(one.out.rest(), "1 jobs w1\n");
    let mut killed = runs(&server, "", "kill -9 $$");
    assert_eq!(killed.wait().code(), Some(128 + 9));
    let term = server.client().term("jobs").unwrap();
    assert_eq!((term.number, term.leader), (2, None), "given up after it");
}

#[test]
fn what_keeps_it_from_running_has_codes_of_its_own() {
    let server = Server::start("");
    let mut absent =
        tenure(["run", "jobs", "--server", server.address(), "--", "/no/such/command"]);
    let absent = run(&mut absent);
    assert_eq!(absent.code, Some(66));
    assert!(absent.err.contains("/no/such/command"), "{}", absent.err);
    let first = runs(&server, "", "echo runs; exec sleep 60");
    first.out.find("runs");
    let mut second = runs(&server, "--wait 200ms", "echo never");
    assert_eq!(second.wait().code(), Some(65));
    assert_eq!(second.out.rest(), "");
    let bad = run(&mut tenure([
        "run",
        "jobs",
        "--ttl",
        "1ms",
        "--server",
        server.address(),
        "--",
        "true",
    ]));
    assert_eq!(bad.code, Some(69));
    assert!(bad.err.contains("ttl"), "{}", bad.err);
}

/// The next one runs only after the former command is dead, with all that it started.
#[test]
fn a_lost_lead_ends_the_command_and_its_children() {
    let server = Server::start("");
    let script = "trap '' TERM; (trap '' TERM; exec sleep 600) & echo $$ $!; wait; sleep 600";
    let mut first = runs(&server, "--once --ttl 2s", script);
    let pids = first.out.next().unwrap();
    let second = runs(&server, "--ttl 2s", "echo begins; exec sleep 600");
    eventually("the other waits", || server.client().term("jobs").unwrap().candidates.len() == 1);
    let leader = server.client().term("jobs").unwrap().leader.unwrap();
    server.client().change(ChangeByHand::Evict, "jobs", &leader, None, "").unwrap();
    second.out.find("begins");
    for pid in pids.split(' ') {
        assert!(!is_alive(pid), "{pid} acts beside the next leader");
    }
    assert_eq!(first.wait().code(), Some(64));
}

/// The same for a server that can't be reached: the command is dead before the lead is anybody else's.
#[test]
fn a_stopped_server_ends_the_command_in_time() {
    let server = Server::start("");
    let mut first =
        runs(&server, "--once --ttl 1s", "trap '' TERM; echo $$; while :; do sleep 1; done");
    let pid = first.out.next().unwrap();
    server.process.stop();
    assert_eq!(first.wait().code(), Some(64));
    assert!(!is_alive(&pid));
    assert!(first.err.rest().contains("the lead is lost"));
    server.process.go_on();
}

#[test]
fn signals_are_passed_on() {
    let server = Server::start("");
    let script = "trap 'echo usr1' USR1; trap 'echo term; exit 3' TERM; echo ready; while :; do sleep 0.01; done";
    let mut one = runs(&server, "--restart", script);
    one.out.find("ready");
    let mut waits = runs(&server, "", "echo never");
    eventually("the other waits", || server.client().term("jobs").unwrap().candidates.len() == 1);
    waits.signal(Signal::TERM);
    assert_eq!(waits.wait().code(), Some(128 + 15), "before it has won");
    one.signal(Signal::USR1);
    one.out.find("usr1");
    one.signal(Signal::TERM);
    one.out.find("term");
    assert_eq!(one.wait().code(), Some(3), "not started again after that");
}

/// A parent that is killed can't say goodbye: the kernel ends the command.
#[test]
#[cfg(target_os = "linux")]
fn the_command_dies_with_its_parent() {
    let server = Server::start("");
    let mut one = runs(&server, "", "echo $$; exec sleep 600");
    let pid = one.out.next().unwrap();
    assert!(is_alive(&pid));
    one.signal(Signal::KILL);
    one.wait();
    eventually("it dies too", || !is_alive(&pid));
}

#[test]
fn a_command_is_started_again_where_asked() {
    let server = Server::start("");
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let script = format!("echo x >> {}; sleep 0.01", count.display());
    let one = runs(&server, "--restart", &script);
    let lines = |path: &Path| fs::read_to_string(path).map_or(0, |text| text.lines().count());
    eventually("it runs again", || lines(&count) >= 3);
    drop(one);
}

#[test]
fn the_demo_ends_well() {
    let done = run(&mut tenure(["demo"]));
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.out.contains("knows that it leads in term 2 after"), "{}", done.out);
    assert!(done.out.contains("refused, term 1 is stale: term 2 was here"), "{}", done.out);
}

#[test]
fn p3_a_script_can_check_its_term() {
    let server = Server::start("");
    let client = server.client();
    client.enter("jobs", "a").unwrap();
    let check = |term: u64| server.run(&format!("check jobs {term}")).code;
    assert_eq!([check(1), check(2)], [Some(0), Some(5)]);
    client.withdraw("jobs", "a").unwrap();
    assert_eq!(check(1), Some(4));
}
