//! Bars on a log scale, as SVG: legible on light and on dark, in whatever font there is.

use std::fmt::Write;

use super::table::counts;
use crate::figures::{Figures, Question, Row};

const WIDTH: f64 = 860.0;
/// Where bars begin, and how far the longest goes.
const LEFT: f64 = 190.0;
const RIGHT: f64 = 760.0;
const BAR: f64 = 16.0;
const GAP: f64 = 5.0;
const TITLE: f64 = 34.0;
const AXIS: f64 = 26.0;

const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#24292f}.title{font-weight:600;font-size:13px}\
.axis{fill:#656d76;font-size:10px}.grid{stroke:#d0d7de}.ours{fill:#bf5700}.theirs{fill:#6e7f96}\
.bare{fill:#b6c0cc}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.axis{fill:#8d96a0}.grid{stroke:#30363d}\
.ours{fill:#ff9a4d}.theirs{fill:#7d8fa8}.bare{fill:#4b5563}}";

/// The rows that are drawn, where they were measured.
const DRAWN: [(Question, &str, &str); 9] = [
    (Question::Read, "64 x 1, two cores, in memory", "Reads a second, 64 connections"),
    (
        Question::Read,
        "64 x 16, two cores, in memory",
        "Reads a second, 64 connections x 16 in flight",
    ),
    (
        Question::Take,
        "take and release, two cores, in memory",
        "Take and release a second, in memory",
    ),
    (
        Question::Take,
        "take and release, two cores, kept on disk",
        "Take and release a second, on disk",
    ),
    (
        Question::Contend,
        "64 in one election, one core, in memory",
        "Handovers a second, 64 contend, in memory, one core",
    ),
    (
        Question::Contend,
        "64 in one election, two cores, kept on disk",
        "Handovers a second, 64 contend, on disk",
    ),
    (
        Question::Watch,
        "1000 watchers on their own connections, two cores, in memory",
        "One change to 1,000 watchers, until the last has it (less is better)",
    ),
    (
        Question::Fail,
        "SIGKILL of the leader to its successor's knowing, p50",
        "Leader killed, until its successor knows (less is better)",
    ),
    (
        Question::Memory,
        "resident bytes each, of 100000, in memory",
        "Bytes for each of 100,000 elections or keys (less is better)",
    ),
];

pub fn plot(figures: &Figures) -> String {
    let (mut body, mut y) = (String::new(), 10.0);
    for (question, name, title) in DRAWN {
        if let Some(row) = figures.of(question).find(|row| row.name == name) {
            y = panel(&mut body, y, title, row);
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" role=\"img\" \
         aria-label=\"Tenure beside its peers\">\n<style>{STYLE}</style>\n{body}</svg>\n"
    )
}

/// Draws one row, and says where the next one begins.
fn panel(out: &mut String, top: f64, title: &str, row: &Row) -> f64 {
    let bars: Vec<_> = row.medians().filter(|(_, value)| *value > 0.0).collect();
    let scale = Scale::of(bars.iter().map(|(_, value)| *value));
    let bottom = top + TITLE + bars.len() as f64 * (BAR + GAP);
    put(
        out,
        &format!("<text class=\"title\" x=\"10\" y=\"{:.1}\">{}</text>", top + 20.0, plain(title)),
    );
    for power in scale.low..=scale.high {
        let (x, value) = (scale.x(10f64.powi(power)), 10f64.powi(power));
        put(
            out,
            &format!(
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{bottom:.1}\"/>",
                top + TITLE - 4.0
            ),
        );
        put(
            out,
            &format!(
                "<text class=\"axis\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 12.0,
                plain(&row.unit.shown(value))
            ),
        );
    }
    for (number, (column, value)) in bars.iter().enumerate() {
        let y = top + TITLE + number as f64 * (BAR + GAP);
        bar(out, y, &scale, (row, column), *value);
    }
    bottom + AXIS
}

fn bar(out: &mut String, y: f64, scale: &Scale, (row, column): (&Row, &str), value: f64) {
    let class = match column {
        _ if column.starts_with("Tenure") => "ours",
        _ if counts(row, column) => "theirs",
        _ => "bare",
    };
    let (middle, end) = (y + BAR - 4.0, scale.x(value));
    put(
        out,
        &format!(
            "<text x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            plain(column)
        ),
    );
    put(
        out,
        &format!(
            "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>",
            end - LEFT
        ),
    );
    let shown = plain(&row.unit.shown(value));
    put(out, &format!("<text x=\"{:.1}\" y=\"{middle:.1}\">{shown}</text>", end + 6.0));
}

fn put(out: &mut String, element: &str) {
    // A string takes whatever is written to it.
    let _written = writeln!(out, "{element}");
}

fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// Whole powers of ten, from below the least value up to the greatest.
struct Scale {
    low: i32,
    high: i32,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let logs: Vec<f64> = values.map(f64::log10).collect();
        let least = logs.iter().copied().fold(f64::INFINITY, f64::min);
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // The least one keeps a bar that can be seen.
        let low = (least - 0.15).floor() as i32;
        Self { low, high: (most.ceil() as i32).max(low + 1) }
    }

    fn x(&self, value: f64) -> f64 {
        let part = (value.log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        LEFT + part * (RIGHT - LEFT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Unit;

    #[test]
    fn decades_hold_all_values() {
        let scale = Scale::of([200.0, 50_000.0].into_iter());
        assert_eq!((scale.low, scale.high), (2, 5));
        assert_eq!(scale.x(100.0), LEFT);
        assert_eq!(scale.x(100_000.0), RIGHT);
        assert!((scale.x(1_000.0) - (LEFT + 190.0)).abs() < 1e-9);
    }

    #[test]
    fn one_value_still_has_a_scale() {
        let scale = Scale::of([1_000.0].into_iter());
        assert!(scale.x(1_000.0) > LEFT && scale.x(1_000.0) <= RIGHT);
    }

    #[test]
    fn a_bar_for_each_system_and_nothing_for_what_was_not_asked() {
        let mut figures = Figures::default();
        let (question, name, _) = DRAWN[0];
        figures.add((question, name, Unit::PerSecond), "Tenure", 1e6);
        figures.add((question, name, Unit::PerSecond), "etcd, serializable", 1e4);
        let svg = plot(&figures);
        assert_eq!(svg.matches("<rect").count(), 2);
        assert_eq!(svg.matches("class=\"title\"").count(), 1);
        assert!(svg.contains("1.00 M") && svg.ends_with("</svg>\n"));
    }
}
