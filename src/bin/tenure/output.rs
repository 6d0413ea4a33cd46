//! States of elections in words, or as one JSON object a line.

use std::io::{self, Write};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde_json::json;
use tenure::client::{Candidate, ElectionState};

use crate::args::Format;

/// Prints one state of an election; as [`line`].
pub(crate) fn state(format: Format, election: &str, state: &ElectionState) -> io::Result<bool> {
    line(&match format {
        Format::Text => in_words(election, state),
        Format::Json => json!({
            "election": election,
            "term": state.term,
            "leader": state.leader.as_ref().map(|leader| &leader.name),
            "candidates": names(&state.candidates).collect::<Vec<_>>(),
        })
        .to_string(),
    })
}

/// Prints one line and flushes, so that a pipe sees it at once. False if whoever read has left, which is no
/// failure: they have seen enough.
pub(crate) fn line(line: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        done => done.map(|()| true),
    }
}

/// Calls `then` once whoever read standard output has left. Who only writes now and then would not
/// notice for long.
pub(crate) fn when_nobody_reads(then: impl FnOnce() + Send + 'static) {
    thread::spawn(move || {
        let out = io::stdout();
        loop {
            // No event is asked for: a hang-up is told of all the same.
            let mut polled = [PollFd::new(&out, PollFlags::empty())];
            match poll(&mut polled, None) {
                Err(Errno::INTR) => continue,
                Ok(_) if polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) => break,
                // It can't be polled; then the next line tells.
                _ => return,
            }
        }
        then();
    });
}

fn names(candidates: &[Candidate]) -> impl Iterator<Item = &str> {
    candidates.iter().map(|it| it.name.as_str())
}

fn in_words(election: &str, state: &ElectionState) -> String {
    let leader = match &state.leader {
        Some(leader) => format!("{} leads", leader.name),
        None => "nobody leads".to_owned(),
    };
    let waiting = match names(&state.candidates).collect::<Vec<_>>().as_slice() {
        [] => String::new(),
        waiting => format!(", waiting: {}", waiting.join(", ")),
    };
    format!("{election}: term {}, {leader}{waiting}", state.term)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_people() {
        let candidate = |name: &str| {
            let mut candidate = Candidate::default();
            candidate.name = name.into();
            candidate
        };
        let mut state = ElectionState::default();
        assert_eq!(in_words("jobs", &state), "jobs: term 0, nobody leads");
        state.term = 3;
        state.leader = Some(candidate("a"));
        state.candidates = vec![candidate("b"), candidate("c")];
        assert_eq!(in_words("jobs", &state), "jobs: term 3, a leads, waiting: b, c");
    }
}
