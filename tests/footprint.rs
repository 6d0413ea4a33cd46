//! What things weigh: bytes an election, allocations a read, growth with the number of candidates.
//! A process of its own, because it counts what the whole process allocates.
#![allow(unsafe_code)] // an allocator that counts has to be one

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::num::NonZeroUsize;

use tenure::{Clock, Engine, Failover, SessionSettings};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static ALLOCATED: Cell<u64> = const { Cell::new(0) };
    static FREED: Cell<u64> = const { Cell::new(0) };
}

/// What glibc's malloc takes for a request of this size: 8 bytes more, in steps of 16, at least 32.
fn chunk(size: usize) -> u64 {
    ((size as u64 + 8).div_ceil(16) * 16).max(32)
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        ALLOCATED.set(ALLOCATED.get() + chunk(layout.size()));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        FREED.set(FREED.get() + chunk(layout.size()));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Bytes that this thread holds.
fn held() -> u64 {
    ALLOCATED.get().wrapping_sub(FREED.get())
}

#[test]
fn a_read_allocates_nothing() {
    let engine = Engine::builder().open().unwrap();
    let session = engine.session().unwrap();
    let election = engine.election("e").unwrap();
    election.enter(&session, "a").unwrap();
    let mut observer = election.observe();
    let mut led = 0;
    let before = ALLOCATIONS.get();
    for _ in 0..10_000 {
        led += u64::from(observer.term().is_led_by("a"));
        led += u64::from(engine.term("e").unwrap().is_led_by("a"));
    }
    let allocations = ALLOCATIONS.get() - before;
    assert_eq!((led, allocations), (20_000, 0));
    // The counter itself can fail: a change does allocate.
    election.enter(&session, "b").unwrap();
    assert!(ALLOCATIONS.get() > before);
}

/// A million elections of one candidate each: at most 250 bytes apiece over the names, counted as
/// malloc rounds them.
#[test]
fn a_million_elections_fit() {
    const COUNT: u64 = 1_000_000;
    let engine = Engine::builder().open().unwrap();
    let session = engine.session().unwrap();
    let mut names = 0;
    let before = held();
    for n in 0..COUNT {
        let name = format!("billing/{n:07}");
        names += (name.len() + "node-a".len()) as u64;
        engine.election(&name).unwrap().enter(&session, "node-a").unwrap();
    }
    let each = (held() - before - names) as f64 / COUNT as f64;
    println!("{each:.0} bytes an election over its names");
    assert!(each <= 250.0, "{each:.0} bytes an election over its names");
    assert_eq!(engine.elections() as u64, COUNT);
    // And the end of the one session that holds them all empties them all.
    drop(session);
    assert_eq!(engine.term("billing/0000000").unwrap().to_string(), "t1 \"\" []");
    assert_eq!(engine.term("billing/0999999").unwrap().to_string(), "t1 \"\" []");
}

/// A hundred thousand explicit sessions, opened and ended one after another, hold no memory but that
/// of the last reasons, which is full from the start.
#[test]
fn ended_sessions_weigh_nothing() {
    let builder = Engine::builder().clock(Clock::manual()).manual_timers();
    let engine = builder.open().unwrap();
    let election = engine.election("e").unwrap();
    let come_and_go = |count| {
        for _ in 0..count {
            let settings = SessionSettings {
                owner: "somebody".into(),
                failover: Failover::Fast,
                ..SessionSettings::default()
            };
            let (session, _) = engine.open_session(settings).unwrap();
            election.enter(&session, "node-a").unwrap();
            session.end();
        }
        engine.tick(engine.clock().now());
    };
    come_and_go(40_000);
    let before = held();
    come_and_go(100_000);
    let grown = held().saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} bytes more than before");
    // Those that live weigh something; how much is worth knowing.
    let before = held();
    let live: Vec<_> =
        (0..10_000).map(|_| engine.open_session(SessionSettings::default()).unwrap()).collect();
    engine.tick(engine.clock().now());
    let each = (held() - before) as f64 / live.len() as f64;
    println!("{each:.0} bytes a live session");
    assert!((100.0..1_000.0).contains(&each), "{each:.0} bytes a live session");
}

/// What one change costs the engine, with as many candidates standing and watching: bytes allocated
/// and watchers told. Neither may grow faster than their number.
#[test]
fn cost_of_a_change_grows_no_faster_than_linear() {
    let cost = |candidates: usize| {
        let engine = Engine::builder().shards(NonZeroUsize::MIN).open().unwrap();
        let session = engine.session().unwrap();
        let election = engine.election("e").unwrap();
        let mut watches: Vec<_> = (0..candidates)
            .map(|n| {
                election.enter(&session, &format!("candidate-{n:04}")).unwrap();
                election.watch()
            })
            .collect();
        watches.iter_mut().for_each(|watch| assert!(watch.try_next().is_some()));
        let before = ALLOCATED.get();
        const CHANGES: u64 = 20;
        let mut told = 0;
        for _ in 0..CHANGES / 2 {
            election.enter(&session, "one-more").unwrap();
            election.withdraw(&session, "one-more").unwrap();
            told += watches.iter_mut().filter_map(|watch| watch.try_next()).count();
        }
        assert_eq!(told, candidates * (CHANGES / 2) as usize);
        (ALLOCATED.get() - before) as f64 / CHANGES as f64
    };
    let (few, many) = (cost(100), cost(1_000));
    println!("bytes allocated a change: {few:.0} with 100 candidates, {many:.0} with 1,000");
    assert!(many <= 10.0 * few * 1.1, "{few:.0} bytes with 100, {many:.0} with 1,000");
}
