//! Changes with conditions and reasons, for those who embed the engine.

use std::borrow::Cow;
use std::sync::Arc;

use super::election::Act;
use super::{Election, Session};
use crate::election::{Conflict, Metadata};
use crate::error::Error;
use crate::id::SessionId;
use crate::shard::{Intent, Outcome};

/// How to enter an election.
///
/// ```
/// # let engine = tenure::Engine::builder().open()?;
/// # let session = engine.session()?;
/// # let election = engine.election("billing/cron")?;
/// use tenure::{EnterOptions, Metadata};
///
/// let metadata = Metadata::new("10.0.0.7:9000", [("zone", "b")])?;
/// let options = EnterOptions { metadata, ..EnterOptions::default() };
/// let term = election.enter_with(&session, "node-a", options)?;
/// assert_eq!(term.metadata_of("node-a").unwrap().address(), "10.0.0.7:9000");
/// # Ok::<(), tenure::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnterOptions {
    /// What the candidate says of itself. One that stands already and says something else is described
    /// anew; if this is empty, it stays as it was.
    pub metadata: Metadata,
    /// Takes the candidate over, in its place, if another session holds it.
    pub take_over: bool,
    /// Enters only if that makes it the leader.
    pub only_if_leads: bool,
    /// Only if this is the term; an election that nobody knows reads as 0.
    pub expected_term: Option<u64>,
    /// Why, for people: at most 256 bytes.
    pub note: String,
}

/// On which condition a change is asked for, by whom, and why.
///
/// ```
/// # let engine = tenure::Engine::builder().open()?;
/// # let session = engine.session()?;
/// # let election = engine.election("billing/cron")?;
/// # let seen = election.enter(&session, "node-a")?;
/// use tenure::ChangeOptions;
///
/// let why = ChangeOptions {
///     expected_term: Some(seen.number()),
///     note: "zone b goes down".into(),
///     ..ChangeOptions::default()
/// };
/// let term = election.evict_with("node-a", why)?;
/// assert_eq!(&*term.change().note, "zone b goes down");
/// # Ok::<(), tenure::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeOptions {
    /// Only if this is the term; an election that nobody knows reads as 0.
    pub expected_term: Option<u64>,
    /// Why, for people: at most 256 bytes.
    pub note: String,
    /// The session that asks for it, to be told by the term. For those changes that belong to no session:
    /// one that withdraws is always told itself.
    pub by: Option<SessionId>,
}

impl ChangeOptions {
    fn intent(&self) -> Intent<'_> {
        let (expected, by, note) = (self.expected_term, self.by, Cow::Borrowed(&*self.note));
        Intent { expected, by, note }
    }
}

impl Election {
    /// As [`enter`](Self::enter), with what the candidate says of itself, and with conditions.
    /// Whether it stands, [`Term::session_of`](crate::Term::session_of) tells.
    ///
    /// # Errors
    /// As `enter`; without `CandidateTaken` if it takes over; [`Error::TermMoved`];
    /// [`Error::InvalidName`] for the note.
    pub fn enter_with(&self, session: &Session, candidate: &str, options: EnterOptions) -> Outcome {
        let EnterOptions { metadata, take_over, only_if_leads, expected_term, note } = options;
        let conflict = if take_over { Conflict::TakeOver } else { Conflict::Refuse };
        let metadata = Some(metadata).filter(|it| !it.is_empty()).map(Arc::new);
        let intent = Intent { expected: expected_term, by: None, note: Cow::Owned(note) };
        self.act_with(Act::Enter { candidate, session, conflict, metadata, only_if_leads }, intent)
    }

    /// As [`withdraw`](Self::withdraw), on a condition or with a note.
    ///
    /// # Errors
    /// As `withdraw`; [`Error::TermMoved`]; [`Error::InvalidName`] for the note.
    pub fn withdraw_with(
        &self,
        session: &Session,
        candidate: &str,
        options: ChangeOptions,
    ) -> Outcome {
        self.act_with(Act::Withdraw { candidate, session: Some(session) }, options.intent())
    }

    /// As [`anoint`](Self::anoint), on a condition or with a note.
    ///
    /// # Errors
    /// As `anoint`; [`Error::TermMoved`]; [`Error::InvalidName`] for the note.
    pub fn anoint_with(&self, candidate: &str, options: ChangeOptions) -> Outcome {
        self.act_with(Act::Anoint { candidate }, options.intent())
    }

    /// As [`promote`](Self::promote), on a condition or with a note.
    ///
    /// # Errors
    /// As `promote`; [`Error::TermMoved`]; [`Error::InvalidName`] for the note.
    pub fn promote_with(&self, candidate: &str, options: ChangeOptions) -> Outcome {
        self.act_with(Act::Promote { candidate }, options.intent())
    }

    /// As [`demote`](Self::demote), on a condition or with a note.
    ///
    /// # Errors
    /// As `demote`; [`Error::TermMoved`]; [`Error::InvalidName`] for the note.
    pub fn demote_with(&self, candidate: &str, options: ChangeOptions) -> Outcome {
        self.act_with(Act::Demote { candidate }, options.intent())
    }

    /// As [`evict`](Self::evict), on a condition or with a note.
    ///
    /// # Errors
    /// As `evict`; [`Error::TermMoved`]; [`Error::InvalidName`] for the note.
    pub fn evict_with(&self, candidate: &str, options: ChangeOptions) -> Outcome {
        self.act_with(Act::Evict { candidate }, options.intent())
    }

    /// As [`delete`](Self::delete), on a condition or with a note.
    ///
    /// # Errors
    /// As `delete`; [`Error::TermMoved`]; [`Error::InvalidName`] for the note.
    pub fn delete_with(&self, options: ChangeOptions) -> Result<(), Error> {
        self.act_with(Act::Delete, options.intent()).map(|_| ())
    }
}
