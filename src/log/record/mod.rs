//! What is written, as bytes: protobuf messages of our own, each behind a checksum.
//!
//! The checksum covers the table and the key too, so a record that stands in another's place is
//! known. A number is never given to another field; the golden files of each released version are
//! read by a test.

mod past;

use std::sync::Arc;
use std::time::Duration;

use super::{Former, KeptSession, LatchMark};
use crate::election::{Change, Kept, Metadata, Reason, Stands, Term};
use crate::id::{Holder, SessionId, SessionKind};
use crate::limits::{NAME_BOUND, STANDING_BOUND};
use crate::wire::message::{Message, message};
use crate::wire::put;

message! {
    struct Election {
        term: u64 = 1,
        revision: u64 = 2,
        /// The leader first.
        candidates: Vec<Candidate> = 3,
        changed: Option<Changed> = 4,
        began: Option<Changed> = 5,
        /// The reigns that are over, packed.
        past: Vec<u8> = 6,
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
    pub(super) fn of(what: &str) -> Self {
        BadRecord::Malformed(what.to_owned())
    }
}

/// An [`Election`], behind its checksum, written straight from the term: each change of one is kept.
pub(super) fn sealed_term(table: &str, name: &str, term: &Term, formers: &[Former]) -> Vec<u8> {
    let mut out = Vec::with_capacity(term.weight());
    out.extend_from_slice(&[0; 4]);
    put::uint(&mut out, 1, term.number());
    put::uint(&mut out, 2, term.revision());
    for ((name, holder), says) in term.standing().zip(term.says()) {
        put::nested(&mut out, 3, |out| put_candidate(out, name, holder, says));
    }
    for (number, change) in [(4, Some(term.last_change())), (5, term.began_earlier())] {
        let Some(change) = change else { continue };
        put::nested(&mut out, number, |out| {
            put::uint(out, 1, u64::from(change.reason.number()));
            put::uint(out, 2, change.by.map_or(0, SessionId::number));
            put::text(out, 3, change.note);
            put::uint(out, 4, change.at);
        });
    }
    let mut over = term.over().peekable();
    if over.peek().is_some() {
        put::nested(&mut out, 6, |out| past::pack(out, over));
    }
    for former in formers {
        put::nested(&mut out, 7, |out| {
            put::uint(out, 1, former.holder.session.number());
            put::uint(out, 2, u64::from(kind_number(former.holder.kind)));
            put::uint(out, 3, former.term);
            put::uint(out, 4, nanos(former.ttl));
        });
    }
    let sum = checksum(table, name.as_bytes(), &out[4..]);
    out[..4].copy_from_slice(&sum.to_be_bytes());
    out
}

fn put_candidate(out: &mut Vec<u8>, name: &str, holder: Holder, says: Option<&Metadata>) {
    put::text(out, 1, name);
    put::uint(out, 2, holder.session.number());
    put::uint(out, 3, u64::from(kind_number(holder.kind)));
    let Some(says) = says else { return };
    put::text(out, 4, says.address());
    says.labels().for_each(|(key, value)| put::entry(out, 5, key, value));
    put::uint(out, 6, 1);
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
    pub(super) fn is_deleted(&self) -> bool {
        let reason = self.changed.as_ref().map(|changed| changed.reason);
        reason == Some(Reason::Deleted.number())
    }

    pub(super) fn restored(self) -> Result<(Term, Vec<Former>), BadRecord> {
        if self.candidates.len() >= STANDING_BOUND {
            return Err(BadRecord::of("more candidates than there can be"));
        }
        let candidates = self.candidates.into_iter().map(Candidate::restored);
        let changed = self.changed.ok_or_else(|| BadRecord::of("no last change"))?;
        let kept = Kept {
            number: self.term,
            revision: self.revision,
            candidates: candidates.collect::<Result<_, _>>()?,
            changed: changed.restored()?,
            began: self.began.map(Changed::restored).transpose()?,
            past: past::unpacked(&self.past)
                .map_err(|bad| BadRecord::Malformed(bad.to_string()))?,
        };
        let formers = self.formers.into_iter().map(Gone::restored).collect::<Result<_, _>>()?;
        Ok((Term::of(&kept), formers))
    }
}

impl Candidate {
    fn restored(self) -> Result<Stands, BadRecord> {
        if self.name.len() >= NAME_BOUND {
            return Err(BadRecord::of("a name of more bytes than there can be"));
        }
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

impl Gone {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::{Bounds, Command, Conflict, Origin, apply};
    use crate::limits::Limits;

    fn bounds() -> Bounds {
        let limits = Limits::DEFAULT;
        Bounds {
            floor: 0,
            candidates: limits.candidates,
            candidate_bytes: limits.candidate_bytes,
            said_bytes: limits.election_metadata_bytes,
        }
    }

    fn exclusive(number: u64) -> Holder {
        Holder { session: SessionId::new(number).unwrap(), kind: SessionKind::Exclusive }
    }

    /// No limit lets one in, and a roster has no room for its length.
    #[test]
    fn a_name_that_is_too_long_to_be_one_is_refused() {
        let candidate =
            |len| Candidate { name: "x".repeat(len), session: 1, kind: 1, ..Candidate::default() };
        assert!(candidate(NAME_BOUND - 1).restored().is_ok());
        let refused = candidate(NAME_BOUND).restored().map(drop).unwrap_err().to_string();
        assert!(refused.contains("more bytes"), "{refused}");
    }

    /// After each of many changes: what is kept makes the same term again, in all that it tells.
    #[test]
    fn a_term_is_made_again_of_what_is_kept_of_it() {
        let says = Arc::new(Metadata::new("host:1", [("zone", "a")]).unwrap());
        let mut term = Arc::new(Term::unknown());
        let former = Former { holder: exclusive(9), term: 7, ttl: Duration::from_millis(1_500) };
        let formers = [former; 2];
        for step in 0..200u64 {
            let names = ["ä", "b", "candidate-3", "d"];
            let candidate = names[(step * 7 % 4) as usize];
            let command = match step * 5 % 7 {
                0..=2 => Command::Enter {
                    candidate,
                    holder: exclusive(1 + step % 3),
                    conflict: Conflict::TakeOver,
                    says: (step % 2 == 0).then_some(&says),
                    only_if_leads: false,
                },
                3 => Command::Anoint { candidate },
                4 => Command::Demote { candidate },
                5 => Command::Promote { candidate },
                _ => Command::Evict { candidate },
            };
            let note = if step % 3 == 0 { "because ß" } else { "" };
            let origin = Origin { at: 1_000 + step, by: SessionId::new(step), note };
            let Some(effect) = apply(&term, &command, &origin, &bounds()).unwrap() else {
                continue;
            };
            term = Arc::new(effect.term);
            let raw = sealed_term("elections", "e", &term, &formers);
            let election: Election = opened("elections", b"e", &raw).unwrap();
            let (again, left) = election.restored().unwrap();
            assert_eq!(left, formers);
            assert_eq!(format!("{again:?} {again}"), format!("{term:?} {term}"));
            assert_eq!(again.change(), term.change());
            assert_eq!(again.since(), term.since());
            assert!(again.history().eq(term.history()));
            for name in names {
                assert_eq!(again.metadata_of(name), term.metadata_of(name));
                assert_eq!(again.holder_of(name), term.holder_of(name));
            }
        }
        assert!(term.history().count() > 16 && term.number() > 20, "{term}");
    }

    #[test]
    fn d6_a_record_that_is_not_what_was_written_is_known() {
        let session = Session { owner: "somebody".into(), ttl_nanos: 1, ..Session::default() };
        let sealed = sealed("sessions", b"1", &session);
        assert_eq!(opened("sessions", b"1", &sealed), Ok(session));
        for (table, key) in [("elections", &b"1"[..]), ("sessions", b"2"), ("session", b"s1")] {
            assert_eq!(opened::<Session>(table, key, &sealed), Err(BadRecord::Checksum));
        }
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 0x10;
            assert_eq!(opened::<Session>("sessions", b"1", &flipped), Err(BadRecord::Checksum));
            let cut = opened::<Session>("sessions", b"1", &sealed[..at]);
            assert_eq!(cut, Err(BadRecord::Checksum));
        }
    }
}
