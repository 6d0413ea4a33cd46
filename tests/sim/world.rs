//! A server's engine and connections, its clients, and the network between them: one thread, one seed.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::Duration;

use fastrand::Rng;
use tenure::internals::{
    Ask, CandidateFacts, CreateFacts, Desk, HeaderFacts, HeldLog, LooseConnection, NamedFacts,
    RequestFacts, Slip, decode_header, decode_response, decode_term_reply, encode_candidate,
    encode_create, encode_header, encode_named, encode_request,
};
use tenure::{Clock, Engine, Limits, Session, Term, Watch};

use crate::history::{self, Seen};
use crate::judge::{Ambush, Context, Judge};
use crate::model::{Act, Key, Op, Shown};

const SHARDS: usize = 3;
const ELECTIONS: usize = 5;
const CANDIDATES: [&str; 6] = ["a", "b", "c", "d", "e", "a-candidate-with-a-rather-long-name"];
const LINKS: usize = 5;
/// Live streams of a connection.
const STREAMS: usize = 10;
const OWNERS: usize = 4;
const SERVICE: &str = "atomix.runtime.election.v1.LeaderElection";

/// What a run came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) steps: u64,
    pub(crate) commits: u64,
    pub(crate) replies: u64,
    pub(crate) events: u64,
    pub(crate) ambushes: u64,
    pub(crate) cuts: u64,
}

impl Figures {
    pub(crate) fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.commits += other.commits;
        self.replies += other.replies;
        self.events += other.events;
        self.ambushes += other.ambushes;
        self.cuts += other.cuts;
    }
}

pub(crate) struct World {
    stage: Arc<Stage>,
    log: Arc<HeldLog>,
    clock: Clock,
    rng: Rng,
    watches: Vec<(usize, Watch, u64, usize)>,
    /// Embedded operations under way: when they began.
    asked: HashMap<u64, (usize, u64)>,
    figures: Figures,
    next_conn: usize,
    /// Requests of broken connections, to be sent again on the next.
    retries: Vec<(usize, Act)>,
    history: Vec<Vec<Seen>>,
    is_calm: bool,
}

/// What an ambush reaches too.
struct Stage {
    judge: Mutex<Judge>,
    engine: OnceLock<Engine>,
    desk: Desk,
    owners: Mutex<Vec<(usize, Arc<Session>)>>,
    links: Mutex<Vec<Link>>,
    ops: Mutex<u64>,
    ambushed: Mutex<Vec<(u64, usize)>>,
}

/// One connection and its client.
struct Link {
    id: usize,
    conn: LooseConnection,
    /// Bytes on their way to the server.
    to_server: VecDeque<u8>,
    next_stream: u32,
    streams: HashMap<u32, Stream>,
    /// Output that was looked at, from the connection's first byte on.
    tapped: u64,
    taken: u64,
    partial: Vec<u8>,
    /// Output that was looked at and has not left: it must leave as it was.
    output: VecDeque<u8>,
    /// Answers on their way to the client, each with its last byte.
    on_the_way: VecDeque<(u64, u32)>,
    is_slow: bool,
    has_parted: bool,
}

struct Stream {
    op: Op,
    begun: u64,
    may_time_out: bool,
    answer: Option<Result<Shown, i32>>,
    watch: Option<Following>,
}

/// What a watch has seen.
#[derive(Default)]
struct Following {
    /// States of the election up to the last one seen.
    seen: usize,
    has_spoken: bool,
    /// Its election was closed after it began.
    must_end: bool,
    has_ended: bool,
}

impl Link {
    /// A client knows how many streams it has, and stays under the limit: the model does not know a
    /// change that is refused for it. A watch changes nothing, and may be one too many.
    fn may_begin(&self, method: &str) -> bool {
        let has_ended =
            |stream: &Stream| stream.watch.as_ref().is_some_and(|watch| watch.has_ended);
        let live = self.streams.values().filter(|stream| !has_ended(stream));
        let (live, watches) = live.fold((0, 0), |(live, watches), stream| {
            (live + 1, watches + usize::from(stream.watch.is_some()))
        });
        match method {
            "GetTerm" => true,
            "Watch" => watches < STREAMS - 4 || live >= STREAMS && watches < STREAMS - 2,
            _ => live < STREAMS,
        }
    }
}

