//! What a term tells beyond its list: who made the last change, when and why, since when the leader
//! leads, what the candidates say of themselves, and who led before.
//!
//! Time and names come in as values. What few elections use is shared and absent in the others, for
//! there may be a million.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Reason;
use super::roster::Roster;
use crate::error::Error;
use crate::id::SessionId;
use crate::limits;

/// Past leaders that an election remembers at least.
const HISTORY: u32 = 16;

/// What a candidate says of itself: where it is reached, and labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    address: Box<str>,
    labels: BTreeMap<Box<str>, Box<str>>,
}

impl Metadata {
    /// An address and labels.
    ///
    /// # Errors
    /// [`Error::LimitReached`] for more than 16 labels, or more than 4,096 bytes in all.
    pub fn new<'a>(
        address: &str,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Error> {
        let labels: BTreeMap<Box<str>, Box<str>> =
            labels.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        let over =
            |limit, max: usize, advice| Err(Error::LimitReached { limit, max: max as u64, advice });
        if labels.len() > limits::LABELS {
            return over("labels", limits::LABELS, "give a candidate fewer labels");
        }
        let bytes: usize = labels.iter().map(|(key, value)| key.len() + value.len()).sum();
        if address.len() + bytes > limits::METADATA_BYTES {
            let advice = "give a candidate a shorter address, or fewer or shorter labels";
            return over("metadata_bytes", limits::METADATA_BYTES, advice);
        }
        Ok(Self { address: address.into(), labels })
    }

    /// Where the candidate is reached; may be empty.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its labels, in the order of their keys.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.labels.iter().map(|(key, value)| (&**key, &**value))
    }

    /// True if it says nothing.
    pub fn is_empty(&self) -> bool {
        self.address.is_empty() && self.labels.is_empty()
    }
}

/// Where a change comes from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Origin<'a> {
    /// Microseconds since the Unix epoch.
    pub(crate) at: u64,
    /// The session that made it, if one did.
    pub(crate) by: Option<SessionId>,
    /// In its maker's words; may be empty.
    pub(crate) note: &'a str,
    /// What the one who enters says of itself.
    pub(crate) metadata: Option<&'a Arc<Metadata>>,
}

/// One change, as a term or the history tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// What kind of change it was.
    pub reason: Reason,
    /// The session that made it; `None` if the server did, or a caller without one.
    pub by: Option<SessionId>,
    /// Why, in the words of who made it; may be empty.
    pub note: Box<str>,
    /// When, in microseconds since the Unix epoch.
    pub at_unix_micros: u64,
}

/// One leader's time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reign {
    /// The term.
    pub term: u64,
    /// Who led.
    pub leader: Box<str>,
    /// The session that held the leader.
    pub session: SessionId,
    /// How it came to lead.
    pub began: Change,
    /// How it ended; `None` while it lasts.
    pub ended: Option<Change>,
}

/// A reign that is over, and those before it.
#[derive(Debug)]
pub(super) struct Past {
    reign: Reign,
    before: Option<Arc<Past>>,
    depth: u32,
}

impl Past {
    /// Forgets the oldest only when twice as many are there, so that a change costs the same on average.
    fn after(before: Option<&Arc<Past>>, reign: Reign) -> Arc<Past> {
        let depth = before.map_or(0, |past| past.depth);
        if depth < 2 * HISTORY - 1 {
            return Arc::new(Past { reign, before: before.cloned(), depth: depth + 1 });
        }
        let kept: Vec<&Reign> = reigns(before).take(HISTORY as usize - 1).collect();
        let join = |before: Option<Arc<Past>>, reign: Reign| {
            let depth = before.as_ref().map_or(0, |past| past.depth) + 1;
            Some(Arc::new(Past { reign, before, depth }))
        };
        let older = kept.into_iter().rev().cloned().fold(None, join);
        let depth = older.as_ref().map_or(0, |past| past.depth) + 1;
        Arc::new(Past { reign, before: older, depth })
    }
}

/// Newest first.
fn reigns(past: Option<&Arc<Past>>) -> impl Iterator<Item = &Reign> {
    std::iter::successors(past, |past| past.before.as_ref()).map(|past| &past.reign)
}

/// What few elections have.
#[derive(Clone, Debug, Default)]
struct Extra {
    /// Of the last change.
    note: Box<str>,
    /// Of the change that made the leader lead.
    began: Box<str>,
    metadata: BTreeMap<Box<str>, Arc<Metadata>>,
}

impl Extra {
    fn is_empty(&self) -> bool {
        self.note.is_empty() && self.began.is_empty() && self.metadata.is_empty()
    }
}

/// What a term tells beyond its list.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    at: u64,
    /// Since when the leader leads, or nobody.
    since: u64,
    by: Option<SessionId>,
    began_by: Option<SessionId>,
    past: Option<Arc<Past>>,
    extra: Option<Arc<Extra>>,
    began: Option<Reason>,
}

/// The leader of a list, as its history will know it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Head<'a> {
    pub(super) term: u64,
    pub(super) name: &'a str,
    pub(super) session: SessionId,
}

/// The step from one list to the next, as far as it is told.
pub(super) struct Step<'a> {
    pub(super) reason: Reason,
    pub(super) before: Option<Head<'a>>,
    pub(super) after: Option<Head<'a>>,
    /// The one whose metadata is the origin's.
    pub(super) entered: Option<&'a str>,
    /// The next list, if somebody left in this step.
    pub(super) stayed: Option<&'a Roster>,
}

