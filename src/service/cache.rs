//! Which elections a client may cache. The flag is advice to clients alone: Tenure's own reads are
//! never stale.

use super::glob::matches;

/// Elections whose clients are told that they may cache: those with a matching name or tag.
///
/// Patterns are globs: `*` stands for any text, `?` for one character.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheRule {
    /// Patterns for an election's name.
    pub names: Vec<String>,
    /// Patterns for one of its tags.
    pub tags: Vec<String>,
}

pub(super) fn is_cached<'a>(
    rules: &[CacheRule],
    name: &str,
    tags: impl Iterator<Item = &'a str> + Clone,
) -> bool {
    rules.iter().any(|rule| {
        let has_tag = |glob: &String| tags.clone().any(|tag| matches(glob, tag));
        rule.names.iter().any(|glob| matches(glob, name)) || rule.tags.iter().any(has_tag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_matches_a_name_or_a_tag() {
        let rule = CacheRule { names: vec!["app/*".into()], tags: vec!["cache=?es".into()] };
        let cached = |name, tags: &[&str]| {
            is_cached(std::slice::from_ref(&rule), name, tags.iter().copied())
        };
        assert!(cached("app/cron", &[]));
        assert!(cached("other", &["x", "cache=yes"]));
        assert!(!cached("other", &["cache=no"]));
        assert!(!is_cached(&[], "app/cron", std::iter::empty()));
    }
}