impl Stage {
    fn judge(&self) -> MutexGuard<'_, Judge> {
        self.judge.lock().unwrap()
    }

    fn engine(&self) -> &Engine {
        self.engine.get().unwrap()
    }

    fn number(&self) -> u64 {
        let mut ops = self.ops.lock().unwrap();
        *ops += 1;
        *ops
    }

    fn on_commit(&self, shard: usize, changes: Vec<tenure::internals::StateFacts>) {
        let ambushes = self.judge().on_commit(shard, changes);
        self.judge().busy.push(shard);
        for ambush in ambushes {
            match ambush {
                Ambush::Ask(owner, election, act) => {
                    let owner = self.owners.lock().unwrap().get(owner).cloned();
                    if let Some((id, session)) = owner {
                        let number = self.ask(id, &session, election, act);
                        self.ambushed.lock().unwrap().push((number, election));
                    }
                }
                Ambush::End(owner) => {
                    let owner = self.owners.lock().unwrap().get(owner).cloned();
                    if let Some((id, session)) = owner {
                        self.end(Key::Own(id), || session.end());
                    }
                }
                Ambush::Cut => {
                    let link = self.links.lock().unwrap().pop();
                    if let Some(link) = link {
                        self.end(Key::Conn(link.id), || drop(link.conn));
                    }
                }
            }
        }
        self.judge().busy.pop();
    }

    fn ask(&self, owner: usize, session: &Session, election: usize, act: Act) -> u64 {
        let number = self.number();
        let op = Op { number, who: Key::Own(owner), election, act: act.clone() };
        let name = {
            let mut judge = self.judge();
            let shard = judge.model.shards[election];
            if judge.busy.contains(&shard) {
                judge.mailbox[shard].push_back(op);
                judge.context.push(Context::Ending(Key::Own(usize::MAX)));
            } else {
                judge.context.push(Context::Exact(op));
            }
            judge.names[election].clone()
        };
        let handle = self.engine().election(&name).unwrap();
        let ask = match &act {
            Act::Enter(candidate) => Ask::Enter { candidate, session },
            Act::TakeOver(candidate) => Ask::TakeOver { candidate, session },
            Act::Withdraw(candidate) => Ask::Withdraw { candidate, session },
            Act::Anoint(candidate) => Ask::Anoint { candidate },
            Act::Promote(candidate) => Ask::Promote { candidate },
            Act::Demote(candidate) => Ask::Demote { candidate },
            Act::Evict(candidate) => Ask::Evict { candidate },
            Act::Leave => Ask::Leave { session },
            _ => Ask::Delete,
        };
        self.desk.ask(&handle, ask, number);
        self.judge().context.pop();
        number
    }

    /// Ends a session by `how`.
    fn end(&self, key: Key, how: impl FnOnce()) {
        {
            let mut judge = self.judge();
            if !judge.model.ended.insert(key) {
                // It is ending already, or has ended: nothing may come of it.
                drop(judge);
                return how();
            }
            let end = Op { number: 0, who: key, election: 0, act: Act::SessionEnded };
            for shard in judge.busy.clone() {
                judge.mailbox[shard].push_back(end.clone());
            }
            judge.context.push(Context::Ending(key));
        }
        how();
        let mut judge = self.judge();
        judge.context.pop();
        judge.has_ended(key);
    }
}

