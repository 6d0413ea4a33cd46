//! Several reactors beside each other: nothing is lost between them.
#![cfg(feature = "server")]

mod raw;

use std::num::NonZeroUsize;
use std::time::Duration;

use raw::{Raw, enter, until, watch, withdraw};
use tenure::{Engine, Server, ServerBuilder};

const HOUR: Duration = Duration::from_secs(3_600);

fn serve(set: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Server {
    let engine = Engine::builder().open().unwrap();
    let builder = Server::builder(engine).listen("127.0.0.1:0");
    set(builder.reactors(NonZeroUsize::new(2).unwrap())).spawn().unwrap()
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
    ping_pong(&serve(|it| it.adaptive_poll(Duration::ZERO)), 2_000);
}

#[test]
fn those_who_poll_without_sleeping_hear_too() {
    ping_pong(&serve(|it| it.busy_poll(Duration::from_micros(50))), 2_000);
}

/// With the default, and with a limit that is never reached.
#[test]
fn those_who_look_for_what_follows_a_change_hear_too() {
    ping_pong(&serve(|it| it), 2_000);
    ping_pong(&serve(|it| it.adaptive_poll(HOUR)), 2_000);
}

/// Whoever looks without sleeping still minds what is due, and the server's end.
#[test]
fn who_looks_for_long_minds_the_time() {
    let second = Duration::from_secs(1);
    let server = serve(|it| it.adaptive_poll(HOUR).frame_time(second));
    let mut slow = Raw::connect(&server);
    for round in 0..20 {
        slow.ask(&enter(4 * round + 1, "table", "slow"));
        slow.ask(&withdraw(4 * round + 3, "table", "slow"));
    }
    // The last that happens is a change, and behind it half a frame.
    let (whole, half) = (enter(101, "table", "slow"), enter(103, "table", "slow"));
    slow.send(&[&whole[..], &half[..half.len() / 2]].concat());
    until("the slow frame is given up", || server.counters().slow_frames == 1);
    assert!(server.drain(raw::PATIENCE));
}

#[test]
fn connections_go_to_the_reactor_with_the_fewest() {
    let server = serve(|it| it);
    let mut peers: Vec<Raw> = (0..20).map(|_| Raw::connect(&server)).collect();
    for peer in &mut peers {
        assert_eq!(peer.ask(&enter(1, "e", "c")).term().leader, "c");
    }
    assert_eq!(server.counters().connections, 20);
    drop(peers);
    until("all are gone", || server.counters().connections == 0);
    assert!(server.drain(raw::PATIENCE));
}
