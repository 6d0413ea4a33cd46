//! What a shard's writer alone may touch, and what each kind of work does to it.
#![allow(
    clippy::mutable_key_type,
    reason = "a place is hashed by its address, which never changes"
)]

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::{mem, slice};

use crossbeam::utils::CachePadded;

use super::command::{Act, Command, Intent, Own, OwnAct, Restored, SessionEnd, Tags, Work};
use super::counts::Counts;
use super::follower::{Calls, Followers, When};
use super::handover::Handover;
use super::member::Member;
use super::reply::{Answer, Reply, Told};
use super::snapshot::{ByPlace, Cell, WritingTerm};
use super::turn::{self, Turn};
use super::writer::Rules;
use crate::election::{self, Command as Rule, Departed, Departure, Effect, Origin, Term};
use crate::error::Error;
use crate::id::{SessionId, SessionKind};
use crate::log::{Former, Log};

/// Elections that an ended session leaves in one step; the rest goes to the mailbox's end, so that
/// others are served in between.
const LEAVE_STEP: usize = turn::FULL;

type Map<K, V> = HashMap<K, V, BuildHasherDefault<OwnKey>>;
type Set<K> = HashSet<K, BuildHasherDefault<OwnKey>>;

#[derive(Default)]
pub(super) struct State {
    shard: usize,
    turn: Turn,
    /// Who is told once the turn has been handed over.
    ahead: Calls,
    /// The session that somebody else has ended, while it leaves.
    removed: Option<Arc<Member>>,
    /// When the turn began to change something, by the wall clock.
    at: Option<u64>,
    /// Where each session stands. An entry lasts as long as its session, so that who enters and
    /// withdraws all day makes no garbage.
    standing: Map<SessionId, Standing>,
    followers: Map<ByPlace, Followers>,
    /// The newest hand-over of each election that had a forced one, also of turns in flight; those
    /// that nobody waits for any more are swept out now and then.
    handovers: Map<ByPlace, Arc<Handover>>,
    /// Elections that were created by name, with their latest tags; they are known also while empty.
    created: Map<ByPlace, Tags>,
    /// Apart from what other writers write.
    counts: Arc<CachePadded<Counts>>,
}

struct Standing {
    member: Arc<Member>,
    places: Set<ByPlace>,
}

impl State {
    pub(super) fn new(shard: usize, counts: Arc<CachePadded<Counts>>) -> Self {
        Self { shard, counts, ..Self::default() }
    }

    /// Starts a turn.
    pub(super) fn begin(&mut self) {
        self.turn.shard = self.shard;
        self.turn.at_once = 0;
        self.at = None;
    }

    /// True if the turn should be handed over before more is applied.
    pub(super) fn is_full(&self) -> bool {
        self.turn.is_full()
    }

    /// A turn was cut short, and there will be no other: drops what it still owes, which tells who
    /// waits for that, and tells who follows.
    pub(super) fn abandon(&mut self) {
        drop(mem::take(&mut self.turn));
        for slot in self.followers.drain().flat_map(|(_, followers)| followers) {
            slot.stop(self.shard);
        }
    }

    /// Hands the turn of so many commands to the log.
    pub(super) fn commit(&mut self, commands: usize, log: &dyn Log) {
        if commands > 0 {
            self.counts.turns.add(commands as u64, 1);
        }
        if self.turn.is_empty() {
            return;
        }
        log.commit(&mut self.turn);
        if !self.turn.is_empty() {
            // Refused by a log that has failed. What stayed would count towards the next turn's bound.
            self.turn = Turn::default();
        }
        self.ahead.make();
    }

    /// Applies what its own submitter runs here.
    pub(super) fn own(&mut self, own: Own<'_>, rules: &Rules) -> Option<Command> {
        let Own { cell, act, intent, answer } = own;
        let outcome = self.change(cell, act, intent, rules);
        match answer {
            // It looks when the turn is over, and where that waits for nothing, all has been released.
            Answer::Caller(_) if rules.log.is_immediate() => answer.send(outcome),
            _ => self.turn.answer(answer.into_reply(self.shard), outcome),
        }
        None
    }

