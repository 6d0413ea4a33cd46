//! Redis: the usual lock, `SET NX PX` with a release that deletes it only if it is one's own, and two ways to
//! learn that it is free. Both outlive a client's death, for the lock expires.

use anyhow::{Result, bail};

use crate::ask::relay::Player;
use crate::net::Conn;
use crate::wire::resp::{Resp, command};
use crate::wire::{Heard, Kind, Request};

const MILLIS: &str = "30000";

/// As python-redis-lock does it: the release leaves one token on a list, on which the others wait. So only
/// the one who waited longest is woken, who takes the lock then.
const RELEASE_TO_ONE: &str = "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 1 end \
     redis.call('del', KEYS[2]) redis.call('lpush', KEYS[2], 1) \
     redis.call('pexpire', KEYS[2], ARGV[2]) redis.call('del', KEYS[1]) return 0";

/// As Redisson does it: the release tells a channel, and all who wait try.
const RELEASE_TO_ALL: &str = "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 1 end \
     redis.call('del', KEYS[1]) redis.call('publish', KEYS[2], 0) return 0";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its `SET` is under way.
    Trying,
    /// It waits to be woken.
    Waiting,
    /// Its release is under way, and it waits behind.
    Releasing,
}

struct Lock {
    take: Request,
    release: Request,
    stage: Stage,
}

impl Lock {
    fn new(name: &str, number: usize, script: &str, signal: &str) -> Self {
        let id = format!("candidate-{number}");
        Self {
            take: command(&["SET", name, &id, "NX", "PX", MILLIS]),
            release: command(&["EVAL", script, "2", name, signal, &id, MILLIS]),
            stage: Stage::Trying,
        }
    }

    fn try_it(&mut self, conn: &mut Conn<Resp>) {
        self.stage = Stage::Trying;
        conn.put(&self.take);
    }
}

pub struct Popping {
    lock: Lock,
    wait: Request,
}

impl Popping {
    pub fn new(name: &str, number: usize) -> Self {
        let signal = format!("{name}:signal");
        let wait = command(&["BLPOP", &signal, "0"]);
        Self { lock: Lock::new(name, number, RELEASE_TO_ONE, &signal), wait }
    }
}

impl Player<Resp> for Popping {
    fn stand(&mut self, conn: &mut Conn<Resp>) -> Result<()> {
        self.lock.try_it(conn);
        Ok(())
    }

    fn hear(&mut self, conn: &mut Conn<Resp>, heard: &Heard) -> Result<bool> {
        match (self.lock.stage, heard.kind) {
            (Stage::Trying, Kind::Answer) => return Ok(true),
            (Stage::Trying, Kind::Refused(_)) => {
                self.lock.stage = Stage::Waiting;
                conn.put(&self.wait);
            }
            (Stage::Releasing, Kind::Answer) => self.lock.stage = Stage::Waiting,
            (Stage::Waiting, Kind::Answer) => self.lock.try_it(conn),
            _ => bail!("Redis refused it: {:?}", String::from_utf8_lossy(conn.said(heard))),
        }
        Ok(false)
    }

    fn pass(&mut self, conn: &mut Conn<Resp>) -> Result<()> {
        conn.put(&self.lock.release);
        conn.put(&self.wait);
        self.lock.stage = Stage::Releasing;
        Ok(())
    }
}

pub struct Listening {
    lock: Lock,
    subscribe: Vec<Request>,
    /// What it hears before it takes part: that it subscribed, and its own release.
    skip: usize,
    /// Somebody released it while its own try was under way.
    again: bool,
}

impl Listening {
    pub fn new(name: &str, number: usize) -> Self {
        let channel = format!("{name}:channel");
        let subscribe = vec![command(&["HELLO", "3"]), command(&["SUBSCRIBE", &channel])];
        let lock = Lock::new(name, number, RELEASE_TO_ALL, &channel);
        Self { lock, subscribe, skip: 0, again: false }
    }

    fn is_released(&mut self, conn: &mut Conn<Resp>) {
        match self.lock.stage {
            _ if self.skip > 0 => self.skip -= 1,
            Stage::Waiting => self.lock.try_it(conn),
            _ => self.again = true,
        }
    }
}

impl Player<Resp> for Listening {
    fn stand(&mut self, conn: &mut Conn<Resp>) -> Result<()> {
        self.subscribe.iter().for_each(|request| _ = conn.put(request));
        // The answer to HELLO comes first, like one to a release.
        self.lock.stage = Stage::Releasing;
        self.skip = 1;
        Ok(())
    }

    fn hear(&mut self, conn: &mut Conn<Resp>, heard: &Heard) -> Result<bool> {
        match (self.lock.stage, heard.kind) {
            (_, Kind::Notice) => {
                let is_first = self.skip == 1 && conn.said(heard).starts_with(b">3\r\n$9");
                self.is_released(conn);
                if is_first {
                    self.lock.try_it(conn);
                }
            }
            (Stage::Trying, Kind::Answer) => return Ok(true),
            (Stage::Trying, Kind::Refused(_)) => {
                self.lock.stage = Stage::Waiting;
                if std::mem::take(&mut self.again) {
                    self.lock.try_it(conn);
                }
            }
            (Stage::Releasing, Kind::Answer) => self.lock.stage = Stage::Waiting,
            _ => bail!("Redis refused it: {:?}", String::from_utf8_lossy(conn.said(heard))),
        }
        Ok(false)
    }

    fn pass(&mut self, conn: &mut Conn<Resp>) -> Result<()> {
        conn.put(&self.lock.release);
        self.lock.stage = Stage::Releasing;
        self.again = false;
        self.skip = 1;
        Ok(())
    }
}
