//! The peers, from Debian's packages.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::System;
use crate::machine::said_by;

/// Keeps packages from starting services of their own while they are installed.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// What proves that a system is there, and the packages that bring it.
struct Needs {
    proofs: &'static [&'static str],
    packages: &'static [&'static str],
}

fn needs(system: System) -> Needs {
    let (proofs, packages): (&[&str], &[&str]) = match system {
        System::Bare | System::Tenure => (&[], &[]),
        System::Redis => (&["redis-server"], &["redis-server"]),
        System::Zookeeper => {
            (&["java", "/usr/share/java/zookeeper.jar"], &["zookeeper", "default-jre-headless"])
        }
        System::Etcd => (&["etcd"], &["etcd-server"]),
        System::Nats => (&["nats-server"], &["nats-server"]),
    };
    Needs { proofs, packages }
}

/// Installs what is missing. Gives the systems that are there then, and says which are not.
pub fn install(systems: &[System]) -> Result<Vec<System>> {
    let missing: Vec<_> = systems.iter().filter(|system| !is_there(**system)).collect();
    if !missing.is_empty() {
        let packages = missing.iter().flat_map(|system| needs(**system).packages);
        let packages: Vec<_> = packages.copied().collect();
        eprintln!("installs {} with apt-get", packages.join(", "));
        if let Err(why) = apt(&packages) {
            eprintln!("can't install: {why:#}");
        }
    }
    let (there, not): (Vec<_>, Vec<_>) = systems.iter().partition(|system| is_there(**system));
    not.iter().for_each(|system| eprintln!("{system:?} is not here, and is left out"));
    Ok(there)
}

fn is_there(system: System) -> bool {
    needs(system).proofs.iter().all(|proof| is_found(proof))
}

fn is_found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).map(|folder| folder.join(program));
    let usual = ["/usr/sbin", "/usr/bin"].map(|folder| Path::new(folder).join(program));
    folders.chain(usual).any(|file| file.exists())
}

fn apt(packages: &[&str]) -> Result<()> {
    let has_policy = Path::new(POLICY).exists();
    if !has_policy {
        std::fs::write(POLICY, "#!/bin/sh\nexit 101\n")
            .context("not allowed to; run it as root")?;
        Command::new("chmod").args(["755", POLICY]).status()?;
    }
    let run = |words: &[&str]| -> Result<()> {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(words);
        let out = command.output().context("there is no apt-get")?;
        match out.status.success() {
            true => Ok(()),
            false => bail!("{}", String::from_utf8_lossy(&out.stderr).trim()),
        }
    };
    // An old list is better than none.
    let _old = run(&["update", "-qq"]);
    let install = [&["install", "-y", "-qq", "--no-install-recommends"], packages].concat();
    let done = run(&install);
    if !has_policy {
        std::fs::remove_file(POLICY)?;
    }
    done
}

/// What each says that it is.
pub fn versions(systems: &[System], tenure: &Path) -> Vec<(System, String)> {
    let version = |system: &System| {
        let said = match system {
            System::Bare => return None,
            System::Tenure => said_by(Command::new(tenure).arg("--version")),
            System::Redis => said_by(Command::new("redis-server").arg("--version")),
            System::Zookeeper => said_by(Command::new("dpkg-query").args([
                "--show",
                "--showformat=${Version}",
                "libzookeeper-java",
            ])),
            System::Etcd => said_by(Command::new("etcd").arg("--version")),
            System::Nats => said_by(Command::new("nats-server").arg("--version")),
        };
        Some((*system, number_in(&said)))
    };
    systems.iter().filter_map(version).collect()
}

/// The first word with a number in it: `Redis server v=7.0.15 sha=...` has 7.0.15.
fn number_in(said: &str) -> String {
    let word = said.split([' ', '=']).find(|word| {
        word.trim_start_matches('v').starts_with(|first: char| first.is_ascii_digit())
    });
    word.unwrap_or("unknown").trim_start_matches('v').to_owned()
}

#[cfg(test)]
mod tests {
    use super::number_in;

    #[test]
    fn versions_as_they_are_said() {
        assert_eq!(number_in("Redis server v=7.0.15 sha=0:0"), "7.0.15");
        assert_eq!(number_in("nats-server: v2.9.10"), "2.9.10");
        assert_eq!(number_in("etcd Version: 3.4.23"), "3.4.23");
        assert_eq!(number_in("3.8.0-11+deb12u2"), "3.8.0-11+deb12u2");
        assert_eq!(number_in(""), "unknown");
    }
}
