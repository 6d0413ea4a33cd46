//! The transcripts in `testdata/`, each one session of a latch, and a sentence or two of the
//! specification. `transcript` says how to read and rewrite them.
//!
//! ```text
//! > a latch N | a events N | a get N   caller a asks: it runs, waits, is refused, or gets its reply
//! > a again                            it asks again, as it does when it is called or its moment comes
//! > a done TEXT                        the Latch that runs has finished, and TEXT is its reply
//! > a leaves                           it waits no longer, or reads its stream no longer
//! > a asks N to M                      as many callers, a1, a2, ...: Latches N to M
//! > a next                             what its stream says next
//! > change                             the latch has a newer state
//! > keep-alive N [STREAM:RESPONSE ..]  all replies up to N, and these responses, have been received
//! > session ends
//! > at TIME                            milliseconds since the beginning
//! ```
//!
//! An answer ends with who is called because of it.

use std::collections::HashMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::refusal::Refusal;
use super::sequence::{Command, Seat, Sequence, Turn};
use super::stream::Response;
use super::streams::Reader;
use crate::clock::Moment;
use crate::transcript;

#[test]
fn transcripts_hold() {
    transcript::hold("service/latch/testdata", Stage::play);
}

proptest! {
    /// Whatever order requests come in, and however often each: all run once, in order, and nobody who
    /// asks again only when called waits for ever.
    #[test]
    fn i7_every_request_runs_once_and_no_call_is_missed(
        repeats in vec(1usize..4, 1..12),
        choices in vec(any::<usize>(), 1..200),
    ) {
        let mut choices = choices.into_iter().cycle();
        let mut pick = |len: usize| choices.next().unwrap() % len;
        let last = repeats.len() as u64;
        let mut to_send: Vec<u64> = (1..=last)
            .zip(repeats)
            .flat_map(|(request, count)| std::iter::repeat_n(request, count))
            .collect();
        let mut sequence = Sequence::<u64, usize>::default();
        let mut callers: Vec<Option<(u64, Option<Seat>)>> = Vec::new();
        let (mut ready, mut running, mut ran, mut answered) = (vec![], None, vec![], 0);
        let all = to_send.len();
        while answered < all {
            let may_send = usize::from(!to_send.is_empty());
            let steps = may_send + ready.len() + usize::from(running.is_some());
            prop_assert!(steps > 0, "somebody waits and was not called");
            match pick(steps) {
                0 if may_send == 1 => {
                    ready.push(callers.len());
                    callers.push(Some((to_send.swap_remove(pick(to_send.len())), None)));
                }
                at if at < may_send + ready.len() => {
                    let caller: usize = ready.swap_remove(at - may_send);
                    let Some((request, seat)) = &mut callers[caller] else { continue };
                    let now = Moment::default();
                    match sequence.ask(Command::Latch, *request, seat, now, &caller) {
                        Turn::Wait(_) => continue,
                        Turn::Run => {
                            ran.push(*request);
                            running = Some(*request);
                        }
                        Turn::Again(reply) => prop_assert_eq!(reply, *request),
                        other => prop_assert!(false, "{:?}", other),
                    }
                    callers[caller] = None;
                    answered += 1;
                }
                _ => {
                    let request = running.take().expect("one runs");
                    sequence.finish(Command::Latch, request, request);
                }
            }
            ready.extend(sequence.take_calls());
        }
        prop_assert_eq!(ran, (1..=last).collect::<Vec<_>>());
    }

    /// Each reader has response ids without a gap, from the one after the last acknowledged, and ends at
    /// the newest state.
    #[test]
    fn i5_response_ids_have_no_gap_and_the_last_is_the_newest(steps in vec(0u8..5, 0..80)) {
        let mut sequence = Sequence::<(), ()>::default();
        let turn = sequence.ask(Command::Events, 1, &mut None, Moment::default(), &());
        prop_assert!(matches!(turn, Turn::Run));
        let mut reader = sequence.open(1, (1, 0), &()).unwrap();
        let (mut newest, mut seen, mut last, mut acknowledged) = (0, 0, 0, 0);
        for step in steps.into_iter().chain([3; 80]) {
            match step {
                0 => newest += 1,
                1 => {
                    let turn = sequence.ask(Command::Events, 1, &mut None, Moment::default(), &());
                    let Turn::Reattach(next) = turn else { panic!("{turn:?}") };
                    reader = next;
                    last = acknowledged;
                }
                2 => {
                    acknowledged = last;
                    sequence.acknowledge(1, [(1, last)].into_iter());
                }
                _ => match sequence.next(&mut reader, newest) {
                    None => prop_assert_eq!(seen, newest),
                    Some(Response::Open { .. }) => {
                        prop_assert_eq!(last, 0);
                        last = 1;
                    }
                    Some(Response::State { id }) => {
                        prop_assert_eq!(id, last + 1);
                        (last, seen) = (id, newest);
                    }
                    Some(other) => prop_assert!(false, "{:?}", other),
                },
            }
        }
        prop_assert_eq!(seen, newest);
    }
}

#[derive(Default)]
struct Stage {
    sequence: Sequence<String, String>,
    callers: HashMap<String, Caller>,
    now: Moment,
    revision: u64,
    /// Rises with each command, as the engine's counter.
    index: u64,
}

