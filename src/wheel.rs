//! Timers as data: `advance(now)` yields what is due. No clock, no lock, no thread.
//!
//! Time is cut into ticks of about a millisecond; a deadline is rounded up to the next tick, so a
//! timer is never early and at most one tick late. Eight levels of 64 slots cover every `Moment`: a
//! timer waits at the level of the highest tick bits in which it differs from the present, in the
//! slot those bits name, and moves down as time comes near. Setting and cancelling take constant
//! time. A slot that falls due is spliced away whole and worked off one timer at a time, so
//! [`Wheel::advance`] stops wherever its budget ends, also among a million timers of one tick.

use crate::clock::Moment;

/// A tick is 2^20 ns.
const TICK_BITS: u32 = 20;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// 2^48 ticks: more than a `Moment` can name, so no deadline is out of range.
const LEVELS: usize = 8;
/// The list of timers to work off; the lists before it are the slots, level by level.
const DUE: u32 = (LEVELS * SLOTS) as u32;

/// Names a timer that was set. It names nothing once that timer was yielded or cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerId {
    index: u32,
    generation: u32,
}

/// Timers that each carry a key.
pub(crate) struct Wheel<K> {
    /// The first nodes are the heads of the circular lists, one a slot and `DUE`; then the timers.
    nodes: Vec<Node<K>>,
    free: Vec<u32>,
    /// For each level, which of its slots hold a timer.
    occupied: [u64; LEVELS],
    /// The present tick. Every timer outside `DUE` is later.
    present: u64,
}

struct Node<K> {
    prev: u32,
    next: u32,
    generation: u32,
    tick: u64,
    key: Option<K>,
}

impl<K> Wheel<K> {
    /// An empty wheel at the clock's zero.
    pub(crate) fn new() -> Self {
        let head = |list| Node { prev: list, next: list, generation: 0, tick: 0, key: None };
        Self {
            nodes: (0..=DUE).map(head).collect(),
            free: Vec::new(),
            occupied: [0; LEVELS],
            present: 0,
        }
    }