    /// Applies one command. What it gives back has to be run again, later.
    pub(super) fn step(&mut self, command: Command, rules: &Rules) -> Option<Command> {
        let Command { work, reply } = command;
        match work {
            Work::Change { cell, act, intent } => {
                let outcome = self.change(&cell, &act.borrowed(), intent.as_deref(), rules);
                self.turn.answer(reply, outcome);
                None
            }
            Work::Follow { cell, slot } => {
                // Told with this turn, which is released after every earlier change: it misses none.
                self.turn.wake(slice::from_ref(&slot));
                self.followers.entry(ByPlace(cell)).or_default().join(slot);
                reply.forgive();
                None
            }
            Work::Unfollow { cell, slot } => {
                if let Entry::Occupied(mut entry) = self.followers.entry(ByPlace(cell))
                    && entry.get_mut().leave(&slot)
                {
                    entry.remove();
                }
                None
            }
            Work::LetGo { cell } => {
                self.keep_again(&cell, rules);
                if let Some(followers) = self.followers.get(&*cell) {
                    self.turn.wake(followers.told(When::Released));
                }
                None
            }
            Work::Restore { cell, restored } => {
                self.restore(&cell, *restored, rules);
                None
            }
            Work::Recall { cell, tags } => {
                self.created.insert(ByPlace(cell), tags);
                None
            }
            Work::SessionEnded(session) => {
                let names = |(_, handover): &(_, &Arc<Handover>)| handover.names(session);
                let places = self.handovers.iter().filter(names).map(|(place, _)| place.0.clone());
                for cell in places.collect::<Vec<_>>() {
                    self.keep_again(&cell, rules);
                }
                let stands = self.standing.remove(&session)?;
                let end = SessionEnd::of(stands.member);
                self.leave(session, end, stands.places.into_iter().collect(), reply, rules)
            }
            Work::Leave { session, end, places } => self.leave(session, end, places, reply, rules),
        }
    }

    /// Somebody need not be waited for any more: nobody is to wait for them again after a restart.
    fn keep_again(&mut self, cell: &Arc<Cell>, rules: &Rules) {
        if rules.log.is_durable() {
            let formers = self.formers(cell, rules);
            let newest = cell.writing().newest().clone();
            self.turn.keep_again(cell, newest, formers);
        }
    }

    fn change(
        &mut self,
        cell: &Arc<Cell>,
        act: &OwnAct<'_>,
        intent: Option<&Intent<'_>>,
        rules: &Rules,
    ) -> Told {
        let outcome = self.try_change(cell, act, intent, rules);
        outcome.inspect_err(|error| rules.limit_hits.refused(error))
    }

    fn try_change(
        &mut self,
        cell: &Arc<Cell>,
        act: &OwnAct<'_>,
        intent: Option<&Intent<'_>>,
        rules: &Rules,
    ) -> Told {
        let mut writing = cell.writing();
        let now = writing.newest();
        // As it reads: a name that was deleted has no term, whoever still holds its place.
        let present = if now.is_forgotten() { 0 } else { now.number() };
        let expected = intent.and_then(|intent| intent.expected);
        if let Some(expected) = expected.filter(|&expected| expected != present) {
            return Err(Error::TermMoved { expected, present }.into());
        }
        rules.log.admit(act.grows())?;
        if matches!(act, Act::Delete) && self.created.remove(&**cell).is_some() {
            // Also of an election that was created and never entered.
            self.turn.create(cell, None);
        }
        match act.rule()? {
            Some(rule) => {
                let by = act.session().or(intent.and_then(|intent| intent.by));
                let note = intent.map_or("", |intent| &intent.note);
                let origin = Origin { at: self.at(rules), by, note };
                let stood = act.enters().is_none_or(|member| now.holds(member.holder.session));
                if let Some(next) = self.apply(cell, &mut writing, &rule, &origin, rules)? {
                    if let Some(member) = act.enters().filter(|_| !stood) {
                        self.stands(member, cell);
                    }
                    return Ok(next);
                }
            }
            None => self.create(cell, act),
        }
        let now = writing.newest();
        Ok(if now.is_forgotten() { rules.unknown.clone() } else { now.clone() })
    }

    /// Takes an election as it was kept; then those leave who did not outlive the process before.
    fn restore(&mut self, cell: &Arc<Cell>, restored: Restored, rules: &Rules) {
        let Restored { term, members, gone, formers } = restored;
        self.counts.restored(&term);
        cell.writing().advance(term.clone());
        cell.publish(term);
        members.iter().for_each(|member| self.stands(member, cell));
        if !formers.is_empty() {
            formers.iter().for_each(|(member, term)| member.lose(cell, *term));
            let handover = Arc::new(Handover::of(formers));
            cell.hand_over(handover.clone());
            self.handovers.insert(ByPlace(cell.clone()), handover);
        }
        let origin = Origin { at: self.at(rules), ..Origin::default() };
        for session in gone {
            let rule = Rule::Leave { session, why: Departure::Disconnected };
            // Leaving is never refused.
            let _left = self.apply(cell, &mut cell.writing(), &rule, &origin, rules);
        }
    }

