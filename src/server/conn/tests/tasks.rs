//! Tasks: calls and streams whose messages come in their own time.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use super::*;
use crate::election::Conflict;
use crate::engine::{Act, Election, SessionSettings};
use crate::error::Error;
use crate::service::{Answer, Step, Task, probe};
use crate::shard::{Outcome, Sink, Ticket};

/// A task that does as its test says, and what became of it.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Facts>>);

#[derive(Default)]
struct Facts {
    /// What the next polls come to; then it waits.
    steps: VecDeque<(Step, &'static str)>,
    polls: usize,
    outcomes: Vec<Result<String, String>>,
    closed: Vec<String>,
    is_under_way: bool,
    is_dropped: bool,
    ticket: Option<(Arc<dyn Sink>, Ticket)>,
}

impl Script {
    fn of(steps: impl IntoIterator<Item = (Step, &'static str)>) -> Self {
        let script = Self::default();
        script.facts().steps.extend(steps);
        script
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap()
    }

    /// The next step, and the call that leads to it.
    fn goes_on(&self, step: Step, says: &'static str) {
        let mut facts = self.facts();
        facts.steps.push_back((step, says));
        let (sink, ticket) = facts.ticket.as_ref().unwrap();
        sink.changed(*ticket);
    }

    /// Sends the call that this task answers.
    fn call(&self, peer: &mut Peer, stream: u32, timeout: Duration) -> Vec<String> {
        self.begin(peer, stream, timeout, Answer::Task)
    }

    fn stream(&self, peer: &mut Peer, stream: u32, timeout: Duration) -> Vec<String> {
        self.begin(peer, stream, timeout, Answer::Stream)
    }

    fn begin(
        &self,
        peer: &mut Peer,
        stream: u32,
        timeout: Duration,
        kind: fn(Box<dyn Task>) -> Answer<'static>,
    ) -> Vec<String> {
        let script = self.clone();
        probe::lay_out(move |_, to| {
            let (sink, ticket) = to.claim()?;
            script.facts().ticket = Some((sink.clone(), ticket));
            Ok(kind(Box::new(Run(script))))
        });
        let nanos = timeout.as_nanos() as i64;
        peer.say(&call(stream, probe::SERVICE, "Any", nanos, &[]))
    }
}

/// What the connection holds of a script.
struct Run(Script);

impl Task for Run {
    fn poll(&mut self, _: Moment, out: &mut Vec<u8>) -> Step {
        let mut facts = self.0.facts();
        facts.polls += 1;
        let (step, says) = facts.steps.pop_front().unwrap_or((Step::Wait(None), ""));
        // It counts for nothing, unless a step says that it is a message.
        if says != NO_WORD {
            out.push(b'!');
            out.extend_from_slice(says.as_bytes());
        }
        step
    }

    fn outcome(&mut self, outcome: Outcome) {
        let outcome = outcome.map(|term| term.to_string()).map_err(|error| error.to_string());
        self.0.facts().outcomes.push(outcome);
    }

    fn closed(&mut self, election: &Election) -> bool {
        self.0.facts().closed.push(election.name().into());
        true
    }