    /// Timers set and neither yielded nor cancelled.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.nodes.len() - (DUE as usize + 1) - self.free.len()
    }

    /// Sets a timer. A deadline in the past is due at the next `advance`.
    pub(crate) fn insert(&mut self, deadline: Moment, key: K) -> TimerId {
        let tick = tick_not_before(deadline);
        let index = self.allocate(tick, key);
        self.link(index);
        TimerId { index, generation: self.nodes[index as usize].generation }
    }

    /// Takes a timer back, with its key, if it was neither yielded nor cancelled before.
    pub(crate) fn cancel(&mut self, timer: TimerId) -> Option<K> {
        let node = self.nodes.get(timer.index as usize)?;
        if node.generation != timer.generation || node.key.is_none() {
            return None;
        }
        self.unlink(timer.index);
        self.release(timer.index)
    }

    /// When to call `advance` next: not after the earliest timer's tick, and sometimes before it,
    /// when timers are to move down a level.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        let tick = if self.is_list_empty(DUE) { self.next_slot()?.1 } else { self.present };
        Some(Moment::from_nanos(tick << TICK_BITS))
    }

    /// Moves time to `now` and appends the keys that are due to `due`. Touches at most `budget`
    /// timers, due or moving down; true if it stopped there and must be called again.
    pub(crate) fn advance(&mut self, now: Moment, budget: usize, due: &mut Vec<K>) -> bool {
        let now = (now.nanos() >> TICK_BITS).max(self.present);
        let mut left = budget;
        loop {
            while !self.is_list_empty(DUE) {
                if left == 0 {
                    return true;
                }
                left -= 1;
                due.extend(self.settle_first(now));
            }
            match self.next_slot() {
                Some((list, tick)) if tick <= now => {
                    self.present = tick;
                    self.splice_to_due(list);
                }
                _ => break,
            }
        }
        self.present = now;
        false
    }

    /// Takes the first timer of `DUE`: its key if its time has come, or else down a level.
    fn settle_first(&mut self, now: u64) -> Option<K> {
        let index = self.nodes[DUE as usize].next;
        self.unlink(index);
        if self.nodes[index as usize].tick <= now {
            self.release(index)
        } else {
            self.link(index);
            None
        }
    }

    /// The slot that comes first, and the tick at which it begins.
    fn next_slot(&self) -> Option<(u32, u64)> {
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let slot = u64::from(self.occupied[level].trailing_zeros());
        let shift = level as u32 * SLOT_BITS;
        let above = self.present >> (shift + SLOT_BITS) << (shift + SLOT_BITS);
        Some(((level * SLOTS) as u32 + slot as u32, above | slot << shift))
    }

    /// The list in which a timer of this tick waits.
    fn list_of(&self, tick: u64) -> u32 {
        if tick <= self.present {
            return DUE;
        }
        let level = (tick ^ self.present).ilog2() / SLOT_BITS;
        let slot = (tick >> (level * SLOT_BITS)) as u32 % SLOTS as u32;
        level * SLOTS as u32 + slot
    }

    fn allocate(&mut self, tick: u64, key: K) -> u32 {
        if let Some(index) = self.free.pop() {
            let node = &mut self.nodes[index as usize];
            (node.tick, node.key) = (tick, Some(key));
            return index;
        }
        let index = u32::try_from(self.nodes.len()).expect("under 2^32 timers fit in memory");
        self.nodes.push(Node { prev: index, next: index, generation: 0, tick, key: Some(key) });
        index
    }

    fn release(&mut self, index: u32) -> Option<K> {
        let node = &mut self.nodes[index as usize];
        node.generation = node.generation.wrapping_add(1);
        self.free.push(index);
        node.key.take()
    }

    fn link(&mut self, index: u32) {
        let list = self.list_of(self.nodes[index as usize].tick);
        let last = self.nodes[list as usize].prev;
        self.nodes[index as usize].prev = last;
        self.nodes[index as usize].next = list;
        self.nodes[last as usize].next = index;
        self.nodes[list as usize].prev = index;
        self.mark(list, true);
    }

    fn unlink(&mut self, index: u32) {
        let (prev, next) = (self.nodes[index as usize].prev, self.nodes[index as usize].next);
        self.nodes[prev as usize].next = next;
        self.nodes[next as usize].prev = prev;
        if prev == next {
            // Only a list's head can be on both sides: the list is empty now.
            self.mark(prev, false);
        }
    }

    /// Moves a whole slot to the empty list `DUE`.
    fn splice_to_due(&mut self, list: u32) {
        let (first, last) = (self.nodes[list as usize].next, self.nodes[list as usize].prev);
        self.nodes[DUE as usize].next = first;
        self.nodes[DUE as usize].prev = last;
        self.nodes[first as usize].prev = DUE;
        self.nodes[last as usize].next = DUE;
        self.nodes[list as usize].next = list;
        self.nodes[list as usize].prev = list;
        self.mark(list, false);
    }

    fn is_list_empty(&self, list: u32) -> bool {
        self.nodes[list as usize].next == list
    }

    fn mark(&mut self, list: u32, occupied: bool) {
        if list >= DUE {
            return;
        }
        let (level, bit) = (list as usize / SLOTS, 1 << (list as usize % SLOTS));
        if occupied {
            self.occupied[level] |= bit;
        } else {
            self.occupied[level] &= !bit;
        }
    }
}

