//! The machine: its cores, who runs where, and what it says of itself.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

/// Where client and server run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    OneCore,
    TwoCores,
}

impl Placement {
    pub fn name(self) -> &'static str {
        match self {
            Placement::OneCore => "one core",
            Placement::TwoCores => "two cores",
        }
    }
}

/// The client's core, and the servers'.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    pub client: usize,
    pub server: usize,
}

impl Cores {
    pub fn find() -> Result<Self> {
        let all = sched_getaffinity(None::<Pid>)?;
        let cores: Vec<_> = (0..CpuSet::MAX_CPU).filter(|&core| all.is_set(core)).collect();
        let (client, server) = cores.first().zip(cores.last()).context("there is no core")?;
        Ok(Self { client: *client, server: *server })
    }
}

pub fn pin(core: usize) -> Result<()> {
    set_affinity(None, core)
}

/// All of a process' threads; those that they start inherit it.
pub fn pin_process(process: u32, core: usize) -> Result<()> {
    for thread in fs::read_dir(format!("/proc/{process}/task")).context("the server is gone")? {
        let thread: i32 = thread?.file_name().to_string_lossy().parse()?;
        // One that ended meanwhile needs no core.
        let _gone = set_affinity(Pid::from_raw(thread), core);
    }
    Ok(())
}

fn set_affinity(thread: Option<Pid>, core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(thread, &set).context("can't pin a thread")
}

/// As many descriptors as the system allows; servers inherit it.
pub fn allow_many_connections() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _as_it_was = setrlimit(Resource::Nofile, limit);
}

/// Bytes of a process that are in memory.
pub fn resident(process: u32) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("no Rss")?;
    Ok(kib.parse::<u64>()? << 10)
}

/// What the tables say of where and when.
pub fn facts(root: &Path) -> Vec<(&'static str, String)> {
    let git = |words: &[&str]| said_by(Command::new("git").arg("-C").arg(root).args(words));
    let commit = match git(&["status", "--porcelain", "--untracked-files=no"]).as_str() {
        "" => git(&["rev-parse", "--short", "HEAD"]),
        _ => format!("{}, with changes on top", git(&["rev-parse", "--short", "HEAD"])),
    };
    vec![
        ("Processor, cores", format!("{}, {} in use", processor(), cores_in_use())),
        ("Kernel", format!("{} {}", utsname("ostype"), utsname("osrelease"))),
        ("Distribution", distribution()),
        ("Load as it began", load()),
        ("Date, commit", format!("{}, {commit}", said_by(Command::new("date").arg("-I")))),
    ]
}

/// Tasks that wanted a core, in the last minute.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}

fn cores_in_use() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get())
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name"));
    name.map_or("unknown", |name| name.trim_start_matches([' ', '\t', ':'])).to_owned()
}

fn utsname(what: &str) -> String {
    let text = fs::read_to_string(format!("/proc/sys/kernel/{what}")).unwrap_or_default();
    text.trim().to_owned()
}

fn distribution() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("unknown").trim_matches('"').to_owned()
}

/// The first line that a program says, or nothing.
pub fn said_by(command: &mut Command) -> String {
    let out = command.output().map(|out| out.stdout).unwrap_or_default();
    String::from_utf8_lossy(&out).lines().next().unwrap_or("").trim().to_owned()
}
