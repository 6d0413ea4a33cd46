//! `tenure serve`: an engine, a server in front of it, and an orderly end.

use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::process;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tenure::client::Address;
use tenure::{Engine, EngineBuilder, Server, ServerBuilder};

use crate::args::Serve;
use crate::config::Config;
use crate::listeners::Listeners;
use crate::log::{self, Log};
use crate::{Exit, notify, output, signals};

pub(crate) fn run() -> Result<()> {
    // First, while there is no other thread.
    let handed = Listeners::handed_over()?;
    let config = Config::read()?;
    if config.serve.check_config || config.serve.print_config {
        return say(&config, &handed);
    }
    serve(config, handed)
}

/// The configuration alone: nothing is opened, bound or made.
fn say(config: &Config, handed: &Listeners) -> Result<()> {
    if config.serve.check_config {
        check(config, handed)?;
    }
    let text = match (config.serve.print_config, config.file()) {
        (true, _) => config.to_toml()?.trim_end().to_owned(),
        (false, Some(file)) => format!("{}: the configuration is sound", file.display()),
        (false, None) => "the configuration is sound".to_owned(),
    };
    // Whoever asked may have seen enough.
    let _nobody_reads = output::line(&text)?;
    Ok(())
}

/// What starting a server would find wrong with its settings.
fn check(config: &Config, handed: &Listeners) -> Result<()> {
    log::filter(&config.serve.log_level, &config.log_level_is_called())?;
    refuse_to_expose(&config.serve, handed)?;
    check_bounds(config)
}

/// Whether the bounds fit each other. In memory, without touching what is kept.
fn check_bounds(config: &Config) -> Result<()> {
    Ok(builder(config, shaped(&config.serve).open()?).check()?)
}

fn serve(config: Config, handed: Listeners) -> Result<()> {
    let serve = &config.serve;
    // Registered before anything listens, so that an early signal drains too.
    let mut signals = signals::listen(&[SIGINT, SIGTERM, SIGHUP])?;
    let filter = log::filter(&serve.log_level, &config.log_level_is_called())?;
    let log = Log::start(filter, serve.log_format)?;
    stop_on_panic();
    refuse_to_expose(serve, &handed)?;
    check_bounds(&config)?;
    let engine = shaped(serve);
    let engine = if serve.memory { engine } else { keep(engine, serve) };
    let server = start(&config, handed, engine.open()?)?;
    tell_where(serve, &server)?;
    notify::ready(&server);
    notify::keep_alive(&server);
    warn_of(serve, &server);

    let drain = serve.drain;
    let mut config = config;
    while signals.forever().next() == Some(SIGHUP) {
        notify::reloading(|| reload(&mut config, &log));
    }
    notify::stopping();
    tracing::info!("draining for at most {drain:?}; a second signal ends at once");
    thread::spawn(move || {
        signals.forever().find(|signal| *signal != SIGHUP);
        process::exit(Exit::Failed as i32);
    });
    server.drain(drain);
    tracing::info!("stopped");
    Ok(())
}

/// To whoever waits for it, on standard output and in a file.
fn tell_where(serve: &Serve, server: &Server) -> Result<()> {
    let addresses = server.addresses();
    if let Some(file) = &serve.ports_file {
        let admin = server.admin_addresses().iter().map(|address| format!("admin {address}"));
        let lines: String =
            addresses.iter().cloned().chain(admin).map(|line| line + "\n").collect();
        write_whole(file, &lines).with_context(|| format!("can't write {}", file.display()))?;
    }
    // Whoever started it may not care to read that.
    let line = format!("tenure {} listens on {}", env!("CARGO_PKG_VERSION"), addresses.join(", "));
    let _nobody_reads = output::line(&line);
    if !server.admin_addresses().is_empty() {
        let addresses = server.admin_addresses().join(", ");
        tracing::info!(%addresses, "metrics, probes and changes by HTTP are served apart");
    }
    Ok(())
}

fn warn_of(serve: &Serve, server: &Server) {
    if serve.memory {
        tracing::warn!(
            "everything is kept in memory: terms start again at 1 when this server stops"
        );
    }
    let bound = server.addresses().iter().filter_map(|it| it.parse().ok());
    if bound.into_iter().any(is_exposed) {
        tracing::warn!(
            "nothing is encrypted, and other machines may connect: whoever reaches this server can \
             change its elections"
        );
    }
}

/// Reads the configuration again. The log's level takes effect; all else waits for the next start. What
/// can't be used changes nothing.
fn reload(config: &mut Config, log: &Log) {
    match reread(log) {
        Ok(new) => {
            let waiting = new.needs_restart(config).join(", ");
            if !waiting.is_empty() {
                tracing::warn!(%waiting, "these settings changed and wait for a restart");
            }
            if new.file_has_no_say_in_log_level() {
                let by = new.log_level_is_called();
                tracing::info!(%by, "the log's level is set elsewhere, so the file has no say in it");
            }
            tracing::info!(log_level = new.serve.log_level, "the configuration was read again");
            *config = new;
        }
        Err(error) => tracing::error!("the configuration stays as it was: {error:#}"),
    }
}

