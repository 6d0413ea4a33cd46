//! The settings in force, as a file that can be read back.

use std::ffi::OsString;
use std::fmt::Write;

use anyhow::{Context, Result};
use clap::Arg;
use toml::Value;

use super::setting::{Kind, Setting, is_list};
use super::{Config, file};
use crate::args;

impl Config {
    /// One line for each setting, with where it comes from.
    pub(crate) fn to_toml(&self) -> Result<String> {
        let command = args::command();
        let mut text =
            "# The settings in force. `tenure serve --config FILE` reads such a file.\n".to_owned();
        for (arg, setting) in args::settings(&command).zip(&self.settings) {
            text += &line(arg, setting)?;
        }
        text.extend(self.cache.iter().map(rule));
        Ok(text)
    }
}

fn line(arg: &Arg, setting: &Setting) -> Result<String> {
    let Setting { key, values, origin } = setting;
    if values.is_empty() && !is_list(arg) {
        return Ok(format!("# {key} is not set\n"));
    }
    let kind = Kind::of(arg);
    let values = values.iter().map(|it| {
        value(kind, it).with_context(|| format!("{key} is {it:?}, which TOML can't say"))
    });
    let values = values.collect::<Result<Vec<_>>>()?;
    let value = match values.as_slice() {
        [one] if !is_list(arg) => one.clone(),
        _ => Value::Array(values),
    };
    Ok(format!("{key} = {value}  # {origin}\n"))
}

fn value(kind: Kind, raw: &OsString) -> Option<Value> {
    let text = raw.to_str()?;
    match kind {
        Kind::Switch => Some(Value::Boolean(is_on(text))),
        Kind::Number => text.parse().ok().map(Value::Integer),
        Kind::Time | Kind::Text => Some(Value::String(text.to_owned())),
    }
}

/// Its parser has taken it: it is one of the words for on, or one of those for off.
fn is_on(text: &str) -> bool {
    ["y", "yes", "t", "true", "on", "1"].iter().any(|on| text.eq_ignore_ascii_case(on))
}

fn rule(cache: &file::Cache) -> String {
    let mut text = format!("\n[[cache]]  # {}\n", cache.origin);
    for (key, globs) in [("names", &cache.rule.names), ("tags", &cache.rule.tags)] {
        let globs = Value::from(globs.clone());
        // Writing to a string does not fail.
        let _always = writeln!(text, "{key} = {globs}");
    }
    text
}
