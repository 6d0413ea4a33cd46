//! Under a service manager: what it is told, and the sockets that it hands over. The test plays the manager.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::config::File;
use crate::support::{PATIENCE, Running, Server, connect, run, tenure, words};

/// Who is told.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, folder }
    }

    fn starts(&self, mut command: Command) -> Server {
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        Server::start_by(command, "")
    }

    /// The next that it is told.
    #[track_caller]
    fn hears(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).expect("it is told in time");
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }
}

#[test]
fn the_manager_is_told_of_start_reload_and_end() {
    let manager = Manager::new();
    let mut server = manager.starts(tenure(["serve"]));
    let told = manager.hears();
    let status = format!("STATUS=listens on {}\n", server.address());
    assert_eq!(told, format!("READY=1\n{status}"));
    connect(server.address()).term("jobs").unwrap();

    server.process.signal(Signal::HUP);
    let told = manager.hears();
    assert!(told.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{told}");
    assert_eq!(manager.hears(), "READY=1\n");

    server.process.signal(Signal::TERM);
    assert!(manager.hears().starts_with("STOPPING=1\n"));
    assert_eq!(server.process.wait().code(), Some(0));
}

/// One that could not start was never ready.
#[test]
fn the_manager_is_told_only_of_what_is_so() {
    let manager = Manager::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = tenure(words("serve --memory --listen"));
    command.arg(taken.local_addr().unwrap().to_string());
    command.env("NOTIFY_SOCKET", manager.folder.path().join("notify"));
    assert_eq!(run(&mut command).code, Some(1));
    manager.socket.set_nonblocking(true).unwrap();
    assert!(manager.socket.recv(&mut [0; 64]).is_err(), "it was told nothing");
}

#[test]
fn the_watchdog_is_told_of_life_where_it_waits_for_it() {
    let manager = Manager::new();
    let mut command = tenure(["serve"]);
    command.env("WATCHDOG_USEC", "400000");
    let _server = manager.starts(command);
    manager.hears();
    for _ in 0..3 {
        assert_eq!(manager.hears(), "WATCHDOG=1\n");
    }
}

/// A server whose third descriptor is this socket, as `systemd.socket` has it.
fn hand_over(socket: OwnedFd, line: &str) -> Command {
    let mut command = Command::new("sh");
    // The number of the process stays, so the variable names the server.
    command.args(["-c", "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\""]);
    command.arg(env!("CARGO_BIN_EXE_tenure")).arg("serve").args(words(line));
    crate::support::unmoved(&mut command);
    command.stdin(Stdio::from(socket));
    command
}

/// Starts it where nobody listens yet on the address that it would take.
#[track_caller]
fn started(command: &mut Command) -> Running {
    let server = Running::start(command);
    server.out.find(" listens on ");
    server
}

#[test]
fn a_socket_that_was_handed_over_is_served_instead_of_its_own() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    // Waits in the socket before there is a server.
    let early = connect(&address);
    // It may not be bound again, and does not have to be.
    let line = format!("--memory --listen {address}");
    let mut command = hand_over(socket.into(), &line);
    let mut server = Running::start(&mut command);
    let said = server.out.find(" listens on ");
    assert!(said.ends_with(&format!(" listens on {address}")), "{said}");
    early.term("jobs").unwrap();

    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_unix_socket_that_was_handed_over_stays_the_managers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let socket = UnixListener::bind(&path).unwrap();
    let mut server = started(&mut hand_over(socket.into(), "--memory"));
    let address = format!("unix://{}", path.display());
    connect(&address).term("jobs").unwrap();
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(path.exists(), "the manager made it, and may start the server again");
}

#[test]
fn what_can_not_be_served_is_refused() {
    let exposed = TcpListener::bind("0.0.0.0:0").unwrap();
    let done = run(&mut hand_over(exposed.into(), "--memory"));
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("can be reached from other machines"), "{done:?}");

    let folder = tempfile::tempdir().unwrap();
    let no_socket = fs::File::create(folder.path().join("file")).unwrap();
    let done = run(&mut hand_over(no_socket.into(), "--memory"));
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("neither TCP nor a Unix stream"), "{done:?}");
}

/// Sockets of another process are none of ours.
#[test]
fn variables_for_another_process_are_not_followed() {
    let file = File::of("");
    let mut command = file.serve("");
    command.env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
    let server = Server::start_by(command, "");
    server.client().term("jobs").unwrap();
}

#[test]
fn the_units_are_sound() {
    if !Path::new("/usr/bin/systemd-analyze").exists() {
        return;
    }
    let contrib = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib");
    let folder = tempfile::tempdir().unwrap();
    for unit in ["tenure.service", "tenure.socket"] {
        let text = fs::read_to_string(contrib.join(unit)).unwrap();
        // It is not installed here, and that it is there is verified too.
        let text = text.replace("/usr/bin/tenure", env!("CARGO_BIN_EXE_tenure"));
        fs::write(folder.path().join(unit), text).unwrap();
    }
    let mut command = Command::new("systemd-analyze");
    command.arg("verify").arg(folder.path().join("tenure.service"));
    let done = run(command.arg(folder.path().join("tenure.socket")));
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (Some(0), "", ""));
}

/// What the unit says to the server is what the server takes.
#[test]
fn the_service_passes_its_own_check() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/tenure.service");
    let text = fs::read_to_string(unit).unwrap();
    let of = |key: &str| text.lines().filter_map(|line| line.strip_prefix(key)).collect::<Vec<_>>();
    let starts = of("ExecStart=/usr/bin/tenure ");
    let mut command = tenure(words(starts[0]).chain(["--check-config", "--print-config"]));
    for variable in of("Environment=") {
        let (name, value) = variable.split_once('=').unwrap();
        command.env(name, value);
    }
    let printed = run(&mut command).succeeded();
    assert!(printed.contains("data-dir = \"/var/lib/tenure\"  # TENURE_DATA_DIR"), "{printed}");
    assert_eq!(of("RestartPreventExitStatus="), ["2 74"]);
}
