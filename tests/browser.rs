//! A stock browser that shows somebody else's page: whatever the page tries, nothing changes. Where there is no
//! Chromium, the test says so and passes.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use crossbeam::channel::{Receiver, unbounded};
use support::{PATIENCE, Running, Server};
use tempfile::TempDir;

const NAMES: [&str; 2] = ["chromium", "chromium-browser"];

/// Tries everything that a page can, then tells its own server what came of it.
const PAGE: &str = r#"<!doctype html><iframe name="hidden"></iframe>
<form id="form" method="post" target="hidden" enctype="text/plain" action="SERVER/v1/evict">
<input name='{"election":"jobs","candidate":"a","reason":"' value='"}'></form>
<script>
const body = JSON.stringify({election: "jobs", candidate: "a"});
const attempt = async (how) => {
  try { return (await fetch("SERVER/v1/evict", {method: "POST", body, ...how})).type; }
  catch (error) { return "refused"; }
};
const json = {"Content-Type": "application/json"};
(async () => {
  const told = [];
  told.push(await attempt({headers: json}));
  told.push(await attempt({headers: json, mode: "no-cors"}));
  told.push(await attempt({mode: "no-cors"}));
  told.push(await fetch("SERVER/v1/leader?election=jobs").then(() => "read", () => "refused"));
  told.push(await new Promise((done) => {
    const events = new EventSource("SERVER/v1/watch?election=jobs");
    events.onmessage = () => done("read");
    events.onerror = () => { events.close(); done("refused"); };
  }));
  navigator.sendBeacon("SERVER/v1/evict", body);
  document.getElementById("form").submit();
  await new Promise((done) => document.querySelector("iframe").onload = done);
  fetch("/told?" + told.join());
})();
</script>"#;

/// Another origin: gives its page to everybody, and passes on what the page tells.
fn elsewhere(page: String) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let (to, told) = unbounded();
    thread::spawn(move || {
        for mut peer in listener.incoming().map_while(Result::ok) {
            let line = BufReader::new(&peer).lines().next().and_then(Result::ok);
            let path = line.as_deref().and_then(|line| line.split(' ').nth(1)).unwrap_or("/");
            if let Some((_, results)) = path.split_once("/told?") {
                let _nobody_waits = to.send(results.to_owned());
            }
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close";
            let _gone = write!(peer, "{head}\r\nContent-Length: {}\r\n\r\n{page}", page.len());
        }
    });
    (address, told)
}

/// With its profile, which is gone when it is.
fn browser(page: &str) -> Option<(Running, TempDir)> {
    let name = NAMES.into_iter().find(|name| {
        let mut asked = Command::new(name);
        asked.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        asked.status().is_ok_and(|status| status.success())
    })?;
    let mut command = Command::new(name);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]);
    command.args(["--no-first-run", "--disable-background-networking"]);
    command.args(["--disable-component-update", "--disable-sync"]);
    let profile = tempfile::tempdir().expect("a folder");
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.arg("--remote-debugging-port=0").arg(page);
    Some((Running::start(&mut command), profile))
}

/// One request of a script: the status line and all behind it.
fn ask(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).expect("it listens");
    stream.write_all(request.as_bytes()).expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_page_of_another_origin_changes_nothing() {
    let server = Server::start("--http-write");
    let client = server.client();
    client.enter("jobs", "a").expect("it is served");
    let (address, told) =
        elsewhere(PAGE.replace("SERVER", &format!("http://{}", server.address())));
    let Some(_browser) = browser(&format!("http://{address}/")) else {
        return eprintln!("passed untested: there is no chromium here");
    };
    let told = told.recv_timeout(PATIENCE).expect("the page has tried everything");
    let told: Vec<&str> = told.split(',').collect();
    // "opaque" is what a page sees of any answer that it may not read.
    assert_eq!(told, ["refused", "opaque", "opaque", "refused", "refused"]);
    assert_eq!(client.term("jobs").expect("it is served").leader.as_deref(), Some("a"));

    // The same change, by a script, which is no page: it was there to be made.
    let body = r#"{"election":"jobs","candidate":"a"}"#;
    let length = body.len();
    let answer = ask(
        &server,
        &format!(
            "POST /v1/evict HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}",
            server.address()
        ),
    );
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
