//! A client that frames by hand, so that it can do everything wrong.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use prost::Message;
use tenure::Server;
use tenure_schema::atomix::runtime::election::v1 as pb;
use tenure_schema::atomix::runtime::v1::PrimitiveId;
use tenure_schema::ttrpc as envelope;

pub(crate) const ELECTION: &str = "atomix.runtime.election.v1.LeaderElection";
pub(crate) const ELECTIONS: &str = "atomix.runtime.election.v1.LeaderElections";

/// Longer than anything takes that goes well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A frame as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) stream: u32,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The response in it.
    pub(crate) fn response(&self) -> envelope::Response {
        assert_eq!(self.kind, 2, "{self:?}");
        envelope::Response::decode(&*self.payload).unwrap()
    }

    /// The code and message of the failure in it.
    pub(crate) fn failure(&self) -> (i32, String) {
        let status = self.response().status.expect("a failure");
        (status.code, status.message)
    }

    /// The term in it, of a reply or a watch.
    pub(crate) fn term(&self) -> pb::Term {
        let reply = if self.kind == 2 { self.response().payload } else { self.payload.clone() };
        pb::GetTermResponse::decode(&*reply).unwrap().term.expect("a term")
    }

    pub(crate) fn is_end(&self) -> bool {
        (self.kind, self.flags, self.payload.len()) == (3, 5, 0)
    }
}

pub(crate) fn frame(stream: u32, kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(payload);
    bytes
}

pub(crate) fn call(stream: u32, service: &str, method: &str, payload: Vec<u8>) -> Vec<u8> {
    let request = envelope::Request {
        service: service.into(),
        method: method.into(),
        payload,
        ..envelope::Request::default()
    };
    frame(stream, 1, 0, &request.encode_to_vec())
}

fn id(name: &str) -> Option<PrimitiveId> {
    Some(PrimitiveId { name: name.into() })
}

pub(crate) fn get_term(stream: u32, name: &str) -> Vec<u8> {
    call(stream, ELECTION, "GetTerm", pb::GetTermRequest { id: id(name) }.encode_to_vec())
}

pub(crate) fn watch(stream: u32, name: &str) -> Vec<u8> {
    call(stream, ELECTION, "Watch", pb::WatchRequest { id: id(name) }.encode_to_vec())
}

pub(crate) fn enter(stream: u32, name: &str, candidate: &str) -> Vec<u8> {
    let request = pb::EnterRequest { id: id(name), candidate: candidate.into() };
    call(stream, ELECTION, "Enter", request.encode_to_vec())
}

pub(crate) fn withdraw(stream: u32, name: &str, candidate: &str) -> Vec<u8> {
    let request = pb::WithdrawRequest { id: id(name), candidate: candidate.into() };
    call(stream, ELECTION, "Withdraw", request.encode_to_vec())
}

/// A connection.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    pub(crate) fn connect(server: &Server) -> Self {
        Self::to(&server.addresses()[0])
    }

    pub(crate) fn to(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    pub(crate) fn receive(&mut self) -> Frame {
        self.try_receive().expect("a frame")
    }

    pub(crate) fn try_receive(&mut self) -> io::Result<Frame> {
        let mut header = [0; 10];
        self.0.read_exact(&mut header)?;
        let [l0, l1, l2, l3, s0, s1, s2, s3, kind, flags] = header;
        let mut payload = vec![0; u32::from_be_bytes([l0, l1, l2, l3]) as usize];
        self.0.read_exact(&mut payload)?;
        Ok(Frame { stream: u32::from_be_bytes([s0, s1, s2, s3]), kind, flags, payload })
    }

    pub(crate) fn ask(&mut self, bytes: &[u8]) -> Frame {
        self.send(bytes);
        self.receive()
    }

    /// Reads on until the server closes, and gives what came before.
    pub(crate) fn read_to_close(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the server did not close: {error}"),
        }
        bytes
    }
}

/// Somebody who has nothing to do with it, and is served all the time.
pub(crate) struct Bystander(Raw);

impl Bystander {
    pub(crate) fn of(server: &Server) -> Self {
        Self::at(&server.addresses()[0])
    }

    pub(crate) fn at(address: &str) -> Self {
        let mut raw = Raw::to(address);
        assert_eq!(raw.ask(&enter(1, "bystander", "b")).term().term, 1);
        Self(raw)
    }

    /// Checks that reads and changes are served, and that the first leadership still holds.
    pub(crate) fn check(&mut self) {
        let term = self.0.ask(&get_term(1, "bystander")).term();
        assert_eq!((term.term, term.leader.as_str()), (1, "b"));
        let term = self.0.ask(&enter(3, "bystander", "b")).term();
        assert_eq!((term.term, term.candidates.len()), (1, 0));
    }
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Bytes of memory that this process uses.
#[cfg(target_os = "linux")]
pub(crate) fn memory() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
