//! A loaded server is killed at random moments, and while it recovers. What its clients were told is
//! checked against what they are told afterwards, from their own notes.
//!
//! `TENURE_KILLS=n` kills so many times, `TENURE_KILLS_SEED=n` begins with another seed. A seed gives the
//! same wishes and pauses; which of them meet is up to the system.

mod support;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::atomic::AtomicCell;
use fastrand::Rng;
use support::{PATIENCE, Running, Server, eventually, tenure, words};
use tenure::client::{
    Address, Client, ClientError, ElectionState, EnterOptions, Options, Session, TermView,
};

const KILLS: u64 = 20;
/// Longer than any pause of the server's, on a busy machine too.
const TTL: Duration = Duration::from_secs(120);

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// What all clients were told of an election.
#[derive(Debug, Default)]
struct Noted {
    mark: Mark,
    /// Who led in each term: none is given twice, also not to the same one, since nobody enters under a
    /// name that was used before.
    leaders: HashMap<u64, String>,
}

/// What forbids to go back, whatever comes later.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    /// The greatest term told of.
    greatest: u64,
    /// The greatest in which nobody led any more.
    vacant: u64,
}

#[derive(Debug, Default)]
struct Notes(Mutex<HashMap<String, Noted>>);

impl Notes {
    /// What counts for an answer to what is asked now.
    fn mark(&self, election: &str) -> Mark {
        self.0.lock().unwrap().get(election).map_or(Mark::default(), |noted| noted.mark)
    }

    #[track_caller]
    fn told(&self, election: &str, before: Mark, number: u64, leader: Option<&str>) {
        let mut notes = self.0.lock().unwrap();
        let noted = notes.entry(election.to_owned()).or_default();
        let Some(leader) = leader else {
            // A deleted one reads as 0.
            assert!(number == 0 || number >= before.greatest, "{election}: t{number}, {before:?}");
            noted.mark.vacant = noted.mark.vacant.max(number);
            noted.mark.greatest = noted.mark.greatest.max(number);
            return;
        };
        let goes_on = number >= before.greatest && number > before.vacant;
        assert!(goes_on, "{election}: t{number} {leader}, and before it {before:?}");
        noted.mark.greatest = noted.mark.greatest.max(number);
        let known = noted.leaders.entry(number).or_insert_with(|| leader.to_owned());
        assert_eq!(known, leader, "{election}: t{number} was given twice");
    }
}

/// What the clients share.
struct Load {
    address: Address,
    notes: Notes,
    is_over: AtomicCell<bool>,
    replies: AtomicCell<u64>,
}

impl Load {
    fn goes_on(&self) -> bool {
        !self.is_over.load()
    }

    /// Asks, and takes note of the answer. `None` if there was none: then whoever asked starts again.
    #[track_caller]
    fn ask(
        &self,
        election: &str,
        ask: impl FnOnce() -> Result<TermView, ClientError>,
    ) -> Option<TermView> {
        let before = self.notes.mark(election);
        match ask() {
            Ok(term) => {
                self.notes.told(election, before, term.number, term.leader.as_deref());
                self.replied();
                Some(term)
            }
            Err(error) => {
                forgive(&error);
                None
            }
        }
    }

    fn replied(&self) {
        self.replies.fetch_add(1);
    }

    fn connect(&self) -> Option<Client> {
        Client::connect(&self.address, PATIENCE).inspect_err(forgive).ok()
    }
}

/// A server that was killed is waited for.
#[track_caller]
fn forgive(error: &ClientError) {
    let is_lost = matches!(
        error,
        ClientError::Unreachable { .. } | ClientError::Lost { .. } | ClientError::TimedOut { .. }
    );
    assert!(is_lost, "{error}");
    thread::sleep(Duration::from_millis(2));
}

/// What a client of this name does until the load is over.
type Doing = fn(&Load, &str, &mut Rng);

/// Stands in elections that all share, for as long as its connection.
fn by_connection(load: &Load, name: &str, rng: &mut Rng) {
    let mut entered = 0;
    while load.goes_on() {
        let Some(client) = load.connect() else { continue };
        let mut mine: Vec<(String, String)> = Vec::new();
        while load.goes_on() {
            let known = (!mine.is_empty()).then(|| rng.usize(..mine.len()));
            let told = match (rng.u32(..8), known) {
                (0, _) => {
                    let election = format!("shared-{}", rng.u32(..4));
                    load.ask(&election, || {
                        client.delete(&election, "").map(|()| TermView::default())
                    })
                }
                (1, _) => {
                    let election = format!("shared-{}", rng.u32(..4));
                    load.ask(&election, || client.term(&election))
                }
                (2, Some(at)) => {
                    let (election, candidate) = &mine[at];
                    load.ask(election, || client.anoint(election, candidate))
                }
                (3, Some(at)) => {
                    let (election, candidate) = mine.swap_remove(at);
                    load.ask(&election, || client.withdraw(&election, &candidate))
                }
                (4, Some(at)) => {
                    let (election, candidate) = mine.swap_remove(at);
                    load.ask(&election, || client.evict(&election, &candidate))
                }
                _ => {
                    entered += 1;
                    let election = format!("shared-{}", rng.u32(..4));
                    let candidate = format!("{name}-{entered}");
                    let told = load.ask(&election, || client.enter(&election, &candidate));
                    mine.push((election, candidate));
                    told
                }
            };
            if told.is_none() {
                break;
            }
        }
    }
}

