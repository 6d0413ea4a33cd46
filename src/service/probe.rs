//! A service for the tests of a transport: each call comes to what its test has laid out.

use std::cell::RefCell;
use std::collections::VecDeque;

use super::{Answer, Call, ReplyTo};
use crate::error::Error;

pub(crate) const SERVICE: &str = "test.Probe";

type Handler = Box<dyn FnOnce(Call<'_>, ReplyTo<'_>) -> Result<Answer<'static>, Error>>;

thread_local! {
    static HANDLERS: RefCell<VecDeque<Handler>> = RefCell::default();
}

/// The next call on this thread that nothing was laid out for yet comes to this.
pub(crate) fn lay_out(
    handler: impl FnOnce(Call<'_>, ReplyTo<'_>) -> Result<Answer<'static>, Error> + 'static,
) {
    HANDLERS.with_borrow_mut(|handlers| handlers.push_back(Box::new(handler)));
}

pub(super) fn answer(call: Call<'_>, to: ReplyTo<'_>) -> Result<Answer<'static>, Error> {
    let handler = HANDLERS.with_borrow_mut(VecDeque::pop_front);
    handler.expect("a handler was laid out")(call, to)
}