impl Facts {
    pub(super) fn after(&self, step: &Step<'_>, origin: &Origin<'_>) -> Facts {
        let head_changed = step.before != step.after;
        let mut next = Facts {
            at: origin.at,
            by: origin.by,
            extra: self.extra_after(step, origin, head_changed),
            ..self.clone()
        };
        if step.reason == Reason::Deleted {
            next.past = None;
        } else if let Some(former) = step.before.filter(|_| head_changed) {
            let ended = Change {
                reason: step.reason,
                by: origin.by,
                note: origin.note.into(),
                at_unix_micros: origin.at,
            };
            let reign = self.reign(former, Some(ended));
            next.past = Some(Past::after(self.past.as_ref(), reign));
        }
        if head_changed {
            next.since = origin.at;
            next.began_by = origin.by;
            next.began = Some(step.reason);
        }
        next
    }

    fn extra_after(
        &self,
        step: &Step<'_>,
        origin: &Origin<'_>,
        head_changed: bool,
    ) -> Option<Arc<Extra>> {
        let brings = step.entered.zip(origin.metadata);
        if self.extra.is_none() && origin.note.is_empty() && brings.is_none() {
            return None;
        }
        let mut extra = self.extra.as_deref().cloned().unwrap_or_default();
        extra.note = origin.note.into();
        if head_changed {
            extra.began = origin.note.into();
        }
        match (step.entered, origin.metadata) {
            (Some(name), Some(metadata)) => {
                extra.metadata.insert(name.into(), metadata.clone());
            }
            // Taken over by somebody who says nothing.
            (Some(name), None) => drop(extra.metadata.remove(name)),
            (None, _) => {}
        }
        if let Some(stayed) = step.stayed.filter(|_| !extra.metadata.is_empty()) {
            let known = |(name, _)| extra.metadata.remove_entry(name);
            extra.metadata = stayed.iter().filter_map(known).collect();
        }
        (!extra.is_empty()).then(|| Arc::new(extra))
    }

    pub(super) fn change(&self, reason: Reason) -> Change {
        let note = self.extra.as_ref().map_or_else(Box::default, |extra| extra.note.clone());
        Change { reason, by: self.by, note, at_unix_micros: self.at }
    }

    pub(super) fn since(&self) -> u64 {
        self.since
    }

    pub(super) fn metadata_of(&self, candidate: &str) -> Option<&Arc<Metadata>> {
        self.extra.as_ref()?.metadata.get(candidate)
    }

    /// The present reign first, if there is one, then those before it.
    pub(super) fn history(&self, head: Option<Head<'_>>) -> impl Iterator<Item = Reign> {
        let present = head.map(|head| self.reign(head, None));
        present.into_iter().chain(reigns(self.past.as_ref()).cloned())
    }

    fn reign(&self, head: Head<'_>, ended: Option<Change>) -> Reign {
        let note = self.extra.as_ref().map_or_else(Box::default, |extra| extra.began.clone());
        Reign {
            term: head.term,
            leader: head.name.into(),
            session: head.session,
            began: Change {
                reason: self.began.unwrap_or(Reason::NeverChanged),
                by: self.began_by,
                note,
                at_unix_micros: self.since,
            },
            ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reign(term: u64) -> Reign {
        let change = |at| Change {
            reason: Reason::Entered,
            by: None,
            note: Box::default(),
            at_unix_micros: at,
        };
        Reign {
            term,
            leader: "a".into(),
            session: SessionId::new(1).unwrap(),
            began: change(term),
            ended: Some(change(term + 1)),
        }
    }

    #[test]
    fn the_newest_sixteen_are_remembered_and_never_more_than_twice_as_many() {
        let mut past = None;
        for term in 1..=1_000 {
            past = Some(Past::after(past.as_ref(), reign(term)));
            let kept: Vec<u64> = reigns(past.as_ref()).map(|it| it.term).collect();
            let least = term.min(u64::from(HISTORY)) as usize;
            assert!((least..=2 * HISTORY as usize).contains(&kept.len()), "{term}: {kept:?}");
            let newest: Vec<u64> = (1..=term).rev().take(kept.len()).collect();
            assert_eq!(kept, newest, "in order, without a gap");
            assert_eq!(past.as_ref().unwrap().depth as usize, kept.len());
        }
    }

    #[test]
    fn q1_metadata_has_a_bound_for_labels_and_for_bytes() {
        let keys: Vec<String> = (0..=limits::LABELS).map(|n| format!("k{n:02}")).collect();
        let labels = |count| keys[..count].iter().map(|key| (key.as_str(), "v"));
        assert_eq!(Metadata::new("", labels(16)).unwrap().labels().len(), 16);
        let error = Metadata::new("", labels(17)).unwrap_err();
        assert!(matches!(error, Error::LimitReached { limit: "labels", max: 16, .. }), "{error}");
        let address = "x".repeat(limits::METADATA_BYTES - 2);
        assert!(Metadata::new(&address, [("k", "v")]).is_ok());
        let error = Metadata::new(&address, [("k", "vv")]).unwrap_err();
        let too_long = matches!(error, Error::LimitReached { limit: "metadata_bytes", .. });
        assert!(too_long, "{error}");
    }
}
