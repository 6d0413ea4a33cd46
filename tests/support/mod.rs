//! The real binary as a child process, what its output says, and what the system says of it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

pub(crate) mod conversation;
pub(crate) mod proxy;
#[cfg(unix)]
pub(crate) mod python;
pub(crate) mod raw;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tempfile::TempDir;
use tenure::client::{Address, Client};

/// How long anything that should happen at once may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `is_so`, looking often.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The `tenure` command, free of what the tester's own environment says.
pub fn tenure<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
    command.args(args).stdin(Stdio::null());
    unmoved(&mut command);
    command
}

/// Takes from a command what the tester's own environment would say to it.
pub fn unmoved(command: &mut Command) {
    // A backtrace takes long to find its names on a busy machine.
    for name in ["RUST_LOG", "RUST_BACKTRACE", "RUST_LIB_BACKTRACE", "NOTIFY_SOCKET"] {
        command.env_remove(name);
    }
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| name.to_string_lossy().starts_with("TENURE_")) {
        command.env_remove(name);
    }
}

/// Splits a command line at its blanks.
pub fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace()
}

/// A finished command.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Done {
    /// What it printed, if it did what was asked.
    #[track_caller]
    pub fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }
}

/// Runs a command to its end.
#[track_caller]
pub fn run(command: &mut Command) -> Done {
    let mut child = Running::start(command);
    let code = child.wait().code();
    Done { code, out: child.out.rest(), err: child.err.rest() }
}

/// Whether a command does what it should here; else says so.
pub fn works(command: &str) -> bool {
    let mut shell = Command::new("sh");
    let done = run(shell.args(["-c", command]));
    if done.code != Some(0) {
        println!("skipped: `{command}` does not work here: {}", done.err.trim());
    }
    done.code == Some(0)
}

/// What a child writes, line by line.
pub struct Lines(Receiver<String>, JoinHandle<()>);

impl Lines {
    pub fn of(from: impl Read + Send + 'static) -> Self {
        let (to, lines) = channel();
        let reader = thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                // A test that has seen enough no longer listens; the child must not block for that.
                let _nobody_listens = to.send(line);
            }
        });
        Self(lines, reader)
    }

    /// The next line, or `None` at the end.
    #[track_caller]
    pub fn next(&self) -> Option<String> {
        match self.0.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line within {PATIENCE:?}"),
        }
    }

    /// The next line that has `what` in it.
    #[track_caller]
    pub fn find(&self, what: &str) -> String {
        let mut seen = Vec::new();
        while let Some(line) = self.next() {
            if line.contains(what) {
                return line;
            }
            seen.push(line);
        }
        panic!("no line has {what:?}:\n{}", seen.join("\n"));
    }

    /// All lines to the end.
    #[track_caller]
    pub fn rest(&self) -> String {
        std::iter::from_fn(|| self.next()).map(|line| line + "\n").collect()
    }
}

/// A child process, killed when dropped.
pub struct Running {
    child: Child,
    pub out: Lines,
    pub err: Lines,
}

impl Running {
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let out = Lines::of(child.stdout.take().expect("piped"));
        let err = Lines::of(child.stderr.take().expect("piped"));
        Self { child, out, err }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_some()
    }

    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it can be signalled");
    }

    /// Stops it, and waits until each of its threads stands still: the signal alone is only on its way.
    #[track_caller]
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        let pid = Pid::from_child(&self.child);
        eventually("it stands still", || {
            let options = WaitOptions::UNTRACED | WaitOptions::NOHANG;
            match waitpid(Some(pid), options).expect("a child can be waited for") {
                Some((_, status)) => {
                    assert!(status.stopped(), "it ended instead: {status:?}");
                    true
                }
                None => false,
            }
        });
    }

    /// Lets a stopped one go on.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

#[track_caller]
pub fn wait(child: &mut Child) -> ExitStatus {
    let mut status = None;
    eventually("the process ends", || {
        status = child.try_wait().expect("a child can be waited for");
        status.is_some()
    });
    status.expect("it has ended")
}

pub fn end(child: &mut Child) {
    // Already over, which is what is wanted.
    let _over = child.kill();
    let _over = child.wait();
}

/// `tenure serve` on a port of its own, listening.
pub struct Server {
    pub process: Running,
    pub addresses: Vec<String>,
    _folder: TempDir,
}

impl Server {
    #[track_caller]
    pub fn start(args: &str) -> Self {
        Self::start_by(tenure(["serve"]), args)
    }

