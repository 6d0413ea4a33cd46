//! `tenure bench`: what it counts is what happened, whatever the machine's speed.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::json_line;
use super::support::{Done, Running, Server, eventually, run, tenure, words};

/// What a load against `server` told, and that it failed in nothing.
#[track_caller]
fn bench(server: &Server, line: &str) -> Value {
    let told = json_line(&server.run(&format!("bench {line} --json --warm-up 0s")).succeeded());
    for what in ["failed", "lost_connections", "lost_requests", "overdue", "not_begun"] {
        assert_eq!(told[what], json!(0), "{what}: {told}");
    }
    told
}

fn term_of(server: &Server, election: &str) -> u64 {
    server.client().term(election).unwrap().number
}

#[test]
fn reads_are_counted_one_by_one() {
    let server = Server::start("");
    for line in ["-c 3 -P 7 -n 1001", "-c 1 -P 1 -n 5", "-c 5 --threads 2 -n 1001 --elections 9"] {
        let told = bench(&server, &format!("term {line}"));
        let count: u64 =
            line.split(' ').skip_while(|it| *it != "-n").nth(1).unwrap().parse().unwrap();
        assert_eq!((&told["done"], &told["answered"]), (&json!(count), &json!(count)), "{line}");
        assert_eq!(told["loop"], "closed");
        assert_eq!(told["server"]["durable"], false);
        assert_eq!(told["server"]["address"], server.address());
        assert!(told["per_second"].as_f64().unwrap() > 0.0);
        let [least, most] = ["min", "max"].map(|it| told["measured_us"][it].as_f64().unwrap());
        assert!(0.0 < least && least <= most, "{told}");
    }
}

/// Each pair begins a term: the server's own count is the load's.
#[test]
fn pairs_are_what_the_server_saw() {
    let server = Server::start("");
    let told = bench(&server, "enter -c 2 -P 2 -n 402");
    assert_eq!((&told["done"], &told["answered"]), (&json!(402), &json!(804)));
    let terms = (0..4).map(|place| term_of(&server, &format!("bench/enter/{place}")));
    assert_eq!(terms.sum::<u64>(), 402);
    assert_eq!(server.client().term("bench/enter/0").unwrap().leader, None);
}

#[test]
fn a_warm_up_is_not_counted() {
    let server = Server::start("");
    let line = "bench enter -c 1 -n 50 --json --warm-up 50ms";
    let told = json_line(&server.run(line).succeeded());
    assert_eq!(told["done"], json!(50));
    assert!(term_of(&server, "bench/enter/0") > 50);
}

#[test]
fn heartbeats_renew_sessions_that_end_with_the_load() {
    let server = Server::start("");
    let told = bench(&server, "heartbeat -c 3 -P 4 -n 500 --sessions 31");
    assert_eq!((&told["done"], &told["sessions"]), (&json!(500), &json!("fast")));
    eventually("its sessions end", || server.run("sessions").succeeded().is_empty());
}

#[test]
fn the_lead_is_handed_over_as_often_as_is_told() {
    let server = Server::start("");
    for (learn, candidates) in [("observe", 9), ("wait", 9), ("observe", 2), ("wait", 2)] {
        let before = term_of(&server, "bench/handover");
        let line = format!("handover --candidates {candidates} --learn {learn} -n 120");
        let told = bench(&server, &line);
        assert_eq!(told["done"], json!(120), "{line}");
        assert_eq!(told["settings"]["learn"], learn);
        // The first one enters an empty election; and when all have gone, others have led for a moment.
        let terms = term_of(&server, "bench/handover") - before;
        assert!((121..=121 + candidates).contains(&terms), "{line}: {terms} terms");
        eventually("all have gone", || {
            server.client().term("bench/handover").unwrap().leader.is_none()
        });
    }
}

#[test]
fn each_change_reaches_every_watcher() {
    let server = Server::start("");
    for connections in ["", "-c 4", "-c 1"] {
        let before = term_of(&server, "bench/watch");
        let told = bench(&server, &format!("watch --watchers 50 {connections} -n 30"));
        assert_eq!(told["done"], json!(30), "{connections}");
        eventually("all have gone", || {
            server.client().term("bench/watch").unwrap().leader.is_none()
        });
        // One for the first to enter, one for each change, and perhaps one as the load leaves.
        let terms = term_of(&server, "bench/watch") - before;
        assert!((31..=32).contains(&terms), "{connections}: {terms} terms");
    }
}

