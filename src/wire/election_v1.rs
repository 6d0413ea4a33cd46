//! The messages of the v1 election services (`proto/runtime/election/v1`).
//!
//! Every request begins with the id of an election, whose only field is its name, and every reply but
//! those of Create and Close is a term in field 1.

use super::Malformed;
use super::field::{Fields, Value, wire_type};
use super::put;
use super::varint::counted;

/// The fields of every request.
const ID: u32 = 1;
const CANDIDATE: u32 = 2;
const TAGS: u32 = 2;

/// The one field of a reply, and those of the term in it.
const TERM: u32 = 1;
const NUMBER: u32 = 1;
const LEADER: u32 = 2;
const CANDIDATES: u32 = 3;

/// GetTerm, Watch, Close: an election.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NamedRequest<'a> {
    pub(crate) name: &'a str,
}

impl<'a> NamedRequest<'a> {
    #[inline]
    pub(crate) fn decode(raw: &'a [u8]) -> Result<Self, Malformed> {
        let mut request = Self::default();
        let mut fields = Fields::new(raw);
        while let Some((number, value)) = fields.next()? {
            if number == ID {
                merge_id(&mut request.name, &fields, value)?;
            }
        }
        Ok(request)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_id(out, self.name);
    }
}

/// Enter, Withdraw, Anoint, Promote, Demote, Evict: an election and one of its candidates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CandidateRequest<'a> {
    pub(crate) name: &'a str,
    pub(crate) candidate: &'a str,
}

impl<'a> CandidateRequest<'a> {
    #[inline]
    pub(crate) fn decode(raw: &'a [u8]) -> Result<Self, Malformed> {
        Self::plain(raw).map_or_else(|| Self::walked(raw), Ok)
    }

    /// A request as every encoder writes it, unless it is long: its fields once and in order.
    #[inline]
    fn plain(raw: &'a [u8]) -> Option<Self> {
        const BYTES: u8 = wire_type::BYTES;
        const ID_TAG: u8 = (ID as u8) << 3 | BYTES;
        const NAME_TAG: u8 = 1 << 3 | BYTES;
        const CANDIDATE_TAG: u8 = (CANDIDATE as u8) << 3 | BYTES;
        let (id, rest) = counted(raw.strip_prefix(&[ID_TAG])?)?;
        let (name, []) = counted(id.strip_prefix(&[NAME_TAG])?)? else { return None };
        let (candidate, []) = counted(rest.strip_prefix(&[CANDIDATE_TAG])?)? else { return None };
        let text = |raw| std::str::from_utf8(raw).ok();
        Some(Self { name: text(name)?, candidate: text(candidate)? })
    }

    fn walked(raw: &'a [u8]) -> Result<Self, Malformed> {
        let mut request = Self::default();
        let mut fields = Fields::new(raw);
        while let Some((number, value)) = fields.next()? {
            match number {
                ID => merge_id(&mut request.name, &fields, value)?,
                CANDIDATE => request.candidate = value.text("candidate")?,
                _ => {}
            }
        }
        Ok(request)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_id(out, self.name);
        put::text(out, CANDIDATE, self.candidate);
    }
}

/// Create: an election and its tags.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CreateRequest<'a> {
    pub(crate) name: &'a str,
    pub(crate) tags: Tags<'a>,
}

/// The tags of a [`CreateRequest`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tags<'a> {
    /// To be sent.
    List(&'a [&'a str]),
    /// As received: the request that holds them, which has been checked.
    Request(&'a [u8]),
}

impl Default for Tags<'_> {
    fn default() -> Self {
        Tags::List(&[])
    }
}

impl<'a> CreateRequest<'a> {
    pub(crate) fn decode(raw: &'a [u8]) -> Result<Self, Malformed> {
        let mut request = Self { name: "", tags: Tags::Request(raw) };
        let mut fields = Fields::new(raw);
        while let Some((number, value)) = fields.next()? {
            match number {
                ID => merge_id(&mut request.name, &fields, value)?,
                TAGS => drop(value.text("tags")?),
                _ => {}
            }
        }
        Ok(request)
    }

