//! What is kept on a disk: a backup of it, one restored, and a look into it.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::json;
use tenure::storage::{self, Inspection};

use crate::args::{Backup, Format, Inspect, Restore};
use crate::ask::connect;
use crate::{Exit, output};

pub(crate) fn backup(on: &Backup) -> Result<Exit> {
    if fs::metadata(&on.file).is_ok_and(|there| !there.is_file()) {
        bail!("{} is not a plain file: a backup would take its place", on.file.display());
    }
    let new = beside(&on.file);
    let elections = match write(on, &new) {
        Ok(elections) => elections,
        Err(error) => {
            let _left_over = fs::remove_file(&new);
            return Err(error);
        }
    };
    fs::rename(&new, &on.file).with_context(|| format!("can't write {}", on.file.display()))?;
    sync_around(&on.file)?;
    let file = on.file.display().to_string();
    output::line(&match on.to.output {
        Format::Text => format!("{file}: {elections} elections"),
        Format::Json => json!({"file": file, "elections": elections}).to_string(),
    })?;
    Ok(Exit::Ok)
}

/// Written whole, read back, and on the disk before it takes the name that was asked for.
fn write(on: &Backup, new: &Path) -> Result<u64> {
    let cant = || format!("can't write {}", new.display());
    let mut file = BufWriter::new(File::create(new).with_context(cant)?);
    match &on.data_dir {
        Some(folder) => storage::backup(folder, &mut file).map_err(ours)?,
        None => drop(connect(&on.to)?.backup(&mut file)?),
    }
    let file = file.into_inner().map_err(io::IntoInnerError::into_error).with_context(cant)?;
    file.sync_all().with_context(cant)?;
    drop(file);
    let written = File::open(new).with_context(cant)?;
    Ok(storage::verify(BufReader::new(written))?)
}

/// The storage's own error has an exit code.
fn ours(error: io::Error) -> anyhow::Error {
    match error.downcast::<tenure::Error>() {
        Ok(error) => error.into(),
        Err(error) => error.into(),
    }
}

pub(crate) fn restore(on: &Restore) -> Result<Exit> {
    let file = File::open(&on.file).with_context(|| format!("can't read {}", on.file.display()))?;
    let restored = storage::restore(BufReader::new(file), &on.data_dir)?;
    println!(
        "{}: {} elections; {} sessions have ended, and everybody has left\n\
         every term, and the floor, rose by {}: what was told after the backup was made is not known\n\
         a leader of then may go on for as long as its session's TTL; who leads next is told to wait so long\n\
         it is a new server: clients of the former one drop their leadership when they meet it",
        on.data_dir.display(),
        restored.elections,
        restored.sessions,
        restored.raised,
    );
    Ok(Exit::Ok)
}

pub(crate) fn inspect(on: &Inspect) -> Result<Exit> {
    let found = storage::inspect(&on.data_dir)?;
    let leading = found.elections.iter().filter(|it| it.term.leader().is_some()).count();
    let candidates: usize = found.elections.iter().map(|it| it.term.participants().len()).sum();
    output::line(&match on.output {
        Format::Text => format!(
            "server {}, format {}\n{} elections, {leading} with a leader; {candidates} candidates\n\
             {} sessions\nfloor: {}",
            found.server_id,
            found.format,
            found.elections.len(),
            found.sessions.len(),
            found.floor
        ),
        Format::Json => json!({
            "server_id": found.server_id, "format": found.format, "floor": found.floor,
            "elections": found.elections.len(), "leading": leading, "candidates": candidates,
            "created": found.created, "sessions": found.sessions.len(),
        })
        .to_string(),
    })?;
    if on.all {
        each(&found, on.output)?;
    }
    Ok(Exit::Ok)
}

/// One line for each election and session, until nobody reads any more.
fn each(found: &Inspection, format: Format) -> io::Result<()> {
    for it in &found.elections {
        let names: Vec<&str> = it.term.participants().collect();
        let line = match format {
            Format::Text => format!("{}: {}, {}", it.name, it.term, it.term.reason()),
            Format::Json => json!({
                "election": it.name, "term": it.term.number(), "revision": it.term.revision(),
                "participants": names, "reason": it.term.reason().to_string(),
                "formers": it.formers,
            })
            .to_string(),
        };
        if !output::line(&line)? {
            return Ok(());
        }
    }
    for it in &found.sessions {
        let line = match format {
            Format::Text => format!("session {}: {:?}, {:?}, {}", it.id, it.kind, it.ttl, it.owner),
            Format::Json => json!({
                "session": it.id.number(), "kind": format!("{:?}", it.kind).to_lowercase(),
                "ttl_micros": it.ttl.as_micros() as u64, "owner": it.owner,
            })
            .to_string(),
        };
        if !output::line(&line)? {
            return Ok(());
        }
    }
    Ok(())
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// The new name is durable too.
fn sync_around(file: &Path) -> io::Result<()> {
    let around = fs::canonicalize(file)?;
    around.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