impl World {
    pub(crate) fn new(seed: u64, slip: Slip) -> Self {
        let clock = Clock::manual();
        clock.advance(Duration::from_secs(1));
        let limits = Limits {
            candidates: 5,
            streams: STREAMS,
            frame_bytes: 512,
            output_pause_bytes: 600,
            output_bytes: 4096,
            ..Limits::DEFAULT
        };
        let builder = Engine::builder().limits(limits).clock(clock.clone());
        let builder = builder.shards(SHARDS.try_into().unwrap());
        let stage = Arc::new_cyclic(|weak: &Weak<Stage>| {
            let hook = weak.clone();
            let log = HeldLog::new(slip, move |shard, changes| {
                if let Some(stage) = hook.upgrade() {
                    stage.on_commit(shard, changes);
                }
            });
            let engine = log.open(builder).unwrap();
            // Where a name lives differs from process to process; a seed must not.
            let name_in = |n: usize| {
                let mut names = (0..100).map(|k| format!("election-{n}-{k:02}"));
                names.find(|name| engine.election(name).unwrap().shard() == n % SHARDS).unwrap()
            };
            let names = (0..ELECTIONS).map(name_in).collect();
            let places = (0..ELECTIONS).map(|n| n % SHARDS).collect();
            let judge = Judge::new(SHARDS, names, places, 5);
            LOG.set(Some(log));
            Stage {
                judge: Mutex::new(judge),
                engine: OnceLock::from(engine),
                desk: Desk::default(),
                owners: Mutex::default(),
                links: Mutex::default(),
                ops: Mutex::default(),
                ambushed: Mutex::default(),
            }
        });
        Self {
            stage,
            log: LOG.take().unwrap(),
            clock,
            rng: Rng::with_seed(seed),
            watches: Vec::new(),
            asked: HashMap::new(),
            figures: Figures::default(),
            next_conn: 0,
            retries: Vec::new(),
            history: vec![Vec::new(); ELECTIONS],
            is_calm: false,
        }
    }

    /// Lives through so many events.
    pub(crate) fn run(mut self, steps: u64) -> Result<Figures, String> {
        for step in 1..=steps {
            self.figures.steps = step;
            self.step();
            self.check().map_err(|why| format!("step {step}: {why}"))?;
            if step % 400 == 0 || step == steps {
                self.rest().map_err(|why| format!("at rest after step {step}: {why}"))?;
            }
        }
        for (election, history) in self.history.iter().enumerate() {
            history::check(history).map_err(|why| format!("history of {election}: {why}"))?;
        }
        self.figures.commits = self.stage.judge().commits;
        Ok(self.figures)
    }

    fn step(&mut self) {
        match self.rng.u32(0..100) {
            0..4 => self.connect(),
            4..20 => self.send(),
            20..44 => self.with_link(Self::carry),
            44..54 => self.with_link(|_, link| {
                link.conn.fetch();
            }),
            54..66 => self.with_link(Self::read),
            66..68 => self.cut(),
            68..80 => self.let_go(),
            80..88 => self.ask(),
            88..90 => self.own(),
            90..92 => self.watch(),
            92..94 => self.pass_time(),
            94..97 => self.plan_ambush(),
            _ => {
                for _ in 0..self.rng.usize(0..12) {
                    self.send();
                }
            }
        }
    }

    fn connect(&mut self) {
        if self.stage.links.lock().unwrap().len() >= LINKS {
            return;
        }
        self.next_conn += 1;
        let link = Link {
            id: self.next_conn,
            conn: LooseConnection::new(self.stage.engine(), self.clock.now()),
            to_server: VecDeque::new(),
            next_stream: 1,
            streams: HashMap::new(),
            tapped: 0,
            taken: 0,
            partial: Vec::new(),
            output: VecDeque::new(),
            on_the_way: VecDeque::new(),
            is_slow: self.rng.u8(0..4) == 0,
            has_parted: false,
        };
        let at = self.rng.usize(0..=self.stage.links.lock().unwrap().len());
        self.stage.links.lock().unwrap().insert(at, link);
    }

    /// Lends out one connection; it is judged by what it says afterwards.
    fn with_link(&mut self, act: impl FnOnce(&mut Self, &mut Link)) {
        let mut link = {
            let mut links = self.stage.links.lock().unwrap();
            if links.is_empty() {
                return;
            }
            let at = self.rng.usize(0..links.len());
            links.swap_remove(at)
        };
        self.stage.judge().context.push(Context::Conn(link.id));
        act(self, &mut link);
        let mut judge = self.stage.judge();
        judge.context.pop();
        judge.catch_up(link.id, link.conn.requests());
        drop(judge);
        self.tap(&mut link);
        if link.conn.ending().is_some() && !link.has_parted {
            link.has_parted = true;
            let session = link.conn.take_session();
            self.stage.end(Key::Conn(link.id), || drop(session));
        }
        if link.conn.is_over() {
            self.lose(link);
        } else {
            self.stage.links.lock().unwrap().push(link);
        }
    }

