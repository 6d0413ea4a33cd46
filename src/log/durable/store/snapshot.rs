//! All that was kept at one moment, read back.

use std::ops::ControlFlow::{self, Break, Continue};

use redb::{ReadTransaction, ReadableTable};

#[cfg(feature = "internals")]
use super::Records;
use super::{
    CREATED, ELECTIONS, Fault, META, Named, Numbered, SERVER_ID, SESSIONS, Single, damaged, fault,
};
use crate::election::Term;
#[cfg(feature = "failpoints")]
use crate::log::durable::canary::{self, Canary};
use crate::log::durable::disk::Trouble;
use crate::log::record::{self, BadRecord, Created, Election, Session};
use crate::log::{Former, KeptSession};

/// What there is one of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Singles {
    pub(crate) format: u64,
    pub(crate) floor: u64,
    pub(crate) index: u64,
    pub(crate) sessions: u64,
    pub(crate) starts: u64,
    /// The last entry of the journal that stands in the tables.
    pub(crate) entry: u64,
    pub(crate) server_id: Box<str>,
}

/// One election, as it is read back.
pub(crate) struct KeptElection {
    pub(crate) name: Box<str>,
    pub(crate) term: Term,
    pub(crate) formers: Vec<Former>,
}

/// What was kept at one moment. It can be read for as long as the store is open.
pub(crate) struct Snapshot {
    read: ReadTransaction,
    trouble: Trouble,
}

impl Snapshot {
    pub(super) fn of(read: ReadTransaction, trouble: Trouble) -> Self {
        Self { read, trouble }
    }

    /// One number. The format is asked for before anything else is believed: a later one may seal its
    /// records otherwise.
    pub(super) fn single(&self, single: Single) -> Result<u64, Fault> {
        number_of(single, &self.meta(single.key())?)
    }

    fn meta(&self, key: &str) -> Result<Vec<u8>, Fault> {
        let table = self.read.open_table(Named::new(META)).map_err(|error| self.fault(&error))?;
        let found = table.get(key).map_err(|error| self.fault(&error))?;
        let missing = || Fault::Damaged(format!("{META}/{key} is missing"));
        Ok(found.ok_or_else(missing)?.value().to_vec())
    }

    pub(crate) fn singles(&self) -> Result<Singles, Fault> {
        let id = self.meta(SERVER_ID)?;
        let id = record::opened_bytes(META, SERVER_ID.as_bytes(), &id);
        let id = id.map_err(|bad| damaged(META, SERVER_ID, &bad))?.to_vec();
        let floor = self.single(Single::Floor)?;
        #[cfg(feature = "failpoints")]
        let floor = if canary::sings(Canary::FloorForgotten) { 0 } else { floor };
        Ok(Singles {
            format: self.single(Single::Format)?,
            floor,
            index: self.single(Single::Index)?,
            sessions: self.single(Single::Sessions)?,
            starts: self.single(Single::Starts)?,
            entry: self.single(Single::Entry)?,
            server_id: String::from_utf8(id)
                .map_err(|_| Fault::Damaged(format!("{META}/{SERVER_ID} is no text")))?
                .into(),
        })
    }

    /// Calls `each` with every election.
    pub(crate) fn elections(&self, mut each: impl FnMut(KeptElection)) -> Result<(), Fault> {
        self.named(ELECTIONS, |name, raw| {
            let election: Election = record::opened(ELECTIONS, name.as_bytes(), raw)?;
            let (term, formers) = election.restored()?;
            #[cfg(feature = "failpoints")]
            if term.leader().is_none() && canary::sings(Canary::VacantForgotten) {
                return Ok(());
            }
            each(KeptElection { name: name.into(), term, formers });
            Ok(())
        })
    }

