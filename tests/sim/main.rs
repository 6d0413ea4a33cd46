//! The engine, the codec and the connections on one thread, from one seed: a log that lets turns go
//! when it likes, a network that delivers in drops and cuts where it likes, and a model that says what
//! must come of it.
//!
//! `TENURE_SIM_SEED=n` replays one seed, `TENURE_SIM_SEEDS=n` runs so many.

mod history;
mod judge;
mod model;
mod rows;
mod world;

use std::num::NonZeroUsize;
use std::thread;

use tenure::internals::Slip;
use world::{Figures, World};

const SEEDS: u64 = 300;
const STEPS: u64 = 2_000;

/// Says how to replay a seed if it panics.
struct Sign(u64);

impl Drop for Sign {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", replay(self.0));
        }
    }
}

fn replay(seed: u64) -> String {
    format!("replay it: TENURE_SIM_SEED={seed} cargo test --test sim")
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn live(seed: u64, slip: Slip) -> Result<Figures, String> {
    let _sign = Sign(seed);
    World::new(seed, slip).run(STEPS)
}

/// D10, P1, P4, C3 and the invariants, all at once.
#[test]
fn the_invariants_hold_c3_d10_p1_p4() {
    if let Some(seed) = setting("TENURE_SIM_SEED") {
        println!("{:?}", live(seed, Slip::None).unwrap());
        return;
    }
    let seeds = setting("TENURE_SIM_SEEDS").unwrap_or(SEEDS);
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get) as u64;
    thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let mut sum = Figures::default();
                for seed in (0..seeds).filter(|seed| seed % threads == thread) {
                    match live(seed, Slip::None) {
                        Ok(figures) => sum.add(figures),
                        Err(why) => panic!("seed {seed}: {why}\n{}", replay(seed)),
                    }
                }
                println!("{sum:?}");
            });
        }
    });
}

/// The first of a few seeds that notices what was planted.
fn noticed(slip: Slip) -> String {
    let noticed = (0..200).find_map(|seed| live(seed, slip).err());
    let why = noticed.expect("somebody notices");
    println!("{why}");
    why
}

#[test]
fn canary_an_answer_before_its_commit_is_noticed() {
    noticed(Slip::Early);
}

#[test]
fn d10_canary_an_answer_that_overtakes_what_it_tells_of_is_noticed() {
    let why = noticed(Slip::NothingToKeep);
    assert!(why.contains("D10") || why.contains("released"), "{why}");
}

#[cfg(feature = "failpoints")]
mod planted {
    use tenure::internals::canary::{Canary, plant};

    use super::{Slip, noticed};

    #[test]
    fn p4_canary_an_unchecked_session_is_noticed() {
        plant(Some(Canary::SessionUnchecked));
        noticed(Slip::None);
    }

    #[test]
    fn c6_canary_a_dropped_last_state_is_noticed() {
        plant(Some(Canary::LastStateDropped));
        let why = noticed(Slip::None);
        assert!(why.contains("I5: a watch ends at"), "{why}");
    }
}