    fn act(&mut self) -> (usize, Act) {
        if self.rng.u8(0..3) == 0
            && let Some(again) = self.retries.pop()
        {
            return again;
        }
        let candidate = CANDIDATES[self.rng.usize(0..CANDIDATES.len())].to_owned();
        let act = match self.rng.u8(0..20) {
            0..8 => Act::Enter(candidate),
            8..10 => Act::Withdraw(candidate),
            10 => Act::Anoint(candidate),
            11 => Act::Promote(candidate),
            12 => Act::Demote(candidate),
            13 => Act::Evict(candidate),
            14 => Act::Leave,
            _ => Act::Read,
        };
        (self.rng.usize(0..ELECTIONS), act)
    }

    /// A client writes a request; the network has it now.
    fn send(&mut self) {
        let (election, mut act) = self.act();
        let method = match &act {
            Act::Enter(_) => "Enter",
            Act::Withdraw(_) => "Withdraw",
            Act::Anoint(_) => "Anoint",
            Act::Promote(_) => "Promote",
            Act::Demote(_) => "Demote",
            Act::Evict(_) => "Evict",
            Act::Leave => "Close",
            _ => ["GetTerm", "Watch", "Watch", "Create"][self.rng.usize(0..4)],
        };
        if matches!(method, "Watch" | "Create") {
            act = Act::Nothing;
        }
        let patient = self.rng.u8(0..10) > 0;
        let step = self.figures.steps;
        self.with_link(|world, link| {
            if link.conn.ending().is_some() {
                return;
            }
            if !link.may_begin(method) {
                return world.retries.extend((act != Act::Nothing).then_some((election, act)));
            }
            let name = world.stage.judge().names[election].clone();
            let payload = match &act {
                Act::Enter(candidate)
                | Act::Withdraw(candidate)
                | Act::Anoint(candidate)
                | Act::Promote(candidate)
                | Act::Demote(candidate)
                | Act::Evict(candidate) => {
                    encode_candidate(&CandidateFacts { name, candidate: candidate.clone() })
                }
                Act::Nothing if method == "Create" => {
                    encode_create(&CreateFacts { name, tags: vec![] })
                }
                _ => encode_named(&NamedFacts { name }),
            };
            let request = encode_request(&RequestFacts {
                service: SERVICE.into(),
                method: method.into(),
                payload,
                timeout_nano: if patient || method == "Watch" { 0 } else { 400_000_000 },
                metadata: vec![],
            });
            let (stream, length) = (link.next_stream, request.len() as u32);
            link.next_stream += 2;
            let header = encode_header(HeaderFacts { length, stream, kind: 1, flags: 0 });
            link.to_server.extend(header.into_iter().chain(request));
            let op = Op { number: world.stage.number(), who: Key::Conn(link.id), election, act };
            world.stage.judge().sent.entry(link.id).or_default().push_back(op.clone());
            let is_watch = method == "Watch";
            let watch = is_watch.then(Following::default);
            let stream_of = Stream { op, begun: step, may_time_out: !patient, answer: None, watch };
            link.streams.insert(stream, stream_of);
        });
    }

    /// The network brings some bytes, or what had to wait goes on.
    fn carry(&mut self, link: &mut Link) {
        let now = self.clock.now();
        link.conn.go_on(now);
        if !link.conn.wants_read() || link.to_server.is_empty() {
            return;
        }
        let most = if self.is_calm { 4096 } else { *self.rng.choice(&[3, 40, 300, 1500]).unwrap() };
        let count = self.rng.usize(1..=most).min(link.to_server.len());
        let bytes: Vec<u8> = link.to_server.drain(..count).collect();
        link.conn.feed(now, &bytes);
    }

