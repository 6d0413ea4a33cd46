//! What a connection says unasked: answers that waited for room, watches, and tasks.
//!
//! A watch has at most one message in the output. The next is put when that has left, and it is then
//! the newest: a slow reader skips states, and its memory is a constant.

use super::streams::{About, Kind};
use super::{Conn, End};
use crate::clock::Moment;
use crate::election::Term;
use crate::error::Error;
use crate::server::book::OK;
use crate::service::event;
#[cfg(feature = "failpoints")]
use crate::shard::canary;
use crate::wire::envelope;

impl Conn {
    /// A followed election has something newer, or a task is to be polled.
    pub(crate) fn changed(&mut self, now: Moment, about: u64) {
        self.streams.told(About(about));
        self.speak(now);
        self.check_output();
    }

    /// Says as much of what waits as there is room for.
    #[inline]
    pub(super) fn speak(&mut self, now: Moment) {
        if self.streams.may_speak() {
            self.speak_up(now);
        }
    }

    fn speak_up(&mut self, now: Moment) {
        while !self.is_speech_paused()
            && let Some(about) = self.streams.answered.pop_front()
        {
            if let Some(Kind::Call { waits, shape }) = self.streams.find(about)
                && let Some(outcome) = waits.take()
            {
                let newest = || shape.election().term();
                let outcome = outcome.map(|term| term.unwrap_or_else(newest));
                self.answer(about.stream(), outcome);
            }
        }
        while let Some(&(about, said)) = self.streams.spoken.front()
            && self.output.has_left(said)
        {
            self.streams.spoken.pop_front();
            self.streams.speaking.push_back(about);
        }
        while !self.is_speech_paused()
            && let Some(&about) = self.streams.speaking.front()
            && self.say(now, about)
        {
            self.streams.speaking.pop_front();
        }
    }

    /// Lets a watch or a task speak. False if its last message has not left yet: those behind it in the
    /// queue wait with it, for no longer than the output takes to leave.
    fn say(&mut self, now: Moment, about: About) -> bool {
        match self.streams.find(about) {
            Some(Kind::Watch(_)) => self.say_newest(about),
            Some(Kind::Task(_)) => {
                self.poll(now, about);
                true
            }
            Some(Kind::Call { .. }) | None => true,
        }
    }

    fn say_newest(&mut self, about: About) -> bool {
        let Some(Kind::Watch(watch)) = self.streams.find(about) else { return true };
        if !self.output.has_left(watch.said) {
            #[cfg(feature = "failpoints")]
            if canary::sings(canary::Canary::LastStateDropped) {
                watch.queued = false;
                return true;
            }
            return false;
        }
        watch.queued = false;
        let closing = watch.closing;
        let output = self.output.buffer();
        let say = |term: &Term| envelope::put_data(output, about.stream(), event(term));
        if let Some(((), merged)) = watch.telling.next(say) {
            self.tally.events += 1;
            self.tally.merged += merged;
            watch.said = self.output.end();
        }
        if closing {
            self.take_out(about.stream(), OK);
            envelope::put_end(self.output.buffer(), about.stream());
        }
        true
    }

    /// The server drains: watches end, what is under way is answered, nothing new is taken.
    pub(crate) fn drain(&mut self) {
        if std::mem::replace(&mut self.draining, true) {
            return;
        }
        for stream in self.streams.endless() {
            self.fail_live(stream, &Error::Draining);
        }
        self.check_output();
    }

    /// Over the limit of pending output the connection is closed.
    pub(super) fn check_output(&mut self) {
        if self.output.len() > self.bounds.output {
            self.finish(End::TooMuchOutput);
        }
    }
}
