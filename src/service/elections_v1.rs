//! `atomix.runtime.election.v1.LeaderElections`: beginning and ending the use of an election.

use super::{Answer, Caller, EMPTY, ReplyTo, Shape, cache};
use crate::engine::Act;
use crate::error::Error;
use crate::wire::election_v1::{CreateRequest, NamedRequest};

pub(super) const SERVICE: &str = "atomix.runtime.election.v1.LeaderElections";

/// Tags of one Create: how many, and their bytes together.
const TAGS: usize = 64;
const TAGS_BYTES: usize = 4096;

impl Caller {
    pub(super) fn create(&mut self, payload: &[u8], to: ReplyTo<'_>) -> Result<Answer<'_>, Error> {
        let request = CreateRequest::decode(payload)
            .map_err(|fault| fault.of("atomix.runtime.election.v1.CreateRequest"))?;
        check_tags(&request)?;
        let (sink, ticket) = to.claim()?;
        let election = self.names.find_or_make(request.name, &self.engine)?;
        let cached = cache::is_cached(&self.rules, request.name, request.tags());
        let tags = request.tags().map(Box::from).collect();
        election.submit(Act::Create { tags }, sink, ticket);
        Ok(Answer::Later(Shape::Created { election: election.clone(), cached }))
    }

    /// Without a session there is nothing to leave, but there may be watches to end.
    pub(super) fn close(&mut self, payload: &[u8], to: ReplyTo<'_>) -> Result<Answer<'_>, Error> {
        let request = NamedRequest::decode(payload)
            .map_err(|fault| fault.of("atomix.runtime.election.v1.CloseRequest"))?;
        let Some(election) = self.names.find(request.name, &self.engine)? else {
            return Ok(Answer::Now(EMPTY));
        };
        let Some(session) = &self.session else { return Ok(Answer::Closed(election.clone())) };
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
