//! How one contends for the lead in each system: the best recipe that is known for it and that outlives a
//! client's death.

mod etcd;
mod redis;
mod tenure;
mod zookeeper;

pub(super) use etcd::Campaigner;
pub(super) use redis::{Listening, Popping};
pub(super) use tenure::{Observing, Waiting};
pub(super) use zookeeper::Sequential;
