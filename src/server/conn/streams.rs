//! The live streams of a connection: calls whose outcome is still to come, and watches.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use crate::clock::Moment;
use crate::election::Term;
use crate::engine::{Election, Follower};
use crate::error::Error;
use crate::service::Shape;

/// Room for this many is kept when all are done.
const FEW: usize = 64;

#[derive(Default)]
pub(super) struct Streams {
    live: HashMap<u32, Live, BuildHasherDefault<ById>>,
    deadlines: BTreeSet<(Moment, u32)>,
    watches: usize,
    /// Counts uses, to tell a stream from an earlier one with the same id.
    uses: u32,
    /// Calls that have their outcome and wait for room in the output.
    pub(super) answered: VecDeque<About>,
    /// Watches that have something to say.
    pub(super) speaking: VecDeque<About>,
}

/// One use of a stream id, as the engine's tickets carry it: the use above, the id below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct About(pub(super) u64);

impl About {
    pub(super) fn stream(self) -> u32 {
        self.0 as u32
    }
}

pub(super) struct Live {
    about: About,
    deadline: Option<Moment>,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    /// What waits is an outcome that the output has no room for; without its term if that is large.
    Call {
        shape: Shape,
        waits: Option<Result<Option<Arc<Term>>, Error>>,
    },
    Watch(Box<Watch>),
}

pub(super) struct Watch {
    pub(super) follower: Follower,
    /// Of the last term said.
    pub(super) revision: u64,
    /// Where its last message ends in the output.
    pub(super) said: u64,
    /// Stands in `speaking`.
    pub(super) queued: bool,
    /// To end with OK once it has said the newest.
    pub(super) closing: bool,
}

impl Watch {
    pub(super) fn new(follower: Follower) -> Box<Self> {
        Box::new(Self { follower, revision: 0, said: 0, queued: false, closing: false })
    }
}

impl Streams {
    #[inline]
    pub(super) fn is_in_use(&self, stream: u32) -> bool {
        !self.live.is_empty() && self.live.contains_key(&stream)
    }

    pub(super) fn watches(&self) -> usize {
        self.watches
    }

    /// Calls that are not answered yet.
    #[inline]
    pub(super) fn calls(&self) -> usize {
        self.live.len() - self.watches
    }

    /// A new use of `stream`.
    #[inline]
    pub(super) fn about(&mut self, stream: u32) -> About {
        self.uses = self.uses.wrapping_add(1);
        About(u64::from(self.uses) << 32 | u64::from(stream))
    }

    pub(super) fn add(&mut self, about: About, deadline: Option<Moment>, kind: Kind) {
        self.watches += usize::from(matches!(kind, Kind::Watch(_)));
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, about.stream()));
        }
        self.live.insert(about.stream(), Live { about, deadline, kind });
    }

    /// The stream, if it is still the one that `about` means.
    pub(super) fn find(&mut self, about: About) -> Option<&mut Kind> {
        let live = self.live.get_mut(&about.stream())?;
        (live.about == about).then_some(&mut live.kind)
    }

    pub(super) fn is_watch(&self, stream: u32) -> bool {
        self.live.get(&stream).is_some_and(|live| matches!(live.kind, Kind::Watch(_)))
    }

    pub(super) fn remove(&mut self, stream: u32) -> Option<Kind> {
        let live = self.live.remove(&stream)?;
        if let Some(deadline) = live.deadline {
            self.deadlines.remove(&(deadline, stream));
        }
        self.watches -= usize::from(matches!(live.kind, Kind::Watch(_)));
        if self.live.is_empty() && self.live.capacity() > 8 * FEW {
            self.live.shrink_to(FEW);
        }
        Some(live.kind)
    }

    /// The ids of all watches.
    pub(super) fn watch_ids(&self) -> Vec<u32> {
        let watches = self.live.iter().filter(|(_, live)| matches!(live.kind, Kind::Watch(_)));
        watches.map(|(&stream, _)| stream).collect()
    }

    /// Lets the watches of an election say its newest term and end.
    pub(super) fn close_watches(&mut self, election: &Election) {
        if self.watches == 0 {
            return;
        }
        for live in self.live.values_mut() {
            let Kind::Watch(watch) = &mut live.kind else { continue };
            if watch.follower.election().name() != election.name() {
                continue;
            }
            watch.closing = true;
            if !std::mem::replace(&mut watch.queued, true) {
                self.speaking.push_back(live.about);
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// Removes a stream whose time has run out.
    pub(super) fn remove_expired(&mut self, now: Moment) -> Option<(u32, Kind)> {
        let &(deadline, stream) = self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.remove(stream).map(|kind| (stream, kind))
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
