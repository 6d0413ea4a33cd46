//! What a service manager is told: systemd, or another that speaks its protocol (`sd_notify(3)`).

use std::thread;
use std::time::Duration;

use sd_notify::NotifyState::{self, Ready, Reloading, Status, Stopping, Watchdog};
use tenure::{Pulse, Server};

/// Bound, recovered, serving.
pub(crate) fn ready(server: &Server) {
    let status = format!("listens on {}", server.addresses().join(", "));
    tell(&[Ready, Status(&status)]);
}

pub(crate) fn stopping() {
    tell(&[Stopping, Status("draining")]);
}

/// While `reload` runs, it is being reloaded.
pub(crate) fn reloading(reload: impl FnOnce()) {
    // Without the time, a manager of `Type=notify-reload` would take it for a failure.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager can't be told of a reload"),
    }
    reload();
    tell(&[Ready]);
}

/// Where the service manager waits for a sign of life, gives it one for as long as all reactors turn. A
/// server that is stuck gives none, and is ended and started anew.
pub(crate) fn keep_alive(server: &Server) {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else {
        return;
    };
    let pulse = server.pulse();
    let beat = thread::Builder::new().name("tenure-watchdog".into());
    // Without it the manager would end a server that works.
    if let Err(error) = beat.spawn(move || beat_until_stuck(&pulse, limit / 4)) {
        tracing::error!(%error, "no thread for the watchdog");
    }
}

/// Twice within the limit also where one beat takes as long as it may.
fn beat_until_stuck(pulse: &Pulse, pause: Duration) {
    loop {
        if pulse.is_felt_within(pause) {
            tell(&[Watchdog]);
        } else {
            tracing::error!("a reactor does not turn; the watchdog is not told of life");
        }
        thread::sleep(pause);
    }
}

/// Without a service manager, nobody is told.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager can't be told");
    }
}