    /// The client takes some bytes.
    fn read(&mut self, link: &mut Link) {
        if link.is_slow && !self.is_calm && self.rng.u8(0..8) > 0 {
            return;
        }
        let pending = link.conn.pending().len();
        let count = if self.rng.bool() { pending } else { self.rng.usize(0..=pending) };
        self.tap(link);
        link.taken += count as u64;
        if !link.output.drain(..count).eq(link.conn.pending()[..count].iter().copied()) {
            self.stage.judge().fail("C3: output has changed while it waited");
        }
        link.conn.sent(self.clock.now(), count);
        while let Some(&(end, stream)) = link.on_the_way.front()
            && end <= link.taken
        {
            link.on_the_way.pop_front();
            let Some(done) = link.streams.remove(&stream) else { continue };
            let Some(answer) = done.answer else { continue };
            if matches!(done.op.act, Act::Nothing | Act::Leave) {
                continue;
            }
            self.note(done.op.number, done.op.election, done.begun, answer);
        }
    }

    /// A client has got an answer.
    fn note(&mut self, number: u64, election: usize, invoked: u64, answer: Result<Shown, i32>) {
        self.figures.replies += 1;
        let Ok((term, list)) = answer else { return };
        let is_grant = self.stage.judge().verdicts[&number].is_grant;
        let (returned, leader) = (self.figures.steps, list.first().cloned());
        self.history[election].push(Seen { invoked, returned, term, leader, is_grant });
    }

    /// Looks at what a connection has put into its output since the last look.
    fn tap(&mut self, link: &mut Link) {
        let fresh = (link.tapped - link.taken) as usize;
        let pending = link.conn.pending();
        if pending.len() > 4096 + 512 {
            self.stage.judge().fail(format!("I10: {} bytes are pending", pending.len()));
        }
        if link.conn.held() > 512 + 10 + 4096 {
            self.stage.judge().fail(format!("I10: {} bytes are held", link.conn.held()));
        }
        let Some(new) = pending.get(fresh..) else {
            return self.stage.judge().fail("output was taken back");
        };
        link.partial.extend_from_slice(new);
        link.output.extend(new);
        link.tapped += new.len() as u64;
        let mut bytes = std::mem::take(&mut link.partial);
        let mut rest = &bytes[..];
        while let Some((raw, more)) = rest.split_first_chunk::<10>() {
            let header = decode_header(*raw);
            let Some((payload, more)) = more.split_at_checked(header.length as usize) else {
                self.stage.judge().fail("a frame is not whole");
                return;
            };
            rest = more;
            let end = link.tapped - rest.len() as u64;
            self.hear(link, header, payload, end);
        }
        let used = bytes.len() - rest.len();
        bytes.drain(..used);
        link.partial = bytes;
    }

