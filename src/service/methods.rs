//! The methods by number, for those who count by them. Whatever else a peer asks for is one more: so no
//! peer can make counters.

use super::{election_v1, elections_v1, latch, tenure_v1};

/// A method of the table, or the one that stands for all that are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Method(u8);

/// A service's methods; those that answer with a stream end with `*`.
type Listed = (&'static str, &'static [&'static str]);

const SERVICES: [Listed; 7] = [
    (
        election_v1::SERVICE,
        &[
            "GetTerm", "Watch*", "Enter", "Withdraw", "Anoint", "Promote", "Demote", "Evict",
            "Create", "Close",
        ],
    ),
    (elections_v1::SERVICE, &["Create", "Close"]),
    (
        tenure_v1::elections::SERVICE,
        &[
            "Enter", "Withdraw", "Anoint", "Promote", "Demote", "Evict", "Observe*", "List",
            "Describe", "History", "Check", "Delete",
        ],
    ),
    (tenure_v1::sessions::SERVICE, &["Open", "KeepAlive", "Close", "List", "End"]),
    (tenure_v1::storage::SERVICE, &["Backup*"]),
    (tenure_v1::connection::SERVICE, &["Hello"]),
    (latch::SERVICE, &["Create", "KeepAlive", "Close", "Latch", "Get", "Events*"]),
];

/// How many there are, with the one for all others.
pub(crate) const METHODS: usize = {
    let (mut at, mut count) = (0, 1);
    while at < SERVICES.len() {
        count += SERVICES[at].1.len();
        at += 1;
    }
    count
};

/// Those that answer with a stream, one bit each.
const STREAMS: u64 = {
    let (mut streams, mut number, mut at) = (0, 0, 0);
    while at < SERVICES.len() {
        let methods = SERVICES[at].1;
        let mut place = 0;
        while place < methods.len() {
            let name = methods[place].as_bytes();
            if name[name.len() - 1] == b'*' {
                streams |= 1 << number;
            }
            (place, number) = (place + 1, number + 1);
        }
        at += 1;
    }
    streams
};

const _: () = assert!(METHODS <= 64, "a method is one bit");

impl Method {
    /// The one that is asked for most.
    pub(crate) const GET_TERM: Method = Method(0);
    pub(crate) const ENTER: Method = Method(2);
    pub(crate) const WITHDRAW: Method = Method(3);
    pub(crate) const ANOINT: Method = Method(4);
    pub(crate) const PROMOTE: Method = Method(5);
    pub(crate) const DEMOTE: Method = Method(6);
    pub(crate) const EVICT: Method = Method(7);
    /// All that are not there.
    pub(crate) const UNKNOWN: Method = Method(METHODS as u8 - 1);

    /// The method with these names.
    pub(crate) fn of(service: &str, method: &str) -> Self {
        let mut first = 0;
        for (name, methods) in &SERVICES {
            if *name == service {
                let at = methods.iter().position(|it| it.strip_suffix('*').unwrap_or(it) == method);
                return at.map_or(Self::UNKNOWN, |at| Self((first + at) as u8));
            }
            first += methods.len();
        }
        Self::UNKNOWN
    }

    pub(crate) fn number(self) -> usize {
        usize::from(self.0)
    }

    /// Whether it answers with a stream.
    pub(crate) fn streams(self) -> bool {
        STREAMS >> self.0 & 1 == 1
    }

    /// All of them in the order of their numbers, each with its service and name.
    pub(crate) fn all() -> impl Iterator<Item = (Self, &'static str, &'static str)> {
        let listed = SERVICES.into_iter().flat_map(|(service, methods)| {
            methods.iter().map(move |name| (service, name.trim_end_matches('*')))
        });
        let all = listed.chain([("unknown", "unknown")]);
        all.enumerate().map(|(number, (service, name))| (Self(number as u8), service, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_has_its_number() {
        for (method, service, name) in Method::all() {
            assert_eq!(Method::of(service, name), method, "{service}/{name}");
        }
        assert_eq!(Method::all().count(), METHODS);
        assert_eq!(Method::of(election_v1::SERVICE, "GetTerm"), Method::GET_TERM);
        for (service, name) in [
            (election_v1::SERVICE, "Abdicate"),
            (election_v1::SERVICE, "Watch*"),
            (elections_v1::SERVICE, "GetTerm"),
            ("", ""),
        ] {
            assert_eq!(Method::of(service, name), Method::UNKNOWN, "{service}/{name}");
        }
    }

    #[test]
    fn streams_are_known_as_such() {
        let streams: Vec<_> =
            Method::all().filter(|(it, ..)| it.streams()).map(|(_, _, name)| name).collect();
        assert_eq!(streams, ["Watch", "Observe", "Backup", "Events"]);
    }

    /// The names stand here and in the table that is called; neither may have one more.
    #[test]
    fn the_table_has_these_methods_and_no_others() {
        let called = [include_str!("mod.rs"), include_str!("latch/mod.rs")];
        let arms = called.iter().flat_map(|text| text.lines()).map(str::trim);
        let mut called: Vec<_> = arms
            .filter_map(|line| line.strip_prefix('"')?.split_once("\" => self."))
            .map(|(name, _)| name)
            .collect();
        let mut listed: Vec<_> = Method::all().map(|(_, _, name)| name).collect();
        listed.pop();
        called.sort_unstable();
        listed.sort_unstable();
        assert_eq!(called, listed);
    }
}
