//! The servers that are asked, each with a folder, a port and a core.

mod install;
mod places;
mod process;
mod start;

use std::net::SocketAddr;

use anyhow::Result;
use clap::ValueEnum;

pub use install::{install, versions};
pub use places::Places;
pub use process::Running;

use crate::machine::{self, Cores, Placement};

/// What can be asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum System {
    Bare,
    Tenure,
    Redis,
    Zookeeper,
    Etcd,
    Nats,
}

/// A system as it is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// The least that any server has to do.
    Echo,
    /// The same, and a write that is safe before each answer.
    Keep,
    Fan,
    /// Hands the lead on.
    Relay,
    /// The same, without sleeping in between.
    RelayAwake,
    Tenure,
    TenureBusy,
    /// Its own defaults: snapshots now and then, no log.
    Redis,
    /// A change is answered once it is on disk.
    RedisAof,
    Zookeeper,
    ZookeeperTuned,
    Etcd,
    EtcdTuned,
    Nats,
}

impl Setup {
    pub fn system(self) -> System {
        match self {
            Setup::Echo | Setup::Keep | Setup::Fan | Setup::Relay | Setup::RelayAwake => {
                System::Bare
            }
            Setup::Tenure | Setup::TenureBusy => System::Tenure,
            Setup::Redis | Setup::RedisAof => System::Redis,
            Setup::Zookeeper | Setup::ZookeeperTuned => System::Zookeeper,
            Setup::Etcd | Setup::EtcdTuned => System::Etcd,
            Setup::Nats => System::Nats,
        }
    }

    /// Its column in the tables.
    pub fn name(self) -> &'static str {
        match self {
            Setup::Echo | Setup::Keep | Setup::Fan | Setup::Relay | Setup::RelayAwake => {
                "bare server"
            }
            Setup::Tenure => "Tenure",
            Setup::TenureBusy => "Tenure, busy polling",
            Setup::Redis => "Redis",
            Setup::RedisAof => "Redis, AOF always",
            Setup::Zookeeper => "ZooKeeper",
            Setup::ZookeeperTuned => "ZooKeeper, tuned",
            Setup::Etcd => "etcd",
            Setup::EtcdTuned => "etcd, tuned",
            Setup::Nats => "NATS",
        }
    }
}

/// Where a system's data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Memory,
    Tmpfs,
    Disk,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Memory => "in memory",
            Mode::Tmpfs => "kept on tmpfs",
            Mode::Disk => "kept on disk",
        }
    }
}

/// One server that runs.
pub struct Instance {
    pub setup: Setup,
    pub mode: Mode,
    pub address: SocketAddr,
    pub process: Running,
    cores: Cores,
}

impl Instance {
    /// The rows that it stands in: those that can't do without a log stand on tmpfs for memory, too.
    pub fn modes(&self) -> &'static [Mode] {
        match (self.setup, self.mode) {
            (Setup::Relay | Setup::RelayAwake, Mode::Memory) => &[Mode::Memory],
            (Setup::Tenure | Setup::TenureBusy | Setup::Redis, Mode::Memory) => &[Mode::Memory],
            (Setup::Tenure | Setup::RedisAof, Mode::Tmpfs) => &[Mode::Tmpfs],
            (_, Mode::Disk) => &[Mode::Disk],
            _ => &[Mode::Memory, Mode::Tmpfs],
        }
    }

    pub fn cores(&self) -> Cores {
        self.cores
    }

    pub fn place(&self, placement: Placement) -> Result<()> {
        let core = match placement {
            Placement::OneCore => self.cores.client,
            Placement::TwoCores => self.cores.server,
        };
        machine::pin_process(self.process.id(), core)
    }
}

/// Servers that run at a time.
pub struct Fleet {
    pub instances: Vec<Instance>,
}

const IN_MEMORY: [(Setup, Mode); 12] = [
    (Setup::Echo, Mode::Memory),
    (Setup::Fan, Mode::Memory),
    (Setup::Relay, Mode::Memory),
    (Setup::RelayAwake, Mode::Memory),
    (Setup::Tenure, Mode::Memory),
    (Setup::TenureBusy, Mode::Memory),
    (Setup::Tenure, Mode::Tmpfs),
    (Setup::Redis, Mode::Memory),
    (Setup::RedisAof, Mode::Tmpfs),
    (Setup::Zookeeper, Mode::Tmpfs),
    (Setup::Etcd, Mode::Tmpfs),
    (Setup::Nats, Mode::Tmpfs),
];

const ON_DISK: [(Setup, Mode); 9] = [
    (Setup::Echo, Mode::Disk),
    (Setup::Keep, Mode::Disk),
    (Setup::RelayAwake, Mode::Disk),
    (Setup::Tenure, Mode::Disk),
    (Setup::Redis, Mode::Disk),
    (Setup::RedisAof, Mode::Disk),
    (Setup::Zookeeper, Mode::Disk),
    (Setup::Etcd, Mode::Disk),
    (Setup::Nats, Mode::Disk),
];

const TUNED: [(Setup, Mode); 2] =
    [(Setup::ZookeeperTuned, Mode::Tmpfs), (Setup::EtcdTuned, Mode::Tmpfs)];

impl Fleet {
    pub fn in_memory(places: &Places, systems: &[System]) -> Result<Self> {
        Self::start(&IN_MEMORY, places, systems)
    }

    pub fn on_disk(places: &Places, systems: &[System]) -> Result<Self> {
        Self::start(&ON_DISK, places, systems)
    }

    pub fn tuned(places: &Places, systems: &[System]) -> Result<Self> {
        Self::start(&TUNED, places, systems)
    }

    /// Another one of these.
    pub fn again(instance: &Instance, places: &Places) -> Result<Instance> {
        start::start(instance.setup, instance.mode, places)?.ready()
    }

    fn start(which: &[(Setup, Mode)], places: &Places, systems: &[System]) -> Result<Self> {
        let wanted = which.iter().filter(|(setup, _)| systems.contains(&setup.system()));
        let start = |&(setup, mode): &(Setup, Mode)| start::start(setup, mode, places);
        let starting = wanted.map(start).collect::<Result<Vec<_>>>()?;
        let ready = starting.into_iter().map(start::Starting::ready);
        Ok(Self { instances: ready.collect::<Result<_>>()? })
    }
}
