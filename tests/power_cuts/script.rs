//! An engine over a disk, and somebody who changes all that can be changed and notes each reply.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tenure::internals::{Ask, Desk, Ledger, Platter, UnitFacts, open_on};
use tenure::{Clock, Engine, Error, Failover, Session, SessionKey, SessionSettings, Term};

use crate::platter::{Disk, Op};

const NAMES: u64 = 10;

/// What the one who asked was told of a name.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) moment: usize,
    pub(crate) name: String,
    /// The term; of a deletion none.
    pub(crate) number: u64,
    pub(crate) leader: Option<String>,
}

/// An explicit session, as its owner knows it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) key: SessionKey,
    pub(crate) opened: usize,
    /// When its owner asked for its end, and when that was confirmed.
    pub(crate) end_asked: Option<usize>,
    pub(crate) ended: Option<usize>,
}

impl Known {
    /// As a later life knows it.
    pub(crate) fn of_before(self) -> Self {
        let (end_asked, ended) = (self.end_asked.map(|_| 0), self.ended.map(|_| 0));
        Self { opened: 0, end_asked, ended, ..self }
    }
}

/// All that happened in one life of an engine.
#[derive(Debug)]
pub(crate) struct Life {
    /// When the engine was open.
    pub(crate) opened: usize,
    pub(crate) journal: Vec<Op>,
    pub(crate) units: Vec<UnitFacts>,
    pub(crate) told: Vec<Told>,
    pub(crate) sessions: Vec<Known>,
}

pub(crate) fn builder() -> tenure::EngineBuilder {
    Engine::builder()
        .shards(NonZeroUsize::new(3).expect("three"))
        .clock(Clock::manual())
        .manual_timers()
}

pub(crate) fn settings() -> SessionSettings {
    SessionSettings {
        ttl: Duration::from_secs(60),
        failover: Failover::Exclusive,
        owner: "a script".into(),
    }
}

/// Somebody who changes what an engine knows.
pub(crate) struct Actor {
    engine: Engine,
    disk: Disk,
    opened: usize,
    ledger: Ledger,
    rng: Rng,
    desk: Desk,
    told: Vec<Told>,
    sessions: Vec<Known>,
    live: Vec<(Session, usize)>,
    held: Vec<Session>,
    asked: u64,
    about: BTreeMap<u64, String>,
    /// How often there was no room.
    pub(crate) turned_away: usize,
}

/// Opens what is on the disk, changes it `steps` times, and ends by a crash or in order. `sessions` are
/// those that a life before has told of.
pub(crate) fn live(
    disk: &Disk,
    rng: &mut Rng,
    steps: usize,
    sessions: Vec<Known>,
) -> Result<Life, Error> {
    let mut actor = Actor::open(disk, rng, sessions)?;
    actor.go_on(steps);
    Ok(actor.end_of_life())
}

impl Actor {
    pub(crate) fn open(disk: &Disk, rng: &mut Rng, sessions: Vec<Known>) -> Result<Self, Error> {
        let ledger = Ledger::default();
        let engine = open_on(builder(), Arc::new(disk.clone()), ledger.clone())?;
        let resume = |(at, known): (usize, &Known)| {
            engine.resume_session(&known.key).ok().map(|session| (session, at))
        };
        Ok(Self {
            live: sessions.iter().enumerate().filter_map(resume).collect(),
            engine,
            disk: disk.clone(),
            opened: disk.moment(),
            ledger,
            rng: rng.fork(),
            desk: Desk::default(),
            told: Vec::new(),
            sessions,
            held: Vec::new(),
            asked: 0,
            about: BTreeMap::new(),
            turned_away: 0,
        })
    }

    pub(crate) fn go_on(&mut self, steps: usize) {
        (0..steps).for_each(|_| self.step());
    }

    /// Ends by a crash or in order.
    pub(crate) fn end_of_life(mut self) -> Life {
        if self.rng.bool() {
            self.disk.cut();
        }
        let Self { engine, disk, opened, ledger, told, sessions, live, held, .. } = self;
        drop((live, held, engine));
        Life { opened, journal: disk.journal(), units: ledger.take(), told, sessions }
    }

    /// Whether there is room for something new.
    pub(crate) fn has_room(&mut self) -> bool {
        let before = self.live.len();
        self.open_one();
        self.live.len() > before
    }
    fn name(&mut self) -> String {
        format!("e{}", self.rng.u64(..NAMES))
    }

    fn step(&mut self) {
        match self.rng.u32(..20) {
            0 | 1 => self.open_one(),
            2 if self.live.len() > 1 => self.end(),
            3 if self.held.len() < 3 => {
                if let Ok(session) = self.engine.session() {
                    self.held.push(session);
                }
            }
            4 if !self.held.is_empty() => {
                let at = self.rng.usize(..self.held.len());
                drop(self.held.swap_remove(at));
            }
            5..=8 => {
                // Several at once, so that they share a commit.
                for _ in 0..self.rng.usize(2..8) {
                    self.ask();
                }
                while !self.about.is_empty() {
                    self.hear();
                    std::thread::yield_now();
                }
            }
            _ => self.change(),
        }
    }