    fn create(&mut self, cell: &Arc<Cell>, act: &OwnAct<'_>) {
        let Act::Create { tags, in_force } = act else { return };
        let entry = self.created.entry(ByPlace(cell.clone()));
        let is_known = matches!(entry, Entry::Occupied(_));
        let known = entry.or_default();
        let is_new = !is_known || (!tags.is_empty() && **known != **tags);
        if !tags.is_empty() {
            *known = tags.clone();
        }
        if is_new {
            self.turn.create(cell, Some(known.clone()));
        }
        // Each is told once: by the shard that creates it.
        let _first = in_force.set(known.clone());
    }

    /// Applies one rule and keeps the books: sessions, floor, followers.
    fn apply(
        &mut self,
        cell: &Arc<Cell>,
        writing: &mut WritingTerm<'_>,
        rule: &Rule<'_>,
        origin: &Origin<'_>,
        rules: &Rules,
    ) -> Result<Option<Arc<Term>>, Error> {
        #[cfg(feature = "failpoints")]
        super::failpoint(rule);
        let now = writing.newest();
        let effect = election::apply(now, rule, origin, &rules.bounds())?;
        let Some(Effect { term: next, departed }) = effect else { return Ok(None) };
        self.counts.changed(now, &next);
        if let Rule::Leave { session, why: Departure::Disconnected } = *rule {
            self.counts.disconnected(session, now, &next);
        }
        if matches!(rule, Rule::Delete) {
            rules.floor.fetch_max(now.number());
        }
        if is_forced(rule) || self.removed.is_some() {
            self.hand_over(cell, now, &next, rules);
        }
        match departed {
            Departed::Nobody => {}
            Departed::One(session) if next.holds(session) => {}
            Departed::One(session) => self.left(session, cell),
            Departed::All => now.sessions().for_each(|session| self.left(session, cell)),
        }
        Ok(Some(self.publish(cell, writing, next, rules)))
    }

    /// One look at the clock for all changes of a turn.
    fn at(&mut self, rules: &Rules) -> u64 {
        *self.at.get_or_insert_with(|| rules.clock.wall_micros())
    }

    fn stands(&mut self, member: &Arc<Member>, cell: &Arc<Cell>) {
        let new = || Standing { member: member.clone(), places: Set::default() };
        let stands = self.standing.entry(member.holder.session).or_insert_with(new);
        stands.places.insert(ByPlace(cell.clone()));
    }

    fn left(&mut self, session: SessionId, cell: &Arc<Cell>) {
        if let Some(stands) = self.standing.get_mut(&session) {
            stands.places.remove(&**cell);
        }
    }

    /// Makes the next leader wait for one who lost the lead without having asked for that, and may
    /// not know yet. Called before the books forget where that one stood.
    fn hand_over(&mut self, cell: &Arc<Cell>, now: &Term, next: &Term, rules: &Rules) {
        if now.is_led_as(next) {
            return;
        }
        let Some(holder) = now.leading_holder() else { return };
        if !matches!(holder.kind, SessionKind::Exclusive | SessionKind::Fast) {
            return;
        }
        let standing = self.standing.get(&holder.session).map(|stands| &stands.member);
        let Some(member) = standing.or(self.removed.as_ref()).cloned() else { return };
        self.turn.lose(cell, member.clone(), now.number());
        if holder.kind == SessionKind::Fast {
            return;
        }
        let at = rules.clock.now();
        let before = self.handovers.get(&**cell).map(|it| &**it);
        let handover = Arc::new(Handover::from(before, member, now.number(), at));
        self.turn.hand_over(cell, handover.clone());
        self.handovers.insert(ByPlace(cell.clone()), handover);
        if self.handovers.len() >= 64 && self.handovers.len().is_power_of_two() {
            self.handovers.retain(|_, handover| !handover.valid_after(at).is_zero());
        }
    }

    /// Who may still believe to lead it, for the log.
    fn formers(&self, cell: &Arc<Cell>, rules: &Rules) -> Vec<Former> {
        if self.handovers.is_empty() {
            return Vec::new();
        }
        let handover = self.handovers.get(&**cell);
        handover.map_or_else(Vec::new, |handover| handover.kept(rules.clock.now()))
    }

