//! The power is cut at every write of scripted runs, and while what is left is being recovered, and
//! again while that is. Whatever reached the disk, what is opened holds all that was told, and nothing
//! in half.
//!
//! `TENURE_CUTS=n` makes about so many cuts, `TENURE_CUTS_SEED=n` begins with another seed. A seed gives
//! the same script and the same coins; which turns share a commit is up to the threads.

#[path = "../platter/mod.rs"]
mod platter;
mod script;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::atomic::AtomicCell;
use fastrand::Rng;
use platter::{Cuts, Disk, Image, Trouble};
use script::{Actor, Known, Life, builder, check, live};
use tenure::internals::{KeptFacts, Ledger, create_store, open_on, read_store};

const CUTS: u64 = 30_000;
/// One image of so many is opened by an engine as well.
const ENGINES: u64 = 50;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn fresh() -> Image {
    let disk = Disk::of(Image::default());
    create_store(Box::new(disk.clone()), "a server").expect("a store");
    disk.shown()
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    cuts: u64,
    /// Of which in a recovery, and in the recovery from that.
    again: u64,
    engines: u64,
    commits: u64,
    failures: u64,
}

/// One life as it was, and what may be found after a cut in it.
struct Judge<'a> {
    life: &'a Life,
    /// The state after so many units.
    states: Vec<KeptFacts>,
    figures: &'a mut Figures,
}

impl<'a> Judge<'a> {
    fn new(base: KeptFacts, life: &'a Life, figures: &'a mut Figures) -> Self {
        let mut states = vec![base];
        for unit in &life.units {
            let next = states.last().expect("one").after(unit);
            states.push(next);
        }
        Self { life, states, figures }
    }

    /// How many units must be found after a cut at this moment, and how many may.
    fn bounds(&self, moment: usize) -> (usize, usize) {
        let units = &self.life.units;
        let released = |unit: &tenure::internals::UnitFacts| {
            unit.released.is_some_and(|released| released <= moment)
        };
        let least = units.iter().rposition(released).map_or(0, |last| last + 1);
        (least, units.iter().take_while(|unit| unit.handed_over <= moment).count())
    }

    /// Opens what is left, and what is left when that is cut short too.
    fn judge(&mut self, image: &Image, moment: usize, rng: &mut Rng) -> Result<(), String> {
        let (mut image, mut depth) = (image.clone(), 0);
        loop {
            self.figures.cuts += 1;
            self.figures.again += u64::from(depth > 0);
            let disk = Disk::of(image.clone());
            let found = read_store(Box::new(disk.clone()))
                .map_err(|why| format!("it is not opened (recovery {depth}): {why}"))?;
            self.check_state(&found, moment)?;
            if depth == 2 || rng.u32(..3) == 0 {
                break;
            }
            let journal = disk.journal();
            let until = rng.usize(..=journal.len());
            image = Cuts::after(image, &journal[..until], rng).cut(rng);
            depth += 1;
        }
        if self.figures.cuts.is_multiple_of(ENGINES) {
            self.judge_engine(&image, moment)?;
        }
        Ok(())
    }

    fn check_state(&self, found: &KeptFacts, moment: usize) -> Result<(), String> {
        let (least, most) = self.bounds(moment);
        if (least..=most).any(|units| self.states[units] == *found) {
            return Ok(());
        }
        let told = match self.states.iter().rposition(|state| state == found) {
            Some(units) => format!("it is the state after {units} units"),
            None => "that was never a state of the engine".to_owned(),
        };
        Err(format!("what is found must have {least} to {most} units; {told}"))
    }

    /// An engine over it recovers, and whoever was told anything finds it so.
    fn judge_engine(&mut self, image: &Image, moment: usize) -> Result<(), String> {
        self.figures.engines += 1;
        let disk = Disk::of(image.clone());
        let engine = open_on(builder(), Arc::new(disk), Ledger::default())
            .map_err(|error| format!("an engine does not open it: {error}"))?;
        check(&engine, &self.life.told, &self.life.sessions, moment)
    }
}

/// Cuts the power at every operation of a life.
fn judge_life(
    base: &Image,
    safe: &Image,
    life: &Life,
    rng: &mut Rng,
    figures: &mut Figures,
) -> Result<(), String> {
    judge_from(base, safe, life, 0, rng, figures)
}

/// The same from one operation on.
fn judge_from(
    base: &Image,
    safe: &Image,
    life: &Life,
    from: usize,
    rng: &mut Rng,
    figures: &mut Figures,
) -> Result<(), String> {
    let before = read_store(Box::new(Disk::of(base.clone())))?;
    let mut judge = Judge::new(before, life, figures);
    judge.figures.commits += life.units.iter().filter(|unit| !unit.is_empty()).count() as u64;
    let mut cuts = Cuts::of(safe.clone());
    for moment in 0..=life.journal.len() {
        if moment >= from {
            let image = cuts.cut(rng);
            let judged = judge.judge(&image, moment, rng);
            judged.map_err(|why| format!("cut before operation {moment}: {why}"))?;
        }
        if let Some(op) = life.journal.get(moment) {
            cuts.go_on(op, rng);
        }
    }
    Ok(())
}

