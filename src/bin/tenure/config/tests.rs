use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use clap::Arg;

use super::setting::{Kind, is_list, variable_of};
use super::*;

/// What `serve` makes of a line, variables and a file.
struct Said<'a> {
    line: &'a str,
    variables: &'a [(&'a str, &'a str)],
    file: &'a str,
}

const NOTHING: Said<'_> = Said { line: "", variables: &[], file: "" };

impl Said<'_> {
    fn read(&self) -> Result<Config> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.toml");
        fs::write(&path, self.file).unwrap();
        let line = ["tenure", "serve", "--config", path.to_str().unwrap()];
        let line = line.into_iter().chain(self.line.split_whitespace()).map(OsString::from);
        let variables: BTreeMap<_, _> = self.variables.iter().copied().collect();
        let config = Config::of(line.collect(), |name| variables.get(name).map(OsString::from));
        config.map_err(|error| {
            let shown = error.to_string().replace(path.to_str().unwrap(), "t.toml");
            let of = error.downcast_ref::<Failure>().map(|it| it.exit);
            assert_eq!(of, Some(Exit::Usage), "{error}");
            unusable(shown)
        })
    }

    fn refused(&self) -> String {
        self.read().err().expect("it is refused").to_string()
    }
}

fn settings() -> Vec<Arg> {
    args::settings(&args::command()).cloned().collect()
}

/// Another value than the default, as TOML has it.
fn another(arg: &Arg) -> String {
    let key = arg.get_long().unwrap();
    match (Kind::of(arg), key) {
        (Kind::Switch, "memory") => "false".into(),
        (Kind::Switch, _) => "true".into(),
        (Kind::Number, _) => "17".into(),
        (Kind::Time, _) => "\"17s\"".into(),
        (Kind::Text, "log-format") => "\"json\"".into(),
        (Kind::Text, "log-level") => "\"tenure=debug\"".into(),
        (Kind::Text, "listen" | "admin-listen") => "[\"127.0.0.1:1\", \"unix:///run/t\"]".into(),
        (Kind::Text, _) if is_list(arg) => "[\"one, with a comma\", \"two\"]".into(),
        (Kind::Text, _) => "\"some text\"".into(),
    }
}

#[test]
fn a_flag_stands_over_a_variable_over_the_file_over_the_default() {
    let drain = |line, variables, file| {
        Said { line, variables, file }.read().unwrap().serve.drain.as_secs()
    };
    assert_eq!(drain("", &[], ""), 5);
    assert_eq!(drain("", &[], "drain = '1s'"), 1);
    assert_eq!(drain("", &[("TENURE_DRAIN", "2s")], "drain = '1s'"), 2);
    assert_eq!(drain("--drain 3s", &[("TENURE_DRAIN", "2s")], "drain = '1s'"), 3);
    assert_eq!(drain("--drain 3s", &[], "drain = '1s'"), 3);
    assert_eq!(drain("", &[("TENURE_DRAIN", "")], "drain = '1s'"), 1, "empty is not set");
}