    fn publish(
        &mut self,
        cell: &Arc<Cell>,
        writing: &mut WritingTerm<'_>,
        term: Term,
        rules: &Rules,
    ) -> Arc<Term> {
        let followers = match self.followers.is_empty() {
            true => None,
            false => self.followers.get(&**cell),
        };
        if rules.log.is_immediate() && self.turn.is_free() {
            // Nothing has to happen before.
            self.turn.at_once += 1;
            let term = writing.publish_in_place(term);
            if let Some(followers) = followers {
                self.turn.call(followers.told(When::Released));
                self.turn.call(followers.told(When::Made));
            }
            return term;
        }
        let term = Arc::new(term);
        writing.advance(term.clone());
        let formers = self.formers(cell, rules);
        let to_be_told = self.turn.publish(cell, term.clone(), formers);
        if let Some(followers) = followers.filter(|_| to_be_told) {
            self.turn.wake(followers.told(When::Released));
            followers.told(When::Made).iter().for_each(|slot| self.ahead.add(slot));
        }
        term
    }

    /// One change for each election; a long list is worked off in steps.
    fn leave(
        &mut self,
        session: SessionId,
        end: SessionEnd,
        mut places: Vec<ByPlace>,
        reply: Reply,
        rules: &Rules,
    ) -> Option<Command> {
        let rule = Rule::Leave { session, why: end.why };
        // Who was not asked may still act, as after any forced change.
        self.removed = (end.why == Departure::SessionRemoved).then(|| end.member.clone());
        let at = self.at(rules);
        for place in places.drain(places.len().saturating_sub(LEAVE_STEP)..) {
            // Leaving is never refused.
            let origin = Origin { at, by: end.by, note: &end.note };
            let _left = self.apply(&place.0, &mut place.0.writing(), &rule, &origin, rules);
        }
        self.removed = None;
        let is_done = places.is_empty();
        (!is_done).then(|| Command { work: Work::Leave { session, end, places }, reply })
    }
}

/// True for what takes the lead from somebody who did not ask for it.
fn is_forced(rule: &Rule<'_>) -> bool {
    !matches!(rule, Rule::Withdraw { .. } | Rule::Leave { .. })
}

/// Hashes keys that this process made itself, addresses and session ids, which nobody outside can
/// choose: one multiplication.
#[derive(Default)]
struct OwnKey(u64);

impl Hasher for OwnKey {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, key: u64) {
        // The odd constant is 2^64 over the golden ratio; the fold carries the high bits down.
        let mixed = (self.0 ^ key).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn write_usize(&mut self, key: usize) {
        self.write_u64(key as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::election::Conflict;
    use crate::id::Holder;
    use crate::lease::Lease;
    use crate::limits::Limits;
    use crate::log::{MemoryLog, Unit};
    use crate::meter::LimitHits;

    fn rules(log: impl Log + 'static) -> Rules {
        Rules {
            log: Arc::new(log),
            limits: Limits::default(),
            clock: Clock::manual(),
            floor: Default::default(),
            unknown: Arc::new(Term::unknown()),
            limit_hits: LimitHits::default(),
        }
    }

    /// Enters one election after another, until the turn is full.
    fn fill(state: &mut State, rules: &Rules) {
        state.begin();
        let id = SessionId::new(1).unwrap();
        let holder = Holder { session: id, kind: SessionKind::Owned };
        let member = Arc::new(Member::new(holder, Lease::open_ended(), Duration::ZERO));
        for election in 0..turn::FULL {
            assert!(!state.is_full(), "{election} changed");
            let cell = Arc::new(Cell::new(&format!("e{election}"), 0, rules.unknown.clone()));
            let act = Act::Enter {
                candidate: "a",
                session: &member,
                conflict: Conflict::Refuse,
                metadata: None,
                only_if_leads: false,
            };
            let entered = state.change(&cell, &act, None, rules).unwrap();
            assert_eq!(entered.number(), 1);
        }
        assert!(state.is_full());
    }

    /// Also where each is published as it changes, and the turn holds nothing of it.
    #[test]
    fn a_turn_in_memory_has_a_bound_too() {
        let rules = rules(MemoryLog);
        let mut state = State::new(0, Arc::default());
        fill(&mut state, &rules);
        state.begin();
        assert!(!state.is_full(), "the next one begins anew");
    }

    /// Or else a writer with more to do, as at the end of a session in many elections, would go round for ever.
    #[test]
    fn d4_a_turn_that_was_refused_takes_no_room_in_the_next() {
        struct Failed;

        impl Log for Failed {
            fn commit(&self, unit: &mut dyn Unit) {
                unit.refuse(&Error::Draining);
            }
        }

        let rules = rules(Failed);
        let mut state = State::new(0, Arc::default());
        fill(&mut state, &rules);
        state.commit(turn::FULL, &*rules.log);
        state.begin();
        assert!(!state.is_full(), "the next one begins anew");
    }
}
