//! Signals that a command takes itself.

use std::ffi::c_int;

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use signal_hook::iterator::Signals;

/// Takes these signals from here on. To be called before there are other threads: while it registers, they
/// are held up on this one. A signal between the handler and what the handler looks up would do nothing,
/// neither end the process nor be told of.
pub(crate) fn listen(signals: &[c_int]) -> Result<Signals> {
    let all: SigSet = signals.iter().filter_map(|it| Signal::try_from(*it).ok()).collect();
    let before = all.thread_swap_mask(SigmaskHow::SIG_BLOCK);
    let listening = before.map_err(Into::into).and_then(|before| {
        let listening = Signals::new(signals);
        before.thread_set_mask()?;
        listening
    });
    listening.context("can't listen for signals")
}
