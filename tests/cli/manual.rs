//! Completions and manual pages.

use std::fs;
use std::process::Command;

use crate::support::{Done, run, tenure, words};

#[track_caller]
fn printed(line: &str) -> String {
    let done = run(&mut tenure(words(line)));
    assert_eq!(done.err, "");
    done.succeeded()
}

/// True if there is such a program here.
fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[test]
fn every_shell_has_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&format!("completions {shell}"));
        for known in ["serve", "watch", "check-config", "end-session", "bench", "allow-errors"] {
            assert!(script.contains(known), "{shell}: {known}");
        }
        for hidden in ["guard", "demo-candidate", "bench-candidate"] {
            assert!(!script.contains(hidden), "{shell}: {hidden}");
        }
    }
    assert_eq!(run(&mut tenure(words("completions tcsh"))).code, Some(2));
}

#[test]
fn bash_completes() {
    if !is_there("bash") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("tenure.bash");
    fs::write(&script, printed("completions bash")).unwrap();
    let bash = |args: &[&str]| -> Done { run(Command::new("bash").args(args).arg(&script)) };
    let checked = bash(&["-n"]);
    assert_eq!((checked.code, checked.err.as_str()), (Some(0), ""));

    let complete = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let (last, before) = (words[words.len() - 1], words[words.len() - 2]);
        let ask = format!(
            "source $0; COMP_WORDS=({line}); COMP_CWORD={}; _tenure tenure '{last}' '{before}'; \
             printf '%s ' \"${{COMPREPLY[@]}}\"",
            words.len() - 1
        );
        bash(&["-c", &ask]).succeeded().trim().to_owned()
    };
    assert_eq!(complete("tenure ser"), "serve");
    assert_eq!(complete("tenure serve --data-"), "--data-dir");
    assert_eq!(complete("tenure bench hand"), "handover");
    assert_eq!(complete("tenure serve --log-format j"), "json");
}

#[test]
fn every_command_has_its_page() {
    let all = printed("man");
    for part in
        [".TH tenure 1", ".SH NAME", ".SH SYNOPSIS", "tenure\\-serve(1)", ".SH \"EXIT STATUS\""]
    {
        assert!(all.contains(part), "{part}\n{all}");
    }
    let serve = printed("man serve");
    for part in
        [".TH tenure-serve 1 \"\" \"tenure ", "\\-\\-check\\-config", ".SH LIMITS", "TENURE_DRAIN"]
    {
        assert!(serve.contains(part), "{part}\n{serve}");
    }
    for line in ["man guard", "man nonsense"] {
        let done = run(&mut tenure(words(line)));
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.err.contains("`tenure --help` lists them"), "{done:?}");
    }
}

/// Also those of what is below a command.
#[test]
fn every_page_that_a_page_names_can_be_printed() {
    let mut pages = vec![String::new()];
    let mut printed_pages = 0;
    while let Some(page) = pages.pop() {
        let text = printed(&format!("man {page}")).replace("\\-", "-");
        let title = format!(".TH tenure{}{page} 1 ", if page.is_empty() { "" } else { "-" });
        assert!(text.contains(&title), "{title}: {text}");
        printed_pages += 1;
        let named = text.lines().filter_map(|line| line.strip_prefix("tenure-"));
        pages.extend(named.filter_map(|line| line.strip_suffix("(1)")).map(str::to_owned));
    }
    assert!(printed_pages > 30, "{printed_pages}");
    assert!(printed("man bench-term").contains("\\-\\-rate"));
}

/// A formatter has nothing to say against them.
#[test]
fn the_pages_can_be_shown() {
    if !is_there("groff") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for command in ["", "serve", "enter", "status", "run"] {
        let page = folder.path().join("page");
        fs::write(&page, printed(&format!("man {command}"))).unwrap();
        let shown = run(Command::new("groff").args(["-man", "-Tascii", "-ww", "-P-c"]).arg(&page));
        assert_eq!(shown.err, "", "{command}");
        assert!(shown.succeeded().contains("70  an internal fault"), "{command}");
    }
}