#[test]
fn a_list_is_replaced_not_added_to() {
    let listen = |line, variables, file| {
        let serve = Said { line, variables, file }.read().unwrap().serve;
        serve.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let file = "listen = ['a:1', 'b:2']";
    assert_eq!(listen("", &[], file), "a:1 b:2");
    assert_eq!(listen("", &[], "listen = 'a:1'"), "a:1");
    assert_eq!(listen("", &[("TENURE_LISTEN", "c:3, d:4")], file), "c:3 d:4");
    assert_eq!(listen("--listen e:5", &[("TENURE_LISTEN", "c:3")], file), "e:5");
}

#[test]
fn a_switch_that_a_file_sets_can_be_reset() {
    let memory = |line, variables| {
        Said { line, variables, file: "memory = true" }.read().unwrap().serve.memory
    };
    assert!(memory("", &[]));
    assert!(memory("--memory", &[]));
    assert!(!memory("--memory=false", &[]));
    assert!(!memory("", &[("TENURE_MEMORY", "no")]));
    assert!(memory("--memory", &[("TENURE_MEMORY", "0")]));
}

#[test]
fn what_is_logged_is_said_by_the_nearest() {
    let said = |line, variables: &[(&str, &str)]| {
        let config = Said { line, variables, file: "log-level = 'debug'" }.read().unwrap();
        (config.serve.log_level.clone(), config.log_level_is_called())
    };
    let rust_log = ("RUST_LOG", "trace");
    assert_eq!(said("", &[]).0, "debug");
    assert_eq!(said("", &[rust_log]), ("trace".into(), "RUST_LOG".into()));
    let ours = ("TENURE_LOG_LEVEL", "warn");
    assert_eq!(said("", &[rust_log, ours]), ("warn".into(), "TENURE_LOG_LEVEL".into()));
    assert_eq!(
        said("--log-level error", &[rust_log, ours]),
        ("error".into(), "--log-level".into())
    );
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_line() {
    for (file, why) in [
        ("\nlisen = 'a:1'", "t.toml:2: unknown key \"lisen\"; did you mean \"listen\"?"),
        (
            "max_sesions = 1",
            "t.toml:1: unknown key \"max_sesions\"; did you mean \"max-sessions\"?",
        ),
        ("xyzzy = 1", "t.toml:1: unknown key \"xyzzy\"; the keys are the flags of"),
        ("config = 'x'", "t.toml:1: unknown key \"config\""),
        ("[server]\nlisten = 'a:1'", "t.toml:1: there is no section [server]"),
        ("drain = 5", "t.toml:1: drain: expected a time in quotes, such as \"10s\", found integer"),
        ("drain = '5'", "t.toml:1: drain: \"5\" can't be used: "),
        ("\n\nmemory = 'yes'", "t.toml:3: memory: expected true or false, found string"),
        ("reactors = '4'", "t.toml:1: reactors: expected a number, found string"),
        ("reactors = 0", "t.toml:1: reactors: \"0\" can't be used: "),
        ("max-streams = -1", "t.toml:1: max-streams: \"-1\" can't be used: "),
        ("listen = 5", "t.toml:1: listen: expected text in quotes, found integer"),
        ("listen = ['a:1',\n 7]", "t.toml:2: listen: expected text in quotes, found integer"),
        ("listen = []", "t.toml:1: listen: give at least one"),
        ("listen = 'nowhere'", "t.toml:1: listen: \"nowhere\" can't be used: "),
        ("data-dir = ['a', 'b']", "t.toml:1: data-dir: expected text in quotes, found array"),
        (
            "log-format = 'xml'",
            "t.toml:1: log-format: \"xml\" can't be used: give one of: text, json",
        ),
        ("data-dir = 'a'\ndata_dir = 'b'", "data-dir is set twice"),
        ("drain = '1s'\ndrain = '2s'", "t.toml:2: duplicate key"),
        ("drain = ", "t.toml:1: "),
        ("memory = true\nmin-term = 5", "t.toml:1: memory can't be used with t.toml:2: min-term"),
        (
            "[[cache]]\nname = 'a'",
            "t.toml:2: unknown key \"name\" in [[cache]]; did you mean \"names\"?",
        ),
        ("[[cache]]\ntags = 'a'\ndrain = '1s'", "stand before the first [[cache]]"),
        ("[[cache]]\n", "t.toml:1: [[cache]] matches nothing"),
        ("[cache]\nnames = ['a']", "t.toml:1: write [[cache]]"),
    ] {
        let refused = Said { file, ..NOTHING }.refused();
        assert!(refused.contains(why), "{file}\n{refused}");
    }
}

/// What is covered by a flag is still wrong in the file, and would be found when the flag goes.
#[test]
fn a_covered_value_is_checked_too() {
    let refused = Said { line: "--drain 3s", file: "drain = 'x'", ..NOTHING }.refused();
    assert!(refused.starts_with("t.toml:1: drain: "), "{refused}");
}

#[test]
fn a_wrong_variable_is_named() {
    let refused = Said { variables: &[("TENURE_DRAIN", "5")], ..NOTHING }.refused();
    assert!(refused.starts_with("TENURE_DRAIN: \"5\" can't be used: "), "{refused}");
    let refused = Said { line: "--memory --must-exist", ..NOTHING }.refused();
    assert!(refused.starts_with("--memory can't be used with --must-exist"), "{refused}");
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let line = ["tenure", "serve"].map(OsString::from).to_vec();
    let variable = |name: &str| (name == "TENURE_CONFIG").then(|| "/no/such/file".into());
    let error = Config::of(line, variable).err().unwrap().to_string();
    assert!(error.starts_with("can't read /no/such/file: "), "{error}");
}

#[test]
fn cache_rules_are_read() {
    let file = "[[cache]]\nnames = ['billing/*']\ntags = ['cached']\n[[cache]]\ntags = 'x'";
    let config = Said { file, ..NOTHING }.read().unwrap();
    let rules: Vec<_> = config.cache_rules().collect();
    assert_eq!(rules.len(), 2);
    assert_eq!((rules[0].names[0].as_str(), rules[0].tags[0].as_str()), ("billing/*", "cached"));
    assert_eq!((rules[1].names.len(), rules[1].tags[0].as_str()), (0, "x"));
}

/// So none can be forgotten: each is taken from a file, under either spelling, and from its variable; and
/// printed so that it is taken back.
#[test]
fn every_setting_is_taken_and_printed() {
    for arg in settings() {
        let key = arg.get_long().unwrap();
        let line = format!("{key} = {}", another(&arg));
        let config =
            Said { file: &line, ..NOTHING }.read().unwrap_or_else(|e| panic!("{line}: {e}"));
        let printed = config.to_toml().unwrap();
        assert!(printed.contains(&format!("{line}  # ")), "{line}\n{printed}");
        assert!(printed.contains("t.toml:1\n"), "{printed}");

        let again = Said { file: &printed, ..NOTHING }.read().expect(key);
        assert_eq!(again.needs_restart(&config), [""; 0], "{key}");
        assert_eq!(again.serve.log_level, config.serve.log_level);
        let snake = line.replacen(key, &key.replace('-', "_"), 1);
        assert!(Said { file: &snake, ..NOTHING }.read().is_ok(), "{snake}");

        let raw = &config.setting(key).values;
        if raw.len() == 1 {
            let name = variable_of(key);
            let variables = [(name.as_str(), raw[0].to_str().unwrap())];
            let config = Said { variables: &variables, ..NOTHING }.read().expect(key);
            assert!(config.to_toml().unwrap().contains(&format!("{line}  # {name}\n")), "{key}");
        }
    }
}

#[test]
fn all_settings_are_printed_with_where_they_come_from() {
    let said = Said {
        line: "--drain 3s",
        variables: &[("TENURE_MIN_TERM", "9")],
        file: "max-sessions = 0x10\n[[cache]]\nnames = ['a\"b']",
    };
    let printed = said.read().unwrap().to_toml().unwrap();
    for arg in settings() {
        let key = arg.get_long().unwrap();
        let lines = printed.lines().map(|line| line.trim_start_matches("# "));
        let is_of = |line: &str| line.split(' ').next() == Some(key);
        assert_eq!(lines.filter(|line| is_of(line)).count(), 1, "{key}\n{printed}");
    }
    for line in [
        "listen = [\"127.0.0.1:5678\"]  # default",
        "drain = \"3s\"  # the command line",
        "min-term = 9  # TENURE_MIN_TERM",
        "# reactors is not set",
        "names = ['a\"b']",
    ] {
        assert!(printed.lines().any(|it| it == line), "{line}\n{printed}");
    }
    assert!(printed.contains("max-sessions = 16  # "), "{printed}");
    assert_eq!(Said { file: &printed, ..NOTHING }.read().unwrap().cache.len(), 1);
}

#[test]
fn what_waits_for_a_restart_is_known() {
    let before = Said { file: "log-level = 'info'", ..NOTHING }.read().unwrap();
    let file = "drain = '9s'\nlog-level = 'debug'\n[[cache]]\ntags = 'a'";
    let after = Said { file, ..NOTHING }.read().unwrap();
    assert_eq!(after.needs_restart(&before), ["drain", "cache"]);
    assert_eq!(after.serve.drain, Duration::from_secs(9));
    assert_eq!(before.needs_restart(&before), [""; 0]);
}

/// Each has a row with its key, its variable and its default.
#[test]
fn the_page_on_configuration_has_every_setting() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let page = fs::read_to_string(path).unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `--")).collect();
    for arg in settings() {
        let key = arg.get_long().unwrap();
        let config = NOTHING.read().unwrap();
        let value = match config.setting(key).values.as_slice() {
            [] => String::new(),
            [one] => format!("`{}`", one.to_str().unwrap()),
            more => panic!("{key}: {more:?}"),
        };
        let row = format!("| `--{key}` | `{}` | {value}", variable_of(key));
        assert_eq!(rows.iter().filter(|it| it.starts_with(&row)).count(), 1, "{row}");
    }
    assert_eq!(rows.len(), settings().len(), "the page has settings that are not there");
}
