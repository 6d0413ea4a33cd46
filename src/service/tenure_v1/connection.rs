//! `tenure.v1.Connection`: what a client learns about the server before anything else.

use super::decode;
use crate::error::Error;
use crate::id::checked_note;
use crate::limits::{LABELS, METADATA_BYTES, NOTE_BYTES};
use crate::service::{Answer, Caller};
use crate::wire::message::Message;
use crate::wire::tenure_v1::connection::{HelloRequest, HelloResponse, Limits, Setting};

pub(in crate::service) const SERVICE: &str = "tenure.v1.Connection";

impl Caller {
    pub(in crate::service) fn hello(&mut self, payload: &[u8]) -> Result<Answer<'_>, Error> {
        let request: HelloRequest = decode(payload, "tenure.v1.HelloRequest")?;
        checked_note("client_name", request.client_name.as_bytes(), NOTE_BYTES)?;
        checked_note("client_version", request.client_version.as_bytes(), NOTE_BYTES)?;
        let setting = |&(name, ref value): &(&str, String)| Setting {
            name: name.to_owned(),
            value: value.clone(),
        };
        let shards = [("shards", self.engine.shards().to_string())];
        let reply = HelloResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            server_id: self.engine.server_id().to_owned(),
            incarnation: self.engine.incarnation().to_owned(),
            durable: self.engine.is_durable(),
            limits: Some(self.limits()),
            features: Vec::new(),
            settings: shards.iter().chain(&*self.settings).map(setting).collect(),
        };
        Ok(Answer::Bytes(reply.encode()))
    }

    fn limits(&self) -> Limits {
        let limits = self.engine.limits();
        Limits {
            name_bytes: limits.name_bytes as u64,
            candidates: limits.candidates as u64,
            candidate_bytes: limits.candidate_bytes as u64,
            elections: limits.elections as u64,
            sessions: limits.sessions as u64,
            connections: limits.connections as u64,
            streams: limits.streams as u64,
            frame_bytes: limits.frame_bytes as u64,
            metadata_bytes: METADATA_BYTES as u64,
            labels: LABELS as u64,
        }
    }
}
