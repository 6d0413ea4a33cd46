//! Completions and manual pages, made of the command line itself.

use std::io::{self, Write};

use anyhow::{Result, bail};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args;

const NAME: &str = "tenure";

pub(crate) fn completions(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut offered(), NAME, &mut script);
    print(&script)
}

/// What is offered to people: not the commands that commands start.
fn offered() -> clap::Command {
    let all = args::command();
    let hidden = |it: &&clap::Command| !it.is_hide_set();
    let shown: Vec<clap::Command> = all.get_subcommands().filter(hidden).cloned().collect();
    let bare = clap::Command::new(NAME).version(env!("CARGO_PKG_VERSION")).subcommands(shown);
    match all.get_about() {
        Some(about) => bare.about(about.clone()),
        None => bare,
    }
}

pub(crate) fn man(of: Option<&str>) -> Result<()> {
    let command = command_of(of)?;
    let has_subcommands = command.has_subcommands();
    let name = command.get_display_name().unwrap_or(NAME).to_owned();
    let man = Man::new(command);
    let mut page = Vec::new();
    let version = env!("CARGO_PKG_VERSION");
    writeln!(page, ".TH {name} 1 \"\" \"{NAME} {version}\" \"User Commands\"")?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_subcommands {
        man.render_subcommands_section(&mut page)?;
    }
    // Unlike any other text after the options, it is a table.
    writeln!(page, ".SH \"EXIT STATUS\"\n.nf\n{}\n.fi", args::EXIT_CODES.replace('-', "\\-"))?;
    print(&page)
}

fn command_of(name: Option<&str>) -> Result<clap::Command> {
    let mut all = args::command().disable_help_subcommand(true);
    // Built, so that a subcommand knows whose it is.
    all.build();
    let Some(name) = name else { return Ok(all) };
    match shown(&all, name) {
        Some(one) => Ok(one.clone()),
        None => bail!("there is no command {name:?}: `tenure --help` lists them"),
    }
}

/// By its name, or as pages name what is below it: `bench-term`.
fn shown<'c>(of: &'c clap::Command, name: &str) -> Option<&'c clap::Command> {
    let below = |it: &'c clap::Command| {
        let rest = name.strip_prefix(it.get_name())?;
        if rest.is_empty() { Some(it) } else { shown(it, rest.strip_prefix('-')?) }
    };
    of.get_subcommands().filter(|it| !it.is_hide_set()).find_map(below)
}

/// Whoever reads it may have seen enough.
fn print(text: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => Ok(done?),
    }
}