/// Makes an election and deletes it, again and again.
fn deletes(load: &Load, name: &str, _: &mut Rng) {
    let election = format!("deleted-{name}");
    let mut entered = 0;
    while load.goes_on() {
        let Some(client) = load.connect() else { continue };
        while load.goes_on() {
            entered += 1;
            let candidate = format!("{name}-{entered}");
            let Some(term) = load.ask(&election, || client.enter(&election, &candidate)) else {
                break;
            };
            assert!(term.has(&candidate), "{candidate} entered: {term:?}");
            let delete = || client.delete(&election, "").map(|()| TermView::default());
            if load.ask(&election, delete).is_none() {
                break;
            }
            if load.ask(&election, || client.term(&election)).is_none() {
                break;
            }
        }
    }
}

/// Holds a lead throughout, and stands in an election of its own in which it is told exactly what its own
/// doings make of it: the session outlives the server, and calls are asked again.
fn by_session(load: &Load, name: &str, rng: &mut Rng) {
    let options =
        Options { ttl: TTL, owner: name.into(), patience: PATIENCE, ..Options::default() };
    let session = open(load, &options);
    let lead = session.election(&format!("led-{name}")).lead("first").expect("it leads");
    let (mut term, mut stand): (u64, Vec<String>) = (0, Vec::new());
    let own = session.election(&format!("own-{name}"));
    let mut entered = 0;
    while load.goes_on() {
        let told: Result<ElectionState, ClientError> = if stand.len() < 5 && rng.bool() {
            entered += 1;
            let candidate = format!("{name}-{entered}");
            term += u64::from(stand.is_empty());
            stand.push(candidate.clone());
            own.enter(&candidate, &EnterOptions::default()).map(|(state, _)| state)
        } else if !stand.is_empty() {
            let at = rng.usize(..stand.len());
            let candidate = stand.remove(at);
            term += u64::from(at == 0 && !stand.is_empty());
            own.withdraw(&candidate)
        } else {
            continue;
        };
        let state = told.unwrap_or_else(|error| panic!("{name}: {error}"));
        load.replied();
        if entered == 1 && stand.len() == 1 {
            // Where a new name begins, deletions elsewhere have raised.
            term = state.term;
        }
        let names = state.leader.iter().chain(&state.candidates).map(|it| &*it.name);
        assert!(names.eq(stand.iter().map(|it| &**it)), "{name}: {state:?}, not {stand:?}");
        assert_eq!(state.term, term, "{name}: {state:?}");
        assert!(lead.is_valid(), "{name} leads no more: {:?}", lead.lost());
    }
    assert_eq!((lead.lost(), session.lost()), (None, None));
    let client = Client::connect(&load.address, PATIENCE).expect("it is back");
    let now = client.term(lead.election()).expect("it is back");
    assert_eq!((now.number, now.leader.as_deref()), (lead.term(), Some("first")));
}

fn open(load: &Load, options: &Options) -> Session {
    loop {
        match Session::open(&load.address, options.clone()) {
            Ok(session) => return session,
            Err(error) => forgive(&error),
        }
    }
}

fn arguments(folder: &Path) -> String {
    let (data, socket) = (folder.join("data"), folder.join("socket"));
    format!("--data-dir {} --listen unix://{}", data.display(), socket.display())
}

/// Starts it and kills it before it may be ready.
fn kill_while_it_starts(folder: &Path, rng: &mut Rng) {
    let mut command = tenure(["serve"]);
    command.args(words(&arguments(folder)));
    let process = Running::start(&mut command);
    thread::sleep(Duration::from_millis(rng.u64(..40)));
    drop(process);
}

#[test]
fn d1_a_server_that_is_killed_takes_nothing_back() {
    let kills = setting("TENURE_KILLS").unwrap_or(KILLS);
    let seed = setting("TENURE_KILLS_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    println!("replay it: TENURE_KILLS={kills} TENURE_KILLS_SEED={seed} cargo test --test crash");
    let mut rng = Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let address: Address =
        format!("unix://{}", folder.path().join("socket").display()).parse().unwrap();
    let load = Load {
        address,
        notes: Notes::default(),
        is_over: AtomicCell::new(false),
        replies: AtomicCell::new(0),
    };
    let (mut slowest, mut in_recovery) = (Duration::ZERO, 0);
    let mut server = Server::start(&arguments(folder.path()));
    let server = thread::scope(|scope| {
        let clients: [(&str, Doing); 6] = [
            ("a", by_connection),
            ("b", by_connection),
            ("c", deletes),
            ("d", deletes),
            ("e", by_session),
            ("f", by_session),
        ];
        let load = &load;
        let threads: Vec<_> = clients
            .into_iter()
            .map(|(name, client)| {
                let mut rng = rng.fork();
                scope.spawn(move || client(load, name, &mut rng))
            })
            .collect();
        // Whatever ends this, the clients end too, and say what was wrong.
        let _end = EndOf(load);
        for kill in 0..kills {
            let before = load.replies.load();
            let is_over = || threads.iter().any(|thread| thread.is_finished());
            eventually("the clients are served", || load.replies.load() > before + 20 || is_over());
            assert!(!is_over(), "a client gave up before kill {kill}");
            thread::sleep(Duration::from_millis(rng.u64(..60)));
            drop(server);
            while rng.u32(..3) == 0 {
                in_recovery += 1;
                kill_while_it_starts(folder.path(), &mut rng);
            }
            let started = Instant::now();
            server = Server::start(&arguments(folder.path()));
            slowest = slowest.max(started.elapsed());
        }
        let before = load.replies.load();
        eventually("the clients are served", || load.replies.load() > before + 20);
        server
    });
    let replies = load.replies.load();
    println!(
        "{kills} kills under load and {in_recovery} while it started, {replies} replies; it listened \
         again within {slowest:?}"
    );
    drop(server);
}

struct EndOf<'a>(&'a Load);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true);
    }
}
