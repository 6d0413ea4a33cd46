//! An engine over a data directory: what was kept comes back before anybody can ask.
//!
//! Explicit sessions live on with a whole TTL; their candidates stand as they stood. Sessions of
//! connections, and those held inside the former process, ended with it: their candidates leave in one
//! change for each election, and that is kept before anything is answered.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::keeping::What;
use super::record::Record;
use super::{Engine, EngineBuilder};
use crate::error::Error;
use crate::id::{Holder, SessionId};
use crate::lease::{Ending, Lease};
use crate::limits::{Limits, TERM_BOUND};
use crate::log::durable::folder::Folder;
use crate::log::durable::place::Place;
use crate::log::durable::store::{KeptElection, Store};
use crate::log::durable::{DurableLog, OnFailure};
use crate::log::{Former, KeptSession, Log};
use crate::random::random_hex;
use crate::shard::{Command, Member, Reply, ReplyTo, Restored, Work};

/// Where an engine keeps what it knows.
#[derive(Clone, Default)]
pub(super) struct Keep {
    pub(super) path: PathBuf,
    pub(super) must_exist: bool,
    pub(super) min_term: u64,
    pub(super) on_failure: Option<Arc<OnFailure>>,
}

pub(super) fn open(builder: EngineBuilder, keep: Keep) -> Result<Engine, Error> {
    builder.check()?;
    if keep.path.as_os_str().is_empty() {
        let why = "none is given, and what is to be kept needs one".to_owned();
        return Err(Error::InvalidSetting { setting: "data_dir", why });
    }
    if keep.min_term > TERM_BOUND / 2 {
        let why = format!("{} leaves too few terms; give at most 2^52", keep.min_term);
        return Err(Error::InvalidSetting { setting: "min_term", why });
    }
    let folder = Folder::open(&keep.path, keep.must_exist)?;
    let store = folder.store(&random_hex()?)?;
    open_at(builder, keep, Box::new(folder), store, |log| log)
}

/// Opens an engine over a store that is open. It hands its turns to what `around` makes of the log.
pub(super) fn open_at(
    mut builder: EngineBuilder,
    keep: Keep,
    folder: Box<dyn Place>,
    mut store: Store,
    around: impl FnOnce(Arc<DurableLog>) -> Arc<dyn Log>,
) -> Result<Engine, Error> {
    let mut read = || {
        let kept = store.snapshot()?;
        Ok((kept.singles()?, kept.sessions()?, kept))
    };
    let (singles, sessions, kept) = read().map_err(|fault| folder.tell(fault))?;
    let on_failure = keep.on_failure.unwrap_or_else(|| Arc::new(|_| {}));
    let log = Arc::new(DurableLog::new(folder, store, Box::new(move |error| on_failure(error))));
    builder.log = around(log.clone());
    let floor = singles.floor.max(keep.min_term);
    let engine = builder.open_with(Some(singles.server_id.clone()), floor)?;
    if floor > singles.floor {
        engine.keep(What::Floor(floor));
    }
    engine.inner.session_ids.begin(&engine, singles.sessions);
    engine.inner.sessions.go_on_after(singles.sessions);
    engine.inner.indexes.begin(&engine, singles.index);
    let members: Members = sessions.into_iter().map(|it| engine.restore_session(it)).collect();
    let restored = kept.elections(|kept| engine.restore_election(kept, &members));
    let restored =
        restored.and_then(|()| kept.created(|name, tags| engine.recall_creation(name, tags)));
    restored.map_err(|fault| log.tell(fault))?;
    engine.sync()?;
    // Only now is there somebody to hear them: each has its whole TTL from here on.
    let now = engine.clock().now();
    for record in members.into_values() {
        record.renew(now)?;
        engine.inner.timers.add(&engine, record);
    }
    Ok(engine)
}

type Members = HashMap<SessionId, Arc<Record>>;

impl Engine {
    fn restore_session(&self, kept: KeptSession) -> (SessionId, Arc<Record>) {
        let now = self.clock().now();
        let KeptSession { holder, ttl, owner, digest, latch } = kept;
        let member = Member::new(holder, Lease::until(now + ttl), ttl);
        let digest = Some(self.inner.sessions.digest_of(digest));
        let record = Arc::new(Record::new(member, owner, digest, latch, now));
        self.inner.sessions.restore(&record);
        (holder.session, record)
    }

    fn restore_election(&self, kept: KeptElection, sessions: &Members) {
        let KeptElection { name, term, formers } = kept;
        let mut members: Vec<Arc<Member>> = Vec::new();
        let mut gone: Vec<SessionId> = Vec::new();
        for session in term.sessions() {
            match sessions.get(&session) {
                Some(record) if members.iter().all(|it| it.holder.session != session) => {
                    members.push(record.member.clone());
                }
                None if !gone.contains(&session) => gone.push(session),
                _ => {}
            }
        }
        // The leader's leaves last: so of those who stay one leads, and nobody in between.
        gone.reverse();
        let formers = formers.iter().map(|it| (self.former(it, sessions), it.term)).collect();
        let restored = Restored { term: Arc::new(term), members, gone, formers };
        self.restore_place(&name, |cell, shard| {
            restored.members.iter().for_each(|member| member.lease.visit(shard));
            Work::Restore { cell, restored: Box::new(restored) }
        });
    }

    fn recall_creation(&self, name: &str, tags: Vec<Box<str>>) {
        self.restore_place(name, |cell, _| Work::Recall { cell, tags: tags.into() });
    }

    fn restore_place(&self, name: &str, work: impl FnOnce(Arc<crate::shard::Cell>, usize) -> Work) {
        // What was once let in stays, also where the limits are narrower now.
        let limits = Limits { elections: usize::MAX, ..*self.limits() };
        let cell = self.inner.registry.find_or_add(name, &limits, self.unknown());
        let cell = cell.expect("there is no limit");
        let shard = cell.shard();
        let reply = Reply::new(ReplyTo::Nobody, shard);
        self.inner.shards[shard].submit(Command { work: work(cell, shard), reply });
    }

    /// Somebody who may still believe that they lead: as long as its session, or a whole TTL.
    fn former(&self, former: &Former, sessions: &Members) -> Arc<Member> {
        let Former { holder, ttl, .. } = *former;
        let Holder { session, .. } = holder;
        if let Some(record) = sessions.get(&session) {
            return record.member.clone();
        }
        let member = Member::new(holder, Lease::until(self.clock().now() + ttl), ttl);
        member.give_notice(None, "");
        let _its_shards = member.lease.end(Ending::Ended);
        Arc::new(member)
    }
}
