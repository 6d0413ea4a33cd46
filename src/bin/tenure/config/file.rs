//! The TOML file. Its keys are the flags' long names; `[[cache]]` has no flag.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use clap::Arg;
use tenure::CacheRule;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::setting::{Kind, Origin, Setting, is_list};
use super::unusable;
use crate::args;

#[derive(Default)]
pub(super) struct Content {
    pub(super) settings: Vec<Setting>,
    pub(super) cache: Vec<Cache>,
}

pub(super) struct Cache {
    pub(super) rule: CacheRule,
    pub(super) origin: Origin,
}

pub(super) fn read(path: &Path, command: &clap::Command) -> Result<Content> {
    let text = fs::read_to_string(path)
        .map_err(|error| unusable(format!("can't read {}: {error}", path.display())))?;
    parse(path, &text, command)
}

pub(super) fn parse(path: &Path, text: &str, command: &clap::Command) -> Result<Content> {
    let file = File { path: path.into(), text };
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        file.wrong(at, error.message())
    })?;
    let mut content = Content::default();
    for (key, value) in table.get_ref() {
        match key.get_ref().as_ref() {
            "cache" => content.cache = file.cache(value)?,
            name => {
                let arg = file.known(name, key.span().start, value, command)?;
                let setting = file.setting(arg, key.span().start, value)?;
                if content.settings.iter().any(|it| it.key == setting.key) {
                    return Err(file.wrong(
                        key.span().start,
                        &format!("{} is set twice, with - and with _", setting.key),
                    ));
                }
                content.settings.push(setting);
            }
        }
    }
    Ok(content)
}

struct File<'a> {
    path: Arc<Path>,
    text: &'a str,
}

impl File<'_> {
    fn origin(&self, at: usize) -> Origin {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        Origin::File(self.path.clone(), 1 + before.iter().filter(|byte| **byte == b'\n').count())
    }

    fn wrong(&self, at: usize, why: &str) -> anyhow::Error {
        unusable(format!("{}: {why}", self.origin(at)))
    }

    fn known<'c>(
        &self,
        name: &str,
        at: usize,
        value: &Spanned<DeValue<'_>>,
        command: &'c clap::Command,
    ) -> Result<&'c Arg> {
        let key = name.replace('_', "-");
        if let Some(arg) = args::settings(command).find(|it| it.get_long() == Some(&key)) {
            return Ok(arg);
        }
        if value.get_ref().is_table() {
            let why =
                format!("there is no section [{name}]: keys stand at the top, but for [[cache]]");
            return Err(self.wrong(at, &why));
        }
        let keys = args::settings(command).filter_map(Arg::get_long).chain(["cache"]);
        Err(self.wrong(at, &format!("unknown key {name:?}{}", did_you_mean(&key, keys))))
    }

    fn setting(&self, arg: &Arg, at: usize, value: &Spanned<DeValue<'_>>) -> Result<Setting> {
        let key = arg.get_long().unwrap_or_default().to_owned();
        let kind = Kind::of(arg);
        let values = match value.get_ref() {
            DeValue::Array(list) if is_list(arg) => {
                list.iter().map(|it| self.value(&key, kind, it)).collect::<Result<Vec<_>>>()?
            }
            _ => vec![self.value(&key, kind, value)?],
        };
        if values.is_empty() && !arg.get_default_values().is_empty() {
            return Err(self.wrong(value.span().start, &format!("{key}: give at least one")));
        }
        let values = values.into_iter().map(Into::into).collect();
        Ok(Setting { key, values, origin: self.origin(at) })
    }

    /// As one would write it after the flag.
    fn value(&self, key: &str, kind: Kind, value: &Spanned<DeValue<'_>>) -> Result<String> {
        let expected = || {
            let (expected, found) = (kind.in_words(), value.get_ref().type_str());
            self.wrong(value.span().start, &format!("{key}: expected {expected}, found {found}"))
        };
        match (kind, value.get_ref()) {
            (Kind::Switch, DeValue::Boolean(is_on)) => Ok(is_on.to_string()),
            (Kind::Number, DeValue::Integer(number)) => {
                let decimal = i128::from_str_radix(number.as_str(), number.radix());
                Ok(decimal.map_err(|_| expected())?.to_string())
            }
            (Kind::Time | Kind::Text, DeValue::String(text)) => Ok(text.to_string()),
            _ => Err(expected()),
        }
    }

    fn cache(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<Cache>> {
        let DeValue::Array(rules) = value.get_ref() else {
            return Err(
                self.wrong(value.span().start, "write [[cache]]: there may be more than one")
            );
        };
        rules.iter().map(|rule| self.cache_rule(rule)).collect()
    }

    fn cache_rule(&self, value: &Spanned<DeValue<'_>>) -> Result<Cache> {
        let at = value.span().start;
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.wrong(at, "cache: expected [[cache]] with names, tags or both"));
        };
        let mut rule = CacheRule::default();
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "names" => rule.names = self.globs("names", value)?,
                "tags" => rule.tags = self.globs("tags", value)?,
                name => {
                    let hint = did_you_mean(name, ["names", "tags"].into_iter());
                    let why = format!(
                        "unknown key {name:?} in [[cache]]{hint}; keys of the server stand before the \
                         first [[cache]]"
                    );
                    return Err(self.wrong(key.span().start, &why));
                }
            }
        }
        if rule == CacheRule::default() {
            return Err(self.wrong(at, "[[cache]] matches nothing: give names, tags or both"));
        }
        Ok(Cache { rule, origin: self.origin(at) })
    }

    fn globs(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>> {
        match value.get_ref() {
            DeValue::Array(list) => list.iter().map(|it| self.value(key, Kind::Text, it)).collect(),
            _ => Ok(vec![self.value(key, Kind::Text, value)?]),
        }
    }
}

/// Half of the letters wrong is another word.
const ALIKE: f64 = 0.7;

fn did_you_mean<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> String {
    let alike = known.map(|it| (strsim::jaro_winkler(key, it), it)).filter(|it| it.0 > ALIKE);
    match alike.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((_, best)) => format!("; did you mean {best:?}?"),
        None => "; the keys are the flags of `tenure serve --help`, without the dashes".to_owned(),
    }
}
