//! Several reactors beside each other: nothing is lost between them.
#![cfg(feature = "server")]

mod raw;

use std::num::NonZeroUsize;
use std::time::Duration;

use raw::{Raw, enter, until, watch, withdraw};
use tenure::{Engine, Server};

fn serve(busy_poll: Duration) -> Server {
    let engine = Engine::builder().open().unwrap();
    let builder = Server::builder(engine).listen("127.0.0.1:0").busy_poll(busy_poll);
    builder.reactors(NonZeroUsize::new(2).unwrap()).spawn().unwrap()
}

/// Waits until a watch shows this list. It may skip what was before.
fn see(peer: &mut Raw, list: &[&str]) {
    loop {
        let frame = peer.receive();
        if frame.kind != 3 {
            continue;
        }
        let term = frame.term();
        let others = term.candidates.iter().map(String::as_str);
        let shown = std::iter::once(term.leader.as_str()).filter(|name| !name.is_empty());
        if shown.chain(others).eq(list.iter().copied()) {
            return;
        }
    }
}

/// Two connections, each on a reactor of its own, that answer each other's every change. A wake-up
/// that was lost would leave both waiting.
fn ping_pong(server: &Server, rounds: usize) {
    let (mut ping, mut pong) = (Raw::connect(server), Raw::connect(server));
    ping.send(&watch(1, "table"));
    pong.send(&watch(1, "table"));
    for round in 0..rounds {
        let (a, b) = (format!("ping {round}"), format!("pong {round}"));
        ping.send(&enter(3, "table", &a));
        see(&mut pong, &[&a]);
        pong.send(&enter(3, "table", &b));
        see(&mut ping, &[&a, &b]);
        ping.send(&withdraw(3, "table", &a));
        see(&mut pong, &[&b]);
        pong.send(&withdraw(3, "table", &b));
        see(&mut ping, &[]);
    }
}

#[test]
fn sleepers_are_woken() {
    ping_pong(&serve(Duration::ZERO), 2_000);
}

#[test]
fn those_who_poll_without_sleeping_hear_too() {
    ping_pong(&serve(Duration::from_micros(50)), 2_000);
}

#[test]
fn connections_go_to_the_reactor_with_the_fewest() {
    let server = serve(Duration::ZERO);
    let mut peers: Vec<Raw> = (0..20).map(|_| Raw::connect(&server)).collect();
    for peer in &mut peers {
        assert_eq!(peer.ask(&enter(1, "e", "c")).term().leader, "c");
    }
    assert_eq!(server.counters().connections, 20);
    drop(peers);
    until("all are gone", || server.counters().connections == 0);
    assert!(server.drain(raw::PATIENCE));
}
