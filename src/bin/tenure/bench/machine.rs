//! What it ran on, and how to run it again: no figure means anything without.

use std::fs;
use std::thread;

/// The machine, in words of its own.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) kernel: String,
    pub(super) processor: String,
}

impl Machine {
    pub(super) fn here() -> Self {
        let system = rustix::system::uname();
        let (name, release) = (system.sysname(), system.release());
        Self {
            cores: thread::available_parallelism().map_or(1, usize::from),
            kernel: format!("{} {}", name.to_string_lossy(), release.to_string_lossy()),
            processor: processor().unwrap_or_else(|| system.machine().to_string_lossy().into()),
        }
    }
}

/// Linux tells the model.
fn processor() -> Option<String> {
    let told = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = told.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// This process's command line, fit to be pasted into a shell.
pub(super) fn command() -> String {
    let words = std::env::args_os().skip(1);
    let quoted = words.map(|word| quote(&word.to_string_lossy()));
    std::iter::once("tenure".to_owned()).chain(quoted).collect::<Vec<_>>().join(" ")
}

fn quote(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_a_shell() {
        assert_eq!(quote("--rate=5"), "--rate=5");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
    }
}
