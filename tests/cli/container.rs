//! The Dockerfile, as far as it can be tried without an engine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Server, run, tenure};

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// The instructions of the Dockerfile: each its name and the rest, on one line.
fn instructions() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("Dockerfile")).unwrap();
    let text = text.replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let split = |line: &str| {
        let (name, rest) = line.split_once(' ').expect("a name and the rest");
        (name.to_owned(), rest.trim().to_owned())
    };
    lines.map(split).collect()
}

fn of(name: &str) -> Vec<String> {
    instructions().into_iter().filter(|it| it.0 == name).map(|it| it.1).collect()
}

/// A command that was written as a list.
fn list(text: &str) -> Vec<String> {
    let list = &text[text.find('[').expect("a list, so that no shell is needed")..];
    serde_json::from_str(list).expect("a list")
}

/// What is copied from the build's context.
fn sources() -> Vec<String> {
    let copies = of("COPY").into_iter().filter(|it| !it.starts_with("--from"));
    let words = copies.map(|it| it.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    words.flat_map(|mut it| (it.pop(), it).1).collect()
}

#[test]
fn what_is_copied_is_there_and_sent() {
    let sent = fs::read_to_string(root().join(".dockerignore")).unwrap();
    let sources = sources();
    assert!(sources.len() > 5, "{sources:?}");
    for source in &sources {
        assert!(root().join(source).exists(), "{source}");
        assert!(sent.lines().any(|line| line == format!("!{source}")), "{source} is not sent");
    }
    let sent = sent.lines().filter(|line| line.starts_with('!')).count();
    assert_eq!(sent, sources.len(), "what is sent is copied");
}

/// Cargo finds all that the manifest names among what is copied.
#[test]
fn what_is_copied_is_a_whole_package() {
    let folder = tempfile::tempdir().unwrap();
    for source in sources().iter().filter(|it| !it.starts_with("contrib")) {
        copy(&root().join(source), &folder.path().join(source));
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--offline", "--no-deps", "--format-version=1", "--manifest-path"]);
    let done = run(cargo.arg(folder.path().join("Cargo.toml")));
    assert_eq!(done.code, Some(0), "{}", done.err);
}

fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "target" {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    }
}

#[test]
fn the_image_starts_with_settings_that_are_sound() {
    let call = [list(&of("ENTRYPOINT")[0]), list(&of("CMD")[0])].concat();
    assert_eq!(call[0], "/usr/local/bin/tenure");
    let variables = of("ENV");
    let (name, path) = variables[0].split_once('=').unwrap();
    assert!(of("COPY").contains(&format!("contrib/container.toml {path}")), "{path}");

    let mut command = tenure(&call[1..]);
    command.env(name, root().join("contrib/container.toml"));
    let printed = run(command.args(["--check-config", "--print-config"])).succeeded();
    let port = &of("EXPOSE")[0];
    let volume = &of("VOLUME")[0];
    for line in [
        format!("listen = [\"0.0.0.0:{port}\"]  # "),
        format!("data-dir = \"{volume}\"  # "),
        "allow-plaintext = true  # ".to_owned(),
    ] {
        assert!(printed.contains(&line), "{line}\n{printed}");
    }
}

#[test]
fn the_image_is_healthy_while_it_serves() {
    let check = list(&of("HEALTHCHECK")[0]);
    assert_eq!(check[0], "/usr/local/bin/tenure");
    let server = Server::start("");
    let mut command = tenure(&check[1..]);
    assert_eq!(run(command.env("TENURE_SERVER", server.address())).code, Some(0));
    let mut command = tenure(&check[1..]);
    assert_eq!(run(command.env("TENURE_SERVER", "127.0.0.1:1")).code, Some(6));
}

#[test]
fn the_image_does_not_run_as_root() {
    let user = &of("USER")[0];
    let number: u32 = user.split(':').next().unwrap().parse().expect("a number, for runAsNonRoot");
    assert!(number > 0);
    let volume = &of("VOLUME")[0];
    let made = of("COPY").into_iter().find(|it| it.ends_with(&format!(" {volume}"))).unwrap();
    assert!(made.contains(&format!("--chown={user} ")), "{made}");
}
