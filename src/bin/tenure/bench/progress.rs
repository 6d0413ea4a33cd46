//! How far a load is, on a terminal and nowhere else.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam::atomic::AtomicCell;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tenure::{Clock, Moment};

use crate::args::bench::Until;

const LOOK: Duration = Duration::from_millis(100);

/// A bar that follows a count, until dropped.
pub(super) struct Progress {
    done: Arc<AtomicCell<u64>>,
    is_over: Arc<AtomicCell<bool>>,
    bar: ProgressBar,
}

impl Progress {
    /// `whole` is how much there is of `unit`; nobody knows beforehand what fits into a time.
    pub(super) fn start(until: Until, unit: &str) -> Self {
        let (bar, time) = match until {
            Until::Done(count) => (ProgressBar::new(count), None),
            Until::Over(time) => (ProgressBar::new(time.as_millis() as u64), Some(time)),
        };
        // Draws nothing where standard error is no terminal.
        bar.set_draw_target(ProgressDrawTarget::stderr());
        let position = if time.is_some() { "" } else { "{human_pos}/{human_len} " };
        let template = format!("{{wide_bar}} {position}{unit} {{elapsed}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        let progress = Self { done: Arc::default(), is_over: Arc::default(), bar };
        if !progress.bar.is_hidden() {
            progress.follow(time.is_some());
        }
        progress
    }

    fn follow(&self, by_time: bool) {
        let (done, is_over, bar) = (self.done.clone(), self.is_over.clone(), self.bar.clone());
        thread::spawn(move || {
            let clock = Clock::system();
            let began: Moment = clock.now();
            while !is_over.load() {
                let now = (clock.now() - began).as_millis() as u64;
                bar.set_position(if by_time { now } else { done.load() });
                thread::sleep(LOOK);
            }
        });
    }

    /// What is added to as things are done.
    pub(super) fn count(&self) -> &AtomicCell<u64> {
        &self.done
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.is_over.store(true);
        self.bar.finish_and_clear();
    }
}
