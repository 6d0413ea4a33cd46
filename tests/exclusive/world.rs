//! A server, its clients, and everything that happens to them.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use fastrand::Rng;
use tenure::{Clock, Election, Engine, EnterOptions, Moment, Session, SessionId};

use crate::member::{ELECTIONS, Member};
use crate::network::{Link, Time, arrival};

const CLIENTS: usize = 5;
/// Whose connections are those of a process that is gone.
const NOBODY: usize = usize::MAX;

/// A member, and what is done to it.
struct Place {
    member: Member,
    clock: Clock,
    /// Its clock runs at this many millionths of the true one.
    rate: u64,
    paused_until: Time,
}

pub(crate) struct World {
    rng: Rng,
    is_fast: bool,
    engine: Engine,
    clock: Clock,
    now: Time,
    elections: Vec<Election>,
    places: Vec<Place>,
    links: Vec<Link>,
    server_paused_until: Time,
    is_calm: bool,
    /// Somebody else, who takes names over.
    intruder: Option<Session>,
    /// Who held each term: session and candidate.
    holders: HashMap<(usize, u64), (u64, String)>,
}

impl World {
    pub(crate) fn new(seed: u64, is_fast: bool) -> Self {
        let clock = Clock::manual();
        let shards = NonZeroUsize::new(2).unwrap();
        let engine = Engine::builder().clock(clock.clone()).shards(shards).manual_timers();
        let engine = engine.open().unwrap();
        let elections = ELECTIONS.map(|name| engine.election(name).unwrap()).into();
        let mut rng = Rng::with_seed(seed);
        let places = (0..CLIENTS).map(|at| Place::new(at, is_fast, &mut rng)).collect();
        Self {
            rng,
            is_fast,
            engine,
            clock,
            now: 0,
            elections,
            places,
            links: Vec::new(),
            server_paused_until: 0,
            is_calm: false,
            intruder: None,
            holders: HashMap::new(),
        }
    }

    /// How many terms were led.
    pub(crate) fn grants(&self) -> u64 {
        self.holders.len() as u64
    }

