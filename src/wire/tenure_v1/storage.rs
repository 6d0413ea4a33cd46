//! `proto/tenure/v1/storage.proto`: what the server keeps on its disk.

use crate::wire::message::message;

message! {
    struct BackupRequest {}

    struct BackupResponse {
        data: Vec<u8> = 1,
    }
}
