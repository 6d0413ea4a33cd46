//! All that is kept, as one stream of bytes; and a store made again of that.
//!
//! A header, then records behind their own checksums, then how many there were and a checksum of it all:
//! so what is cut off, or changed, is known. Keys of sessions are left out. Who restores ends all sessions
//! and raises every term, because what happened after the backup was made is not known.

use std::io::{self, Read, Write};

use super::store::{FORMAT, Fault, Snapshot};
use crate::log::KeptSession;
use crate::log::record::{self, BadRecord, Created, Election, Session};

const MAGIC: &[u8; 16] = b"tenure backup 1\n";

/// By how much a restored server raises every term, and every other number that it gave.
pub(crate) const RAISE: u64 = 1 << 32;

/// Bytes of one record, at most: far more than a term may have.
const RECORD_MAX: usize = 64 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Singles = 1,
    Session = 2,
    Election = 3,
    Created = 4,
    End = 255,
}

crate::wire::message::message! {
    struct Numbers {
        format: u64 = 1,
        floor: u64 = 2,
        index: u64 = 3,
        sessions: u64 = 4,
        server_id: String = 5,
    }
}

/// One record of a backup.
pub(super) enum Item {
    Numbers(Numbers),
    Session(KeptSession),
    Election(Box<str>, Box<Election>),
    Created(Box<str>, Vec<Box<str>>),
}

/// Writes all that `kept` holds.
pub(crate) fn write(kept: &Snapshot, to: impl Write) -> io::Result<()> {
    let mut out = Sum { inner: to, sum: crc32fast::Hasher::new(), records: 0 };
    out.write_all(MAGIC)?;
    let singles = kept.singles().map_err(io::Error::other)?;
    let numbers = Numbers {
        format: FORMAT,
        floor: singles.floor,
        index: singles.index,
        sessions: singles.sessions,
        server_id: singles.server_id.into(),
    };
    out.record(Kind::Singles, b"", &record::sealed("singles", b"", &numbers))?;
    for session in kept.sessions().map_err(io::Error::other)? {
        let id = session.holder.session.number().to_be_bytes();
        // No secret: neither what is kept of a key, nor by what a latch's client is known.
        let bare = KeptSession { digest: [0; 16], latch: None, ..session };
        out.record(Kind::Session, &id, &record::sealed("sessions", &id, &Session::of(&bare)))?;
    }
    let mut written = Ok(());
    kept.raw(|kind, name, raw| {
        let kind = if kind { Kind::Election } else { Kind::Created };
        written = out.record(kind, name.as_bytes(), raw);
        written.is_ok()
    })
    .map_err(io::Error::other)?;
    written?;
    let (records, sum) = (out.records, out.sum.clone().finalize());
    out.inner.write_all(&[Kind::End as u8])?;
    out.inner.write_all(&records.to_be_bytes())?;
    out.inner.write_all(&sum.to_be_bytes())?;
    out.inner.flush()
}

/// Calls `each` with every record, in the order of writing. Fails at the first thing that is wrong; only
/// who has come to the end knows that all of it is what was written.
pub(super) fn read(
    from: impl Read,
    mut each: impl FnMut(Item) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut from = Sum { inner: from, sum: crc32fast::Hasher::new(), records: 0 };
    let mut magic = [0; MAGIC.len()];
    from.read_exact(&mut magic).map_err(cut_off)?;
    if magic != *MAGIC {
        return Err(Fault::Damaged("this is no backup of tenure".into()));
    }
    loop {
        let sum = from.sum.clone().finalize();
        let [kind] = from.array()?;
        let Some(kind) = Kind::of(kind) else {
            return Err(Fault::Damaged(format!("a record of kind {kind}, which there is not")));
        };
        if kind == Kind::End {
            let whole = u64::from_be_bytes(from.array()?) == from.records
                && u32::from_be_bytes(from.array()?) == sum;
            let changed = || Fault::Damaged("its checksum does not fit: it was changed".into());
            return if whole { Ok(()) } else { Err(changed()) };
        }
        let (key, value) = (from.bytes()?, from.bytes()?);
        from.records += 1;
        let item = Item::of(kind, &key, &value);
        each(item.map_err(|bad| Fault::Damaged(format!("record {}: {bad}", from.records)))?)?;
    }
}

impl Kind {
    fn of(number: u8) -> Option<Self> {
        let all = [Kind::Singles, Kind::Session, Kind::Election, Kind::Created, Kind::End];
        all.into_iter().find(|kind| *kind as u8 == number)
    }
}

impl Item {
    fn of(kind: Kind, key: &[u8], raw: &[u8]) -> Result<Self, BadRecord> {
        let name = || {
            let name = std::str::from_utf8(key).map(Box::<str>::from);
            name.map_err(|_| BadRecord::of("a name that is no text"))
        };
        Ok(match kind {
            Kind::Singles | Kind::End => Item::Numbers(record::opened("singles", key, raw)?),
            Kind::Session => {
                let id = key.try_into().map(u64::from_be_bytes);
                let id = id.map_err(|_| BadRecord::of("a session without an id"))?;
                Item::Session(record::opened::<Session>("sessions", key, raw)?.restored(id)?)
            }
            Kind::Election => {
                Item::Election(name()?, Box::new(record::opened("elections", key, raw)?))
            }
            Kind::Created => {
                let created: Created = record::opened("created", key, raw)?;
                Item::Created(name()?, created.tags.into_iter().map(Into::into).collect())
            }
        })
    }
}

/// Sums up what goes through.
struct Sum<T> {
    inner: T,
    sum: crc32fast::Hasher,
    records: u64,
}

impl<W: Write> Sum<W> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.inner.write_all(bytes)
    }

    fn record(&mut self, kind: Kind, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.write_all(&[kind as u8])?;
        for part in [key, value] {
            self.write_all(&(part.len() as u32).to_be_bytes())?;
            self.write_all(part)?;
        }
        self.records += 1;
        Ok(())
    }
}

impl<R: Read> Sum<R> {
    fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.read_exact(bytes)?;
        self.sum.update(bytes);
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.read_exact(&mut bytes).map_err(cut_off)?;
        Ok(bytes)
    }

    /// Takes no more memory than there are bytes.
    fn bytes(&mut self) -> Result<Vec<u8>, Fault> {
        let len = u32::from_be_bytes(self.array()?) as usize;
        if len > RECORD_MAX {
            return Err(Fault::Damaged(format!("a record of {len} bytes, which there is not")));
        }
        let mut bytes = Vec::new();
        let read = self.inner.by_ref().take(len as u64).read_to_end(&mut bytes);
        if read.map_err(cut_off)? < len {
            return Err(cut_off(io::ErrorKind::UnexpectedEof.into()));
        }
        self.sum.update(&bytes);
        Ok(bytes)
    }
}

fn cut_off(error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Fault::Damaged("it ends too early: it was cut off".into()),
        _ => Fault::Disk(format!("can't read the backup: {error}")),
    }
}
