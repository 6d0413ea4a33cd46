//! One setting: its values as they were written, and where.

use std::any::TypeId;
use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::error::{ContextKind, ErrorKind};
use clap::{Arg, ArgAction};

use super::unusable;
use crate::args;

#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// The flag's long name.
    pub(super) key: String,
    /// As one would write them after the flag; none if it is not set.
    pub(super) values: Vec<OsString>,
    pub(super) origin: Origin,
}

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Flag,
    Variable(String),
    File(Arc<Path>, usize),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("the command line"),
            Self::Variable(name) => f.write_str(name),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Setting {
    /// As whoever gave it knows it.
    pub(super) fn is_called(&self) -> String {
        match &self.origin {
            Origin::Variable(name) => name.clone(),
            Origin::File(..) => format!("{}: {}", self.origin, self.key),
            Origin::Flag | Origin::Default => format!("--{}", self.key),
        }
    }

    /// Whether its flag would take it.
    pub(super) fn check(&self, command: &clap::Command) -> Result<()> {
        for value in &self.values {
            let mut flag = OsString::from(format!("--{}=", self.key));
            flag.push(value);
            let line = ["tenure".into(), "serve".into(), flag];
            if let Err(error) = command.clone().try_get_matches_from(line) {
                return Err(unusable(format!(
                    "{}: {value:?} can't be used: {}",
                    self.is_called(),
                    why(&error)
                )));
            }
        }
        Ok(())
    }

    pub(super) fn become_default(&self, command: clap::Command) -> clap::Command {
        let id = args::settings(&command).find(|arg| arg.get_long() == Some(&self.key));
        let id = id.expect("a setting of serve").get_id().clone();
        command.mut_subcommand("serve", |serve| {
            serve.mut_arg(id, |arg| arg.default_values(self.values.clone()))
        })
    }
}

fn why(error: &clap::Error) -> String {
    match (error.kind(), error.source(), error.get(ContextKind::ValidValue)) {
        (ErrorKind::ValueValidation, Some(why), _) => why.to_string(),
        (ErrorKind::InvalidValue, _, Some(valid)) => format!("give one of: {valid}"),
        _ => error.kind().to_string(),
    }
}

/// What the variables say. Those of a service manager that happen to begin alike are none of ours.
pub(super) fn from_variables(
    command: &clap::Command,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Vec<Setting> {
    let settings = args::settings(command).filter_map(|arg| {
        let key = arg.get_long()?;
        let mut names = vec![variable_of(key)];
        if key == "log-level" {
            names.push("RUST_LOG".to_owned());
        }
        let (name, value) = names.into_iter().find_map(|it| Some((it.clone(), variable(&it)?)))?;
        let values = if is_list(arg) { between_commas(&value) } else { vec![value] };
        Some(Setting { key: key.to_owned(), values, origin: Origin::Variable(name) })
    });
    settings.collect()
}

pub(super) fn variable_of(key: &str) -> String {
    format!("TENURE_{}", key.to_uppercase().replace('-', "_"))
}

/// What is not text has no list in it.
fn between_commas(value: &OsString) -> Vec<OsString> {
    match value.to_str() {
        Some(text) => text.split(',').map(|it| it.trim().into()).collect(),
        None => vec![value.clone()],
    }
}

/// What a file has to say for a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Switch,
    Number,
    Time,
    Text,
}

impl Kind {
    pub(super) fn of(arg: &Arg) -> Self {
        let value = arg.get_value_parser().type_id();
        let is = |types: &[TypeId]| types.iter().any(|it| value == *it);
        if is(&[TypeId::of::<bool>()]) {
            Self::Switch
        } else if is(&[TypeId::of::<u64>(), TypeId::of::<usize>(), TypeId::of::<NonZeroUsize>()]) {
            Self::Number
        } else if is(&[TypeId::of::<Duration>()]) {
            Self::Time
        } else {
            Self::Text
        }
    }

    /// What is expected, in words.
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Switch => "true or false",
            Self::Number => "a number",
            Self::Time => "a time in quotes, such as \"10s\"",
            Self::Text => "text in quotes",
        }
    }
}

pub(super) fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}
