//! Python with packages of its own, made once and kept under `target/`.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::Lines;

/// Where an environment is, with `.venv` and `stubs`.
pub struct Python(PathBuf);

/// False where the tester has no Python and says so; otherwise a lack of it is a failure.
pub fn is_wanted() -> bool {
    let is_unwanted = std::env::var_os("TENURE_NO_PYTHON").is_some_and(|it| it == "1");
    if is_unwanted {
        eprintln!("SKIPPED, because TENURE_NO_PYTHON=1: nothing was tried with Python's grpcio");
    }
    !is_unwanted
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn each_file(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    for path in entries.map(|it| it.expect("an entry").path()) {
        if path.is_dir() { each_file(&path, found) } else { found.push(path) }
    }
}

/// The schemas: each one's path, and what is in it.
fn schemas() -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths = Vec::new();
    each_file(&root().join("proto"), &mut paths);
    paths.retain(|path| path.extension().is_some_and(|end| end == "proto"));
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("a schema"))).collect()
}

impl Python {
    /// Makes an environment as a user of the examples would, by their `setup.sh`, in a copy of theirs: with
    /// these packages, and the stubs of `proto/`. One is made for each state of all that.
    ///
    /// # Panics
    /// If it can't be made; the sentence says what is missing.
    #[track_caller]
    pub fn with(requirements: &str) -> Self {
        let examples = root().join("examples/python");
        let read = |name| fs::read(examples.join(name)).expect("an example");
        let (setup, schemas) = (read("setup.sh"), schemas());
        let mut state = DefaultHasher::new();
        (requirements, &setup, &schemas).hash(&mut state);
        let made =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{:016x}", state.finish()));
        fs::create_dir_all(&made).expect("a folder under target");
        // Two tests want it at once, in two processes.
        let lock = File::create(made.join("lock")).expect("a lock file");
        lock.lock().expect("the lock");
        let folder = made.join("examples/python");
        let done = made.join("done");
        if !done.exists() {
            let _none_yet = fs::remove_dir_all(made.join("examples"));
            fs::create_dir_all(&folder).expect("a folder");
            for (path, content) in &schemas {
                let to = made.join(path.strip_prefix(root()).expect("below the root"));
                fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
                fs::write(to, content).expect("a copy");
            }
            fs::write(folder.join("setup.sh"), setup).expect("a copy");
            fs::write(folder.join("requirements.txt"), requirements).expect("a copy");
            set_up(&folder);
            fs::write(done, "").expect("a mark");
        }
        for name in ["grpc_leader.py", "ttrpc_leader.py"] {
            // Another test may be running it.
            if fs::read(folder.join(name)).ok() != Some(read(name)) {
                fs::write(folder.join(name), read(name)).expect("a copy");
            }
        }
        Self(folder)
    }

    /// The folder of the examples' copies.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// A command that runs this script.
    pub fn run(&self, script: &Path) -> Command {
        let mut command = Command::new(self.0.join(".venv/bin/python"));
        command.arg("-u").arg(script).env("PYTHONPATH", self.0.join("stubs"));
        // The tree stays as it is; and no proxy stands between two ends of one machine.
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("no_grpc_proxy", "127.0.0.1");
        command
    }
}

#[track_caller]
fn set_up(folder: &Path) {
    let has_python = Command::new("python3").args(["-c", "import venv, ensurepip"]).output();
    match has_python {
        Ok(it) if it.status.success() => {}
        Ok(_) => panic!(
            "python3 is here, but not its modules venv and ensurepip: install them (Debian: \
             python3-venv), or set TENURE_NO_PYTHON=1 to leave these tests out"
        ),
        Err(error) => panic!(
            "these tests need python3 ({error}): install it with venv, or set TENURE_NO_PYTHON=1 to \
             leave them out"
        ),
    }
    let done = Command::new("bash").arg(folder.join("setup.sh")).output().expect("bash starts");
    assert!(
        done.status.success(),
        "the Python packages can't be installed: the test takes them from PyPI, so it needs the network, or \
         TENURE_NO_PYTHON=1 to leave it out\n{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}

/// Runs a script that asserts. What it asks for on its way, `answer` does.
///
/// # Panics
/// If it fails; with its own words.
#[track_caller]
pub fn play(mut script: Command, mut answer: impl FnMut(&[&str]) -> String) {
    let mut child = script
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut input = child.stdin.take().expect("piped");
    let errors = Lines::of(child.stderr.take().expect("piped"));
    let out = BufReader::new(child.stdout.take().expect("piped"));
    let mut child = Ended(child);
    for line in out.lines().map_while(Result::ok) {
        match line.strip_prefix("ask ") {
            Some(asked) => {
                let told = answer(&asked.split(' ').collect::<Vec<_>>());
                // One that has failed reads no more; its words follow.
                let _gone = writeln!(input, "{told}");
            }
            None => println!("{line}"),
        }
    }
    let status = super::wait(&mut child.0);
    assert!(status.success(), "{script:?}: {status}\n{}", errors.rest());
}

/// Killed when dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        super::end(&mut self.0);
    }
}
