//! A session's key in a file: one line of 32 hexadecimal digits, for one user's eyes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use tenure::SessionKey;

use crate::{Exit, Failure};

/// Why a file gives no key. None of them says what was read: that may be most of a secret.
pub(crate) enum Unusable {
    Missing,
    Unreadable(io::Error),
    /// Others may read or write it; with these permissions.
    Open(u32),
    Malformed,
}

impl Unusable {
    pub(crate) fn of(self, file: &Path) -> Failure {
        let file = file.display();
        let sentence = match self {
            Unusable::Missing => format!("there is no session file {file}"),
            Unusable::Unreadable(why) => format!("can't read the session file {file}: {why}"),
            Unusable::Open(mode) => format!(
                "the session file {file} is open to others (mode {mode:04o}), and so is its place; chmod \
                 600 it if you trust them"
            ),
            Unusable::Malformed => {
                format!("{file} is not a session file: one line of 32 hexadecimal digits is a key")
            }
        };
        Failure { exit: Exit::SessionFile, sentence }
    }
}

pub(crate) fn read(file: &Path) -> Result<SessionKey, Unusable> {
    /// A key and its line's end; anything longer is something else.
    const MOST: u64 = 64;
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Unusable::Missing,
        _ => Unusable::Unreadable(error),
    };
    let opened = File::open(file).map_err(unreadable)?;
    let mode = opened.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Unusable::Open(mode));
    }
    let mut text = Vec::new();
    opened.take(MOST).read_to_end(&mut text).map_err(unreadable)?;
    let text = str::from_utf8(&text).map_err(|_| Unusable::Malformed)?;
    text.trim_end().parse().map_err(|_| Unusable::Malformed)
}

/// Makes the file, readable by this user alone from its first moment. One that exists is left alone.
pub(crate) fn create(file: &Path, key: &SessionKey) -> Result<(), Failure> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut made = made.map_err(|why| cannot("make", file, &why))?;
    let written = made.write_all(format!("{}\n", key.to_hex()).as_bytes());
    written.and_then(|()| made.sync_all()).map_err(|why| {
        // Half a key is no key.
        let _gone = fs::remove_file(file);
        cannot("write", file, &why)
    })
}

pub(crate) fn remove(file: &Path) -> Result<(), Failure> {
    fs::remove_file(file).map_err(|why| cannot("remove", file, &why))
}

fn cannot(what: &str, file: &Path, why: &io::Error) -> Failure {
    let sentence = format!("can't {what} the session file {}: {why}", file.display());
    Failure { exit: Exit::SessionFile, sentence }
}
