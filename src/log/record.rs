//! What is written, as bytes: protobuf messages of our own, each behind a checksum.
//!
//! The checksum covers the table and the key too, so a record that stands in another's place is
//! known. A number is never given to another field; the golden files of each released version are
//! read by a test.

use std::sync::Arc;
use std::time::Duration;

use super::{Former, KeptSession, LatchMark};
use crate::election::{Change, Kept, Metadata, Reason, Reign, Stands, Term};
use crate::id::{Holder, SessionId, SessionKind};
use crate::wire::message::{Message, message};

message! {
    struct Election {
        term: u64 = 1,
        revision: u64 = 2,
        /// The leader first.
        candidates: Vec<Candidate> = 3,
        changed: Option<Changed> = 4,
        began: Option<Changed> = 5,
        /// Oldest first.
        past: Vec<Past> = 6,
        formers: Vec<Gone> = 7,
    }

    struct Candidate {
        name: String = 1,
        session: u64 = 2,
        kind: u32 = 3,
        address: String = 4,
        labels: Vec<Label> = 5,
        says_something: bool = 6,
    }

    struct Label {
        key: String = 1,
        value: String = 2,
    }

    struct Changed {
        reason: u32 = 1,
        session: u64 = 2,
        note: String = 3,
        unix_micros: u64 = 4,
    }

    struct Past {
        term: u64 = 1,
        leader: String = 2,
        session: u64 = 3,
        began: Option<Changed> = 4,
        ended: Option<Changed> = 5,
    }

    struct Gone {
        session: u64 = 1,
        kind: u32 = 2,
        term: u64 = 3,
        ttl_nanos: u64 = 4,
    }

    struct Created {
        tags: Vec<String> = 1,
    }

    struct Session {
        kind: u32 = 1,
        ttl_nanos: u64 = 2,
        owner: String = 3,
        digest: Vec<u8> = 4,
        latch: u64 = 5,
        latch_election: String = 6,
    }
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadRecord {
    #[error("its checksum does not fit: the file was changed, or the disk lost something")]
    Checksum,
    #[error("it can't be decoded ({0}), though its checksum fits: another program wrote it")]
    Malformed(String),
}

impl BadRecord {
    fn of(what: &str) -> Self {
        BadRecord::Malformed(what.to_owned())
    }
}

/// `message` behind its checksum.
pub(super) fn sealed(table: &str, key: &[u8], message: &impl Message) -> Vec<u8> {
    sealed_bytes(table, key, &message.encode())
}

/// The inverse of [`sealed`].
pub(super) fn opened<M: Message>(table: &str, key: &[u8], raw: &[u8]) -> Result<M, BadRecord> {
    let body = opened_bytes(table, key, raw)?;
    M::decode(body).map_err(|malformed| BadRecord::Malformed(malformed.to_string()))
}

/// `body` behind its checksum.
pub(super) fn sealed_bytes(table: &str, key: &[u8], body: &[u8]) -> Vec<u8> {
    [&checksum(table, key, body).to_be_bytes(), body].concat()
}

/// The inverse of [`sealed_bytes`].
pub(super) fn opened_bytes<'a>(
    table: &str,
    key: &[u8],
    raw: &'a [u8],
) -> Result<&'a [u8], BadRecord> {
    let (sum, body) = raw.split_first_chunk::<4>().ok_or(BadRecord::Checksum)?;
    let fits = u32::from_be_bytes(*sum) == checksum(table, key, body);
    if fits { Ok(body) } else { Err(BadRecord::Checksum) }
}

/// CRC-32 of what the record is, where it stands, and what it says; lengths keep them apart.
fn checksum(table: &str, key: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in [table.as_bytes(), key, body] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize()
}

impl Election {
    pub(super) fn of(term: &Term, formers: &[Former]) -> Self {
        let kept = term.kept();
        Self {
            term: kept.number,
            revision: kept.revision,
            candidates: kept.candidates.iter().map(Candidate::of).collect(),
            changed: Some(Changed::of(&kept.changed)),
            began: kept.began.as_ref().map(Changed::of),
            past: kept.past.iter().map(Past::of).collect(),
            formers: formers.iter().map(Gone::of).collect(),
        }
    }

    pub(super) fn restored(self) -> Result<(Term, Vec<Former>), BadRecord> {
        let candidates = self.candidates.into_iter().map(Candidate::restored);
        let changed = self.changed.ok_or_else(|| BadRecord::of("no last change"))?;
        let kept = Kept {
            number: self.term,
            revision: self.revision,
            candidates: candidates.collect::<Result<_, _>>()?,
            changed: changed.restored()?,
            began: self.began.map(Changed::restored).transpose()?,
            past: self.past.into_iter().map(Past::restored).collect::<Result<_, _>>()?,
        };
        let formers = self.formers.into_iter().map(Gone::restored).collect::<Result<_, _>>()?;
        Ok((Term::of(&kept), formers))
    }
}