fn reread(log: &Log) -> Result<Config> {
    let new = Config::read()?;
    log.change(log::filter(&new.serve.log_level, &new.log_level_is_called())?)?;
    Ok(new)
}

/// With its bounds and shards, and nothing kept.
fn shaped(serve: &Serve) -> EngineBuilder {
    let engine = Engine::builder().limits(serve.limits.to_engine());
    match serve.shards {
        Some(shards) => engine.shards(shards),
        None => engine,
    }
}

/// What is told is kept in the data directory, or nothing more is told.
fn keep(engine: EngineBuilder, serve: &Serve) -> EngineBuilder {
    let engine = engine.data_dir(&serve.data_dir).min_term(serve.min_term);
    let engine = if serve.must_exist { engine.must_exist() } else { engine };
    engine.on_storage_failure(|error| {
        end_soon(Exit::Storage);
        eprintln!("tenure: stopping: {error}");
        process::exit(Exit::Storage as i32);
    })
}

/// Standard error may be full with nobody to read it, and it must not hold up the end.
fn end_soon(exit: Exit) {
    let code = exit as i32;
    let watchdog = thread::Builder::new().spawn(move || {
        thread::sleep(Duration::from_secs(3));
        process::exit(code);
    });
    if watchdog.is_err() {
        process::exit(code);
    }
}

fn builder(config: &Config, engine: Engine) -> ServerBuilder {
    let serve = &config.serve;
    let mut server = Server::builder(engine)
        .busy_poll(serve.busy_poll)
        .adaptive_poll(serve.adaptive_poll)
        .disconnect_grace(serve.disconnect_grace)
        .silence(serve.silence)
        .frame_time(serve.frame_time)
        .stall_time(serve.stall_time)
        .http_write(serve.web.http_write)
        .log_lines_dropped(log::dropped);
    for origin in &serve.web.http_origin {
        server = server.http_origin(origin);
    }
    for glob in &serve.web.metrics_election {
        server = server.metrics_election(glob);
    }
    if !serve.connection_idle.is_zero() {
        server = server.connection_idle(serve.connection_idle);
    }
    if let Some(reactors) = serve.reactors {
        server = server.reactors(reactors);
    }
    for rule in config.cache_rules() {
        server = server.cache_rule(rule);
    }
    for address in &serve.web.admin_listen {
        server = server.admin_listen(address.to_string());
    }
    server
}

fn start(config: &Config, handed: Listeners, engine: Engine) -> Result<Server> {
    let server = builder(config, engine);
    if !handed.is_empty() {
        return Ok(handed.serve(server).spawn()?);
    }
    let listen = config.serve.listen.iter();
    let server = listen.fold(server, |server, address| server.listen(address.to_string()));
    Ok(server.spawn()?)
}

/// Beyond loopback, anybody on the way can read and change what is said.
fn refuse_to_expose(serve: &Serve, handed: &Listeners) -> Result<()> {
    if serve.allow_plaintext {
        return Ok(());
    }
    let own = if handed.is_empty() { serve.listen.as_slice() } else { &[] };
    for listen in own.iter().chain(&serve.web.admin_listen) {
        let Address::Tcp(address) = listen else { continue };
        let mut resolved =
            address.to_socket_addrs().with_context(|| format!("can't listen on {address}"))?;
        if resolved.any(is_exposed) {
            return Err(exposed(address));
        }
    }
    match handed.tcp_addresses()?.into_iter().find(|it| is_exposed(*it)) {
        Some(address) => Err(exposed(&address.to_string())),
        None => Ok(()),
    }
}

fn is_exposed(address: SocketAddr) -> bool {
    !address.ip().is_loopback()
}

fn exposed(address: &str) -> anyhow::Error {
    anyhow!(
        "{address} can be reached from other machines and nothing is encrypted; listen on 127.0.0.1, or \
         give --allow-plaintext if the network is your own"
    )
}

/// A server that lost a thread is half alive: better none, and another takes over.
fn stop_on_panic() {
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        end_soon(Exit::InternalFault);
        // Said first: a backtrace may take longer than there is time.
        eprintln!("tenure: stopping after an internal fault; please report the lines below");
        say(panic);
        process::exit(Exit::InternalFault as i32);
    }));
}

/// Writes beside and renames, so that a reader who waits for the file never sees half of it. What is no
/// plain file (a pipe, a terminal) is written to, not replaced.
fn write_whole(file: &Path, text: &str) -> io::Result<()> {
    if fs::metadata(file).is_ok_and(|there| !there.is_file()) {
        return fs::write(file, text);
    }
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    fs::write(&beside, text)?;
    fs::rename(&beside, file)
}
