//! Who may still believe that they lead.
//!
//! A forced change takes effect at once, everywhere. But the one it takes the lead from may not know
//! yet. While its session lives under `exclusive` and has not let go, the successor's leadership is
//! not yet valid: that is what keeps two from acting at the same time.

use std::sync::Arc;
use std::time::Duration;

use crossbeam::atomic::AtomicCell;

use super::member::Member;
use crate::clock::Moment;
use crate::id::SessionId;
use crate::log;

/// What the holder of a term has to wait for. Published before that term.
pub(crate) struct Handover {
    formers: Vec<Arc<Former>>,
}

/// Somebody the lead was taken from.
struct Former {
    member: Arc<Member>,
    /// The term it led.
    term: u64,
    has_let_go: AtomicCell<bool>,
}

impl Former {
    /// How long it may still act, as far as this server can tell.
    fn may_act_for(&self, now: Moment) -> Duration {
        match self.member.may_act_until() {
            Some(deadline) if !self.has_let_go.load() => deadline - now,
            _ => Duration::ZERO,
        }
    }
}

impl Handover {
    /// What follows `before` when the lead of `term` is taken from `member`, now.
    pub(crate) fn from(
        before: Option<&Handover>,
        member: Arc<Member>,
        term: u64,
        now: Moment,
    ) -> Self {
        let mut formers: Vec<_> = before.map_or_else(Vec::new, |before| before.formers.clone());
        // Who lets go of this term lets go of all that it led before.
        let is_this = |former: &Former| former.member.holder == member.holder;
        formers.retain(|former| !is_this(former) && !former.may_act_for(now).is_zero());
        formers.push(Arc::new(Former { member, term, has_let_go: AtomicCell::new(false) }));
        Self { formers }
    }

    /// What those left behind who led in these terms.
    pub(super) fn of(formers: Vec<(Arc<Member>, u64)>) -> Self {
        let former =
            |(member, term)| Arc::new(Former { member, term, has_let_go: AtomicCell::new(false) });
        Self { formers: formers.into_iter().map(former).collect() }
    }

    /// How long the present leader has to wait before it may act.
    pub(crate) fn valid_after(&self, now: Moment) -> Duration {
        let waits = self.formers.iter().map(|former| former.may_act_for(now));
        waits.max().unwrap_or_default()
    }

    /// Whether this session is among those who are waited for.
    pub(super) fn names(&self, session: SessionId) -> bool {
        self.formers.iter().any(|it| it.member.holder.session == session && !it.has_let_go.load())
    }

    /// Those who may still act, as a log keeps them.
    pub(super) fn kept(&self, now: Moment) -> Vec<log::Former> {
        let kept = |former: &Arc<Former>| log::Former {
            holder: former.member.holder,
            term: former.term,
            ttl: former.member.ttl,
        };
        self.formers.iter().filter(|it| !it.may_act_for(now).is_zero()).map(kept).collect()
    }

    /// The session knows that it no longer leads, up to this term. True if somebody waited for that.
    pub(crate) fn let_go(&self, session: SessionId, term: u64) -> bool {
        let its = self.formers.iter().filter(|former| former.member.holder.session == session);
        its.filter(|former| former.term <= term && !former.has_let_go.swap(true)).count() > 0
    }
}
