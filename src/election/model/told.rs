//! What a term tells beyond its list, kept the simplest way: all that ever happened.

use crate::election::{Change, Origin, Reason, Reign, Term, Verdict};
use crate::id::SessionId;
use crate::limits::HISTORY;

type Head = Option<(&'static str, SessionId)>;

#[derive(Default)]
pub(super) struct Told {
    /// The last change.
    last: Option<Change>,
    /// The one that made the leader lead, or nobody.
    began: Option<Change>,
    /// Oldest first, since the name was last forgotten.
    over: Vec<Reign>,
}

impl Told {
    /// `before` is the number and head before, `after` the head after.
    pub(super) fn change(
        &mut self,
        reason: Reason,
        origin: &Origin<'_>,
        before: (u64, Head),
        after: Head,
    ) {
        let change =
            Change { reason, by: origin.by, note: origin.note.into(), at_unix_micros: origin.at };
        let (term, head) = before;
        if head != after {
            if let Some((leader, session)) = head {
                let began = self.began.clone().expect("it began to lead");
                let ended = Some(change.clone());
                self.over.push(Reign { term, leader: leader.into(), session, began, ended });
            }
            self.began = Some(change.clone());
        }
        if reason == Reason::Deleted {
            self.over.clear();
        }
        self.last = Some(change);
    }

    pub(super) fn check(&self, term: &Term, head: Head) {
        let never = Change {
            reason: Reason::NeverChanged,
            by: None,
            note: Box::default(),
            at_unix_micros: 0,
        };
        assert_eq!(&term.change(), self.last.as_ref().unwrap_or(&never));
        let since = self.began.as_ref().map_or(0, |began| began.at_unix_micros);
        assert_eq!(
            (term.since_unix_micros(), term.since().is_some()),
            (since, self.last.is_some())
        );

        let present = head.map(|(leader, session)| {
            let began = self.began.clone().expect("it began to lead");
            Reign { term: term.number(), leader: leader.into(), session, began, ended: None }
        });
        let past = self.over.iter().rev().take(HISTORY).cloned();
        let history: Vec<_> = present.clone().into_iter().chain(past).collect();
        assert_eq!(term.history().collect::<Vec<_>>(), history);

        let number = term.number();
        let verdict = match (&present, number) {
            (Some(_), _) => Verdict::Current,
            (None, 0) => Verdict::Unknown,
            (None, _) => Verdict::Stale,
        };
        assert_eq!(term.verdict_on(number), verdict);
        assert_eq!(term.verdict_on(number + 1), Verdict::Unknown);
        assert!(number == 0 || term.verdict_on(number - 1) == Verdict::Stale);
    }
}
