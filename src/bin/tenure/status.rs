//! `tenure status`: whether a server serves, which one it is, and how much it holds.

use anyhow::Result;
use serde_json::{Value, json};
use tenure::client::{Counts, ServerView};

use crate::args::{Format, Status};
use crate::ask::connect;
use crate::{Exit, output};

pub(crate) fn status(on: &Status) -> Result<Exit> {
    let client = connect(&on.to)?;
    let server = client.hello()?;
    let counts = if on.no_counts { None } else { Some(client.counts()?) };
    let address = on.to.server.to_string();
    output::line(&match on.to.output {
        Format::Text => in_words(&address, &server, counts),
        Format::Json => in_json(&address, &server, counts).to_string(),
    })?;
    Ok(Exit::Ok)
}

fn in_words(address: &str, server: &ServerView, counts: Option<Counts>) -> String {
    let limit = |name| server.limits.get(name).copied().unwrap_or_default();
    let kept = match server.durable {
        true => "on disk",
        false => "in memory: terms begin again at 1 when it stops",
    };
    let mut lines = vec![
        format!("{address} serves, tenure {}", server.version),
        format!("server id:   {}", server.server_id),
        format!("incarnation: {}", server.incarnation),
        format!("kept:        {kept}"),
    ];
    if let Some(Counts { elections, without_leader, sessions, .. }) = counts {
        let most = limit("elections");
        lines.push(format!(
            "elections:   {elections} of at most {most}, {without_leader} without a leader"
        ));
        lines.push(format!("sessions:    {sessions} of at most {}", limit("sessions")));
    }
    lines.push(format!("connections: at most {}", limit("connections")));
    lines.push(format!("candidates:  at most {} in an election", limit("candidates")));
    lines.join("\n")
}

fn in_json(address: &str, server: &ServerView, counts: Option<Counts>) -> Value {
    let mut object = json!({
        "server": address, "serves": true, "version": server.version, "server_id": server.server_id,
        "incarnation": server.incarnation, "durable": server.durable,
    });
    if let Some(Counts { elections, without_leader, sessions, .. }) = counts {
        object["elections"] = json!(elections);
        object["elections_without_leader"] = json!(without_leader);
        object["sessions"] = json!(sessions);
    }
    object["limits"] = json!(server.limits);
    object["settings"] = json!(server.settings);
    object["features"] = json!(server.features);
    object
}
