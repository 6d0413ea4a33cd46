//! The configuration file, as `serve` starts with it.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::support::{Server, raw, run, tenure, words};

/// A configuration file in a folder of its own.
pub(crate) struct File {
    folder: TempDir,
}

impl File {
    pub(crate) fn of(text: &str) -> Self {
        let file = Self { folder: tempfile::tempdir().unwrap() };
        file.says(text);
        file
    }

    pub(crate) fn says(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("tenure.toml")
    }

    pub(crate) fn serve(&self, line: &str) -> Command {
        let mut command = tenure(["serve", "--config"]);
        command.arg(self.path()).args(words(line));
        command
    }
}

#[test]
fn a_server_goes_by_its_file() {
    let file = File::of("max-name-bytes = 8\nmax_candidates = 1\n[[cache]]\nnames = ['fast/*']\n");
    let server = Server::start_by(file.serve(""), "");
    let done = server.run("term 123456789");
    assert!(done.err.contains("has 9 bytes; at most 8 are allowed"), "{done:?}");

    // What a cache rule brings about is seen by v1 clients alone.
    let mut peer = TcpStream::connect(server.address()).unwrap();
    let mut create = |election| {
        let mut bytes = Vec::new();
        raw::put_change(&mut bytes, 1, "Create", election, "");
        peer.write_all(&bytes).unwrap();
        raw::read_frame(&mut peer).unwrap().body
    };
    assert!(create("fast/a").ends_with(&[0x0a, 4, 0x0a, 2, 8, 1]));
    assert!(create("slow/a").ends_with(&[0x0a, 2, 0x0a, 0]));
}

#[test]
fn variables_stand_over_the_file_and_flags_over_both() {
    let file = File::of("max-name-bytes = 8");
    let mut command = file.serve("--check-config --print-config");
    let printed = run(command.env("TENURE_MAX_NAME_BYTES", "9")).succeeded();
    assert!(printed.contains("max-name-bytes = 9  # TENURE_MAX_NAME_BYTES\n"), "{printed}");
    let mut command = file.serve("--print-config --max-name-bytes 10");
    let printed = run(command.env("TENURE_MAX_NAME_BYTES", "9")).succeeded();
    assert!(printed.contains("max-name-bytes = 10  # the command line\n"), "{printed}");

    let mut command = tenure(words("serve --print-config"));
    let printed = run(command.env("TENURE_CONFIG", file.path())).succeeded();
    let from = format!("max-name-bytes = 8  # {}:1\n", file.path().display());
    assert!(printed.contains(&from), "{printed}");
}

#[test]
fn a_sound_configuration_is_said_to_be_and_nothing_is_made() {
    let file = File::of("drain = '1s'");
    let data = file.path().with_file_name("data");
    let mut command = file.serve("--check-config --data-dir");
    let said = run(command.arg(&data)).succeeded();
    assert_eq!(said, format!("{}: the configuration is sound\n", file.path().display()));
    assert!(!data.exists());
    let said = run(&mut tenure(words("serve --check-config"))).succeeded();
    assert_eq!(said, "the configuration is sound\n");
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_before_anything_starts() {
    for (text, code, why) in [
        ("\nlisen = 'a:1'", 2, ":2: unknown key \"lisen\"; did you mean \"listen\"?"),
        ("drain = 5", 2, ":1: drain: expected a time in quotes"),
        ("log-level = 'tenure=loud'", 1, ":1: log-level \"tenure=loud\" is not a filter"),
        ("listen = '0.0.0.0:0'", 1, "0.0.0.0:0 can be reached from other machines"),
        ("admin-listen = '0.0.0.0:0'", 1, "0.0.0.0:0 can be reached from other machines"),
        ("pause-output-bytes = 10\nmax-output-bytes = 9", 1, "give less than output_bytes"),
        ("max-output-bytes = 5242879", 1, "output_bytes: 5242879 closes a connection"),
        (
            "max-candidates = 20000",
            1,
            "frame_bytes: a full election is told in up to 5141248 bytes",
        ),
        ("max-frame-bytes = 3621247", 1, "a frame holds 3621247; raise it"),
        ("http-origin = ['ops.example']", 1, "http-origin: \"ops.example\" is not what a browser"),
        ("shards = 65", 1, "shards"),
    ] {
        let file = File::of(text);
        for line in ["--check-config", "--memory"] {
            let done = run(&mut file.serve(line));
            assert_eq!((done.code, done.out.as_str()), (Some(code), ""), "{text}: {done:?}");
            assert!(done.err.contains(why), "{text}: {done:?}");
            assert_eq!(done.err.lines().count(), 1, "{text}: {done:?}");
        }
    }
}

/// What `--print-config` prints is a file for another server, with the same settings.
#[test]
fn what_is_printed_is_read_back() {
    let line = "--print-config --memory --listen unix:///run/a.sock --listen [::1]:0 --drain 3s";
    let printed = run(&mut tenure(words("serve").chain(words(line)))).succeeded();
    let file = File::of(&printed);
    let again = run(&mut file.serve("--print-config")).succeeded();
    let settings = |text: &str| {
        let lines = text.lines().skip(1).map(|line| line.split("  # ").next().unwrap().to_owned());
        lines.collect::<Vec<_>>()
    };
    assert_eq!(settings(&again), settings(&printed));
    assert!(printed.contains("listen = [\"unix:///run/a.sock\", \"[::1]:0\"]"), "{printed}");
}

/// To the byte.
#[test]
fn bounds_that_fit_each_other_are_taken() {
    let file = File::of("max-frame-bytes = 3621248\nmax-output-bytes = 4669824");
    let said = run(&mut file.serve("--check-config")).succeeded();
    assert!(said.ends_with(": the configuration is sound\n"), "{said}");
}

#[test]
fn only_serve_reads_the_file() {
    let server = Server::start("");
    let mut command = server.ask("term jobs");
    let done = run(command.env("TENURE_CONFIG", "/no/such/file"));
    assert_eq!(done.code, Some(3), "{done:?}");
}
