//! Faults of a connection, made by a proxy of our own between the client and the server.

mod support;

use std::time::Duration;

use support::proxy::{Proxy, Way};
use support::{PATIENCE, Server, connect, eventually};
use tenure::client::{Address, Client};

/// Row C9: a connection may be cut after any byte of an Enter and of its reply. The change happens
/// whole or not at all, and its place ends with its connection.
#[test]
fn c9_cut_at_every_byte() {
    const BYTES: u64 = 100;
    let server = Server::start("");
    let proxy = Proxy::before(server.address());
    let address: Address = proxy.address().parse().unwrap();
    for way in [Way::ToServer, Way::ToClient] {
        for at in 0..BYTES {
            proxy.cut_after(way, at);
            let client = Client::connect(&address, PATIENCE).unwrap().with_timeout(PATIENCE);
            let reply = client.enter(&format!("{way:?}/{at:03}"), "cut");
            assert!(at > 10 || reply.is_err(), "{way:?} {at}: a reply to part of a frame");
        }
        proxy.spare(way);
    }
    let direct = server.client();
    let term = |way, at| direct.term(&format!("{way:?}/{at:03}")).unwrap();
    eventually("each reply that was cut had a change behind it", || {
        (0..BYTES).all(|at| term(Way::ToClient, at).number == 1)
    });
    eventually("from some byte on a request is whole and runs, before it none does", || {
        let ran: Vec<u64> = (0..BYTES).map(|at| term(Way::ToServer, at).number).collect();
        let none = ran.iter().take_while(|&&number| number == 0).count();
        (50..100).contains(&none) && ran[none..].iter().all(|&number| number == 1)
    });
    eventually("all places ended with their connections", || {
        let mut all = [Way::ToServer, Way::ToClient].into_iter();
        all.all(|way| (0..BYTES).all(|at| term(way, at).leader.is_none()))
    });
}

/// Row C9: slow both ways, every call has its answer.
#[test]
fn c9_delay() {
    let server = Server::start("");
    let proxy = Proxy::before(server.address());
    proxy.delay(Way::ToServer, Duration::from_millis(20));
    proxy.delay(Way::ToClient, Duration::from_millis(20));
    let client = connect(proxy.address());
    for n in 1..=5 {
        assert_eq!(client.enter("jobs", "slow").unwrap().number, n);
        assert_eq!(client.withdraw("jobs", "slow").unwrap().leader, None);
    }
}
