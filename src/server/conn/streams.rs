//! The live streams of a connection: calls whose outcome is still to come, watches, and tasks.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use crate::clock::Moment;
use crate::election::Term;
use crate::engine::{Election, Follower};
use crate::error::Error;
use crate::service::{Method, Shape, Task, Telling};

/// Room for this many is kept when all are done.
const FEW: usize = 64;

#[derive(Default)]
pub(super) struct Streams {
    live: HashMap<u32, Live, BuildHasherDefault<ById>>,
    /// When each stream that waits for a moment has to be looked at.
    deadlines: BTreeSet<(Moment, u32)>,
    /// Those with more than one message: watches and tasks that stream.
    speakers: usize,
    /// Counts uses, to tell a stream from an earlier one with the same id.
    uses: u32,
    /// Calls that have their outcome and wait for room in the output.
    pub(super) answered: VecDeque<About>,
    /// Watches and tasks that may have something to say.
    pub(super) speaking: VecDeque<About>,
    /// Tasks to be polled again once the output has left up to there: in that order.
    pub(super) spoken: VecDeque<(About, u64)>,
}

/// One use of a stream id, as the engine's tickets carry it: the use above, the id below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct About(pub(super) u64);

impl About {
    pub(super) fn stream(self) -> u32 {
        self.0 as u32
    }
}

/// What was asked for on a stream, and when that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(in crate::server) method: Method,
    pub(in crate::server) since: Moment,
}

pub(super) struct Live {
    about: About,
    asked: Asked,
    /// When the caller's time runs out.
    deadline: Option<Moment>,
    /// When its task wants to be polled.
    wake: Option<Moment>,
    pub(super) kind: Kind,
}

impl Live {
    fn due(&self) -> Option<Moment> {
        self.deadline.into_iter().chain(self.wake).min()
    }
}

pub(super) enum Kind {
    /// What waits is an outcome that the output has no room for; without its term if that is large.
    Call {
        shape: Shape,
        waits: Option<Result<Option<Arc<Term>>, Error>>,
    },
    Watch(Box<Watch>),
    Task(Errand),
}

impl Kind {
    /// True if it may have more than one message.
    fn speaks(&self) -> bool {
        match self {
            Kind::Call { .. } => false,
            Kind::Watch(_) => true,
            Kind::Task(errand) => errand.streams,
        }
    }
}

pub(super) struct Watch {
    pub(super) telling: Telling,
    /// Where its last message ends in the output.
    pub(super) said: u64,
    /// Stands in `speaking`.
    pub(super) queued: bool,
    /// To end with OK once it has said the newest.
    pub(super) closing: bool,
}

/// A task and where it stands.
pub(super) struct Errand {
    pub(super) task: Box<dyn Task>,
    /// It is a stream; otherwise it answers a unary call.
    pub(super) streams: bool,
    /// Stands in `speaking` or in `spoken`.
    pub(super) queued: bool,
}

/// A stream whose moment has come.
pub(super) enum Due {
    /// Its caller's time has run out, and it has been removed.
    Expired(u32, Asked, Kind),
    /// Its task waited for this.
    Task(About),
}

impl Watch {
    pub(super) fn new(follower: Follower) -> Box<Self> {
        Box::new(Self { telling: Telling::new(follower), said: 0, queued: false, closing: false })
    }
}

impl Streams {
    #[inline]
    pub(super) fn is_in_use(&self, stream: u32) -> bool {
        !self.live.is_empty() && self.live.contains_key(&stream)
    }

    /// Calls and watches alike.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    /// Calls that are not answered yet.
    #[inline]
    pub(super) fn calls(&self) -> usize {
        self.live.len() - self.speakers
    }

    /// True if something may wait to be said: most often nothing does.
    #[inline]
    pub(super) fn may_speak(&self) -> bool {
        !(self.answered.is_empty() && self.speaking.is_empty() && self.spoken.is_empty())
    }

    /// A new use of `stream`.
    #[inline]
    pub(super) fn about(&mut self, stream: u32) -> About {
        self.uses = self.uses.wrapping_add(1);
        About(u64::from(self.uses) << 32 | u64::from(stream))
    }

