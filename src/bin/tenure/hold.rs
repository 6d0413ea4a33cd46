//! `tenure enter`: a place that this process holds until it is told to stop.

use std::process;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use crossbeam::atomic::AtomicCell;
use signal_hook::consts::{SIGINT, SIGTERM};
use tenure::Code;
use tenure::client::{
    Client, ClientError, ElectionState, EnterOptions, Lost, Options, Session, candidate_id,
};

use crate::args::{Enter, Failover, OnCandidate};
use crate::tell::shown;
use crate::{Exit, is_unreachable, output, signals};

/// How often it looks whether it is to stop, or the session is over.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) fn enter(enter: &Enter) -> Result<Exit> {
    let interrupted = listen()?;
    let options = Options {
        ttl: enter.ttl(),
        on_disconnect: enter.failover.into(),
        owner: candidate_id(),
        patience: enter.on.to.patience(),
    };
    let session = Session::open(&enter.on.to.server, options)?;
    let place = Place {
        on: &enter.on,
        failover: enter.failover,
        session,
        interrupted,
        shown: AtomicCell::new(None),
    };
    place.election().enter(&enter.on.candidate, &EnterOptions::default())?;
    match place.hold()? {
        Held::Lost(exit) => Ok(exit),
        Held::UntilTold => Ok(place.withdraw()),
    }
}

struct Place<'a> {
    on: &'a OnCandidate,
    failover: Failover,
    session: Session,
    interrupted: Arc<AtomicCell<bool>>,
    /// The revision that was printed last.
    shown: AtomicCell<Option<u64>>,
}

/// How holding came to its end.
enum Held {
    UntilTold,
    Lost(Exit),
}

impl Place<'_> {
    fn election(&self) -> tenure::client::Election {
        self.session.election(&self.on.election)
    }

    /// The session keeps itself alive, on a connection of its own. What is seen comes by another: when that
    /// is lost, it is made again for as long as the session lives.
    fn hold(&self) -> Result<Held> {
        let mut was_told = false;
        loop {
            let error = match self.connect().and_then(|client| self.follow(&client)) {
                Err(error) if is_unreachable(&error) && !self.has_ended_with(&error) => error,
                done => return done,
            };
            if !was_told {
                eprintln!("tenure: {error:#}; trying again for as long as the session may live");
                was_told = true;
            }
            if let Some(over) = self.is_over()? {
                return Ok(over);
            }
            thread::sleep(LOOK);
        }
    }

    /// Under `fast`, a server that takes no connection has lost the session's own, too.
    fn has_ended_with(&self, error: &anyhow::Error) -> bool {
        let refused = matches!(error.downcast_ref(), Some(ClientError::Unreachable { .. }));
        refused && self.failover == Failover::Fast
    }

    fn connect(&self) -> Result<Client> {
        Ok(Client::connect(
            &self.on.to.server,
            self.on.to.patience().min(self.session.remaining()),
        )?)
    }

    /// Prints each state until the place is lost, or is to be given up.
    fn follow(&self, client: &Client) -> Result<Held> {
        let OnCandidate { election, to, .. } = self.on;
        // Opened after the entry, so that each state it shows is from after it: one without the candidate
        // means that somebody removed it.
        let mut states = client.observe(election)?;
        loop {
            if let Some(over) = self.is_over()? {
                return Ok(over);
            }
            let state = match states.next_within(LOOK) {
                Some(Err(ClientError::TimedOut { .. })) => continue,
                Some(state) => state?,
                None => {
                    let why = "the server ended the watch".to_owned();
                    return Err(ClientError::Lost { address: to.server.clone(), why }.into());
                }
            };
            let is_new = self.shown.swap(Some(state.revision)) != Some(state.revision);
            if is_new && !output::state(to.output, election, &state)? {
                // Nobody reads any more: as good as told to stop.
                return Ok(Held::UntilTold);
            }
            if !self.stands(&state) {
                return self.why_gone().map(Held::Lost);
            }
        }
    }

    fn stands(&self, state: &ElectionState) -> bool {
        let mut all = state.leader.iter().chain(&state.candidates);
        all.any(|it| it.name == self.on.candidate && it.session == self.session.id())
    }

    /// Told to stop; or the session is over, as far as this side can tell.
    fn is_over(&self) -> Result<Option<Held>, ClientError> {
        if self.interrupted.load() {
            return Ok(Some(Held::UntilTold));
        }
        if let Some(lost) = self.session.lost() {
            return Err(ClientError::SessionLost(lost));
        }
        if self.session.remaining().is_zero() {
            return Err(ClientError::SessionLost(Lost::Late));
        }
        Ok(None)
    }

    /// The candidate is gone from the list. Whether its session is, too, or is unknown to a server that took
    /// the former one's place, only a call that acts for the session tells. It withdraws what is not there.
    fn why_gone(&self) -> Result<Exit> {
        let OnCandidate { election, candidate, .. } = self.on;
        let over = [Code::FailedPrecondition, Code::NotFound].map(Code::number);
        match self.election().withdraw(candidate) {
            Err(ClientError::Refused { code, message }) if over.contains(&code) => {
                eprintln!("tenure: {candidate} no longer stands in {election}: {message}");
            }
            // Another session's by now.
            Ok(_) | Err(ClientError::Refused { .. }) => {
                eprintln!(
                    "tenure: {candidate} no longer stands in {election}; somebody removed it"
                );
            }
            Err(error) => return Err(error.into()),
        }
        Ok(Exit::PlaceLost)
    }

    fn withdraw(&self) -> Exit {
        match self.election().withdraw(&self.on.candidate) {
            // Refused: there is nothing to withdraw any more.
            Ok(_) | Err(ClientError::Refused { .. } | ClientError::SessionLost(_)) => Exit::Ok,
            Err(error) => {
                let ttl = shown(self.session.ttl());
                eprintln!("tenure: could not withdraw: {error}; the place is free within {ttl}");
                Exit::Unreachable
            }
        }
    }
}

/// The first SIGINT or SIGTERM asks to withdraw. A second one does not wait for the server's answer.
fn listen() -> Result<Arc<AtomicCell<bool>>> {
    let interrupted = Arc::new(AtomicCell::new(false));
    let mut signals = signals::listen(&[SIGINT, SIGTERM])?;
    let flag = interrupted.clone();
    thread::spawn(move || {
        let mut signals = signals.forever();
        signals.next();
        flag.store(true);
        signals.next();
        eprintln!("tenure: ending without the server's answer");
        process::exit(Exit::Unreachable as i32);
    });
    Ok(interrupted)
}
