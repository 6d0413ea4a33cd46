//! Terms in words, or as one JSON object a line.

use std::io::{self, Write};

use serde_json::json;
use tenure::client::TermView;

use crate::args::Format;

/// Prints one state of an election and flushes, so that a pipe sees it at once.
pub(crate) fn term(format: Format, election: &str, term: &TermView) -> io::Result<()> {
    let line = match format {
        Format::Text => in_words(election, term),
        Format::Json => json!({
            "election": election,
            "term": term.number,
            "leader": term.leader,
            "candidates": term.candidates,
        })
        .to_string(),
    };
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn in_words(election: &str, term: &TermView) -> String {
    let leader = match &term.leader {
        Some(leader) => format!("{leader} leads"),
        None => "nobody leads".to_owned(),
    };
    let waiting = match term.candidates.as_slice() {
        [] => String::new(),
        waiting => format!(", waiting: {}", waiting.join(", ")),
    };
    format!("{election}: term {}, {leader}{waiting}", term.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_people() {
        let mut term = TermView::default();
        assert_eq!(in_words("jobs", &term), "jobs: term 0, nobody leads");
        term.number = 3;
        term.leader = Some("a".into());
        term.candidates = vec!["b".into(), "c".into()];
        assert_eq!(in_words("jobs", &term), "jobs: term 3, a leads, waiting: b, c");
    }
}