    fn is_under_way(&self) -> bool {
        self.0.facts().is_under_way
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.0.facts().is_dropped = true;
    }
}

const NOTHING: [&str; 0] = [];
/// A message without a byte.
const NO_WORD: &str = "no word";
const EVER: Duration = Duration::ZERO;

fn at(nanos: u64) -> Option<Moment> {
    Some(Moment::from_nanos(nanos))
}

#[test]
fn a_unary_call_is_answered_in_its_own_time() {
    let cases = [
        (Step::Last, "done", "1 done"),
        (Step::Message, "done", "1 done"),
        (Step::Last, NO_WORD, "1 ok"),
        (Step::Message, NO_WORD, "1 ok"),
        (Step::End, "", "1 ok"),
        (
            Step::Fail(Error::Draining),
            "",
            "1 error 14: the server is draining; connect to it again when it is back",
        ),
    ];
    for (step, says, expected) in cases {
        let mut peer = Peer::new();
        let script = Script::default();
        assert_eq!(script.call(&mut peer, 1, EVER), NOTHING);
        assert_eq!(peer.say(&get_term(3, "e")), ["3 t0  []"], "others don't wait for it");
        script.goes_on(step, says);
        peer.carry();
        assert_eq!(peer.hear(), [expected]);
        assert!(script.facts().is_dropped);
        assert_eq!(peer.say(&get_term(1, "e")), ["1 t0  []"], "its id is free");
    }
}

#[test]
fn what_can_be_said_at_once_is() {
    let mut peer = Peer::new();
    let script = Script::of([(Step::Last, "now")]);
    assert_eq!(script.call(&mut peer, 1, EVER), ["1 now"]);
    let script =
        Script::of([(Step::Message, "one"), (Step::Message, "two"), (Step::Last, "three")]);
    let heard = script.stream(&mut peer, 3, EVER);
    assert_eq!(heard, ["3 says one", "3 says two", "3 says three", "3 ends"]);
    probe::lay_out(|_, _| Ok(Answer::Bytes(b"!bytes".to_vec())));
    assert_eq!(peer.say(&call(5, probe::SERVICE, "Any", 0, &[])), ["5 bytes"]);
    assert_eq!(peer.conn.deadline(), None);
}

#[test]
fn a_stream_ends_with_ok_or_an_error() {
    let mut peer = Peer::new();
    let script = Script::of([(Step::Message, "one"), (Step::End, "")]);
    assert_eq!(script.stream(&mut peer, 1, EVER), ["1 says one", "1 ends"]);
    let error = Error::DeadlineExceeded { may_have_happened: false };
    let script = Script::of([(Step::Message, "one"), (Step::Fail(error), "")]);
    assert_eq!(script.stream(&mut peer, 1, EVER), ["1 says one", "1 error 4: deadline exceeded"]);
}

#[test]
fn a_task_is_polled_at_the_moment_that_it_waits_for() {
    let mut peer = Peer::new();
    let script = Script::of([(Step::Wait(at(1_000)), ""), (Step::Wait(at(500)), "")]);
    script.call(&mut peer, 1, EVER);
    assert_eq!(peer.conn.deadline(), at(1_000));
    script.goes_on(Step::Wait(at(2_000)), "");
    peer.carry();
    assert_eq!((peer.conn.deadline(), script.facts().polls), (at(500), 2));
    peer.wait(Duration::from_nanos(498));
    assert_eq!(script.facts().polls, 2, "not before");
    peer.wait(Duration::from_nanos(1));
    assert_eq!((peer.conn.deadline(), script.facts().polls), (at(2_000), 3));
    script.facts().steps.push_back((Step::Last, "in time"));
    assert_eq!(peer.wait(Duration::from_nanos(2_000)), ["1 in time"]);
    assert_eq!(peer.conn.deadline(), None);
}

#[test]
fn a_moment_that_no_longer_counts_is_forgotten() {
    let mut peer = Peer::new();
    let script = Script::of([(Step::Wait(at(1_000)), ""), (Step::Message, "one")]);
    script.stream(&mut peer, 1, EVER);
    script.facts().steps.push_back((Step::Wait(None), ""));
    script.goes_on(Step::Wait(None), "");
    peer.carry();
    assert_eq!(peer.hear(), ["1 says one"]);
    assert_eq!(peer.conn.deadline(), None);
}

#[test]
fn a_task_has_its_callers_time() {
    for (is_under_way, expected) in [
        (false, "1 error 4: deadline exceeded"),
        (
            true,
            "1 error 4: deadline exceeded; the change may have happened: read the term before trying again",
        ),
    ] {
        let mut peer = Peer::new();
        let later = Some(peer.now + SECOND * 5);
        let script = Script::of([(Step::Wait(later), "")]);
        script.facts().is_under_way = is_under_way;
        script.call(&mut peer, 1, SECOND);
        assert_eq!(peer.conn.deadline(), Some(peer.now + SECOND));
        assert_eq!(peer.wait(SECOND), [expected]);
        assert!(script.facts().is_dropped);
        assert_eq!(peer.conn.deadline(), None);
        script.goes_on(Step::Last, "too late");
        peer.carry();
        assert_eq!(peer.hear(), NOTHING);
    }
    let mut peer = Peer::new();
    let script = Script::of([(Step::Wait(Some(peer.now + SECOND / 2)), "")]);
    script.stream(&mut peer, 1, SECOND);
    assert_eq!(peer.wait(SECOND / 2), NOTHING);
    assert_eq!(script.facts().polls, 2, "its own moment comes first");
    assert_eq!(peer.wait(SECOND / 2), ["1 error 4: deadline exceeded"]);
}

#[test]
fn q1_a_slow_reader_costs_one_message() {
    let mut peer = Peer::new();
    let script = Script::of([(Step::Message, "one"), (Step::Message, "two")]);
    let handler = script.clone();
    probe::lay_out(move |_, to| {
        let (sink, ticket) = to.claim()?;
        handler.facts().ticket = Some((sink.clone(), ticket));
        Ok(Answer::Stream(Box::new(Run(handler))))
    });
    peer.conn.feed(peer.now, &call(1, probe::SERVICE, "Any", 0, &[]));
    for _ in 0..100 {
        script.goes_on(Step::Message, "more");
        peer.carry();
    }
    assert_eq!(script.facts().polls, 1);
    assert_eq!(peer.conn.pending().len(), 10 + 4);
    peer.conn.sent(peer.now, 13);
    assert_eq!(script.facts().polls, 1, "its last byte has not left");
    peer.conn.sent(peer.now, 1);
    assert_eq!(script.facts().polls, 2);
    assert_eq!(peer.conn.pending().len(), 10 + 4);
}

#[test]
fn a_task_whose_message_waits_holds_nobody_up() {
    let mut peer = Peer::new();
    let scripts = [(); 3].map(|()| Script::default());
    for (stream, script) in [1, 3, 5].into_iter().zip(&scripts) {
        script.stream(&mut peer, stream, EVER);
    }
    for script in &scripts {
        script.goes_on(Step::Message, "at once");
        peer.carry();
    }
    assert_eq!(peer.conn.pending().len(), 3 * (10 + 8), "all have spoken before any byte has left");
    assert_eq!(peer.hear(), ["1 says at once", "3 says at once", "5 says at once"]);
    assert!(scripts.iter().all(|script| script.facts().polls == 3));
}

#[test]
fn w10_no_task_is_polled_while_too_much_output_waits() {
    let limits = Limits { output_pause_bytes: 300, output_bytes: 2000, ..Limits::DEFAULT };
    let mut peer = Peer::bounded(limits);
    let (unary, stream) = (Script::default(), Script::default());
    unary.call(&mut peer, 1, EVER);
    stream.stream(&mut peer, 3, EVER);
    let reads: Vec<u8> = (0..30).flat_map(|n| get_term(2 * n + 5, "e")).collect();
    peer.conn.feed(peer.now, &reads);
    assert!(!peer.conn.wants_read());
    unary.goes_on(Step::Last, "one");
    stream.goes_on(Step::Message, "two");
    peer.carry();
    assert_eq!((unary.facts().polls, stream.facts().polls), (1, 1));
    let heard = peer.hear();
    assert!(heard.contains(&"1 one".into()) && heard.contains(&"3 says two".into()), "{heard:?}");
    assert_eq!(heard.len(), 32);
}

#[test]
fn the_last_word_cancels_a_stream_and_nothing_else() {
    let mut peer = Peer::new();
    let (unary, stream) = (Script::default(), Script::default());
    unary.call(&mut peer, 1, EVER);
    stream.stream(&mut peer, 3, EVER);
    assert_eq!(peer.say(&[last_word(1), last_word(3)].concat()), ["3 ends"]);
    assert!(stream.facts().is_dropped && !unary.facts().is_dropped);
    stream.goes_on(Step::Message, "to nobody");
    peer.carry();
    assert_eq!(peer.hear(), NOTHING);
}

#[test]
fn c2_a_connection_that_ends_cancels_its_tasks() {
    let ends: [fn(&mut Peer); 3] = [
        |peer| peer.conn.feed_end(),
        |peer| peer.conn.broken(),
        |peer| peer.conn.feed(peer.now, &get_term(2, "e")),
    ];
    for end in ends {
        let mut peer = Peer::new();
        let (unary, stream) = (Script::default(), Script::default());
        unary.facts().is_under_way = true;
        unary.call(&mut peer, 1, EVER);
        stream.stream(&mut peer, 3, EVER);
        end(&mut peer);
        assert!(unary.facts().is_dropped && stream.facts().is_dropped, "{:?}", peer.end());
    }
}

#[test]
fn p5_a_draining_connection_waits_only_for_what_is_under_way() {
    let draining = "error 14: the server is draining; connect to it again when it is back";
    let mut peer = Peer::new();
    let scripts = [(); 4].map(|()| Script::default());
    let [waits, finishes, turns_out_to_wait, streams] = &scripts;
    finishes.facts().is_under_way = true;
    turns_out_to_wait.facts().is_under_way = true;
    streams.facts().is_under_way = true;
    waits.call(&mut peer, 1, EVER);
    finishes.call(&mut peer, 3, EVER);
    turns_out_to_wait.call(&mut peer, 5, EVER);
    streams.stream(&mut peer, 7, EVER);
    peer.conn.drain();
    let mut heard = peer.hear();
    heard.sort();
    assert_eq!(heard, [format!("1 {draining}"), format!("7 {draining}")]);
    assert_eq!(peer.step(), Next::Keep);
    finishes.goes_on(Step::Last, "done");
    turns_out_to_wait.facts().is_under_way = false;
    turns_out_to_wait.goes_on(Step::Wait(None), "");
    peer.carry();
    assert_eq!(peer.hear(), ["3 done".into(), format!("5 {draining}")]);
    assert_eq!((peer.step(), peer.end()), (Next::HalfClose, Some(End::Drained)));
}

#[test]
fn a_close_is_told_to_tasks() {
    let mut peer = Peer::new();
    let script = Script::default();
    peer.say(&enter(1, "e", "c"));
    script.stream(&mut peer, 3, EVER);
    script.facts().steps.push_back((Step::End, ""));
    assert_eq!(peer.say(&close(5, "e")), ["5 ok", "3 ends"]);
    assert_eq!(script.facts().closed, ["e"]);
}

#[test]
fn a_task_hears_the_outcome_of_its_own_command() {
    let engine = engine(Limits::DEFAULT);
    let mut peer = Peer::of(&engine, terms());
    let session = engine.session().unwrap();
    let election = engine.election("e").unwrap();
    let script = Script::default();
    script.call(&mut peer, 1, EVER);
    let (sink, ticket) = script.facts().ticket.clone().unwrap();
    for candidate in ["c", ""] {
        let act = Act::enter(candidate, &session, Conflict::Refuse);
        election.submit(act, &sink, ticket);
    }
    script.facts().steps.extend([(Step::Wait(None), ""), (Step::Last, "both")]);
    peer.carry();
    assert_eq!(peer.hear(), ["1 both"]);
    let empty = "candidate is empty; give it at least one byte";
    assert_eq!(script.facts().outcomes, [Ok("t1 c []".into()), Err(empty.into())]);
}

#[test]
fn q1_tasks_count_among_the_live_streams() {
    let too_many = "7 error 8: limit reached: streams (3); wait for the answers to earlier calls, end \
                    watches that are no longer read, or use another connection";
    let mut peer = Peer::bounded(Limits { streams: 3, ..Limits::DEFAULT });
    let scripts = [(); 3].map(|()| Script::default());
    for (stream, script) in [1, 3, 5].into_iter().zip(&scripts) {
        script.call(&mut peer, stream, SECOND);
    }
    assert_eq!(Script::of([(Step::Last, "never")]).call(&mut peer, 7, EVER), [too_many]);
    // Also one that has no use for a ticket.
    let script = Script::of([(Step::Last, "never")]);
    let handler = script.clone();
    probe::lay_out(move |_, _| Ok(Answer::Task(Box::new(Run(handler)))));
    assert_eq!(peer.say(&call(7, probe::SERVICE, "Any", 0, &[])), [too_many]);
    assert!(script.facts().is_dropped && script.facts().polls == 0);

    scripts[0].goes_on(Step::Last, "one");
    peer.carry();
    assert_eq!(peer.hear(), ["1 one"]);
    assert_eq!(Script::of([(Step::Last, "room")]).call(&mut peer, 7, EVER), ["7 room"]);
    Script::default().call(&mut peer, 1, EVER);
    peer.now = peer.now + SECOND;
    let heard = Script::of([(Step::Last, "room")]).call(&mut peer, 7, EVER);
    assert_eq!(heard.len(), 3, "those whose time has run out count no more: {heard:?}");
    assert_eq!(heard[2], "7 room");
}

#[test]
fn a_call_brings_the_key_that_its_metadata_carries() {
    let engine = engine(Limits::DEFAULT);
    let (_session, key) = engine.open_session(SessionSettings::default()).unwrap();
    let key = key.to_hex();
    let mut peer = Peer::of(&engine, terms());
    let mut ask = |metadata: &[(&str, &str)]| {
        let found = Arc::new(Mutex::new(None));
        let notes = found.clone();
        probe::lay_out(move |call, _| {
            *notes.lock().unwrap() = call.session.map(str::to_owned);
            Ok(Answer::Bytes(call.payload.to_vec()))
        });
        let metadata = crate::wire::envelope::Metadata::Pairs(metadata);
        let (service, payload) = (probe::SERVICE, &b"!echo"[..]);
        let request = Request { service, method: "Any", payload, metadata, ..Request::default() };
        let mut bytes = Vec::new();
        put_request(&mut bytes, 1, 0, &request);
        assert_eq!(peer.say(&bytes), ["1 echo"]);
        found.lock().unwrap().take()
    };
    assert_eq!(ask(&[]), None);
    assert_eq!(ask(&[("other", "x")]), None);
    let pairs = [("other", "x"), ("tenure-session", &*key), ("tenure-session", "22")];
    assert_eq!(ask(&pairs), Some(key.clone()));
}

/// Who does not read is not asked, and still makes room for the next in line.
#[test]
fn who_waits_and_does_not_read_holds_up_nobody() {
    let engine = engine(Limits { output_pause_bytes: 0, ..Limits::DEFAULT });
    let [mut holder, mut slow, mut next] = [0; 3].map(|_| Peer::of(&engine, terms()));
    let ask = |stream, method: &str, more: &[u8]| {
        let payload = [b"\x12\x01e\x1a\x01c", more].concat();
        call(stream, "tenure.v1.Elections", method, 0, &payload)
    };
    let wait = ask(1, "Enter", b"\x28\x01");
    holder.conn.feed(holder.now, &wait);
    holder.carry();
    for peer in [&mut slow, &mut next] {
        peer.conn.feed(peer.now, &wait);
        peer.carry();
        assert_eq!(peer.conn.pending(), b"");
    }
    slow.conn.feed(slow.now, &get_term(3, "e"));
    let unread = slow.conn.pending().len();

    let term = |peers: &mut [&mut Peer]| {
        peers.iter_mut().for_each(|peer| peer.carry());
        engine.term("e").unwrap().number()
    };
    holder.conn.sent(holder.now, holder.conn.pending().len());
    holder.conn.feed(holder.now, &ask(3, "Withdraw", b""));
    assert_eq!(term(&mut [&mut holder, &mut slow, &mut next]), 2);
    assert_eq!(slow.conn.pending().len(), unread, "it was not answered yet");
    slow.conn.take_session().unwrap().end_disconnected();
    assert_eq!(term(&mut [&mut slow, &mut next]), 3);
    assert!(!next.conn.pending().is_empty(), "it leads now, and is told");
}
