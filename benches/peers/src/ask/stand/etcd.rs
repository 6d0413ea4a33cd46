//! etcd: its election service, with a lease for each.

use anyhow::{Result, bail};

use crate::ask::relay::Player;
use crate::net::Conn;
use crate::wire::grpc::Grpc;
use crate::wire::{Heard, Kind, Request, etcd};

pub struct Campaigner {
    campaign: Request,
    call: u64,
    resignation: Option<Request>,
    resigning: u64,
}

impl Campaigner {
    pub fn new(election: &str, lease: u64) -> Self {
        let campaign = etcd::campaign(election, lease, "candidate");
        Self { campaign, call: 0, resignation: None, resigning: 0 }
    }
}

impl Player<Grpc> for Campaigner {
    fn stand(&mut self, conn: &mut Conn<Grpc>) -> Result<()> {
        self.call = conn.put(&self.campaign);
        Ok(())
    }

    fn hear(&mut self, conn: &mut Conn<Grpc>, heard: &Heard) -> Result<bool> {
        match heard.kind {
            Kind::Refused(code) => bail!("etcd refused it: {code}"),
            _ if heard.id == self.resigning => {
                self.stand(conn)?;
                Ok(false)
            }
            _ if heard.id == self.call => {
                self.resignation = Some(etcd::resign(conn.said(heard)));
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// It stands again once this is answered: both at a time would be about one and the same key.
    fn pass(&mut self, conn: &mut Conn<Grpc>) -> Result<()> {
        if let Some(resignation) = self.resignation.take() {
            self.resigning = conn.put(&resignation);
        }
        Ok(())
    }
}