    fn hear(&mut self, link: &mut Link, header: HeaderFacts, payload: &[u8], end: u64) {
        let mut judge = self.stage.judge();
        let Some(stream) = link.streams.get_mut(&header.stream) else {
            return judge.fail(format!("a frame for no stream: {header:?}"));
        };
        let election = stream.op.election;
        let shown = |payload: &[u8]| {
            let term = decode_term_reply(payload).unwrap();
            let leader = (!term.leader.is_empty()).then_some(term.leader);
            (term.number, leader.into_iter().chain(term.candidates).collect::<Vec<_>>())
        };
        match (header.kind, header.flags, &mut stream.watch) {
            (2, 0, None) => {
                let response = decode_response(payload).unwrap();
                let number = stream.op.number;
                let answer = match (response.status, &stream.op.act) {
                    (Some((4, _)), _) if stream.may_time_out => {
                        link.on_the_way.push_back((end, header.stream));
                        stream.answer = Some(Err(4));
                        return;
                    }
                    (Some((code, _)), _) => Err(code),
                    // Their replies have no term in them.
                    (None, Act::Nothing | Act::Leave) => {
                        let verdict = judge.verdicts.get(&number);
                        verdict.map_or(Err(0), |verdict| verdict.result.clone())
                    }
                    (None, _) => Ok(shown(&response.payload)),
                };
                judge.hear(number, &answer);
                let op = stream.op.clone();
                if stream.answer.replace(answer).is_some() {
                    judge.fail(format!("I7: {op:?} was answered twice"));
                }
                if op.act == Act::Leave {
                    let earlier = link.streams.values_mut().filter(|other| {
                        other.op.election == election && other.op.number < op.number
                    });
                    earlier.filter_map(|other| other.watch.as_mut()).for_each(|watch| {
                        watch.must_end = true;
                    });
                }
                link.on_the_way.push_back((end, header.stream));
            }
            (2, 0, Some(watch)) => {
                let response = decode_response(payload).unwrap();
                // Too many streams.
                if response.status.is_none_or(|(code, _)| code != 8) || watch.has_spoken {
                    judge.fail(format!("a watch failed: {:?}", stream.op));
                }
                watch.has_ended = true;
            }
            (3, 0, Some(watch)) if !watch.has_ended => {
                self.figures.events += 1;
                let term = shown(payload);
                let released = judge.released[election];
                let states = judge.states[election][..released].to_vec();
                let later = states.iter().skip(watch.seen).position(|(state, _)| *state == term);
                match later {
                    Some(at) => watch.seen += at + 1,
                    None => {
                        let seen = watch.seen;
                        judge.fail(format!("I5: after {seen} of {states:?} a watch shows {term:?}"))
                    }
                }
                watch.has_spoken = true;
            }
            (3, 5, Some(watch)) if !watch.has_ended => watch.has_ended = true,
            _ => judge.fail(format!("no server sends {header:?} for {:?}", stream.op)),
        }
    }

    fn cut(&mut self) {
        self.figures.cuts += 1;
        let how = self.rng.u8(0..4);
        self.with_link(|_, link| match how {
            0 => link.conn.feed_end(),
            // A frame that no client may send, with all that was under way before it.
            1 if link.to_server.is_empty() && link.conn.held() == 0 => {
                link.to_server.extend(encode_header(HeaderFacts {
                    length: 0,
                    stream: 2,
                    kind: 1,
                    flags: 0,
                }));
            }
            _ => {}
        });
        if how >= 2 {
            let link = self.stage.links.lock().unwrap().pop();
            if let Some(link) = link {
                self.lose(link);
            }
        }
    }

    /// The connection is gone. What was not answered is asked again, as clients do.
    fn lose(&mut self, link: Link) {
        let lost = link.streams.values().filter(|stream| stream.watch.is_none());
        let mut lost: Vec<&Stream> = lost.filter(|stream| stream.op.act != Act::Nothing).collect();
        lost.sort_by_key(|stream| stream.op.number);
        let acts = lost.iter().map(|stream| (stream.op.election, stream.op.act.clone()));
        self.retries.extend(acts);
        self.stage.end(Key::Conn(link.id), || drop(link.conn));
    }

    fn let_go(&mut self) {
        let shard = self.rng.usize(0..SHARDS);
        for _ in 0..self.rng.usize(1..4) {
            self.let_go_of(shard);
        }
    }

    fn let_go_of(&mut self, shard: usize) {
        let mut judge = self.stage.judge();
        if judge.holds(shard) != self.log.holds(shard) {
            judge.fail("the log and its judge disagree");
        }
        judge.release(shard);
        drop(judge);
        self.log.let_go(shard);
    }

    fn owner(&mut self) -> Option<(usize, Arc<Session>)> {
        let owners = self.stage.owners.lock().unwrap();
        (!owners.is_empty()).then(|| owners[self.rng.usize(0..owners.len())].clone())
    }

    /// An embedded user asks.
    fn ask(&mut self) {
        let Some((id, session)) = self.owner() else { return self.own() };
        let (election, act) = self.own_act();
        let number = self.stage.ask(id, &session, election, act);
        self.asked.insert(number, (election, self.figures.steps));
    }

