//! Elections one by one: those that the globs name, up to a bound.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::page::{Family, Page};
use crate::election::Term;
use crate::engine::Engine;
use crate::service::glob;

/// Elections that are shown one by one, at most.
const MOST: usize = 1_000;

/// The elections to show, and how many more match.
#[derive(Default)]
struct Chosen {
    /// Without a term where the name is not known.
    elections: BTreeMap<Box<str>, Option<Arc<Term>>>,
    left_out: u64,
}

pub(super) fn show(page: &mut Page, engine: &Engine, globs: &[String]) {
    let chosen = Chosen::by(globs, engine);
    let all = |family: &mut Family<'_>, value: fn(&Term) -> f64| {
        for (name, term) in &chosen.elections {
            let value = term.as_ref().map_or(0.0, |term| value(term));
            family.put(&[("election", name)], value);
        }
    };
    all(
        &mut page.gauge("tenure_election_term", "The term. It rises with each new leader."),
        |term| term.number() as f64,
    );
    all(&mut page.gauge("tenure_election_has_leader", "1 if somebody leads, else 0."), |term| {
        f64::from(u8::from(!term.is_vacant()))
    });
    all(
        &mut page.gauge("tenure_election_candidates", "Candidates, the leader among them."),
        |term| term.participants().len() as f64,
    );
    all(
        &mut page.gauge(
            "tenure_election_since_timestamp_seconds",
            "Since when the leader leads, or nobody does, since the Unix epoch; 0 for never.",
        ),
        |term| term.since_unix_micros() as f64 / 1e6,
    );
    page.gauge(
        "tenure_elections_left_out",
        "Elections that match a glob and are over the bound of those shown one by one.",
    )
    .put(&[], chosen.left_out as f64);
}

impl Chosen {
    fn by(globs: &[String], engine: &Engine) -> Self {
        let mut chosen = Self::default();
        let (names, globs): (Vec<&str>, Vec<&str>) =
            globs.iter().map(String::as_str).partition(|it| glob::prefix(it) == *it);
        for &name in &names {
            let known = engine.peek(name).filter(|term| !term.is_forgotten());
            chosen.add(name, known);
        }
        for (at, glob) in globs.iter().enumerate() {
            engine.look_through(glob::prefix(glob), |cell| {
                let name = cell.name();
                let is_had = || {
                    names.contains(&name) || globs[..at].iter().any(|it| glob::matches(it, name))
                };
                if !glob::matches(glob, name) || is_had() {
                    return;
                }
                let term = cell.peek();
                if !term.is_forgotten() {
                    chosen.add(name, Some(term));
                }
            });
        }
        chosen
    }

    fn add(&mut self, name: &str, term: Option<Arc<Term>>) {
        if self.elections.contains_key(name) {
            return;
        }
        if self.elections.len() < MOST {
            self.elections.insert(name.into(), term);
        } else {
            self.left_out += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(engine: &Engine, globs: &[&str]) -> Chosen {
        Chosen::by(&globs.iter().map(|&glob| glob.to_owned()).collect::<Vec<_>>(), engine)
    }

    fn names(chosen: &Chosen) -> Vec<&str> {
        chosen.elections.keys().map(|name| &**name).collect()
    }

    #[test]
    fn an_election_is_shown_once_and_a_name_also_while_it_is_unknown() {
        let engine = Engine::builder().open().unwrap();
        let session = engine.session().unwrap();
        for name in ["a/1", "a/2", "b/1"] {
            engine.election(name).unwrap().enter(&session, "c").unwrap();
        }
        let _in_use = engine.election("a/never").unwrap();
        engine.election("a/2").unwrap().delete().unwrap();
        assert_eq!(names(&chosen(&engine, &["a/*", "*/1", "b/1", "c/1"])), ["a/1", "b/1", "c/1"]);
        assert_eq!(names(&chosen(&engine, &["a/?"])), ["a/1"]);
        assert!(chosen(&engine, &["a/2"]).elections["a/2"].is_none(), "it was deleted");
        assert!(chosen(&engine, &[]).elections.is_empty());
    }

    #[test]
    fn what_is_over_the_bound_is_counted_once() {
        let engine = Engine::builder().open().unwrap();
        let session = engine.session().unwrap();
        for n in 0..MOST + 7 {
            engine.election(&format!("e{n:04}")).unwrap().enter(&session, "c").unwrap();
        }
        let chosen = chosen(&engine, &["e*", "*", "e1*"]);
        assert_eq!((chosen.elections.len(), chosen.left_out), (MOST, 7));
        assert_eq!(names(&chosen).last(), Some(&"e0999"));
    }
}
