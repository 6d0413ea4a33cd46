//! The outcome in words, as one JSON object, or as a line of values.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::machine::Machine;
use super::proto::code_name;
use super::tally::{Tally, Times};
use super::target::Server;
use crate::args::bench::Shape;

/// What was asked for.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) workload: &'static str,
    /// What is counted.
    pub(super) unit: &'static str,
    pub(super) connections: usize,
    /// On each connection; 1 where the workload itself says what follows what.
    pub(super) in_flight: usize,
    pub(super) threads: usize,
    /// A second, where there is a schedule.
    pub(super) rate: Option<u32>,
    /// The sessions' kind.
    pub(super) policy: &'static str,
    /// What else was asked for.
    pub(super) more: Vec<(&'static str, String)>,
}

pub(super) struct Report<'a> {
    pub(super) plan: &'a Plan,
    pub(super) tally: &'a Tally,
    /// Nothing where each time stands for itself, such as a failover's.
    pub(super) corrected: Option<Times>,
    pub(super) server: &'a Server,
    pub(super) machine: Machine,
    pub(super) command: String,
}

const PERCENTS: [(&str, f64); 4] = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99_9", 99.9)];

impl Report<'_> {
    pub(super) fn shaped(&self, shape: Shape) -> String {
        match shape {
            Shape::Text => self.in_words(),
            Shape::Json => self.in_json().to_string(),
            Shape::Csv => self.in_csv(),
        }
    }

    fn kind_of_loop(&self) -> &'static str {
        if self.plan.rate.is_some() { "open" } else { "closed" }
    }

    fn in_words(&self) -> String {
        let (plan, tally) = (self.plan, self.tally);
        let mut lines = vec![format!("{}: {}", plan.workload, self.plan_in_words())];
        lines.push(format!("  {} {}{}", grouped(tally.done), plan.unit, self.rate_in_words()));
        if tally.answered > tally.done {
            let rate = grouped(tally.rate(tally.answered).round() as u64);
            lines.push(format!("  {} requests: {rate} a second", grouped(tally.answered)));
        }
        lines.push(format!("  {:<10}{}", "us", titles()));
        lines.push(format!("  {:<10}{}", "measured", row(&tally.taken)));
        if let Some(corrected) = &self.corrected {
            lines.push(format!("  {:<10}{}", "corrected", row(corrected)));
        }
        lines.push(format!("  failed: {}", self.failures()));
        lines.push(format!(
            "  server: tenure {} at {}, {}; sessions: {}",
            self.server.version,
            self.server.address,
            self.server.mode(),
            plan.policy
        ));
        let Machine { cores, kernel, processor } = &self.machine;
        let same = if self.server.is_own { ", client and server alike" } else { "" };
        lines.push(format!("  machine: {processor}, {cores} cores, {kernel}{same}"));
        lines.push(format!("  again: {}", self.command));
        lines.join("\n")
    }

    /// Nothing where most of the time goes into setting the next one up.
    fn rate_in_words(&self) -> String {
        if self.corrected.is_none() {
            return String::new();
        }
        let rate = grouped(self.tally.rate(self.tally.done).round() as u64);
        format!(" in {:.2} s: {rate} a second", self.tally.time().as_secs_f64())
    }

    fn plan_in_words(&self) -> String {
        let plan = self.plan;
        let mut words = vec![
            format!("{} connections x {} in flight", plan.connections, plan.in_flight),
            match plan.rate {
                Some(rate) => format!("open loop, {} a second", grouped(rate.into())),
                None => "closed loop".to_owned(),
            },
            format!("threads: {}", plan.threads),
        ];
        words.extend(plan.more.iter().map(|(name, value)| format!("{name}: {value}")));
        words.join(", ")
    }

    fn failures(&self) -> String {
        let tally = self.tally;
        if !tally.has_failed() {
            return "nothing".to_owned();
        }
        let refused = tally.refused.iter().map(|(&code, &count)| (count, code_name(code)));
        let others = [
            (tally.lost_connections, "connections lost"),
            (tally.lost_requests, "requests lost with them"),
            (tally.overdue, "not answered in time"),
            (tally.not_begun, "not begun, for nobody was left"),
        ];
        let counts = refused.chain(others).filter(|(count, _)| *count > 0);
        let mut words: Vec<_> =
            counts.map(|(count, what)| format!("{} {what}", grouped(count))).collect();
        if let Some(sentence) = &tally.first_refusal {
            words.push(format!("the first refusal: {sentence}"));
        }
        words.join("; ")
    }

    fn in_json(&self) -> Value {
        let (plan, tally) = (self.plan, self.tally);
        let named = tally.refused.iter().map(|(&code, &n)| (code_name(code).to_owned(), n.into()));
        let settings = plan.more.iter().map(|(name, value)| ((*name).to_owned(), value[..].into()));
        json!({
            "workload": plan.workload, "loop": self.kind_of_loop(), "unit": plan.unit,
            "connections": plan.connections, "in_flight": plan.in_flight,
            "threads": plan.threads, "rate": plan.rate, "settings": settings.collect::<Map<_, _>>(),
            "done": tally.done, "answered": tally.answered, "failed": tally.failed(),
            "refused": named.collect::<Map<_, _>>(), "first_refusal": tally.first_refusal,
            "lost_connections": tally.lost_connections, "lost_requests": tally.lost_requests,
            "overdue": tally.overdue, "not_begun": tally.not_begun,
            "seconds": tally.time().as_secs_f64(), "per_second": tally.rate(tally.done),
            "answers_per_second": tally.rate(tally.answered),
            "measured_us": in_json(&tally.taken), "corrected_us": self.corrected.as_ref().map(in_json),
            "server": {
                "address": self.server.address.to_string(), "version": self.server.version,
                "durable": self.server.is_durable, "spawned": self.server.is_own,
            },
            "sessions": plan.policy,
            "machine": {
                "cores": self.machine.cores, "kernel": self.machine.kernel,
                "processor": self.machine.processor,
            },
            "command": self.command,
        })
    }

    fn in_csv(&self) -> String {
        let (mut names, mut values) = (Vec::new(), Vec::new());
        flatten("", &self.in_json(), &mut |name, value| {
            names.push(name);
            values.push(value);
        });
        format!("{}\n{}", names.join(","), values.join(","))
    }
}