    fn own_act(&mut self) -> (usize, Act) {
        let (election, act) = self.act();
        let act = match act {
            Act::Enter(name) if self.rng.u8(0..4) == 0 => Act::TakeOver(name),
            Act::Read if self.rng.u8(0..3) == 0 => Act::Delete,
            Act::Read => Act::Enter(CANDIDATES[0].into()),
            act => act,
        };
        (election, act)
    }

    /// An embedded session begins, ends, or is forgotten by its owner after it has ended.
    fn own(&mut self) {
        let count = self.stage.owners.lock().unwrap().len();
        if count < OWNERS {
            self.next_conn += 1;
            let session = Arc::new(self.stage.engine().session().unwrap());
            self.stage.owners.lock().unwrap().push((self.next_conn, session));
            return;
        }
        let at = self.rng.usize(0..count);
        let (id, session) = self.stage.owners.lock().unwrap()[at].clone();
        if session.ended().is_none() {
            self.stage.end(Key::Own(id), || session.end());
        } else {
            self.stage.owners.lock().unwrap().remove(at);
        }
    }

    fn watch(&mut self) {
        if self.watches.len() >= 4 {
            let at = self.rng.usize(0..self.watches.len());
            self.watches.remove(at);
            return;
        }
        let election = self.rng.usize(0..ELECTIONS);
        let op = Op { number: self.stage.number(), who: Key::Own(0), election, act: Act::Nothing };
        self.stage.judge().context.push(Context::Exact(op));
        let name = self.stage.judge().names[election].clone();
        let watch = self.stage.engine().election(&name).unwrap().watch();
        self.stage.judge().context.pop();
        self.watches.push((election, watch, 0, 0));
    }

    /// Looks at an embedded watch.
    fn look(&mut self, at: usize) {
        let (election, watch, revision, seen) = &mut self.watches[at];
        let Some(term) = watch.try_next() else { return };
        let mut judge = self.stage.judge();
        let shown = shown(&term);
        if *revision > 0 && term.revision() <= *revision {
            judge.fail(format!("I5: revision {} after {revision}", term.revision()));
        }
        *revision = term.revision();
        if shown.0 == 0 {
            return;
        }
        let released = judge.released[*election];
        let states = &judge.states[*election][..released];
        let later = states.iter().skip(*seen).position(|(state, _)| *state == shown);
        match later {
            Some(at) => *seen += at + 1,
            None => judge.fail(format!("I5: an embedded watch shows {shown:?}")),
        }
    }

    fn pass_time(&mut self) {
        self.clock.advance(Duration::from_millis(self.rng.u64(1..1_500)));
        let now = self.clock.now();
        for _ in 0..LINKS {
            self.with_link(|_, link| {
                if link.conn.deadline().is_some_and(|deadline| deadline <= now) {
                    link.conn.tick(now);
                }
            });
        }
    }

    fn plan_ambush(&mut self) {
        self.figures.ambushes += 1;
        let mut plan = Vec::new();
        for _ in 0..self.rng.usize(1..6) {
            let owner = self.rng.usize(0..OWNERS);
            plan.push(match self.rng.u8(0..8) {
                0 => Ambush::End(owner),
                1 => Ambush::Cut,
                _ => {
                    let (election, act) = self.own_act();
                    Ambush::Ask(owner, election, act)
                }
            });
        }
        self.stage.judge().ambushes = plan;
    }

    /// What must hold after every event.
    fn check(&mut self) -> Result<(), String> {
        let step = self.figures.steps;
        for (number, election) in self.stage.ambushed.lock().unwrap().drain(..) {
            self.asked.insert(number, (election, step));
        }
        while let Some((number, outcome)) = self.stage.desk.fetch() {
            let answer = match outcome {
                Ok(term) => Ok(shown(&term)),
                Err(error) => Err(error.code().number()),
            };
            self.stage.judge().hear(number, &answer);
            match self.asked.remove(&number) {
                // Who asks for a name that is deleted in between reads an older world.
                Some((election, begun)) if self.stage.judge().failure.is_none() => {
                    self.note(number, election, begun, answer);
                }
                Some(_) => {}
                None => self.stage.judge().fail("I7: an embedded call was answered twice"),
            }
        }
        if !self.watches.is_empty() && self.rng.bool() {
            let at = self.rng.usize(0..self.watches.len());
            self.look(at);
        }
        let mut judge = self.stage.judge();
        judge.rest();
        let engine = self.stage.engine();
        for election in 0..ELECTIONS {
            let (seen, must) = (
                shown(&engine.term(&judge.names[election]).unwrap()),
                judge.published(election, false),
            );
            if seen != must {
                judge.fail(format!("I4: {election} reads as {seen:?}, released is {must:?}"));
            }
        }
        if engine.waiting() > 0 {
            judge.fail("a command waits and nobody runs it");
        }
        if !judge.context.is_empty() || !judge.busy.is_empty() {
            judge.fail("a writer is still at work");
        }
        judge.failure.take().map_or(Ok(()), Err)
    }

