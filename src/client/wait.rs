//! Waiting for a future on this thread, without a runtime.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::clock::{Clock, Moment};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs `future` to its end on this thread.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let value = block(future, || {
        thread::park();
        true
    });
    value.expect("it goes on to the end")
}

/// As [`block_on`], for as long as `goes_on` says so, which is asked between two looks at most `look`
/// apart.
pub(super) fn block_while<T>(
    future: impl Future<Output = T>,
    look: Duration,
    mut goes_on: impl FnMut() -> bool,
) -> Option<T> {
    block(future, || {
        let goes_on = goes_on();
        if goes_on {
            thread::park_timeout(look);
        }
        goes_on
    })
}

/// As [`block_on`], until `end`.
pub(super) fn block_until<T>(
    future: impl Future<Output = T>,
    clock: &Clock,
    end: Moment,
) -> Option<T> {
    block(future, || {
        let left = end - clock.now();
        thread::park_timeout(left);
        !left.is_zero()
    })
}

/// Looks again after each `rest`, for as long as that says so.
fn block<T>(future: impl Future<Output = T>, mut rest: impl FnMut() -> bool) -> Option<T> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        if !rest() {
            return None;
        }
    }
}
