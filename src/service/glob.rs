//! Globs over names: `*` stands for any text, `?` for one character.

/// Whether the whole text matches. Walks both once; at a mismatch it gives the last `*` one more character,
/// so that the time is at most the product of the lengths.
pub(crate) fn matches(glob: &str, text: &str) -> bool {
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

/// What every text that matches begins with: the whole glob, if it stands for one text alone.
#[cfg(feature = "web")]
pub(crate) fn prefix(glob: &str) -> &str {
    glob.split(['*', '?']).next().unwrap_or_default()
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

    #[cfg(feature = "web")]
    proptest! {
        #[test]
        fn what_matches_begins_with_the_prefix(glob in "[ab*?]{0,7}", text in "[abü]{0,8}") {
            prop_assert!(!matches(&glob, &text) || text.starts_with(prefix(&glob)));
        }
    }
}
