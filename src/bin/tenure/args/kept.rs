//! What is kept on a disk.

use std::path::PathBuf;

use super::{Format, To};

#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    /// The file to write; one that is there is replaced once the new one is whole.
    pub(crate) file: PathBuf,
    /// Back up this data directory, which no server is using, instead of asking a server.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) to: To,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// A file that `tenure backup` wrote.
    pub(crate) file: PathBuf,
    /// The directory to make; it must not hold a server's data.
    #[arg(long, default_value = "./tenure-data", value_name = "DIR", env = "TENURE_DATA_DIR")]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// The data directory.
    pub(crate) data_dir: PathBuf,
    /// List the elections and sessions, too.
    #[arg(long)]
    pub(crate) all: bool,
    /// Text for people, or json for machines: one object a line.
    #[arg(short, long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub(crate) output: Format,
}
