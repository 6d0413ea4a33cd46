//! What the transports counted: requests, connections, bytes, watches, limits.

use super::page::{Page, SECONDS};
use crate::meter::Count;
use crate::server::Shared;
use crate::server::book::{Answered, Book, CODES};
use crate::server::requests::{Lane, Transport};
use crate::server::sniff::Protocol;
use crate::service::Method;

const TTRPC: &str = "ttrpc";

impl Shared {
    pub(super) fn show_requests(&self, page: &mut Page) {
        let all = self.answered();
        let mut family = page.counter(
            "tenure_requests_total",
            "Requests that were answered and streams that ended, by gRPC's code.",
        );
        for (transport, answered) in &all {
            for (method, service, name) in Method::all() {
                for (code, &count) in CODES.iter().zip(&answered.codes[method.number()]) {
                    if count > 0 {
                        let labels = labels(transport, service, name);
                        let labels = [labels[0], labels[1], labels[2], ("code", code)];
                        family.put(&labels, count as f64);
                    }
                }
            }
        }
        let mut family = page.histogram(
            "tenure_request_duration_seconds",
            "Time from reading a request to having its answer ready; without streams.",
        );
        for (transport, answered) in &all {
            for (method, service, name) in Method::all() {
                let times = &answered.times[method.number()];
                if times.count() > 0 {
                    family.put_all(&labels(transport, service, name), times, SECONDS);
                }
            }
        }
    }

    /// By transport.
    fn answered(&self) -> Vec<(&'static str, Answered)> {
        let mut ttrpc = Answered::default();
        self.books().for_each(|book| ttrpc.add(&book.grid));
        let mut all = vec![(TTRPC, ttrpc)];
        for transport in Transport::ALL {
            let mut sums = Answered::default();
            let grids = self.requests.lanes(transport).filter_map(|lane| lane.grid.get());
            grids.for_each(|grid| sums.add(grid));
            all.push((transport.label(), sums));
        }
        all
    }

    pub(super) fn show_connections(&self, page: &mut Page) {
        let counters = self.counters();
        page.gauge("tenure_connections", "Connections that are open.")
            .put(&[], counters.connections as f64);
        let mut family = page.counter(
            "tenure_connections_opened_total",
            "Connections by what their first bytes said they speak.",
        );
        for (at, protocol) in Protocol::ALL.into_iter().enumerate() {
            let count: u64 = self.books().map(|book| book.met[at].read()).sum();
            family.put(&[("protocol", spoken(protocol))], count as f64);
        }
        page.counter(
            "tenure_connections_refused_total",
            "Connections refused at the limit, or for want of descriptors.",
        )
        .put(&[], counters.refused as f64);
        let mut family =
            page.counter("tenure_connections_closed_total", "Connections that ended, by reason.");
        for (reason, count) in self.tallies.endings() {
            family.put(&[("reason", reason)], count as f64);
        }
        self.show_flow(page);
        self.show_limits(page);
    }

    fn show_flow(&self, page: &mut Page) {
        type Of<T> = fn(&T) -> &Count;
        let families: [(&str, &str, Of<Book>, Of<Lane>); 4] = [
            (
                "tenure_received_bytes_total",
                "Bytes read from connections.",
                |book| &book.bytes_read,
                |lane| &lane.bytes_read,
            ),
            (
                "tenure_sent_bytes_total",
                "Bytes written to connections.",
                |book| &book.bytes_written,
                |lane| &lane.bytes_written,
            ),
            (
                "tenure_watch_events_total",
                "States and other messages sent to watches and streams.",
                |book| &book.events,
                |lane| &lane.events,
            ),
            (
                "tenure_watch_events_merged_total",
                "States that slow watches skipped for a newer one.",
                |book| &book.merged,
                |lane| &lane.merged,
            ),
        ];
        for (name, help, of_book, of_lane) in families {
            let mut family = page.counter(name, help);
            let count: u64 = self.books().map(|book| of_book(book).read()).sum();
            family.put(&[("transport", TTRPC)], count as f64);
            for transport in Transport::ALL {
                let lanes = self.requests.lanes(transport);
                let count: u64 = lanes.map(|lane| of_lane(lane).read()).sum();
                family.put(&[("transport", transport.label())], count as f64);
            }
        }
    }

    fn show_limits(&self, page: &mut Page) {
        let mut family = page.counter(
            "tenure_limits_reached_total",
            "How often something was refused because a limit was reached.",
        );
        let rest = [&self.tallies.limit_hits, &self.requests.limit_hits];
        let rest = rest.into_iter().chain(self.books().map(|book| &book.limit_hits));
        let mut hits: Vec<_> = self.engine.limit_hits().read().collect();
        for more in rest {
            hits.iter_mut().zip(more.read()).for_each(|(sum, (_, more))| sum.1 += more);
        }
        for (limit, count) in hits {
            family.put(&[("limit", limit)], count as f64);
        }
    }
}

fn labels<'a>(
    transport: &'a str,
    service: &'a str,
    method: &'a str,
) -> [(&'static str, &'a str); 3] {
    [("transport", transport), ("service", service), ("method", method)]
}

fn spoken(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Ttrpc => TTRPC,
        Protocol::Http2 => "grpc",
        Protocol::Http1 => "http",
        Protocol::Tls => "tls",
        Protocol::Unknown => "unknown",
    }
}
