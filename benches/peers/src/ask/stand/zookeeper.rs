//! ZooKeeper: its documented recipe. An ephemeral node in sequence; the least one leads, and each other
//! watches the one before it.

use std::collections::VecDeque;

use anyhow::{Result, bail};

use crate::ask::relay::Player;
use crate::net::Conn;
use crate::wire::jute::{self, Jute, NO_NODE, Node};
use crate::wire::{Heard, Kind, Request};

/// What an answer is to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Create,
    Children,
    Before,
    Delete,
}

pub struct Sequential {
    folder: String,
    create: Request,
    children: Request,
    /// The node's name, while it stands.
    node: String,
    /// Answers come in the order of what was asked.
    asked: VecDeque<Asked>,
}

impl Sequential {
    pub fn new(folder: &str) -> Self {
        Self {
            create: jute::create(&format!("{folder}/n-"), "", Node::EphemeralInSequence),
            children: jute::get_children(folder),
            folder: folder.to_owned(),
            node: String::new(),
            asked: VecDeque::new(),
        }
    }

    fn ask(&mut self, conn: &mut Conn<Jute>, what: Asked, request: &Request) {
        self.asked.push_back(what);
        conn.put(request);
    }

    fn look(&mut self, conn: &mut Conn<Jute>) {
        self.asked.push_back(Asked::Children);
        conn.put(&self.children);
    }

    /// Leads, or watches the one before it.
    fn is_first(&mut self, conn: &mut Conn<Jute>, heard: &Heard) -> Result<bool> {
        let mine = self.node.as_str();
        let others = jute::children(conn.said(heard))?;
        let Some(before) = others.into_iter().filter(|name| *name < mine).max() else {
            return Ok(true);
        };
        let exists = jute::exists(&format!("{}/{before}", self.folder), true);
        self.ask(conn, Asked::Before, &exists);
        Ok(false)
    }
}

impl Player<Jute> for Sequential {
    fn stand(&mut self, conn: &mut Conn<Jute>) -> Result<()> {
        self.asked.push_back(Asked::Create);
        conn.put(&self.create);
        Ok(())
    }

    fn hear(&mut self, conn: &mut Conn<Jute>, heard: &Heard) -> Result<bool> {
        if heard.kind == Kind::Notice {
            self.look(conn);
            return Ok(false);
        }
        match (self.asked.pop_front(), heard.kind) {
            (Some(Asked::Create), Kind::Answer) => {
                let path = jute::path(conn.said(heard))?;
                self.node = path.rsplit('/').next().unwrap_or("").to_owned();
                self.look(conn);
            }
            (Some(Asked::Children), Kind::Answer) => return self.is_first(conn, heard),
            (Some(Asked::Before), Kind::Refused(NO_NODE)) => self.look(conn),
            (Some(Asked::Before | Asked::Delete), Kind::Answer) => {}
            (_, kind) => bail!("ZooKeeper refused it: {kind:?}"),
        }
        Ok(false)
    }

    fn pass(&mut self, conn: &mut Conn<Jute>) -> Result<()> {
        let delete = jute::delete(&format!("{}/{}", self.folder, self.node));
        self.ask(conn, Asked::Delete, &delete);
        self.stand(conn)
    }
}