    pub(super) fn add(
        &mut self,
        (about, asked): (About, Asked),
        deadline: Option<Moment>,
        kind: Kind,
    ) {
        self.speakers += usize::from(kind.speaks());
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, about.stream()));
        }
        self.live.insert(about.stream(), Live { about, asked, deadline, wake: None, kind });
    }

    /// The stream, if it is still the one that `about` means.
    pub(super) fn find(&mut self, about: About) -> Option<&mut Kind> {
        let live = self.live.get_mut(&about.stream())?;
        (live.about == about).then_some(&mut live.kind)
    }

    /// True for a stream that the peer may cancel by its last word.
    pub(super) fn speaks(&self, stream: u32) -> bool {
        self.live.get(&stream).is_some_and(|live| live.kind.speaks())
    }

    pub(super) fn remove(&mut self, stream: u32) -> Option<(Asked, Kind)> {
        let live = self.live.remove(&stream)?;
        if let Some(due) = live.due() {
            self.deadlines.remove(&(due, stream));
        }
        self.speakers -= usize::from(live.kind.speaks());
        if self.live.is_empty() && self.live.capacity() > 8 * FEW {
            self.live.shrink_to(FEW);
        }
        Some((live.asked, live.kind))
    }

    /// The task is to be polled at `wake`, if nothing happens before.
    pub(super) fn set_wake(&mut self, stream: u32, wake: Option<Moment>) {
        let Some(live) = self.live.get_mut(&stream).filter(|live| live.wake != wake) else {
            return;
        };
        let before = live.due();
        live.wake = wake;
        let after = live.due();
        if before != after {
            before.map(|due| self.deadlines.remove(&(due, stream)));
            after.map(|due| self.deadlines.insert((due, stream)));
        }
    }

    /// The ids of all streams that hold a draining connection up, or would go on for ever: all but calls
    /// whose outcome the engine owes.
    pub(super) fn endless(&self) -> Vec<u32> {
        let is_endless = |kind: &Kind| match kind {
            Kind::Call { .. } => false,
            Kind::Watch(_) => true,
            Kind::Task(errand) => errand.streams || !errand.task.is_under_way(),
        };
        let endless = self.live.iter().filter(|(_, live)| is_endless(&live.kind));
        endless.map(|(&stream, _)| stream).collect()
    }

    /// Cancels all tasks.
    pub(super) fn drop_tasks(&mut self, tell: impl FnMut(Asked)) {
        self.drop_those(|live| matches!(live.kind, Kind::Task(_)), tell);
    }

    /// Nobody listens any more.
    pub(super) fn drop_all(&mut self, tell: impl FnMut(Asked)) {
        self.drop_those(|_| true, tell);
    }

    fn drop_those(&mut self, goes: impl Fn(&Live) -> bool, mut tell: impl FnMut(Asked)) {
        let those = self.live.iter().filter(|(_, live)| goes(live));
        let those: Vec<u32> = those.map(|(&stream, _)| stream).collect();
        for stream in those {
            self.remove(stream).inspect(|(asked, _)| tell(*asked));
        }
    }

    /// Lets the watches of an election say its newest term and end, and tells the tasks.
    pub(super) fn close_watches(&mut self, election: &Election) {
        for live in self.live.values_mut() {
            let queued = match &mut live.kind {
                Kind::Watch(watch) if watch.telling.election().name() == election.name() => {
                    watch.closing = true;
                    &mut watch.queued
                }
                Kind::Task(errand) => {
                    if !errand.task.closed(election) {
                        continue;
                    }
                    &mut errand.queued
                }
                Kind::Watch(_) | Kind::Call { .. } => continue,
            };
            if !std::mem::replace(queued, true) {
                self.speaking.push_back(live.about);
            }
        }
    }

    /// A watch or a task may have something to say.
    pub(super) fn let_speak(&mut self, about: About) {
        let queued = match self.find(about) {
            Some(Kind::Watch(watch)) => &mut watch.queued,
            Some(Kind::Task(errand)) => &mut errand.queued,
            Some(Kind::Call { .. }) | None => return,
        };
        if !std::mem::replace(queued, true) {
            self.speaking.push_back(about);
        }
    }

    /// The same, since its ticket was called.
    pub(super) fn told(&mut self, about: About) {
        if let Some(Kind::Task(errand)) = self.find(about) {
            errand.task.changed();
        }
        self.let_speak(about);
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// Takes out a moment that has come.
    pub(super) fn take_due(&mut self, now: Moment) -> Option<Due> {
        let &(due, stream) = self.deadlines.first().filter(|(due, _)| *due <= now)?;
        let live = self.live.get(&stream)?;
        if live.deadline == Some(due) {
            return self.remove(stream).map(|(asked, kind)| Due::Expired(stream, asked, kind));
        }
        let about = live.about;
        self.set_wake(stream, None);
        Some(Due::Task(about))
    }
}

/// One multiplication: a peer that chooses colliding ids slows its own connection, and only as far as
/// its live streams go.
#[derive(Default)]
struct ById(u64);

impl Hasher for ById {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u32(u32::from(byte)));
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
