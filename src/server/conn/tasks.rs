//! Tasks: calls and streams whose messages come in their own time.
//!
//! A task has at most one message in the output, as a watch has. While that waits to leave, the task
//! stands in `spoken`; then it is polled again.

use super::Conn;
use super::calls::put_reply;
use super::streams::{About, Asked, Errand, Kind};
use crate::clock::Moment;
use crate::error::Error;
use crate::server::book::OK;
use crate::service::{EMPTY, Step, Task, too_many_streams};
use crate::wire::envelope;

impl Conn {
    /// A new call or stream that a task will answer.
    pub(super) fn begin(
        &mut self,
        now: Moment,
        (about, asked): (About, Asked),
        deadline: Option<Moment>,
        (task, streams): (Box<dyn Task>, bool),
    ) {
        if let Some(max) = self.full() {
            // It had no use for a ticket.
            return self.fail(asked, about.stream(), &too_many_streams(max));
        }
        let errand = Errand { task, streams, queued: false };
        self.streams.add((about, asked), deadline, Kind::Task(errand));
        self.streams.let_speak(about);
        self.speak(now);
    }

    pub(super) fn poll(&mut self, now: Moment, about: About) {
        let Some(Kind::Task(errand)) = self.streams.find(about) else { return };
        errand.queued = false;
        let (stream, streams) = (about.stream(), errand.streams);
        let output = self.output.buffer();
        let before = output.len();
        let (mut step, mut is_empty) = (Step::End, true);
        // Where it stays, if it is a message.
        let body = |out: &mut Vec<u8>| {
            let start = out.len();
            step = errand.task.poll(now, out);
            is_empty = out.len() == start;
        };
        match streams {
            true => envelope::put_data_of(output, stream, body),
            false => envelope::put_response_of(output, stream, body),
        }
        // A message of a stream may be empty; an answer without a byte has no body.
        let says = matches!(step, Step::Message | Step::Last) && (streams || !is_empty);
        if !says {
            output.truncate(before);
        }
        let is_stuck = self.draining && !errand.task.is_under_way();
        match step {
            Step::Wait(_) if is_stuck => self.fail_live(stream, &Error::Draining),
            Step::Wait(wake) => self.streams.set_wake(stream, wake),
            Step::Message if streams => {
                errand.queued = true;
                self.tally.events += 1;
                self.streams.set_wake(stream, None);
                self.streams.spoken.push_back((about, self.output.end()));
            }
            Step::Message | Step::Last | Step::End => {
                self.take_out(stream, OK);
                self.tally.events += u64::from(says && streams);
                if streams {
                    envelope::put_end(self.output.buffer(), stream);
                } else if !says {
                    put_reply(&mut self.output, stream, EMPTY);
                }
            }
            Step::Fail(error) => self.fail_live(stream, &error),
        }
    }
}
