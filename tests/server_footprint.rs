//! What a connection weighs, and that a read on it allocates nothing. A process of its own, because it
//! counts what the whole process allocates.
#![allow(unsafe_code)] // an allocator that counts has to be one

mod raw;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use raw::{enter, get_term};
use tenure::internals::LooseConnection;
use tenure::{Engine, Moment};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        HELD.set(HELD.get().wrapping_add(layout.size() as u64));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get().wrapping_sub(layout.size() as u64));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const NOW: Moment = Moment::from_nanos(1);

fn turn(conn: &mut LooseConnection, bytes: &[u8]) {
    conn.feed(NOW, bytes);
    while conn.fetch() {}
    conn.sent(NOW, conn.pending().len());
}

#[test]
fn a_read_allocates_nothing_after_the_first_of_its_name() {
    let engine = Engine::builder().open().unwrap();
    let mut conn = LooseConnection::new(&engine, NOW);
    turn(&mut conn, &enter(1, "known", "c"));
    let known: Vec<u8> = (0..100).flat_map(|n| get_term(2 * n + 1, "known")).collect();
    let unknown = get_term(1, "unknown");
    turn(&mut conn, &known);
    let before = ALLOCATIONS.get();
    for _ in 0..100 {
        turn(&mut conn, &known);
        turn(&mut conn, &unknown);
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
}

#[test]
fn an_idle_connection_is_light() {
    let engine = Engine::builder().open().unwrap();
    let before = HELD.get();
    let mut conns: Vec<_> = (0..100).map(|_| LooseConnection::new(&engine, NOW)).collect();
    let fresh = (HELD.get() - before) / 100;
    assert!(fresh < 1600, "{fresh} bytes for a connection that said nothing");
    conns.iter_mut().for_each(|conn| turn(conn, &get_term(1, "e")));
    turn(&mut conns[0], &enter(1, "e", "c"));
    conns.iter_mut().for_each(|conn| turn(conn, &get_term(1, "e")));
    let used = (HELD.get() - before) / 100;
    // The loose connection keeps its output buffer; a reactor takes it back.
    assert!(used < 2500, "{used} bytes for a connection that has read one name");
}