    fn open_one(&mut self) {
        if let Ok((session, key)) = self.engine.open_session(settings()) {
            self.live.push((session, self.sessions.len()));
            let opened = self.disk.moment();
            self.sessions.push(Known { key, opened, end_asked: None, ended: None });
        }
    }

    fn end(&mut self) {
        let (session, at) = self.live.swap_remove(self.rng.usize(..self.live.len()));
        self.sessions[at].end_asked = Some(self.disk.moment());
        let was_well = self.disk.is_well();
        session.end();
        // Nobody is told if it could not be kept.
        let is_told = was_well && self.disk.is_well();
        self.sessions[at].ended = is_told.then(|| self.disk.moment());
    }

    fn session(&mut self) -> Option<&Session> {
        let all = self.live.len() + self.held.len();
        if all == 0 {
            return None;
        }
        let at = self.rng.usize(..all);
        let explicit = self.live.get(at).map(|(session, _)| session);
        explicit.or_else(|| self.held.get(at - self.live.len()))
    }

    fn note(&mut self, name: &str, term: &Term) {
        let (number, leader) = (term.number(), term.leader().map(str::to_owned));
        let moment = self.disk.moment();
        self.told.push(Told { moment, name: name.to_owned(), number, leader });
    }

    fn change(&mut self) {
        let (name, candidate) = (self.name(), format!("c{}", self.rng.u32(..5)));
        let act = self.rng.u32(..12);
        let election = self.engine.election(&name).expect("a name");
        let outcome = match act {
            0 => election.anoint(&candidate),
            1 => election.promote(&candidate),
            2 => election.demote(&candidate),
            3 => election.evict(&candidate),
            4 => election.delete().map(|()| self.engine.term(&name).expect("a name")),
            _ => {
                let Some(session) = self.session() else { return };
                match act {
                    5 | 6 => election.withdraw(session, &candidate),
                    7 => election.take_over(session, &candidate),
                    8 => election.leave(session),
                    _ => election.enter(session, &candidate),
                }
            }
        };
        self.take(&name, outcome);
    }

    fn take(&mut self, name: &str, outcome: Result<Arc<Term>, Error>) {
        match outcome {
            Ok(term) => self.note(name, &term),
            Err(Error::StorageFull { .. }) => self.turned_away += 1,
            Err(_) => {}
        }
    }

    /// Asks without waiting.
    fn ask(&mut self) {
        let (name, candidate) = (self.name(), format!("c{}", self.rng.u32(..5)));
        let act = self.rng.u32(..8);
        let election = self.engine.election(&name).expect("a name");
        let (desk, number) = (self.desk.clone(), self.asked);
        let candidate = &*candidate;
        let ask = match (act, self.session()) {
            (0, _) => Ask::Anoint { candidate },
            (1, _) => Ask::Evict { candidate },
            (2, _) => Ask::Promote { candidate },
            (3, Some(session)) => Ask::Withdraw { candidate, session },
            (_, Some(session)) => Ask::Enter { candidate, session },
            (_, None) => Ask::Demote { candidate },
        };
        desk.ask(&election, ask, number);
        self.about.insert(number, name);
        self.asked += 1;
    }

    fn hear(&mut self) {
        while let Some((number, outcome)) = self.desk.fetch() {
            let name = self.about.remove(&number).expect("asked");
            self.take(&name, outcome);
        }
    }
}

/// What an engine over an image has to know, by what was told until `moment`. It changes what it opens.
pub(crate) fn check(
    engine: &Engine,
    told: &[Told],
    sessions: &[Known],
    moment: usize,
) -> Result<(), String> {
    let told: Vec<&Told> = told.iter().filter(|told| told.moment <= moment).collect();
    let names: BTreeSet<&str> = told.iter().map(|told| &*told.name).collect();
    for known in sessions.iter().filter(|known| known.opened <= moment) {
        let found = engine.resume_session(&known.key);
        let was_ended = known.ended.is_some_and(|ended| ended <= moment);
        let may_be_ended = known.end_asked.is_some_and(|asked| asked <= moment);
        match found {
            Ok(session) if was_ended => return Err(format!("{session:?} lives again")),
            Err(error) if !may_be_ended => return Err(format!("a session was lost: {error}")),
            _ => {}
        }
    }
    let session = engine.session().map_err(|error| error.to_string())?;
    for name in names {
        let of_it = || told.iter().filter(|told| told.name == name);
        let last = of_it().map(|told| told.number).max().unwrap_or_default();
        let now = engine.term(name).expect("a name");
        if now.number() != 0 {
            if now.number() < last {
                return Err(format!("{name}: {now}, and t{last} was told"));
            }
            for same in of_it().filter(|told| told.number == now.number()) {
                if same.leader.is_some()
                    && now.leader().is_some()
                    && same.leader.as_deref() != now.leader()
                {
                    return Err(format!("{name}: {now}, and {same:?} was told"));
                }
            }
        }
        let election = engine.election(name).expect("a name");
        let entered = election.enter(&session, "probe").map_err(|error| error.to_string())?;
        let next = election.anoint("probe").map_err(|error| error.to_string())?;
        let next = if entered.leader() == Some("probe") { entered } else { next };
        if next.number() <= last {
            return Err(format!("{name}: {next} is given anew, and t{last} was told"));
        }
    }
    Ok(())
}
