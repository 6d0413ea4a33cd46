//! A network between a client and its server that does as a test says: slow, one-way, cut after so many
//! bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam::atomic::AtomicCell;
use socket2::SockRef;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    ToServer,
    ToClient,
}

/// What is done to the bytes of one way; shared by all connections.
struct Rule {
    /// What each piece waits before it goes on.
    delay: AtomicCell<Duration>,
    /// Nothing goes on, and nobody is told.
    is_blocked: AtomicCell<bool>,
    /// Bytes that still go on before the connection is cut.
    budget: AtomicCell<u64>,
}

impl Rule {
    fn new() -> Self {
        Self {
            delay: AtomicCell::new(Duration::ZERO),
            is_blocked: AtomicCell::new(false),
            budget: AtomicCell::new(u64::MAX),
        }
    }
}

pub struct Proxy {
    address: String,
    rules: Arc<[Rule; 2]>,
    ends: Arc<Ends>,
}

/// How connections end.
#[derive(Default)]
struct Ends {
    /// Raised by each cut of everything.
    era: AtomicCell<u64>,
    /// From then on each is torn down by RST.
    are_harsh: AtomicCell<bool>,
}

impl Proxy {
    /// Stands before `server`.
    #[track_caller]
    pub fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let rules = Arc::new([Rule::new(), Rule::new()]);
        let ends = Arc::new(Ends::default());
        let (to, ours, now) = (server.to_owned(), rules.clone(), ends.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A server that is not there is a cut at byte 0.
                let Ok(server) = TcpStream::connect(&to) else { continue };
                join(&client, &server, Way::ToServer, &ours, &now);
                join(&server, &client, Way::ToClient, &ours, &now);
            }
        });
        Self { address, rules, ends }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn delay(&self, way: Way, by: Duration) {
        self.rules[way as usize].delay.store(by);
    }

    /// From now on nothing arrives on this way, and nobody is told.
    pub fn block(&self, way: Way) {
        self.rules[way as usize].is_blocked.store(true);
    }

    /// Lets what was held go on.
    pub fn unblock(&self, way: Way) {
        self.rules[way as usize].is_blocked.store(false);
    }

    /// Cuts the connection once this many more bytes went this way.
    pub fn cut_after(&self, way: Way, bytes: u64) {
        self.rules[way as usize].budget.store(bytes);
    }

    /// No cut is planned any more.
    pub fn spare(&self, way: Way) {
        self.rules[way as usize].budget.store(u64::MAX);
    }

    /// Cuts all connections, at once.
    pub fn cut(&self) {
        self.ends.era.fetch_add(1);
    }

    /// Resets all connections, at once: neither side reads what was under way.
    pub fn reset(&self) {
        self.ends.are_harsh.store(true);
        self.cut();
    }
}

fn join(from: &TcpStream, to: &TcpStream, way: Way, rules: &Arc<[Rule; 2]>, ends: &Arc<Ends>) {
    let (mut from, mut to) = (from.try_clone().expect("a clone"), to.try_clone().expect("a clone"));
    let (rules, ends) = (rules.clone(), ends.clone());
    let born = ends.era.load();
    from.set_read_timeout(Some(Duration::from_millis(5))).expect("set");
    to.set_nodelay(true).expect("set");
    thread::spawn(move || {
        // Whatever ends it, ends both ways.
        let _over = pass(&mut from, &mut to, &rules[way as usize], || ends.era.load() == born);
        if ends.are_harsh.load() {
            // It is closed by the last of those who hold it, and then reset.
            let _over = SockRef::from(&from).set_linger(Some(Duration::ZERO));
            let _over = SockRef::from(&to).set_linger(Some(Duration::ZERO));
            return;
        }
        let _over = from.shutdown(Shutdown::Both);
        let _over = to.shutdown(Shutdown::Both);
    });
}

/// Passes bytes on until an end, a cut or an error.
fn pass(
    from: &mut TcpStream,
    to: &mut TcpStream,
    rule: &Rule,
    lives: impl Fn() -> bool,
) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    while lives() {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if is_timeout(&error) => continue,
            Err(error) => return Err(error),
        };
        thread::sleep(rule.delay.load());
        while rule.is_blocked.load() {
            if !lives() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(1));
        }
        let budget = rule.budget.load();
        let passed = (read as u64).min(budget) as usize;
        to.write_all(&buffer[..passed])?;
        if budget != u64::MAX {
            rule.budget.fetch_sub(passed as u64);
            if passed < read || rule.budget.load() == 0 {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}
