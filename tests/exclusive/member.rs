//! A program that wants to lead, and never gives up: it awaits what programs await.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use fastrand::Rng;
use tenure::Clock;
use tenure::client::{
    ClientError, EnterOptions, Leadership, OnConflict, OnDisconnect, Options, Session,
};
use tenure::internals::LooseClient;

pub(crate) const ELECTIONS: [&str; 2] = ["one", "two"];
pub(crate) const TTL: Duration = Duration::from_millis(1_000);

/// What the world sees of a program.
pub(crate) struct Seen {
    pub(crate) candidate: String,
    /// By election: the proof that it acts on, if it acts.
    pub(crate) holds: RefCell<[Option<Rc<Leadership>>; 2]>,
    /// Its present session.
    pub(crate) session: Cell<u64>,
    /// What it came to lead since the world looked last: election and term.
    pub(crate) granted: RefCell<Vec<(usize, u64)>>,
    /// Who leads goes on leading.
    pub(crate) is_calm: Cell<bool>,
    is_fast: bool,
    rng: RefCell<Rng>,
}

/// A process: a client, and the program that uses it.
pub(crate) struct Member {
    // The program first: what it lets go is said to nobody when the process is killed.
    program: Pin<Box<dyn Future<Output = ()>>>,
    pub(crate) client: Rc<LooseClient>,
    pub(crate) seen: Rc<Seen>,
    woken: Arc<Woken>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Member {
    pub(crate) fn start(candidate: &str, is_fast: bool, clock: Clock, rng: Rng) -> Self {
        let client = Rc::new(LooseClient::new(clock));
        let seen = Rc::new(Seen {
            candidate: candidate.to_owned(),
            holds: RefCell::default(),
            session: Cell::new(0),
            granted: RefCell::default(),
            is_calm: Cell::new(false),
            is_fast,
            rng: RefCell::new(rng),
        });
        let program = Box::pin(live(client.clone(), seen.clone()));
        Self { program, client, seen, woken: Arc::new(Woken(AtomicBool::new(true))) }
    }

    /// Lets the program go on as far as it gets.
    pub(crate) fn poll(&mut self) {
        let waker = Waker::from(self.woken.clone());
        while self.woken.0.swap(false, Ordering::SeqCst) {
            let polled = self.program.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending(), "it never gives up");
        }
    }
}

async fn live(client: Rc<LooseClient>, seen: Rc<Seen>) {
    loop {
        let on_disconnect = match seen.is_fast {
            true => OnDisconnect::Fast,
            false => OnDisconnect::Exclusive,
        };
        let options = Options { ttl: TTL, on_disconnect, ..Options::default() };
        let Ok(session) = client.open(options).await else {
            client.rest(seen.millis(1..200)).await;
            continue;
        };
        seen.session.set(session.id());
        let contend = |election| Box::pin(contend(&client, &seen, &session, election));
        let mut all = Vec::from([0, 1].map(contend));
        poll_fn(|context| {
            all.retain_mut(|it| it.as_mut().poll(context).is_pending());
            if all.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Until the session is over.
async fn contend(client: &LooseClient, seen: &Seen, session: &Session, election: usize) {
    loop {
        let takes_over = seen.rng.borrow_mut().u8(0..4) == 0;
        let on_conflict = if takes_over { OnConflict::TakeOver } else { OnConflict::Fail };
        let options = EnterOptions { on_conflict, ..EnterOptions::default() };
        let leads =
            LooseClient::lead(session, ELECTIONS[election], &seen.candidate, &options).await;
        match leads {
            Ok(leads) => seen.lead(client, election, leads).await,
            Err(ClientError::SessionLost(_)) => return,
            Err(_) => client.rest(seen.millis(1..200)).await,
        }
    }
}

impl Seen {
    fn millis(&self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.borrow_mut().u64(range))
    }

    /// After a while, or as soon as it is.
    async fn is_lost(&self, client: &LooseClient, leads: &Leadership) -> bool {
        let mut lost = pin!(LooseClient::lost(leads));
        let mut rests = pin!(client.rest(self.millis(100..4_000)));
        let either = poll_fn(|context| match lost.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending => rests.as_mut().poll(context).map(|()| false),
        });
        either.await
    }

    /// Acts until it is lost, or for a while; then lets go, or leaves.
    async fn lead(&self, client: &LooseClient, election: usize, leads: Leadership) {
        self.granted.borrow_mut().push((election, leads.term()));
        let leads = Rc::new(leads);
        self.holds.borrow_mut()[election] = Some(leads.clone());
        while !self.is_lost(client, &leads).await && self.is_calm.get() {}
        // It takes some programs a while to stop.
        client.rest(self.millis(0..100)).await;
        drop(self.holds.borrow_mut()[election].take());
        // Nobody else has it: the world looks between two steps.
        if self.rng.borrow_mut().bool()
            && let Some(leads) = Rc::into_inner(leads)
        {
            let _lost_meanwhile = LooseClient::resign(leads).await;
        }
    }
}
