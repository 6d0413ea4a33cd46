//! `tenure serve`: an engine, a server in front of it, and an orderly end.

use std::fs;
use std::io;
use std::net::ToSocketAddrs;
use std::path::Path;
use std::process;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tenure::client::Address;
use tenure::{Engine, EngineBuilder, Server};

use crate::Exit;
use crate::args::Serve;
use crate::log::Log;
use crate::output;

pub(crate) fn run(serve: &Serve) -> Result<()> {
    let log = Log::start(&serve.log_level, serve.log_format)?;
    stop_on_panic();
    refuse_to_expose(serve)?;
    // Registered before anything listens, so that an early signal drains too.
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("can't listen for signals")?;

    let mut engine = Engine::builder().limits(serve.limits.to_engine());
    if let Some(shards) = serve.shards {
        engine = engine.shards(shards);
    }
    if !serve.memory {
        engine = keep(engine, serve);
    }
    let engine = engine.open()?;
    let server = start(serve, engine, &log)?;
    let addresses = server.addresses();
    if let Some(file) = &serve.ports_file {
        write_whole(file, &(addresses.join("\n") + "\n"))
            .with_context(|| format!("can't write {}", file.display()))?;
    }
    // Whoever started it may not care to read that.
    let line = format!("tenure {} listens on {}", env!("CARGO_PKG_VERSION"), addresses.join(", "));
    let _nobody_reads = output::line(&line);
    if serve.memory {
        tracing::warn!(
            "everything is kept in memory: terms start again at 1 when this server stops"
        );
    }

    signals.forever().next();
    tracing::info!("draining for at most {:?}; a second signal ends at once", serve.drain);
    thread::spawn(move || {
        signals.forever().next();
        process::exit(Exit::Failed as i32);
    });
    server.drain(serve.drain);
    tracing::info!("stopped");
    Ok(())
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

fn start(serve: &Serve, engine: Engine, log: &Log) -> Result<Server> {
    let mut server = Server::builder(engine)
        .busy_poll(serve.busy_poll)
        .disconnect_grace(serve.disconnect_grace)
        .silence(serve.silence)
        .frame_time(serve.frame_time)
        .stall_time(serve.stall_time)
        .log_lines_dropped(log.lost());
    for glob in &serve.metrics_election {
        server = server.metrics_election(glob);
    }
    if !serve.connection_idle.is_zero() {
        server = server.connection_idle(serve.connection_idle);
    }
    if let Some(reactors) = serve.reactors {
        server = server.reactors(reactors);
    }
    for address in &serve.listen {
        server = server.listen(address.to_string());
    }
    Ok(server.spawn()?)
}

/// Beyond loopback, anybody on the way can read and change what is said.
fn refuse_to_expose(serve: &Serve) -> Result<()> {
    if serve.allow_plaintext {
        return Ok(());
    }
    for listen in &serve.listen {
        let Address::Tcp(address) = listen else { continue };
        let mut resolved =
            address.to_socket_addrs().with_context(|| format!("can't listen on {address}"))?;
        if resolved.any(|address| !address.ip().is_loopback()) {
            bail!(
                "{address} can be reached from other machines and nothing is encrypted; listen on \
                 127.0.0.1, or give --allow-plaintext if the network is your own"
            );
        }
    }
    Ok(())
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