    /// Calls `each` with every election that was created, and its tags.
    pub(crate) fn created(&self, mut each: impl FnMut(&str, Vec<Box<str>>)) -> Result<(), Fault> {
        self.named(CREATED, |name, raw| {
            let created: Created = record::opened(CREATED, name.as_bytes(), raw)?;
            each(name, created.tags.into_iter().map(Into::into).collect());
            Ok(())
        })
    }

    /// Calls `each` with every election's record (true) and every creation's (false), as they are written,
    /// until it returns false.
    pub(crate) fn raw(&self, mut each: impl FnMut(bool, &str, &[u8]) -> bool) -> Result<(), Fault> {
        for (table, is_election) in [(ELECTIONS, true), (CREATED, false)] {
            let ended = self.named_until(table, |name, raw| {
                // What is damaged is not carried on.
                record::opened_bytes(table, name.as_bytes(), raw)?;
                Ok(if each(is_election, name, raw) { Continue(()) } else { Break(()) })
            })?;
            if ended.is_break() {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn sessions(&self) -> Result<Vec<KeptSession>, Fault> {
        let mut sessions = Vec::new();
        self.numbered(|id, raw| {
            let session: Session = record::opened(SESSIONS, &id.to_be_bytes(), raw)?;
            sessions.push(session.restored(id)?);
            Ok(())
        })?;
        Ok(sessions)
    }

    /// All records as they stand, behind their checksums, by table and key; and all that there is one of.
    #[cfg(feature = "internals")]
    pub(crate) fn records(&self) -> Result<(Singles, Records), Fault> {
        self.elections(|_| {})?;
        self.created(|_, _| {})?;
        self.sessions()?;
        let mut records = Records::new();
        for table in [ELECTIONS, CREATED] {
            self.named(table, |key, raw| {
                records.insert((table, key.as_bytes().into()), raw.into());
                Ok(())
            })?;
        }
        self.numbered(|id, raw| {
            records.insert((SESSIONS, id.to_be_bytes().into()), raw.into());
            Ok(())
        })?;
        Ok((self.singles()?, records))
    }

    fn named(
        &self,
        name: &'static str,
        mut each: impl FnMut(&str, &[u8]) -> Result<(), BadRecord>,
    ) -> Result<(), Fault> {
        self.named_until(name, |key, raw| each(key, raw).map(Continue)).map(drop)
    }

    fn named_until(
        &self,
        name: &'static str,
        mut each: impl FnMut(&str, &[u8]) -> Result<ControlFlow<()>, BadRecord>,
    ) -> Result<ControlFlow<()>, Fault> {
        let table = self.read.open_table(Named::new(name)).map_err(|error| self.fault(&error))?;
        for entry in table.iter().map_err(|error| self.fault(&error))? {
            let (key, raw) = entry.map_err(|error| self.fault(&error))?;
            let key = key.value();
            if each(key, raw.value()).map_err(|bad| damaged(name, key, &bad))?.is_break() {
                return Ok(Break(()));
            }
        }
        Ok(Continue(()))
    }

    fn numbered(
        &self,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), BadRecord>,
    ) -> Result<(), Fault> {
        let table = self.read.open_table(Numbered::new(SESSIONS));
        let table = table.map_err(|error| self.fault(&error))?;
        for entry in table.iter().map_err(|error| self.fault(&error))? {
            let (id, raw) = entry.map_err(|error| self.fault(&error))?;
            each(id.value(), raw.value()).map_err(|bad| damaged(SESSIONS, id.value(), &bad))?;
        }
        Ok(())
    }

    fn fault(&self, error: &dyn std::error::Error) -> Fault {
        fault(&self.trouble, error)
    }
}

fn number_of(single: Single, raw: &[u8]) -> Result<u64, Fault> {
    let key = single.key();
    let body = match single {
        Single::Format => raw,
        _ => record::opened_bytes(META, key.as_bytes(), raw)
            .map_err(|bad| damaged(META, key, &bad))?,
    };
    let number = body.try_into().map(u64::from_be_bytes);
    number.map_err(|_| Fault::Damaged(format!("{META}/{key} is no number")))
}
