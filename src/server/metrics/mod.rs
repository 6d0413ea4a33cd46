//! The counters as Prometheus reads them, put together when somebody asks. Nothing that counts knows of it.

mod elections;
mod engine;
mod page;
mod served;

use std::fmt;
use std::sync::Arc;

use self::page::Page;
use super::Shared;
use crate::clock::{Clock, Moment};

/// What a server shows beside its counters.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    /// Globs for the names of elections that are shown one by one.
    pub(super) elections: Vec<String>,
    pub(super) log_lines_dropped: Option<DroppedLines>,
}

/// Tells how many log lines were dropped.
#[derive(Clone)]
pub(super) struct DroppedLines(pub(super) Arc<dyn Fn() -> u64 + Send + Sync>);

impl fmt::Debug for DroppedLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DroppedLines")
    }
}

/// When the server was started.
pub(super) struct Start {
    moment: Moment,
    unix_micros: u64,
}

impl Start {
    pub(super) fn now(clock: &Clock) -> Self {
        Self { moment: clock.now(), unix_micros: clock.wall_micros() }
    }
}

impl Shared {
    /// The whole page.
    pub(super) fn metrics(&self) -> String {
        let mut page = Page::default();
        self.show_server(&mut page);
        self.show_requests(&mut page);
        self.show_connections(&mut page);
        engine::show(&mut page, &self.engine);
        elections::show(&mut page, &self.engine, &self.shown.elections);
        page.text()
    }

    fn show_server(&self, page: &mut Page) {
        let version = env!("CARGO_PKG_VERSION");
        page.gauge("tenure_build_info", "The version of the server, as a label.")
            .put(&[("version", version)], 1.0);
        let durable = if self.engine.is_durable() { "true" } else { "false" };
        let labels = [
            ("server_id", self.engine.server_id()),
            ("incarnation", self.engine.incarnation()),
            ("durable", durable),
        ];
        page.gauge("tenure_server_info", "Which server this is, as labels.").put(&labels, 1.0);
        page.gauge("tenure_start_time_seconds", "When the server started, since the Unix epoch.")
            .put(&[], self.start.unix_micros as f64 / 1e6);
        let uptime = self.engine.clock().now() - self.start.moment;
        page.gauge("tenure_uptime_seconds", "Time since the server started, sleep included.")
            .put(&[], uptime.as_secs_f64());
        let is_ready = !self.draining.load() && self.engine.check_storage().is_ok();
        page.gauge(
            "tenure_ready",
            "1 if the server takes and keeps all that may be asked, else 0.",
        )
        .put(&[], f64::from(u8::from(is_ready)));
        if let Some(DroppedLines(count)) = &self.shown.log_lines_dropped {
            page.counter("tenure_log_lines_dropped_total", "Log lines that found no room.")
                .put(&[], count() as f64);
        }
    }
}
