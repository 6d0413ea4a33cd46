//! `atomix.runtime.election.v1.LeaderElections`: beginning and ending the use of an election.

use std::sync::{Arc, OnceLock};

use super::{Answer, CacheRule, Caller, EMPTY, ReplyTo, Shape, cache};
use crate::engine::{Act, Election};
use crate::error::Error;
use crate::shard::Tags;
use crate::wire::election_v1::{CreateRequest, NamedRequest};

pub(super) const SERVICE: &str = "atomix.runtime.election.v1.LeaderElections";

/// Tags of one Create: how many, and their bytes together.
const TAGS: usize = 64;
const TAGS_BYTES: usize = 4096;

/// An election that is being created.
pub(crate) struct Creation {
    pub(super) election: Election,
    /// Those that count, once it has happened: its own, or earlier ones if it has none.
    tags: Arc<OnceLock<Tags>>,
    rules: Arc<[CacheRule]>,
}

impl Creation {
    /// True if its clients may cache it.
    pub(super) fn is_cached(&self) -> bool {
        let tags = self.tags.get().into_iter().flat_map(|tags| tags.iter()).map(|tag| &**tag);
        cache::is_cached(&self.rules, self.election.name(), tags)
    }
}

impl Caller {
    pub(super) fn create(&mut self, payload: &[u8], to: ReplyTo<'_>) -> Result<Answer<'_>, Error> {
        let request = CreateRequest::decode(payload)
            .map_err(|fault| fault.of("atomix.runtime.election.v1.CreateRequest"))?;
        check_tags(&request)?;
        let (sink, ticket) = to.claim()?;
        let election = self.names.find_or_make(request.name, &self.engine)?;
        let (election, tags) = (election.clone(), Arc::new(OnceLock::new()));
        let given = request.tags().map(Box::from).collect();
        election.submit(Act::Create { tags: given, in_force: tags.clone() }, sink, ticket);
        let rules = self.rules.clone();
        Ok(Answer::Later(Shape::Created(Box::new(Creation { election, tags, rules }))))
    }

    /// Without a session there is nothing to leave, but there may be watches to end.
    pub(super) fn close(&mut self, payload: &[u8], to: ReplyTo<'_>) -> Result<Answer<'_>, Error> {
        let request = NamedRequest::decode(payload)
            .map_err(|fault| fault.of("atomix.runtime.election.v1.CloseRequest"))?;
        let Some(election) = self.names.find(request.name, &self.engine)? else {
            return Ok(Answer::Now(EMPTY));
        };
        let Some(session) = self.sessions.unnamed_if_any() else {
            return Ok(Answer::Closed(election.clone()));
        };
        let (sink, ticket) = to.claim_to_end();
        election.submit(Act::Leave { session }, sink, ticket);
        Ok(Answer::Later(Shape::Closed(election.clone())))
    }
}

fn check_tags(request: &CreateRequest<'_>) -> Result<(), Error> {
    let (count, bytes) = request.tags().fold((0, 0), |(n, bytes), tag| (n + 1, bytes + tag.len()));
    let over = |limit, max: usize| {
        let advice = "give an election fewer or shorter tags";
        Err(Error::LimitReached { limit, max: max as u64, advice })
    };
    match () {
        () if count > TAGS => over("tags of an election", TAGS),
        () if bytes > TAGS_BYTES => over("bytes of an election's tags", TAGS_BYTES),
        () => Ok(()),
    }
}
