//! What an engine should do, said as plainly as possible: lists of names, and nobody hurries.

use std::collections::BTreeSet;

/// A session: a connection's or an embedded user's, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    Conn(usize),
    Own(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Create, and the beginning of a watch.
    Nothing,
    Read,
    Enter(String),
    TakeOver(String),
    Withdraw(String),
    Anoint(String),
    Promote(String),
    Demote(String),
    Evict(String),
    Leave,
    Delete,
    SessionEnded,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Op {
    pub(crate) number: u64,
    pub(crate) who: Key,
    pub(crate) election: usize,
    pub(crate) act: Act,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) number: u64,
    pub(crate) list: Vec<(String, Option<Key>)>,
    /// Never used, or deleted.
    pub(crate) is_known: bool,
}

/// A state as everybody sees it: the term and the list.
pub(crate) type Shown = (u64, Vec<String>);

impl State {
    /// By its name; `by_watch`, who follows the name, sees more of a deleted election.
    pub(crate) fn shown(&self, by_watch: bool) -> Shown {
        if self.is_known || by_watch {
            (self.number, self.list.iter().map(|(name, _)| name.clone()).collect())
        } else {
            (0, Vec::new())
        }
    }
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) elections: Vec<State>,
    pub(crate) shards: Vec<usize>,
    pub(crate) ended: BTreeSet<Key>,
    pub(crate) candidates: usize,
    pub(crate) floor: u64,
}

const TAKEN: i32 = 6;
const NOT_YOURS: i32 = 7;
const FULL: i32 = 8;
const ENDED: i32 = 9;

impl Model {
    /// True if something changed, or the code of the refusal.
    pub(crate) fn apply(&mut self, op: &Op) -> Result<bool, i32> {
        let Op { who, election, act, .. } = op;
        if matches!(act, Act::Enter(_) | Act::TakeOver(_) | Act::Withdraw(_) | Act::Leave)
            && self.ended.contains(who)
        {
            return Err(ENDED);
        }
        let before = self.elections[*election].clone();
        let mut list = before.list.clone();
        let mut is_known = true;
        let place = |name: &str| before.list.iter().position(|(other, _)| other == name);
        match act {
            Act::Nothing | Act::Read => return Ok(false),
            Act::Enter(name) | Act::TakeOver(name) => match place(name) {
                None if list.len() >= self.candidates => return Err(FULL),
                None => list.push((name.clone(), Some(*who))),
                Some(at) => {
                    let other = list[at].1.replace(*who).unwrap();
                    let passes = matches!(act, Act::TakeOver(_))
                        || matches!((who, other), (Key::Conn(_), Key::Conn(_)));
                    if other != *who && !passes {
                        return Err(TAKEN);
                    }
                }
            },
            Act::Withdraw(name) => {
                let Some(at) = place(name) else { return Ok(false) };
                if list.remove(at).1 != Some(*who) {
                    return Err(NOT_YOURS);
                }
            }
            Act::Anoint(name) => {
                let Some(at) = place(name) else { return Ok(false) };
                let chosen = list.remove(at);
                list.insert(0, chosen);
            }
            Act::Promote(name) => match place(name) {
                Some(at) if at > 0 => list.swap(at, at - 1),
                _ => return Ok(false),
            },
            Act::Demote(name) => match place(name) {
                Some(at) if at + 1 < list.len() => list.swap(at, at + 1),
                _ => return Ok(false),
            },
            Act::Evict(name) => {
                let Some(at) = place(name) else { return Ok(false) };
                list.remove(at);
            }
            Act::Leave | Act::SessionEnded => list.retain(|(_, holder)| *holder != Some(*who)),
            Act::Delete => {
                if !before.is_known {
                    return Ok(false);
                }
                self.floor = self.floor.max(before.number);
                (list, is_known) = (Vec::new(), false);
            }
        }
        if list == before.list && is_known {
            return Ok(false);
        }
        let mut number = before.number;
        if !list.is_empty() && list.first() != before.list.first() {
            number = if before.is_known { number } else { number.max(self.floor) } + 1;
        }
        self.elections[*election] = State { number, list, is_known };
        Ok(true)
    }
}
