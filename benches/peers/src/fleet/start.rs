//! How each system is started. Nothing is set but where it listens and where its data is, unless its row says
//! so.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Instance, Mode, Places, Running, Setup, System};
use crate::hold::held;
use crate::machine::Cores;
use crate::net::Crowd;
use crate::wire::etcd::range;
use crate::wire::grpc::Grpc;
use crate::wire::jute::Jute;
use crate::wire::nats::Nats;
use crate::wire::resp::{Resp, command};
use crate::wire::{Dialect, Request};

const PATIENCE: Duration = Duration::from_secs(30);
const ZOOKEEPER_JARS: &str = "/usr/share/java/zookeeper.jar";

/// One that was started and may not listen yet.
pub struct Starting {
    setup: Setup,
    mode: Mode,
    port: u16,
    log: PathBuf,
    process: Running,
    cores: Cores,
}

pub fn start(setup: Setup, mode: Mode, places: &Places) -> Result<Starting> {
    let folder = places.folder(mode)?;
    let (port, log) = (free_port()?, folder.join("log"));
    let mut command = program(setup, mode, &folder, port, places)?;
    command.stderr(File::create(&log)?);
    match tells(setup) {
        true => command.stdout(Stdio::piped()),
        false => command.stdout(File::create(folder.join("out"))?),
    };
    let process = Running::spawn(&mut command)?;
    Ok(Starting { setup, mode, port, log, process, cores: places.cores })
}

/// Whether it says where it listens, once it does.
fn tells(setup: Setup) -> bool {
    matches!(setup.system(), System::Bare | System::Tenure)
}

impl Starting {
    pub fn ready(mut self) -> Result<Instance> {
        let ready = match tells(self.setup) {
            true => listens_on(&mut self.process),
            false => wait_until_ready(self.setup, self.port, &mut self.process),
        };
        let said = || std::fs::read_to_string(&self.log).unwrap_or_default();
        let address =
            ready.with_context(|| format!("{} did not start: {}", self.setup.name(), said()))?;
        let Self { setup, mode, process, cores, .. } = self;
        Ok(Instance { setup, mode, address, process, cores })
    }
}

fn program(setup: Setup, mode: Mode, folder: &Path, port: u16, places: &Places) -> Result<Command> {
    let core = places.cores.server;
    let held = |program: &str| held(core, Path::new(program));
    Ok(match setup {
        Setup::Echo | Setup::Keep | Setup::Fan | Setup::Relay | Setup::RelayAwake => {
            let mut command = crate::hold::held(core, &std::env::current_exe()?)?;
            match setup {
                Setup::Keep => command.arg("keep").arg(folder.join("kept")),
                Setup::Fan => command.arg("fan"),
                Setup::Relay => command.arg("relay"),
                Setup::RelayAwake if mode == Mode::Memory => command.args(["relay", "--awake"]),
                Setup::RelayAwake => command.args(["relay", "--awake"]).arg(folder.join("kept")),
                _ => command.arg("echo"),
            };
            command
        }
        Setup::Tenure | Setup::TenureBusy => {
            let mut command = crate::hold::held(core, &places.tenure)?;
            command.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "error"]);
            match mode {
                Mode::Memory => command.arg("--memory"),
                _ => command.arg("--data-dir").arg(folder.join("data")),
            };
            if setup == Setup::TenureBusy {
                command.args(["--busy-poll", "1ms"]);
            }
            command
        }
        Setup::Redis | Setup::RedisAof => {
            let mut command = held("redis-server")?;
            command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
            command.arg("--dir").arg(folder);
            if setup == Setup::RedisAof {
                command.args(["--appendonly", "yes", "--appendfsync", "always"]);
            }
            command
        }
        Setup::Zookeeper => zookeeper(held("java")?, folder, port, 2000)?,
        Setup::ZookeeperTuned => zookeeper(held("java")?, folder, port, 100)?,
        Setup::Etcd => etcd(held("etcd")?, folder, port)?,
        Setup::EtcdTuned => {
            let mut command = etcd(held("etcd")?, folder, port)?;
            command.args(["--heartbeat-interval", "10", "--election-timeout", "100"]);
            command
        }
        Setup::Nats => {
            let mut command = held("nats-server")?;
            command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"]).arg(folder);
            command
        }
    })
}

/// Without a limit on connections from one host, and without the web server, which has a fixed port.
fn zookeeper(mut command: Command, folder: &Path, port: u16, tick_millis: u32) -> Result<Command> {
    let settings = format!(
        "tickTime={tick_millis}\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
         maxClientCnxns=0\nadmin.enableServer=false\n",
        folder.display()
    );
    let file = folder.join("zoo.cfg");
    std::fs::write(&file, settings)?;
    command.args(["-cp", ZOOKEEPER_JARS, "org.apache.zookeeper.server.ZooKeeperServerMain"]);
    command.arg(file);
    Ok(command)
}

fn etcd(mut command: Command, folder: &Path, port: u16) -> Result<Command> {
    let clients = format!("http://127.0.0.1:{port}");
    let peers = format!("http://127.0.0.1:{}", free_port()?);
    command.arg("--data-dir").arg(folder.join("data"));
    command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
    command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
    command.args(["--initial-cluster", &format!("default={peers}")]);
    command.args(["--logger", "zap", "--log-level", "error"]);
    Ok(command)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The last word of the line that it says when it listens.
fn listens_on(process: &mut Running) -> Result<SocketAddr> {
    let line = process.line()?;
    let address = line.rsplit(' ').next().and_then(|word| word.parse().ok());
    address.with_context(|| format!("it said {line:?} and not where it listens"))
}

fn wait_until_ready(setup: Setup, port: u16, process: &mut Running) -> Result<SocketAddr> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let until = Instant::now() + PATIENCE;
    loop {
        let ready = match setup.system() {
            System::Redis => answers::<Resp>(address, Some(&command(&["PING"]))),
            System::Zookeeper => answers::<Jute>(address, None),
            System::Etcd => answers::<Grpc>(address, Some(&range("x", false))),
            _ => answers::<Nats>(address, None),
        };
        match ready {
            Ok(()) => return Ok(address),
            Err(why) if process.has_ended() || Instant::now() > until => return Err(why),
            Err(_) => sleep(Duration::from_millis(50)),
        }
    }
}

/// It greets, and answers anything at all.
fn answers<D: Dialect + Default>(address: SocketAddr, request: Option<&Request>) -> Result<()> {
    let mut crowd = Crowd::<D>::open(address, 1)?;
    if let Some(request) = request {
        crowd.ask(0, request)?;
    }
    crowd.close();
    Ok(())
}