    /// Everything under way arrives. Then everybody must have seen the newest.
    fn rest(&mut self) -> Result<(), String> {
        self.is_calm = true;
        for round in 0.. {
            let mut is_done = true;
            for shard in 0..SHARDS {
                while self.stage.judge().holds(shard) > 0 {
                    self.let_go_of(shard);
                    is_done = false;
                }
            }
            for _ in 0..3 * LINKS {
                self.with_link(|world, link| {
                    while link.conn.fetch() {}
                    world.read(link);
                    world.carry(link);
                });
            }
            self.check()?;
            is_done &= self.stage.links.lock().unwrap().iter().all(|link| {
                let is_used = link.to_server.is_empty() && link.conn.held() == 0;
                let is_used = is_used || link.conn.ending().is_some();
                is_used && link.conn.pending().is_empty() && !link.conn.has_mail()
            });
            is_done &= (0..SHARDS).all(|shard| self.log.holds(shard) == 0);
            if is_done {
                break;
            }
            if round > 500 {
                return Err("the world comes to no rest".into());
            }
        }
        self.is_calm = false;
        let count = self.watches.len();
        (0..count).for_each(|at| self.look(at));
        let judge = self.stage.judge();
        for link in self.stage.links.lock().unwrap().iter() {
            if link.conn.ending().is_some() {
                continue;
            }
            for stream in link.streams.values() {
                let election = stream.op.election;
                let newest = judge.published(election, true);
                match &stream.watch {
                    None if stream.answer.is_none() => {
                        let run = judge.verdicts.get(&stream.op.number);
                        return Err(format!("{:?} was never answered: {run:?}", stream.op));
                    }
                    Some(watch) if watch.must_end && !watch.has_ended => {
                        return Err(format!("{:?} outlives its Close", stream.op));
                    }
                    // A watch that began after a deletion may begin with nothing.
                    Some(watch) if !watch.has_spoken && judge.published(election, false).0 == 0 => {
                    }
                    Some(watch) if !watch.has_ended && newest.0 > 0 => {
                        let last =
                            watch.seen.checked_sub(1).map(|at| &judge.states[election][at].0);
                        if last != Some(&newest) {
                            let why = format!("I5: a watch ends at {last:?}, not {newest:?}");
                            return Err(why);
                        }
                    }
                    _ => {}
                }
            }
        }
        if !self.asked.is_empty() {
            return Err(format!("embedded calls were never answered: {:?}", self.asked));
        }
        for (election, state) in judge.model.elections.iter().enumerate() {
            let dead = |key: &Key| judge.model.ended.contains(key);
            if state.list.iter().filter_map(|(_, key)| key.as_ref()).any(dead) {
                return Err(format!("the dead stand in {election}: {state:?}"));
            }
            let term = self.stage.engine().term(&judge.names[election]).unwrap();
            if term.leader().is_none() != state.list.is_empty() {
                return Err(format!("I9: nobody leads {election}: {state:?}"));
            }
        }
        drop(judge);
        self.check()
    }
}

fn shown(term: &Term) -> Shown {
    (term.number(), term.participants().map(str::to_owned).collect())
}

thread_local! {
    /// On its way out of the closure that makes it.
    static LOG: std::cell::Cell<Option<Arc<HeldLog>>> = const { std::cell::Cell::new(None) };
}