    /// Adds to a command that becomes a server what makes it tell its address.
    #[track_caller]
    pub fn start_by(mut command: Command, args: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ports = folder.path().join("ports");
        if !args.contains("--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        if !args.contains("--data-dir") {
            command.arg("--memory");
        }
        command.arg("--ports-file").arg(&ports).args(words(args));
        let mut process = Running::start(&mut command);
        let line = process.out.next();
        let Some(line) = line.filter(|line| line.contains(" listens on ")) else {
            panic!("it did not start: {:?}\n{}", process.wait(), process.err.rest());
        };
        let ports = fs::read_to_string(ports).expect("a ports file");
        let own = ports.lines().filter(|line| !line.starts_with("admin "));
        let addresses: Vec<String> = own.map(str::to_owned).collect();
        assert!(line.ends_with(&format!(" listens on {}", addresses.join(", "))), "{line}");
        Self { process, addresses, _folder: folder }
    }

    pub fn address(&self) -> &str {
        &self.addresses[0]
    }

    #[track_caller]
    pub fn client(&self) -> Client {
        connect(self.address())
    }

    /// A command that asks this server.
    pub fn ask(&self, line: &str) -> Command {
        let mut command = tenure(words(line));
        command.args(["--server", self.address()]);
        command
    }

    /// Runs a command that asks this server.
    #[track_caller]
    pub fn run(&self, line: &str) -> Done {
        run(&mut self.ask(line))
    }
}

#[track_caller]
pub fn connect(address: &str) -> Client {
    let address: Address = address.parse().expect("an address");
    Client::connect(&address, PATIENCE).expect("a connection").with_timeout(PATIENCE)
}

/// A client with an election of its own that wants to be served all the time.
pub struct Bystander {
    stop: std::sync::mpsc::Sender<()>,
    thread: JoinHandle<Served>,
}

/// What a bystander got.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    pub calls: u64,
    pub slowest: Duration,
}

impl Bystander {
    #[track_caller]
    pub fn of(address: &str) -> Self {
        let client = connect(address);
        let (stop, stopped) = channel::<()>();
        let thread = thread::spawn(move || {
            let mut served = Served { calls: 0, slowest: Duration::ZERO };
            loop {
                let before = Instant::now();
                let term = client.enter("bystander", "b").expect("a bystander is served");
                assert_eq!(term.leader.as_deref(), Some("b"));
                let left = client.withdraw("bystander", "b").expect("a bystander is served");
                assert_eq!((left.leader, left.number), (None, term.number));
                assert_eq!(client.term("bystander").expect("served").number, term.number);
                served.slowest = served.slowest.max(before.elapsed());
                served.calls += 3;
                if stopped.recv_timeout(Duration::from_millis(1)) != Err(RecvTimeoutError::Timeout)
                {
                    break;
                }
            }
            served
        });
        Self { stop, thread }
    }

    /// What it got; each single round must have been faster than `bound`.
    #[track_caller]
    pub fn was_served_within(self, bound: Duration) -> Served {
        drop(self.stop);
        let served = self.thread.join().expect("the bystander was served throughout");
        assert!(served.slowest < bound, "{served:?}");
        served
    }
}

/// Resident memory of a process, in bytes.
#[cfg(target_os = "linux")]
pub fn resident(pid: u32) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).expect("it lives");
    let pages: u64 = statm.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("statm");
    pages * rustix::param::page_size() as u64
}

/// Processor time that a process has used.
#[cfg(target_os = "linux")]
pub fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    // The name in parentheses may hold blanks.
    let (_, fields) = stat.rsplit_once(')').expect("stat");
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().map(|&at| fields[at].parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(1000 * ticks / rustix::param::clock_ticks_per_second())
}

/// Open descriptors of a process.
#[cfg(target_os = "linux")]
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").count()
}

/// What the system's timers of a server's TCP connections are for, as `/proc/net/tcp` has it: `00` nothing,
/// `01` a retransmission, `02` keep-alive.
#[cfg(target_os = "linux")]
pub struct TcpTimers {
    pub of_server: Vec<String>,
    pub of_clients: Vec<String>,
}

#[cfg(target_os = "linux")]
pub fn tcp_timers(port: u16) -> TcpTimers {
    const ESTABLISHED: &str = "01";
    let table = fs::read_to_string("/proc/net/tcp").expect("a table of connections");
    let rows: Vec<Vec<&str>> =
        table.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    let end = format!(":{port:04X}");
    // Of the columns: 1 this end, 2 the other, 3 the state, 5 the timer and when it is due.
    let at = |column: usize| {
        let rows = rows.iter().filter(|row| row[3] == ESTABLISHED && row[column].ends_with(&end));
        rows.map(|row| row[5].split(':').next().expect("a timer").to_owned()).collect()
    };
    TcpTimers { of_server: at(1), of_clients: at(2) }
}
