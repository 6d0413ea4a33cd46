//! What was measured: rows of a question, columns of systems, one value a round.

use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Question {
    /// Who leads?
    Read,
    /// Take the lead and release it.
    Take,
    /// Many want to lead.
    Contend,
    /// One change, many watchers.
    Watch,
    /// The leader dies.
    Fail,
    /// What an election takes.
    Memory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    PerSecond,
    Micros,
    Millis,
    Bytes,
}

impl Unit {
    pub fn more_is_better(self) -> bool {
        self == Unit::PerSecond
    }

    pub fn shown(self, value: f64) -> String {
        match self {
            Unit::PerSecond if value >= 1e6 => format!("{:.2} M", value / 1e6),
            Unit::PerSecond if value >= 1e5 => format!("{:.0} k", value / 1e3),
            Unit::PerSecond if value >= 1e3 => format!("{:.1} k", value / 1e3),
            Unit::Micros if value < 10.0 => format!("{value:.1} us"),
            Unit::Micros if value < 1e4 => format!("{value:.0} us"),
            Unit::Micros => format!("{:.1} ms", value / 1e3),
            Unit::Millis if value < 10.0 => format!("{value:.2} ms"),
            Unit::Millis if value < 1e3 => format!("{value:.0} ms"),
            Unit::Millis => format!("{:.2} s", value / 1e3),
            Unit::PerSecond | Unit::Bytes => format!("{value:.0}"),
        }
    }
}

#[derive(Debug)]
pub struct Row {
    pub question: Question,
    pub name: String,
    pub unit: Unit,
    cells: Vec<(&'static str, Vec<f64>)>,
}

impl Row {
    /// The columns that have a value, with the median of theirs.
    pub fn medians(&self) -> impl Iterator<Item = (&'static str, f64)> {
        self.cells.iter().map(|(column, values)| (*column, median(values)))
    }

    /// All values of a column, in the order of the rounds.
    pub fn rounds(&self, column: &str) -> Option<&[f64]> {
        self.cells.iter().find(|(name, _)| *name == column).map(|(_, values)| &values[..])
    }

    pub fn median(&self, column: &str) -> Option<f64> {
        self.rounds(column).map(median)
    }
}

#[derive(Debug, Default)]
pub struct Figures {
    pub rows: Vec<Row>,
    /// What could not be measured, and why.
    pub failures: Vec<String>,
}

impl Figures {
    pub fn add(&mut self, row: (Question, &str, Unit), column: &'static str, value: f64) {
        let (question, name, unit) = row;
        let is_it = |row: &Row| row.question == question && row.name == name;
        let at = self.rows.iter().position(is_it).unwrap_or_else(|| {
            self.rows.push(Row { question, name: name.to_owned(), unit, cells: Vec::new() });
            self.rows.len() - 1
        });
        let cells = &mut self.rows[at].cells;
        match cells.iter_mut().find(|(name, _)| *name == column) {
            Some((_, values)) => values.push(value),
            None => cells.push((column, vec![value])),
        }
    }

    pub fn of(&self, question: Question) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.question == question)
    }
}

/// The upper one of the two in the middle, where there are two.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_collects_rounds() {
        let mut figures = Figures::default();
        for value in [3.0, 1.0, 2.0] {
            figures.add((Question::Read, "1 x 1", Unit::PerSecond), "Tenure", value);
        }
        assert_eq!(figures.rows.len(), 1);
        assert_eq!(figures.rows[0].median("Tenure"), Some(2.0));
        assert_eq!(figures.rows[0].median("Redis"), None);
        assert_eq!(figures.of(Question::Take).count(), 0);
    }

    #[test]
    fn values_for_people() {
        let shown = |value| Unit::PerSecond.shown(value);
        assert_eq!(
            [12.3, 1_234.0, 123_456.0, 1_234_567.0].map(shown),
            ["12", "1.2 k", "123 k", "1.23 M"]
        );
        assert_eq!(Unit::Micros.shown(6.123), "6.1 us");
        assert_eq!(Unit::Micros.shown(21_700.0), "21.7 ms");
        assert_eq!(Unit::Millis.shown(1_970.0), "1.97 s");
    }
}