fn tick_not_before(deadline: Moment) -> u64 {
    deadline.nanos().div_ceil(1 << TICK_BITS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const TICK: u64 = 1 << TICK_BITS;

    fn at(nanos: u64) -> Moment {
        Moment::from_nanos(nanos)
    }

    fn drain<K>(wheel: &mut Wheel<K>, now: Moment) -> Vec<K> {
        let mut due = Vec::new();
        assert!(!wheel.advance(now, usize::MAX, &mut due));
        due
    }

    #[test]
    fn a_timer_is_never_early_and_at_most_a_tick_late() {
        let mut wheel = Wheel::new();
        wheel.insert(at(5 * TICK + 1), 'a');
        assert_eq!(drain(&mut wheel, at(5 * TICK + 1)), []);
        assert_eq!(drain(&mut wheel, at(6 * TICK - 1)), []);
        assert_eq!(drain(&mut wheel, at(6 * TICK)), ['a']);
        assert_eq!(wheel.len(), 0);
    }

    #[test]
    fn the_past_and_the_end_of_time_are_deadlines_too() {
        let mut wheel = Wheel::new();
        drain(&mut wheel, at(1 << 50));
        wheel.insert(at(0), 'p');
        wheel.insert(at(u64::MAX), 'e');
        assert_eq!(drain(&mut wheel, at(0)), ['p']);
        assert_eq!(drain(&mut wheel, at(u64::MAX)), []);
        assert!(wheel.next_deadline().is_some());
    }

    #[test]
    fn a_stale_id_cancels_nothing() {
        let mut wheel = Wheel::new();
        let old = wheel.insert(at(1), 'a');
        assert_eq!(wheel.cancel(old), Some('a'));
        let new = wheel.insert(at(1), 'b');
        assert_eq!(wheel.cancel(old), None);
        assert_eq!(wheel.cancel(new), Some('b'));
        assert_eq!(wheel.next_deadline(), None);
    }

    #[test]
    fn t5_a_million_timers_due_at_once_are_drained_in_bounded_passes() {
        let mut wheel = Wheel::new();
        let deadline = at(0) + Duration::from_secs(3600);
        for key in 0..1_000_000u32 {
            wheel.insert(deadline, key);
        }
        let (mut passes, mut due) = (1, Vec::new());
        let now = deadline + Duration::from_millis(2);
        while wheel.advance(now, 1_000, &mut due) {
            passes += 1;
            // The wheel stays usable between passes.
            let extra = wheel.insert(now + Duration::from_secs(1), u32::MAX);
            assert_eq!(wheel.cancel(extra), Some(u32::MAX));
        }
        due.sort_unstable();
        assert!(due.into_iter().eq(0..1_000_000));
        assert!(passes >= 1_000, "a pass touches at most its budget");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64),
        Cancel(prop::sample::Index),
        Advance(u64, usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        // Waits of every magnitude, so that all levels are used.
        let wait = (0u32..56).prop_flat_map(|bits| 0..=(1u64 << bits));
        let step = prop_oneof![
            4 => wait.clone().prop_map(Step::Insert),
            1 => any::<prop::sample::Index>().prop_map(Step::Cancel),
            2 => (wait, 0usize..8).prop_map(|(wait, budget)| Step::Advance(wait, budget)),
        ];
        prop::collection::vec(step, 0..200)
    }

    /// What a wheel must do, written plainly.
    #[derive(Default)]
    struct Model(BTreeMap<u32, u64>);

    impl Model {
        fn is_due(&self, key: u32, now: u64) -> bool {
            self.0.get(&key).is_some_and(|deadline| deadline.div_ceil(TICK) <= now / TICK)
        }

        fn take_due(&mut self, now: u64) -> Vec<u32> {
            let keys: Vec<_> =
                self.0.keys().copied().filter(|&key| self.is_due(key, now)).collect();
            self.0.retain(|key, _| !keys.contains(key));
            keys
        }
    }

    proptest! {
        #[test]
        fn a_wheel_does_what_the_model_does(steps in steps()) {
            let (mut wheel, mut model) = (Wheel::new(), Model::default());
            let (mut now, mut ids) = (0u64, Vec::new());
            for step in steps {
                match step {
                    Step::Insert(wait) => {
                        let (key, deadline) = (ids.len() as u32, now.saturating_add(wait));
                        ids.push(wheel.insert(at(deadline), key));
                        model.0.insert(key, deadline);
                    }
                    Step::Cancel(which) if !ids.is_empty() => {
                        let key = which.index(ids.len());
                        let expected = model.0.remove(&(key as u32)).map(|_| key as u32);
                        prop_assert_eq!(wheel.cancel(ids[key]), expected);
                    }
                    Step::Cancel(_) => {}
                    Step::Advance(wait, budget) => {
                        now = now.saturating_add(wait);
                        let mut due = Vec::new();
                        let more = wheel.advance(at(now), budget, &mut due);
                        prop_assert!(due.len() <= budget);
                        for key in due {
                            prop_assert!(model.is_due(key, now), "{} came early", key);
                            model.0.remove(&key);
                        }
                        if !more {
                            prop_assert_eq!(model.take_due(now), Vec::<u32>::new());
                        }
                    }
                }
                prop_assert_eq!(wheel.len(), model.0.len());
                let earliest = model.0.values().min().map(|&nanos| tick_not_before(at(nanos)));
                match (wheel.next_deadline(), earliest) {
                    (Some(next), Some(tick)) => prop_assert!(next.nanos() >> TICK_BITS <= tick),
                    (next, tick) => prop_assert_eq!(next.is_some(), tick.is_some()),
                }
            }
            // Following `next_deadline` alone reaches every timer.
            while let Some(next) = wheel.next_deadline() {
                now = now.max(next.nanos());
                let mut due = drain(&mut wheel, at(now));
                due.sort_unstable();
                prop_assert_eq!(due, model.take_due(now));
            }
            prop_assert!(model.0.is_empty());
        }
    }
}
