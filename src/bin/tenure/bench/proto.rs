//! Frames for a load: built once, sent often. Only what the workloads say and want to know; the library's
//! own codec is private, and a second reader of the protocol finds what the first one takes for granted.

pub(super) const ELECTION: &str = "atomix.runtime.election.v1.LeaderElection";
pub(super) const ELECTIONS: &str = "tenure.v1.Elections";
pub(super) const SESSIONS: &str = "tenure.v1.Sessions";
pub(super) const CONNECTION: &str = "tenure.v1.Connection";

pub(super) const HEADER: usize = 10;
const REQUEST: u8 = 1;
pub(super) const RESPONSE: u8 = 2;
pub(super) const DATA: u8 = 3;
/// The caller has no more to say; wanted of calls whose answer is a stream.
const CALLER_IS_DONE: u8 = 1;

/// A request's whole frame, on stream 0 until it is sent on another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame(Vec<u8>);

impl Frame {
    pub(super) fn call(service: &str, method: &str, payload: Message) -> Self {
        Self::build(service, method, payload, 0)
    }

    /// A call whose answer is a stream.
    pub(super) fn stream(service: &str, method: &str, payload: Message) -> Self {
        Self::build(service, method, payload, CALLER_IS_DONE)
    }

    fn build(service: &str, method: &str, payload: Message, flags: u8) -> Self {
        let envelope = Message::new().text(1, service).text(2, method).message(3, payload);
        let mut bytes = (envelope.0.len() as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0, 0, 0, 0, REQUEST, flags]);
        bytes.extend_from_slice(&envelope.0);
        Self(bytes)
    }

    /// Appends it to what is to be sent.
    pub(super) fn put(&self, stream: u32, out: &mut Vec<u8>) {
        let at = out.len() + 4;
        out.extend_from_slice(&self.0);
        out[at..at + 4].copy_from_slice(&stream.to_be_bytes());
    }
}

/// A protobuf message under construction.
#[derive(Clone, Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn uint(mut self, field: u8, value: u64) -> Self {
        if value > 0 {
            self.0.push(field << 3);
            self.varint(value);
        }
        self
    }

    pub(super) fn text(self, field: u8, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    pub(super) fn message(self, field: u8, message: Message) -> Self {
        self.bytes(field, &message.0)
    }

    fn bytes(mut self, field: u8, bytes: &[u8]) -> Self {
        self.0.push(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// The id with which every request of the v1 service begins.
fn id(election: &str) -> Message {
    Message::new().message(1, Message::new().text(1, election))
}

pub(super) fn get_term(election: &str) -> Frame {
    Frame::call(ELECTION, "GetTerm", id(election))
}

pub(super) fn watch(election: &str) -> Frame {
    Frame::stream(ELECTION, "Watch", id(election))
}

/// Enter, Withdraw, Anoint.
pub(super) fn on_candidate(method: &str, election: &str, candidate: &str) -> Frame {
    Frame::call(ELECTION, method, id(election).text(2, candidate))
}

/// A field of a received message: its number, a number's value, or the bytes of all else.
struct Field<'a> {
    number: u64,
    value: u64,
    bytes: &'a [u8],
}

/// The fields of a message, up to its end or to where it makes no sense.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let key = varint(&mut self.0)?;
        let number = key >> 3;
        match key & 7 {
            0 => Some(Field { number, value: varint(&mut self.0)?, bytes: &[] }),
            2 => {
                let len = usize::try_from(varint(&mut self.0)?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(len)?;
                self.0 = rest;
                Some(Field { number, value: 0, bytes })
            }
            _ => None,
        }
    }
}

fn varint(raw: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = raw.split_first()?;
        *raw = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// The last value of a numeric field; 0 if it is not there.
pub(super) fn number(message: &[u8], field: u64) -> u64 {
    Fields(message).filter(|it| it.number == field).last().map_or(0, |it| it.value)
}

/// The last value of a field with bytes, text or a message; nothing if it is not there.
pub(super) fn bytes(message: &[u8], field: u64) -> &[u8] {
    Fields(message).filter(|it| it.number == field).last().map_or(&[], |it| it.bytes)
}

/// A refusal: a gRPC status code and a sentence.
pub(super) type Refusal = (i32, String);

/// The payload of a response.
pub(super) fn payload(response: &[u8]) -> Result<&[u8], Refusal> {
    let status = bytes(response, 1);
    match number(status, 1) as i32 {
        0 => Ok(bytes(response, 2)),
        code => Err((code, String::from_utf8_lossy(bytes(status, 2)).into_owned())),
    }
}

/// The name of a status code, as gRPC has it.
pub(super) fn code_name(code: i32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    usize::try_from(code).ok().and_then(|at| NAMES.get(at)).copied().unwrap_or("UNKNOWN")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_byte_for_byte() {
        let mut out = vec![7];
        Frame::call("s", "m", Message::new().uint(1, 300)).put(5, &mut out);
        assert_eq!(out, b"\x07\0\0\0\x0b\0\0\0\x05\x01\0\x0a\x01s\x12\x01m\x1a\x03\x08\xac\x02");
    }

    #[test]
    fn a_term_read_back() {
        let term = Message::new().uint(1, 1 << 40).text(2, "a");
        let response = Message::new().message(2, Message::new().message(1, term));
        let payload = payload(&response.0).expect("no refusal");
        assert_eq!(number(bytes(payload, 1), 1), 1 << 40);
        assert_eq!(bytes(bytes(payload, 1), 2), b"a");
    }

    #[test]
    fn a_refusal_is_no_success() {
        let status = Message::new().uint(1, 8).text(2, "full");
        let response = Message::new().message(1, status);
        assert_eq!(payload(&response.0), Err((8, "full".to_owned())));
        assert_eq!(code_name(8), "RESOURCE_EXHAUSTED");
    }

    #[test]
    fn what_makes_no_sense_ends_a_message() {
        for raw in [&b"\x12\x05ab"[..], b"\x08", b"\x0b", &[0xff; 11]] {
            assert_eq!(Fields(raw).count(), 0, "{raw:?}");
        }
    }
}
