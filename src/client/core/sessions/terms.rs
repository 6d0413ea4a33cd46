//! Terms that somebody has proof of, and terms that were let go.

use std::sync::Arc;

use super::Held;
#[cfg(feature = "failpoints")]
use crate::client::canary::{self, ClientCanary};
use crate::client::core::watches::{Guard, Reader};
use crate::client::core::{Core, Fate};
use crate::clock::Moment;
use crate::wire::tenure_v1::sessions as wire;

impl Core {
    /// Takes note of a proof that is about to be given. `None` if the term has been let go already, or
    /// the session is over.
    pub(in crate::client) fn hold(
        &mut self,
        now: Moment,
        number: u64,
        (election, candidate): (&Arc<str>, &str),
        term: u64,
    ) -> Option<(u64, Arc<Fate>)> {
        let session = self.sessions.get(&number)?;
        let opened = session.opened()?;
        let id = opened.id;
        let was_let_go = session.let_go.get(&**election).is_some_and(|&let_go| let_go >= term);
        // A fast one's has ended with its connection, whether the server knows it already or not.
        let is_cut = opened.is_fast && !session.is_attached();
        if was_let_go || is_cut || session.word.lost().is_some() {
            return None;
        }
        let fate = Arc::new(Fate::default());
        let guard =
            Guard { candidate: candidate.to_owned(), session: id, term, fate: fate.clone() };
        let watch = self.watch(now, election, true, Reader::Guard(guard));
        let held = self.id();
        let entry =
            Held { number: held, election: election.clone(), term, fate: fate.clone(), watch };
        let session = self.sessions.get_mut(&number)?;
        #[cfg(feature = "failpoints")]
        if canary::sings(ClientCanary::ReleasesEarly) {
            session.release(election, term);
        }
        session.held.push(entry);
        Some((held, fate))
    }

    /// This side has stopped acting on this proof. The server is told at once.
    pub(in crate::client) fn let_go(&mut self, now: Moment, number: u64, held: u64) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        let Some(at) = session.held.iter().position(|it| it.number == held) else { return };
        let Held { election, term, watch, .. } = session.held.swap_remove(at);
        // Another proof of the same term is acted on still.
        if !session.held.iter().any(|it| it.election == election && it.term <= term) {
            session.release(&election, term);
            self.beat(now, number);
        }
        self.forget_watch(watch);
    }

    pub(in crate::client::core) fn release_again(
        &mut self,
        number: u64,
        released: Vec<wire::Released>,
    ) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        released.into_iter().for_each(|it| session.release(&it.election, it.term));
    }
}
