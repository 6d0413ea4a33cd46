//! `proto/tenure/v1/connection.proto`: what a client learns before anything else.

use crate::wire::message::message;

message! {
    struct HelloRequest {
        client_name: String = 1,
        client_version: String = 2,
    }

    struct HelloResponse {
        /// The server's version.
        version: String = 1,
        /// Stays the same for as long as the server's data does.
        server_id: String = 2,
        /// New with each start. A memory server that shows another one has forgotten everything.
        incarnation: String = 3,
        /// True if what was told survives a restart.
        durable: bool = 4,
        limits: Option<Limits> = 5,
        /// What this server can do beyond the first version of these services.
        features: Vec<String> = 6,
        /// Settings in force, by the name of their flag.
        settings: Vec<Setting> = 7,
    }

    struct Limits {
        name_bytes: u64 = 1,
        candidates: u64 = 2,
        candidate_bytes: u64 = 3,
        elections: u64 = 4,
        sessions: u64 = 5,
        connections: u64 = 6,
        streams: u64 = 7,
        frame_bytes: u64 = 8,
        metadata_bytes: u64 = 9,
        labels: u64 = 10,
    }

    struct Setting {
        name: String = 1,
        value: String = 2,
    }
}