    pub(crate) fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            self.step();
        }
        // Calm weather: everybody who wants to lead gets there, or waits behind one who does.
        self.is_calm = true;
        self.intruder = None;
        self.places.iter().for_each(|it| it.member.seen.is_calm.set(true));
        let end = self.now + 60_000_000;
        while !self.is_well() {
            assert!(self.now < end, "after a minute of calm: {}", self.picture());
            self.step();
        }
    }

    /// How things stand, for people.
    fn picture(&self) -> String {
        let mut lines = vec![String::from("not everybody is where they want to be")];
        for (election, name) in ELECTIONS.iter().enumerate() {
            let term = self.elections[election].term();
            lines.push(format!("{name}: {term}, {:?} act", self.acting(election)));
        }
        for place in &self.places {
            let (seen, client) = (&place.member.seen, &place.member.client);
            let holds = seen.holds.borrow();
            lines.push(format!("{} {} {client:?} {holds:?}", seen.candidate, seen.session.get()));
        }
        lines.join("\n")
    }

    /// Each election has a leader that acts, and everybody stands.
    fn is_well(&self) -> bool {
        (0..ELECTIONS.len()).all(|election| {
            let standing = self.elections[election].term().participants().count();
            self.acting(election).len() == 1 && standing == CLIENTS
        })
    }

    fn step(&mut self) {
        let pass = if self.is_calm { 5_000 } else { self.rng.u64(1..20_000) };
        self.now += pass;
        self.clock.advance(Duration::from_micros(pass));
        self.places.iter().for_each(|it| it.advance(pass));
        if !self.is_calm {
            self.mischief();
        }
        if self.now >= self.server_paused_until {
            self.serve();
        }
        for at in 0..CLIENTS {
            if self.now >= self.places[at].paused_until {
                self.go_on(at);
            }
        }
        self.check();
    }

    fn moment(&self) -> Moment {
        self.clock.now()
    }

    fn mischief(&mut self) {
        let client = self.rng.usize(0..CLIENTS);
        let election = &self.elections[self.rng.usize(0..ELECTIONS.len())];
        let name = format!("c{client}");
        match self.rng.u32(0..400) {
            0 => drop(election.anoint(&name)),
            1 => drop(election.promote(&name)),
            2 => drop(election.demote(&name)),
            3 => drop(election.evict(&name)),
            4 => drop(election.delete()),
            5 | 6 => self.places[client].paused_until = self.now + self.rng.u64(0..3_000_000),
            7 => self.server_paused_until = self.now + self.rng.u64(0..1_500_000),
            8 => {
                let session = SessionId::new(self.places[client].member.seen.session.get());
                session.into_iter().for_each(|id| drop(self.engine.end_session(id)));
            }
            9 => {
                let session = self.intruder.get_or_insert_with(|| self.engine.session().unwrap());
                let options = EnterOptions { take_over: true, ..EnterOptions::default() };
                drop(election.enter_with(session, &name, options));
            }
            10 => self.intruder = None,
            11..=13 => {
                for link in self.links.iter_mut().filter(|link| link.member == client) {
                    link.cut(&mut self.rng, self.now);
                }
            }
            14 if self.rng.u8(0..4) == 0 => self.kill(client),
            _ => {}
        }
    }

    /// The process dies, and another one is started in its place.
    fn kill(&mut self, at: usize) {
        for link in self.links.iter_mut().filter(|link| link.member == at) {
            link.close(&mut self.rng, self.now);
            link.member = NOBODY;
        }
        self.places[at] = Place::new(at, self.is_fast, &mut self.rng);
    }

    fn serve(&mut self) {
        let (now, moment) = (self.now, self.moment());
        self.engine.tick(moment);
        self.links.iter_mut().for_each(|link| link.serve(now, moment));
        loop {
            let mut has_moved = false;
            for link in &mut self.links {
                has_moved |= link.pump(&mut self.rng, now, moment, self.is_calm);
            }
            if !has_moved {
                break;
            }
        }
        self.links.retain(|link| !link.is_over());
    }

    /// What a client does by itself.
    fn go_on(&mut self, at: usize) {
        let (now, moment) = (self.now, self.moment());
        let place = &mut self.places[at];
        let client = place.member.client.clone();
        for link in self.links.iter_mut().filter(|link| link.member == at) {
            match link.made_at {
                Some((when, is_made)) if when <= now => {
                    client.dialed(link.dial, is_made);
                    match is_made {
                        true => link.make(&self.engine, moment),
                        false => link.made_at = None,
                    }
                }
                Some(_) => {}
                None => link.read(now, &client),
            }
        }
        if let Some(dial) = client.turn() {
            let is_made = self.is_calm || self.rng.u8(0..4) > 0;
            let when = arrival(&mut self.rng, now, self.is_calm);
            self.links.push(Link::new(at, dial, (when, is_made)));
        }
        place.member.poll();
        let bytes = client.output();
        let uses = client.uses();
        for link in self.links.iter_mut().filter(|link| link.member == at) {
            match uses == Some(link.dial) {
                true => link.write(arrival(&mut self.rng, now, self.is_calm), bytes.clone()),
                false => link.close(&mut self.rng, now),
            }
        }
    }

    /// Who would act now, if asked: it asks its own proof, by its own clock.
    fn acting(&self, election: usize) -> Vec<(usize, u64)> {
        let acts = |(at, place): (usize, &Place)| {
            let holds = place.member.seen.holds.borrow();
            let leads = holds[election].as_ref().filter(|leads| leads.is_valid())?;
            Some((at, leads.term()))
        };
        self.places.iter().enumerate().filter_map(acts).collect()
    }

    fn check(&mut self) {
        for place in &self.places {
            let seen = &place.member.seen;
            for granted in seen.granted.take() {
                let holder = (seen.session.get(), seen.candidate.clone());
                let known = self.holders.entry(granted).or_insert(holder.clone());
                assert_eq!(*known, holder, "{granted:?} was given twice");
            }
        }
        if !self.is_fast {
            for election in 0..ELECTIONS.len() {
                let acting = self.acting(election);
                assert!(acting.len() <= 1, "two acting leaders at {}: {acting:?}", self.now);
            }
        }
    }
}

impl Place {
    fn new(at: usize, is_fast: bool, rng: &mut Rng) -> Self {
        let clock = Clock::manual();
        clock.advance(Duration::from_secs(rng.u64(1..1_000)));
        let member = Member::start(&format!("c{at}"), is_fast, clock.clone(), rng.fork());
        // Up to 2% fast or slow.
        let rate = rng.u64(980_000..=1_020_000);
        Self { member, clock, rate, paused_until: 0 }
    }

    fn advance(&self, pass: Time) {
        self.clock.advance(Duration::from_nanos(pass * self.rate / 1_000));
    }
}