#[derive(Default)]
struct Caller {
    asked: Option<Asked>,
    seat: Option<Seat>,
    reader: Option<Reader>,
    index: u64,
}

#[derive(Clone, Copy)]
enum Asked {
    Command(Command, u64),
    Get(u64),
}

impl Stage {
    fn play(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words[..] {
            ["change"] => {
                self.revision += 1;
                format!("r{}", self.revision)
            }
            ["at", time] => {
                let nanos = time.parse::<u64>().unwrap() * 1_000_000;
                self.now = Moment::from_nanos(nanos);
                format!("{:?}", Duration::from_nanos(nanos))
            }
            ["session", "ends"] => {
                self.sequence.end();
                "ended".to_owned()
            }
            ["keep-alive", request, ref streams @ ..] => {
                let streams = streams.iter().map(|stream| {
                    let (id, response) = stream.split_once(':').unwrap();
                    (id.parse().unwrap(), response.parse().unwrap())
                });
                self.sequence.acknowledge(request.parse().unwrap(), streams);
                "ok".to_owned()
            }
            [name, "asks", from, "to", to] => {
                let (from, to): (u64, u64) = (from.parse().unwrap(), to.parse().unwrap());
                let latch = |request| Asked::Command(Command::Latch, request);
                let callers = (from..=to).zip(1..);
                let answers =
                    callers.map(|(request, at)| self.ask(&format!("{name}{at}"), latch(request)));
                answers.last().unwrap()
            }
            [name, "latch", request] => {
                self.ask(name, Asked::Command(Command::Latch, request.parse().unwrap()))
            }
            [name, "events", request] => {
                self.ask(name, Asked::Command(Command::Events, request.parse().unwrap()))
            }
            [name, "get", request] => self.ask(name, Asked::Get(request.parse().unwrap())),
            [name, "again"] => {
                let asked = self.callers[name].asked.expect("it has asked before");
                self.ask(name, asked)
            }
            [name, "done", reply] => self.finish(name, reply),
            [name, "leaves"] => self.leave(name),
            [name, "next"] => self.next(name),
            ref other => panic!("no such command: {other:?}"),
        };
        match &self.sequence.take_calls()[..] {
            [] => answer,
            calls => format!("{answer}; calls {}", calls.join(" ")),
        }
    }

    fn ask(&mut self, name: &str, asked: Asked) -> String {
        let caller = self.callers.entry(name.to_owned()).or_default();
        caller.asked = Some(asked);
        let call = name.to_owned();
        let turn = match asked {
            Asked::Command(command, request) => {
                self.sequence.ask(command, request, &mut caller.seat, self.now, &call)
            }
            Asked::Get(request) => {
                match self.sequence.ask_to_read(request, &mut caller.seat, self.now, &call) {
                    Ok(None) => return "reads".to_owned(),
                    Ok(Some(until)) => Turn::Wait(until),
                    Err(refusal) => Turn::Refuse(refusal),
                }
            }
        };
        match turn {
            Turn::Run => {
                self.index += 1;
                caller.index = self.index;
                match asked {
                    Asked::Command(Command::Events, request) => self.open(name, request),
                    _ => format!("runs at index {}", self.index),
                }
            }
            Turn::Again(reply) => format!("again: {reply}"),
            Turn::Reattach(reader) => {
                caller.reader = Some(reader);
                "reads on".to_owned()
            }
            Turn::Wait(until) => format!("waits until {:?}", until - Moment::default()),
            Turn::Refuse(refusal) => refused(refusal),
        }
    }

    /// As the service: a refusal is the reply, and is kept as one.
    fn open(&mut self, name: &str, request: u64) -> String {
        let at = (self.index, self.revision);
        match self.sequence.open(request, at, &name.to_owned()) {
            Ok(reader) => {
                self.callers.get_mut(name).unwrap().reader = Some(reader);
                format!("opens at index {}", self.index)
            }
            Err(refusal) => {
                let reply = refused(refusal);
                self.sequence.finish(Command::Events, request, reply.clone());
                reply
            }
        }
    }

    fn finish(&mut self, name: &str, reply: &str) -> String {
        let caller = &self.callers[name];
        let Some(Asked::Command(command, request)) = caller.asked else {
            panic!("{name} runs nothing");
        };
        let reply = format!("index {} {reply}", caller.index);
        self.sequence.finish(command, request, reply.clone());
        reply
    }

    fn leave(&mut self, name: &str) -> String {
        let caller = self.callers.get_mut(name).unwrap();
        self.sequence.leave(&mut caller.seat);
        if let Some(reader) = caller.reader.take() {
            self.sequence.detach(&reader);
        }
        "gone".to_owned()
    }

    fn next(&mut self, name: &str) -> String {
        let reader = self.callers.get_mut(name).unwrap().reader.as_mut().expect("it reads");
        match self.sequence.next(reader, self.revision) {
            None => "nothing".to_owned(),
            Some(Response::Open { index }) => format!("1 OPEN_STREAM at index {index}"),
            Some(Response::State { id }) => format!("{id} RESPONSE r{}", self.revision),
            Some(Response::Close { id }) => format!("{id} CLOSE_STREAM, the end"),
            Some(Response::Replaced) => "the end".to_owned(),
        }
    }
}

fn refused(refusal: Refusal) -> String {
    format!("ERROR {refusal}")
}
