//! Which elections a client may cache. The flag is advice to clients alone: Tenure's own reads are
//! never stale.

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

/// Walks both once; at a mismatch it gives the last `*` one more character, so that the time is at
/// most the product of the lengths.
fn matches(glob: &str, text: &str) -> bool {
    let (mut glob, mut text) = (glob.chars(), text.chars());
    let mut last_star = None;
    loop {
        let before = (glob.clone(), text.clone());
        match (glob.next(), text.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                text = before.1;
                last_star = Some((glob.clone(), text.clone()));
            }
            (Some('?'), Some(_)) => {}
            (Some(wanted), Some(found)) if wanted == found => {}
            _ => {
                let Some((after_star, from)) = &mut last_star else { return false };
                if from.next().is_none() {
                    return false;
                }
                (glob, text) = (after_star.clone(), from.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, by its definition.
    fn plainly(glob: &[char], text: &[char]) -> bool {
        match glob.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|from| plainly(rest, &text[from..])),
            Some((wanted, rest)) => text.split_first().is_some_and(|(found, behind)| {
                (*wanted == '?' || wanted == found) && plainly(rest, behind)
            }),
        }
    }

    proptest! {
        #[test]
        fn a_glob_matches_what_its_definition_says(glob in "[ab*?]{0,7}", text in "[abü]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&glob, &text), plainly(&chars(&glob), &chars(&text)));
        }
    }

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
