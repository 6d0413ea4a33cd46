//! Whether a server still turns, for a watchdog.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crossbeam::channel::bounded;

use super::outbox::{Item, Outbox};
use super::{Server, Shared};
use crate::clock::Clock;

/// Feels whether a server's reactors turn. It keeps no server alive.
#[derive(Clone)]
pub struct Pulse(Weak<Shared>);

impl Server {
    /// For a watchdog, which may outlive the server.
    pub fn pulse(&self) -> Pulse {
        Pulse(Arc::downgrade(&self.shared))
    }
}

impl Pulse {
    /// True if every reactor comes to what it is told within this time. One that is stuck, and one that has
    /// ended, does not; but one that has drained is not asked.
    pub fn is_felt_within(&self, within: Duration) -> bool {
        let Some(shared) = self.0.upgrade() else { return false };
        let clock = shared.engine.clock().clone();
        let asked = shared.reactors.iter().filter(|it| !it.has_drained.load());
        let reactors: Vec<_> = asked.map(|it| Arc::downgrade(&it.outbox)).collect();
        // The server may end meanwhile, and its outboxes, with what nobody comes to any more.
        drop(shared);
        all_answer(&reactors, &clock, within)
    }
}

fn all_answer(reactors: &[Weak<Outbox>], clock: &Clock, within: Duration) -> bool {
    let until = clock.now() + within;
    let (felt, beats) = bounded(reactors.len());
    let outboxes = reactors.iter().filter_map(Weak::upgrade);
    outboxes.for_each(|it| it.push(Item::Beat(felt.clone())));
    drop(felt);
    reactors.iter().all(|_| beats.recv_timeout(until - clock.now()).is_ok())
}

impl fmt::Debug for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pulse")
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::engine::Engine;

    const A_MINUTE: Duration = Duration::from_secs(60);

    /// As a reactor of this server comes to it.
    fn come_to_it(outbox: &Outbox) -> bool {
        let Some(Item::Beat(felt)) = outbox.pop() else { return false };
        felt.try_send(()).is_ok()
    }

    #[test]
    fn a_server_has_a_pulse_until_it_ends() {
        let engine = Engine::builder().open().unwrap();
        let server = Server::builder(engine).listen("127.0.0.1:0").spawn().unwrap();
        let pulse = server.pulse();
        assert!(pulse.is_felt_within(A_MINUTE));
        drop(server);
        assert!(!pulse.is_felt_within(A_MINUTE));
    }

    #[test]
    fn who_has_drained_is_not_taken_for_stuck() {
        let engine = Engine::builder().open().unwrap();
        let server = Server::builder(engine).listen("127.0.0.1:0").spawn().unwrap();
        assert!(server.drain(A_MINUTE));
        assert!(server.pulse().is_felt_within(A_MINUTE));
    }

    /// Whoever asks learns at once that nobody comes to it any more.
    #[test]
    fn a_server_that_ends_is_not_waited_for() {
        let (outbox, clock) = (Arc::new(Outbox::new(|| {})), Clock::system());
        let reactors = [Arc::downgrade(&outbox)];
        let asked = clock.now();
        thread::scope(|scope| {
            let ends = outbox.clone();
            scope.spawn(move || {
                while ends.len() == 0 {
                    thread::yield_now();
                }
            });
            drop(outbox);
            assert!(!all_answer(&reactors, &clock, 2 * A_MINUTE));
        });
        assert!(clock.now() - asked < A_MINUTE);
    }

    /// None is felt while one of them is stuck, whatever the others do.
    #[test]
    fn all_reactors_have_to_turn() {
        let (one, other) = (Arc::new(Outbox::new(|| {})), Arc::new(Outbox::new(|| {})));
        let both = [Arc::downgrade(&one), Arc::downgrade(&other)];
        let clock = Clock::system();
        thread::scope(|scope| {
            scope.spawn(|| while !come_to_it(&one) {});
            assert!(!all_answer(&both, &clock, Duration::from_millis(20)));
        });
        assert!(!come_to_it(&other), "it was asked, and nobody waits any more");
        thread::scope(|scope| {
            scope.spawn(|| while !come_to_it(&one) {});
            scope.spawn(|| while !come_to_it(&other) {});
            assert!(all_answer(&both, &clock, A_MINUTE));
        });
    }
}