/// A write or a sync fails once. Nothing more is written, and whoever comes next, in the same system or
/// after a cut, finds all that was told.
fn story_of_failure(seed: u64, figures: &mut Figures) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let image = fresh();
    let disk = Disk::of(image.clone());
    let operations = rng.usize(..120);
    let trouble =
        if rng.bool() { Trouble::Sync(operations / 5) } else { Trouble::Write(operations) };
    disk.plan(trouble);
    let Ok(life) = live(&disk, &mut rng, 40, Vec::new()) else {
        // It failed while it was opened: nothing was told.
        return Ok(());
    };
    if !disk.has_failed() {
        return Ok(());
    }
    figures.failures += 1;
    if disk.since_failure() > 0 {
        return Err(format!("after {trouble:?} it went on writing"));
    }
    let from = life.journal.len().saturating_sub(12);
    judge_from(&image, &image, &life, from, &mut rng, figures)?;
    // The system shows what it could not write, and may lose it when the power is cut.
    let (shown, safe) = (disk.shown(), Cuts::after(image, &life.journal, &mut rng).cut(&mut rng));
    let sessions: Vec<Known> = life.sessions.into_iter().map(Known::of_before).collect();
    let disk = Disk::of(shown.clone());
    let next = live(&disk, &mut rng, 4, sessions).map_err(|error| error.to_string())?;
    let before = next.opened;
    judge_from(&shown, &safe, &next, before, &mut rng, figures)
}

/// The disk is full for a while. What can be kept is, nothing is told that is not, and all goes on by
/// itself when there is room.
fn story_of_no_room(seed: u64, figures: &mut Figures) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let image = fresh();
    let disk = Disk::of(image.clone());
    let mut actor = Actor::open(&disk, &mut rng, Vec::new()).map_err(|error| error.to_string())?;
    actor.go_on(10);
    disk.leave_room(rng.usize(..8_000));
    actor.go_on(60);
    figures.failures += u64::from(actor.turned_away > 0);
    disk.make_room();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !actor.has_room() {
        if Instant::now() > deadline {
            return Err("there is room again, and nobody goes on".into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    actor.go_on(5);
    judge_life(&image, &image, &actor.end_of_life(), &mut rng, figures)
}

/// Several lives, each over what the cut at the end of the one before has left.
fn story(seed: u64, figures: &mut Figures) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let mut image = fresh();
    let mut sessions: Vec<Known> = Vec::new();
    for _ in 0..3 {
        let disk = Disk::of(image.clone());
        let steps = rng.usize(20..60);
        let life = live(&disk, &mut rng, steps, sessions).map_err(|error| error.to_string())?;
        judge_life(&image, &image, &life, &mut rng, figures)?;
        let cuts = Cuts::after(image, &life.journal, &mut rng);
        image = cuts.cut(&mut rng);
        // All that was told of was told before this cut.
        sessions = life.sessions.into_iter().map(Known::of_before).collect();
    }
    Ok(())
}

fn many(begin: u64, cuts: u64, tell: impl Fn(u64, &mut Figures) -> Result<(), String> + Sync) {
    let (started, seed, done) = (Instant::now(), AtomicCell::new(begin), AtomicCell::new(0));
    let sum = std::sync::Mutex::new(Figures::default());
    println!("seeds from {begin}: TENURE_CUTS_SEED={begin} cargo test --test power_cuts");
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while done.load() < cuts {
                    let seed = seed.fetch_add(1);
                    let mut figures = Figures::default();
                    if let Err(why) = tell(seed, &mut figures) {
                        panic!("seed {seed}: {why}\nreplay it: TENURE_CUTS_SEED={seed}");
                    }
                    done.fetch_add(figures.cuts);
                    sum.lock().expect("not poisoned").add(figures);
                }
            });
        }
    });
    println!("{:?} in {:?}", sum.into_inner().expect("not poisoned"), started.elapsed());
}

impl Figures {
    fn add(&mut self, other: Self) {
        self.cuts += other.cuts;
        self.again += other.again;
        self.engines += other.engines;
        self.commits += other.commits;
        self.failures += other.failures;
    }
}

fn seed() -> u64 {
    setting("TENURE_CUTS_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32))
}

#[test]
fn d2_d3_power_cuts_lose_nothing_that_was_told() {
    many(seed(), setting("TENURE_CUTS").unwrap_or(CUTS), story);
}

#[test]
fn d4_a_write_or_a_sync_that_fails_once_is_never_told_of_nor_tried_again() {
    many(seed(), setting("TENURE_CUTS").unwrap_or(CUTS) / 10, story_of_failure);
}

#[test]
fn d5_a_disk_without_room_loses_nothing_that_was_told() {
    many(seed(), setting("TENURE_CUTS").unwrap_or(CUTS) / 10, story_of_no_room);
}

mod canaries {
    use tenure::internals::log_canary::{Canary, plant};

    use super::*;

    /// What is said of a fault that was planted, within a minute.
    fn noticed(canary: Canary) -> String {
        plant(Some(canary));
        let started = Instant::now();
        let mut figures = Figures::default();
        let why = (0..).find_map(|seed| {
            assert!(started.elapsed() < Duration::from_secs(60), "nobody notices {canary:?}");
            story(seed, &mut figures).err()
        });
        plant(None);
        let why = why.expect("seeds without end");
        println!("{canary:?} after {:?}, {} cuts: {why}", started.elapsed(), figures.cuts);
        why
    }

    #[test]
    fn d2_canary_an_answer_before_its_commit_is_noticed() {
        assert!(noticed(Canary::AnswerBeforeCommit).contains("units"));
    }

    #[test]
    fn d10_canary_an_answer_that_overtakes_what_it_tells_of_is_noticed() {
        assert!(noticed(Canary::NoChangeOvertakes).contains("units"));
    }

    #[test]
    fn d1_canary_a_forgotten_floor_is_noticed() {
        assert!(noticed(Canary::FloorForgotten).contains("units"));
    }

    #[test]
    fn d1_canary_a_forgotten_journal_is_noticed() {
        assert!(noticed(Canary::JournalForgotten).contains("units"));
    }

    #[test]
    fn d1_canary_a_term_from_memory_is_noticed() {
        assert!(noticed(Canary::VacantForgotten).contains("is given anew"));
    }
}