    /// The tags, in their order.
    pub(crate) fn tags(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        let (list, request): (&[_], &[_]) = match self.tags {
            Tags::List(list) => (list, &[]),
            Tags::Request(request) => (&[], request),
        };
        list.iter().copied().chain(texts(Fields::new(request).values_of(TAGS)))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_id(out, self.name);
        self.tags().for_each(|tag| put::item(out, TAGS, tag.as_bytes()));
    }
}

/// The whole reply to Create.
pub(crate) fn create_reply(cache_enabled: bool) -> &'static [u8] {
    match cache_enabled {
        false => &[0x0a, 0x02, 0x0a, 0x00],
        true => &[0x0a, 0x04, 0x0a, 0x02, 0x08, 0x01],
    }
}

/// A reply with a term, in a vector without room to spare: it is kept.
pub(crate) fn term_reply<'a>(
    number: u64,
    leader: Option<&str>,
    candidates: impl Iterator<Item = &'a str> + Clone,
) -> Vec<u8> {
    let names = candidates.clone();
    let waiting: usize = names.map(|name| put::item_len(CANDIDATES, name.len())).sum();
    let leading = put::bytes_len(LEADER, leader.map_or(0, str::len));
    let len = put::uint_len(NUMBER, number) + leading + waiting;

    let mut reply = Vec::with_capacity(put::item_len(TERM, len));
    put::prefix(&mut reply, TERM, len);
    put_term(&mut reply, number, leader, candidates);
    reply
}

/// Appends the same. A term is there even when it is empty.
#[inline]
pub(crate) fn put_term_reply<'a>(
    out: &mut Vec<u8>,
    number: u64,
    leader: Option<&str>,
    candidates: impl Iterator<Item = &'a str>,
) {
    put::nested(out, TERM, |out| put_term(out, number, leader, candidates));
}

fn put_term<'a>(
    out: &mut Vec<u8>,
    number: u64,
    leader: Option<&str>,
    candidates: impl Iterator<Item = &'a str>,
) {
    put::uint(out, NUMBER, number);
    put::text(out, LEADER, leader.unwrap_or_default());
    candidates.for_each(|name| put::item(out, CANDIDATES, name.as_bytes()));
}

/// A term, as a client reads it. A reply without one reads as term 0, which nobody leads.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TermMessage<'a> {
    pub(crate) number: u64,
    /// "" if nobody leads.
    pub(crate) leader: &'a str,
    /// The reply, which has been checked.
    reply: &'a [u8],
}

impl<'a> TermMessage<'a> {
    /// Decodes the reply that holds a term.
    pub(crate) fn decode_reply(reply: &'a [u8]) -> Result<Self, Malformed> {
        let mut term = Self { reply, ..Self::default() };
        let mut fields = Fields::new(reply);
        while let Some((number, value)) = fields.next()? {
            if number == TERM {
                term.merge(fields.inside(value, "term")?)?;
            }
        }
        Ok(term)
    }

    /// The candidates behind the leader. Those of a term that came in pieces are joined, as protobuf
    /// merges repeated fields.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        let terms = Fields::new(self.reply).values_of(TERM);
        texts(terms.flat_map(|term| Fields::new(term).values_of(CANDIDATES)))
    }

    fn merge(&mut self, mut fields: Fields<'a>) -> Result<(), Malformed> {
        while let Some((number, value)) = fields.next()? {
            match number {
                NUMBER => self.number = value.varint("term.term")?,
                LEADER => self.leader = value.text("term.leader")?,
                CANDIDATES => drop(value.text("term.candidates")?),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Merges an id into the name it holds: an id that says nothing of the name leaves it as it was.
#[inline]
fn merge_id<'a>(
    name: &mut &'a str,
    fields: &Fields<'a>,
    value: Value<'a>,
) -> Result<(), Malformed> {
    let mut id = fields.inside(value, "id")?;
    while let Some((number, value)) = id.next()? {
        if number == 1 {
            *name = value.text("id.name")?;
        }
    }
    Ok(())
}

fn put_id(out: &mut Vec<u8>, name: &str) {
    put::prefix(out, ID, put::bytes_len(1, name.len()));
    put::text(out, 1, name);
}

fn texts<'a>(
    values: impl Iterator<Item = &'a [u8]> + Clone,
) -> impl Iterator<Item = &'a str> + Clone {
    values.filter_map(|raw| std::str::from_utf8(raw).ok())
}