#[test]
fn leaders_are_killed_as_often_as_is_told() {
    let server = Server::start("");
    let told = json_line(&server.run("bench failover -n 3 --json").succeeded());
    assert_eq!((&told["done"], &told["sessions"]), (&json!(3), &json!("fast")));
    assert_eq!(told["corrected_us"], Value::Null);
    let told = server.run("bench failover -n 1 --failover exclusive --json").succeeded();
    let told = json_line(&told);
    assert_eq!((&told["done"], &told["sessions"]), (&json!(1), &json!("exclusive")));
    assert_eq!(told["settings"]["ttl"], "500ms");
}

/// One line does it: the server is there, and gone afterwards.
#[test]
fn a_server_of_its_own() {
    let told = run(&mut tenure(words("bench term -n 100 --spawn --json"))).succeeded();
    let told = json_line(&told);
    assert_eq!((&told["done"], &told["server"]["spawned"]), (&json!(100), &json!(true)));
    let address = told["server"]["address"].as_str().unwrap();
    let done = run(&mut tenure(["term", "jobs", "--server", address]));
    assert_eq!(done.code, Some(6), "{done:?}");

    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("data");
    let mut command = tenure(words("bench enter -c 1 -n 10 --spawn --json --warm-up 0s"));
    let told = json_line(&run(command.arg("--data-dir").arg(&kept)).succeeded());
    assert_eq!((&told["done"], &told["server"]["durable"]), (&json!(10), &json!(true)));
    let inspected = run(tenure(["inspect", "--all"]).arg(&kept)).succeeded();
    assert!(inspected.contains("bench/enter/0"), "{inspected}");
}

#[test]
fn words_for_people_name_all_that_matters() {
    let server = Server::start("");
    let done = server.run("bench term -n 100 -c 2 -P 3");
    assert_eq!(done.err, "", "no bar where nobody looks");
    let said = done.succeeded();
    for what in [
        "term: 2 connections x 3 in flight, closed loop",
        "100 reads in ",
        "p99.9",
        "corrected",
        "failed: nothing",
        "in memory",
        "cores",
        "again: tenure bench term -n 100 -c 2 -P 3 --server ",
    ] {
        assert!(said.contains(what), "{what:?} is not in\n{said}");
    }
}

#[test]
fn values_in_columns() {
    let server = Server::start("");
    for workload in ["term -n 10", "failover -n 1"] {
        let said = server.run(&format!("bench {workload} --csv")).succeeded();
        let (names, values) = said.trim_end().split_once('\n').expect("a header and a line");
        let (names, values) = (names.split(','), values.split(','));
        let cells: Vec<(&str, &str)> = names.zip(values.clone()).collect();
        assert_eq!(cells.len(), values.count(), "{said}");
        let done = workload.split(' ').next_back().unwrap();
        assert!(cells.contains(&("done", done)), "{said}");
        assert!(cells.iter().any(|(name, _)| *name == "corrected_us_p99_9"), "{said}");
    }
}

/// As many as the schedule says, whether or not the machine keeps up.
#[test]
fn an_open_loop_asks_as_often_as_it_is_told() {
    let server = Server::start("");
    let told = bench(&server, "term --rate 1000 --duration 300ms");
    assert_eq!((&told["done"], &told["loop"]), (&json!(300), &json!("open")));
    let told = bench(&server, "term --rate 1000000 -n 5000 -c 1 -P 1");
    assert_eq!(told["done"], json!(5000), "far more than one at a time can be");
    // 51 are due in 500 ms, the first of them at once.
    let told = bench(&server, "enter --rate 100 -n 51 -c 3 --threads 3");
    assert_eq!(told["done"], json!(51));
    assert!(told["seconds"].as_f64().unwrap() >= 0.5, "none before its time: {told}");
}

/// Stops a server for this long in the midst of a load.
fn stopped_for(stop: Duration, server: &Server, line: &str) -> Value {
    let mut load = Running::start(&mut server.ask(line));
    let client = server.client();
    eventually("the load is under way", || client.term("bench/enter/0").unwrap().number >= 30);
    server.process.stop();
    thread::sleep(stop);
    server.process.go_on();
    let status = load.wait();
    assert_eq!(status.code(), Some(0), "{}", load.err.rest());
    json_line(&load.out.rest())
}

fn percentile(told: &Value, which: &str, name: &str) -> f64 {
    told[which][name].as_f64().expect("microseconds")
}

/// With 500 a second, 150 are due while the server stands still for 300 ms. They have waited, although a
/// client with one request under way has sent but one of them.
#[test]
fn a_stalled_server_can_not_hide_behind_its_client() {
    let server = Server::start("");
    let line = "bench enter -c 1 -P 1 --rate 500 -n 2000 --json --warm-up 0s";
    let told = stopped_for(Duration::from_millis(300), &server, line);
    assert_eq!(told["done"], json!(2000));
    assert!(percentile(&told, "corrected_us", "p99_9") > 290_000.0, "{told}");
    // The 20 that waited longest were due in the first 40 ms of it.
    assert!(percentile(&told, "corrected_us", "p99") > 200_000.0, "{told}");
}