impl Candidate {
    fn of(one: &Stands) -> Self {
        let says = one.says.as_deref();
        let label = |(key, value): (&str, &str)| Label { key: key.into(), value: value.into() };
        Self {
            name: one.name.as_ref().into(),
            session: one.holder.session.number(),
            kind: kind_number(one.holder.kind),
            address: says.map_or("", Metadata::address).into(),
            labels: says.map_or_else(Vec::new, |says| says.labels().map(label).collect()),
            says_something: says.is_some(),
        }
    }

    fn restored(self) -> Result<Stands, BadRecord> {
        let labels = self.labels.iter().map(|label| (&*label.key, &*label.value));
        let says = self.says_something.then(|| Metadata::new(&self.address, labels)).transpose();
        Ok(Stands {
            name: self.name.into(),
            holder: holder(self.session, self.kind)?,
            says: says.map_err(|error| BadRecord::Malformed(error.to_string()))?.map(Arc::new),
        })
    }
}

impl Changed {
    fn of(change: &Change) -> Self {
        Self {
            reason: change.reason.number(),
            session: change.by.map_or(0, SessionId::number),
            note: change.note.as_ref().into(),
            unix_micros: change.at_unix_micros,
        }
    }

    fn restored(self) -> Result<Change, BadRecord> {
        let reason = Reason::of_number(self.reason);
        Ok(Change {
            reason: reason.ok_or_else(|| BadRecord::of("a reason that is not known"))?,
            by: SessionId::new(self.session),
            note: self.note.into(),
            at_unix_micros: self.unix_micros,
        })
    }
}

impl Past {
    fn of(reign: &Reign) -> Self {
        Self {
            term: reign.term,
            leader: reign.leader.as_ref().into(),
            session: reign.session.number(),
            began: Some(Changed::of(&reign.began)),
            ended: reign.ended.as_ref().map(Changed::of),
        }
    }

    fn restored(self) -> Result<Reign, BadRecord> {
        let whole = || BadRecord::of("a reign without its beginning");
        Ok(Reign {
            term: self.term,
            leader: self.leader.into(),
            session: session_id(self.session)?,
            began: self.began.ok_or_else(whole)?.restored()?,
            ended: self.ended.map(Changed::restored).transpose()?,
        })
    }
}

impl Gone {
    fn of(former: &Former) -> Self {
        Self {
            session: former.holder.session.number(),
            kind: kind_number(former.holder.kind),
            term: former.term,
            ttl_nanos: nanos(former.ttl),
        }
    }

    fn restored(self) -> Result<Former, BadRecord> {
        Ok(Former {
            holder: holder(self.session, self.kind)?,
            term: self.term,
            ttl: Duration::from_nanos(self.ttl_nanos),
        })
    }
}

impl Session {
    pub(super) fn of(session: &KeptSession) -> Self {
        let latch = session.latch.as_ref();
        Self {
            kind: kind_number(session.holder.kind),
            ttl_nanos: nanos(session.ttl),
            owner: session.owner.as_ref().into(),
            digest: session.digest.to_vec(),
            latch: latch.map_or(0, |latch| latch.id),
            latch_election: latch.map_or("", |latch| &latch.election).into(),
        }
    }

    pub(super) fn restored(self, id: u64) -> Result<KeptSession, BadRecord> {
        let digest = self.digest.try_into();
        let latch = LatchMark { id: self.latch, election: self.latch_election.into() };
        Ok(KeptSession {
            holder: holder(id, self.kind)?,
            ttl: Duration::from_nanos(self.ttl_nanos),
            owner: self.owner.into(),
            digest: digest.map_err(|_| BadRecord::of("a digest that is none"))?,
            latch: (latch.id != 0).then_some(latch),
        })
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn session_id(number: u64) -> Result<SessionId, BadRecord> {
    SessionId::new(number).ok_or_else(|| BadRecord::of("a session without an id"))
}

fn holder(session: u64, kind: u32) -> Result<Holder, BadRecord> {
    let kinds =
        [SessionKind::Connection, SessionKind::Exclusive, SessionKind::Fast, SessionKind::Owned];
    let found = kinds.into_iter().find(|known| kind_number(*known) == kind);
    let kind = found.ok_or_else(|| BadRecord::of("a kind of session that is not known"))?;
    Ok(Holder { session: session_id(session)?, kind })
}

/// As tenure.v1 numbers them.
fn kind_number(kind: SessionKind) -> u32 {
    match kind {
        SessionKind::Connection => 1,
        SessionKind::Exclusive => 2,
        SessionKind::Fast => 3,
        SessionKind::Owned => 4,
    }
}
