//! What came of it, for people: tables, bounds and a plot.

mod plot;
mod table;
mod verdict;

use std::path::Path;

use anyhow::{Context, Result};

pub use plot::plot;
pub use table::table;

use crate::fleet::System;

/// Where, when and of whom the figures are.
pub struct Told {
    pub facts: Vec<(&'static str, String)>,
    pub versions: Vec<(System, String)>,
    pub command: String,
    pub rounds: usize,
}

const BEGIN: &str = "<!-- peers:begin -->";
const END: &str = "<!-- peers:end -->";

/// Puts the tables between their marks, and the plot beside them.
pub fn write(root: &Path, table: &str, plot: &str) -> Result<()> {
    let page = root.join("docs/performance.md");
    let text = std::fs::read_to_string(&page)?;
    std::fs::write(&page, between_marks(&text, table)?)?;
    std::fs::write(root.join("docs/peers.svg"), plot)?;
    Ok(())
}

fn between_marks(text: &str, table: &str) -> Result<String> {
    let (before, rest) = text.split_once(BEGIN).context("the page has no place for it")?;
    let (_, after) = rest.split_once(END).context("the page's place for it has no end")?;
    Ok(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_the_marks_is_replaced() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let once = between_marks(&page, "new\n").unwrap();
        assert_eq!(once, format!("a\n{BEGIN}\n\nnew\n\n{END}\nb\n"));
        assert_eq!(between_marks(&once, "new\n").unwrap(), once);
        assert!(between_marks("no marks", "new").is_err());
    }
}