/// One column for each value but those whose names depend on what happened: these share one.
fn flatten(name: &str, value: &Value, put: &mut dyn FnMut(String, String)) {
    match value {
        Value::Object(fields) if matches!(name, "refused" | "settings") => {
            let pairs = fields.iter().map(|(key, value)| format!("{key}={}", plain(value)));
            put(name.to_owned(), cell(&pairs.collect::<Vec<_>>().join(";")));
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                let below = if name.is_empty() { key.clone() } else { format!("{name}_{key}") };
                flatten(&below, value, put);
            }
        }
        // As many columns, whatever the workload.
        Value::Null if name == "corrected_us" => {
            flatten(name, &in_json(&Times::new()), &mut |name, _| put(name, String::new()));
        }
        value => put(name.to_owned(), cell(&plain(value))),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn cell(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

fn in_json(times: &Times) -> Value {
    let percents = PERCENTS.map(|(name, percent)| (name, times.percentile(percent)));
    let all = [("min", times.shortest())].into_iter().chain(percents);
    let all = all.chain([("max", times.longest())]);
    all.map(|(name, time)| (name.to_owned(), micros(time).into())).collect::<Map<_, _>>().into()
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}

fn titles() -> String {
    let names = PERCENTS.map(|(name, _)| name);
    names.iter().chain(&["max"]).map(|name| format!("{:>12}", name.replace('_', "."))).collect()
}

fn row(times: &Times) -> String {
    let percents = PERCENTS.map(|(_, percent)| times.percentile(percent));
    let all = percents.into_iter().chain([times.longest()]);
    all.map(|time| format!("{:>12.1}", micros(time))).collect()
}

/// 1,234,567
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_value_with_a_comma_stays_one() {
        let mut cells = Vec::new();
        let value = json!({"a": "x, \"y\"", "refused": {"UNKNOWN": 1, "INTERNAL": 2}, "c": null});
        flatten("", &value, &mut |name, value| cells.push((name, value)));
        let shown: Vec<_> = cells.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(shown, [("a", r#""x, ""y""""#), ("refused", "UNKNOWN=1;INTERNAL=2"), ("c", "")]);
    }
}