#[test]
fn a_closed_loop_is_corrected_afterwards() {
    let server = Server::start("");
    let line = "bench enter -c 1 -P 1 -n 10000 --json --warm-up 0s";
    let told = stopped_for(Duration::from_millis(300), &server, line);
    assert_eq!(told["done"], json!(10000));
    assert!(percentile(&told, "measured_us", "max") > 290_000.0, "{told}");
    let [measured, corrected] =
        ["measured_us", "corrected_us"].map(|which| percentile(&told, which, "p99_9"));
    assert!(corrected > measured, "{told}");
}

#[test]
fn a_failure_is_no_success() {
    // One place fewer than the load wants: each Enter of the third is refused, and never a Withdraw follows.
    let server = Server::start("--max-elections 2");
    let line = "bench enter -c 3 -n 300 --json --warm-up 0s";
    let done = server.run(line);
    assert_eq!(done.code, Some(1), "{done:?}");
    let told = json_line(&done.out);
    let count = |what: &str| told[what].as_u64().unwrap();
    assert_eq!(told["refused"]["RESOURCE_EXHAUSTED"], told["failed"], "{told}");
    assert!(count("failed") > 0, "{told}");
    assert_eq!(count("done") + count("failed"), 300, "{told}");
    assert_eq!(count("answered"), 2 * count("done"), "{told}");
    assert!(told["first_refusal"].as_str().unwrap().contains("elections"), "{told}");
    assert_eq!(server.run(&format!("{line} --allow-errors")).code, Some(0));
}

#[test]
fn a_lost_server_is_told_of() {
    let server = Server::start("");
    let mut load =
        Running::start(&mut server.ask("bench enter -c 2 -P 3 --duration 1h --json --warm-up 0s"));
    let client = server.client();
    eventually("the load is under way", || client.term("bench/enter/0").unwrap().number >= 30);
    server.process.signal(Signal::KILL);
    assert_eq!(load.wait().code(), Some(1));
    let told = json_line(&load.out.rest());
    assert_eq!(
        (&told["lost_connections"], &told["lost_requests"]),
        (&json!(2), &json!(6)),
        "{told}"
    );
    assert!(told["done"].as_u64().unwrap() >= 30, "{told}");
}

#[test]
fn a_silent_server_is_given_up() {
    let server = Server::start("");
    let mut load = Running::start(
        &mut server.ask("bench enter -c 1 -n 1000000000 --json --warm-up 0s --timeout 300ms"),
    );
    let client = server.client();
    eventually("the load is under way", || client.term("bench/enter/0").unwrap().number >= 30);
    server.process.stop();
    assert_eq!(load.wait().code(), Some(1));
    let told = json_line(&load.out.rest());
    assert_eq!(told["overdue"], json!(1), "{told}");
    server.process.go_on();
}

#[test]
fn what_makes_no_sense_is_told_in_a_sentence() {
    let refused = |line: &str| -> Done { run(&mut tenure(words(line))) };
    for (line, why) in [
        ("bench", "<workload>"),
        ("bench term -n 5 --duration 1s", "cannot be used with"),
        ("bench term --duration 0s", "nothing can be measured in no time"),
        ("bench term --duration 5", "such as 50us"),
        ("bench term -c 0", "invalid value '0'"),
        ("bench term --spawn --server 127.0.0.1:1", "cannot be used with"),
        ("bench term --data-dir x", "--spawn"),
        ("bench term --csv --json", "cannot be used with"),
        ("bench handover --candidates 1", "give 2 or more"),
        ("bench watch --rate 5", "unexpected argument"),
    ] {
        let done = refused(line);
        assert_eq!(done.code, Some(2), "{line}: {done:?}");
        assert!(done.err.to_lowercase().contains(why), "{line}: {}", done.err);
    }
    let done = refused("bench term --server 127.0.0.1:1");
    assert_eq!(done.code, Some(6), "{done:?}");
    assert!(done.err.contains("can't reach 127.0.0.1:1"), "{done:?}");
}

/// Two loads on one election would pass the lead to each other.
#[test]
fn a_load_wants_its_election_for_itself() {
    let server = Server::start("");
    let client = server.client();
    for workload in ["handover", "watch"] {
        client.enter(&format!("bench/{workload}"), "somebody").unwrap();
        let done = server.run(&format!("bench {workload} -n 1"));
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.err.contains("somebody leads in bench/"), "{done:?}");
    }
}
