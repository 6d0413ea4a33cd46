//! Checks what clients saw, without knowing anything of the engine. Terms are unique and rise, so it
//! takes no longer than sorting.

use std::collections::HashMap;

/// One finished operation as its client saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) invoked: u64,
    pub(crate) returned: u64,
    pub(crate) term: u64,
    pub(crate) leader: Option<String>,
    /// It made this term.
    pub(crate) is_grant: bool,
}

/// The operations on one election. A deleted one reads as term 0, which is older than anything.
pub(crate) fn check(history: &[Seen]) -> Result<(), String> {
    let known: Vec<&Seen> = history.iter().filter(|seen| seen.term > 0).collect();

    // I1: a term has one leader, or none after it.
    let mut leaders: HashMap<u64, &String> = HashMap::new();
    for seen in &known {
        let Some(leader) = &seen.leader else { continue };
        let first = leaders.entry(seen.term).or_insert(leader);
        if *first != leader {
            return Err(format!("I1: {first} and {leader} both lead term {}", seen.term));
        }
    }

    // I2: no grant returns before that of a smaller term was asked for.
    let mut grants: Vec<&&Seen> = known.iter().filter(|seen| seen.is_grant).collect();
    grants.sort_by_key(|seen| std::cmp::Reverse(seen.term));
    let mut earliest = u64::MAX;
    for pair in grants.windows(2) {
        if pair[0].term == pair[1].term {
            return Err(format!("I1: term {} was granted twice", pair[0].term));
        }
    }
    for grant in &grants {
        if grant.invoked > earliest {
            return Err(format!("I2: term {} was asked for after a larger one", grant.term));
        }
        earliest = earliest.min(grant.returned);
    }

    // A read shows no less than what was shown before it began.
    let mut by_return = known.clone();
    by_return.sort_by_key(|seen| seen.returned);
    let mut by_begin = known.clone();
    by_begin.sort_by_key(|seen| seen.invoked);
    let (mut shown, mut finished) = (0, by_return.iter().peekable());
    for seen in by_begin {
        while let Some(other) = finished.next_if(|other| other.returned < seen.invoked) {
            shown = shown.max(other.term);
        }
        if seen.term < shown {
            return Err(format!("term {shown} had been shown before {seen:?} began"));
        }
    }

    // Nor more than what had been begun could give.
    let made: HashMap<u64, u64> = grants.iter().map(|seen| (seen.term, seen.invoked)).collect();
    for seen in &known {
        if made.get(&seen.term).is_some_and(|begun| seen.returned < *begun) {
            return Err(format!("{seen:?} shows a term that nobody had asked for yet"));
        }
    }
    Ok(())
}

#[test]
fn a_stale_read_and_a_repeated_term_are_seen() {
    let seen = |invoked, returned, term, leader: &str, is_grant| {
        let leader = (!leader.is_empty()).then(|| leader.to_owned());
        Seen { invoked, returned, term, leader, is_grant }
    };
    let good = vec![seen(0, 3, 1, "a", true), seen(1, 9, 2, "b", true), seen(4, 5, 1, "a", false)];
    check(&good).unwrap();
    let with = |more| [&good[..], &[more]].concat();
    assert!(check(&with(seen(10, 11, 1, "a", false))).unwrap_err().contains("had been shown"));
    assert!(check(&with(seen(2, 4, 2, "c", false))).unwrap_err().starts_with("I1"));
    assert!(check(&with(seen(2, 4, 2, "b", true))).unwrap_err().starts_with("I1"));
    assert!(check(&with(seen(12, 14, 0, "", false))).is_ok(), "it was deleted");
    let late = vec![seen(0, 1, 2, "b", true), seen(2, 3, 1, "a", true)];
    assert!(check(&late).unwrap_err().starts_with("I2"));
    let early = vec![seen(0, 1, 5, "a", false), seen(2, 3, 5, "a", true)];
    assert!(check(&early).is_err());
}
