//! What `tenure serve` goes by: flags over `TENURE_*` variables over a file over defaults.
//!
//! Reading order: `setting` (one value and where it comes from), `file` (the TOML file), `print`. What the
//! variables and the file say becomes the default of its flag, so that one parser checks all, and a flag
//! stands over it.

mod file;
mod print;
mod setting;
#[cfg(test)]
mod tests;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches};
use tenure::CacheRule;

use self::setting::{Origin, Setting};
use crate::args::{self, Serve};
use crate::{Exit, Failure};

pub(crate) struct Config {
    pub(crate) serve: Serve,
    /// As the file has them: there is no flag for these.
    cache: Vec<file::Cache>,
    /// All of them, in the order of the help.
    settings: Vec<Setting>,
    file: Option<PathBuf>,
}

impl Config {
    /// As this process was called. Read again, it has what the file says now.
    pub(crate) fn read() -> Result<Self> {
        Self::of(env::args_os().collect(), |name| env::var_os(name))
    }

    fn of(line: Vec<OsString>, variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        // An empty one is what is left of `TENURE_X=${X}` where there is no X.
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let command = args::command();
        let file = file_named(&command.clone().try_get_matches_from(line.clone())?)
            .or_else(|| variable("TENURE_CONFIG").map(PathBuf::from));

        let mut said = file::Content::default();
        if let Some(path) = &file {
            said = file::read(path, &command)?;
        }
        let variables = setting::from_variables(&command, variable);
        for setting in said.settings.iter().chain(&variables) {
            setting.check(&command)?;
        }
        // The later one stands.
        let given: Vec<Setting> = said.settings.into_iter().chain(variables).collect();
        let matches = given
            .iter()
            .fold(command.clone(), |command, setting| setting.become_default(command))
            .try_get_matches_from(line)?;
        let serve = serve_of(&matches);
        let config = Self {
            serve: Serve::from_arg_matches(serve)?,
            cache: said.cache,
            settings: in_force(&command, serve, &given),
            file,
        };
        config.check_together()?;
        Ok(config)
    }

    pub(crate) fn cache_rules(&self) -> impl Iterator<Item = CacheRule> + '_ {
        self.cache.iter().map(|cache| cache.rule.clone())
    }

    /// What the log's level is called where it was given, for those who got it wrong.
    pub(crate) fn log_level_is_called(&self) -> String {
        self.setting("log-level").is_called()
    }

    /// True if the file can't say what is logged, because it is said elsewhere.
    pub(crate) fn file_has_no_say_in_log_level(&self) -> bool {
        matches!(self.setting("log-level").origin, Origin::Flag | Origin::Variable(_))
    }

    pub(crate) fn file(&self) -> Option<&std::path::Path> {
        self.file.as_deref()
    }

    /// The keys of what differs, but for what may change while the server runs.
    pub(crate) fn needs_restart(&self, before: &Self) -> Vec<&str> {
        let pairs = self.settings.iter().zip(&before.settings);
        let changed =
            pairs.filter(|(now, then)| now.values != then.values && now.key != "log-level");
        let keys = changed.map(|(now, _)| now.key.as_str());
        let rules = |of: &Self| of.cache_rules().collect::<Vec<_>>();
        keys.chain((rules(self) != rules(before)).then_some("cache")).collect()
    }

    fn setting(&self, key: &str) -> &Setting {
        self.settings.iter().find(|it| it.key == key).expect("a setting of serve")
    }

    /// Not clap's to check, because a switch may be there and off.
    fn check_together(&self) -> Result<()> {
        let Serve { memory, must_exist, min_term, .. } = &self.serve;
        for (is_set, key) in [(*must_exist, "must-exist"), (*min_term > 0, "min-term")] {
            if *memory && is_set {
                let (memory, other) = (self.setting("memory"), self.setting(key));
                return Err(unusable(format!(
                    "{} can't be used with {}: a server in memory has no data directory",
                    memory.is_called(),
                    other.is_called()
                )));
            }
        }
        Ok(())
    }
}

/// A failure of who wrote the configuration.
fn unusable(sentence: String) -> anyhow::Error {
    Failure { exit: Exit::Usage, sentence }.into()
}

fn serve_of(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand_matches("serve").expect("only serve reads a configuration")
}

fn file_named(matches: &ArgMatches) -> Option<PathBuf> {
    serve_of(matches).get_one("config").cloned()
}

fn in_force(command: &clap::Command, serve: &ArgMatches, given: &[Setting]) -> Vec<Setting> {
    let settings = args::settings(command).map(|arg| {
        let key = arg.get_long().unwrap_or_default();
        let id = arg.get_id().as_str();
        if serve.value_source(id) == Some(ValueSource::DefaultValue)
            && let Some(setting) = given.iter().rfind(|it| it.key == key)
        {
            return setting.clone();
        }
        let raw = serve.get_raw(id).unwrap_or_default();
        let values = raw.map(|it| it.to_owned()).collect();
        let origin = match serve.value_source(id) {
            Some(ValueSource::CommandLine) => Origin::Flag,
            _ => Origin::Default,
        };
        Setting { key: key.to_owned(), values, origin }
    });
    settings.collect()
}
