//! Who may change anything over HTTP: whoever runs the server said so, and no page of another origin asks.
//!
//! A browser sends what a page of anybody's tells it to, and says where that page came from (`Origin`) and
//! what it thinks the server is called (`Host`). A name that leads here only since a moment ago, as in DNS
//! rebinding, is not one that the server was told of; an address is.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, header};

use super::Ground;
use super::problem::Problem;
use crate::error::Error;

pub(super) async fn check(
    State(ground): State<Arc<Ground>>,
    request: Request,
    next: Next,
) -> Response {
    let settings = &ground.shared.settings;
    if !settings.http_write {
        return Problem::forbidden(
            "changes over HTTP are switched off; start the server with --http-write",
        )
        .into_response();
    }
    let authority = request.uri().authority().map(|it| it.as_str());
    match allow(request.headers(), authority, &settings.http_origins) {
        Ok(()) => next.run(request).await,
        Err(why) => Problem::forbidden(why).into_response(),
    }
}

/// `authority`: what HTTP/2 has in place of the Host header, and HTTP/1 may have before the path. `origins`:
/// those that are trusted beside the server's own.
fn allow(headers: &HeaderMap, authority: Option<&str>, origins: &[String]) -> Result<(), String> {
    let host = match (one(headers, header::HOST)?, authority) {
        (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority) => {
            return Err(format!("the request is for {authority:?}, and its Host is {host:?}"));
        }
        (host, authority) => host.or(authority),
    };
    let Some(host) = host else {
        return Err("the request says no Host; changes need one".to_owned());
    };
    let is_trusted = |origin: &str| origins.iter().any(|one| one.eq_ignore_ascii_case(origin));
    let names_us = origins.iter().any(|one| {
        one.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
    });
    if !names_us && !is_address(host) {
        return Err(format!(
            "Host {host:?} is not what this server was told it is called; use its address, or start it \
             with --http-origin"
        ));
    }
    match one(headers, header::ORIGIN)? {
        Some(origin) if origin.strip_prefix("http://") != Some(host) && !is_trusted(origin) => {
            Err(format!(
                "a page of {origin:?} may not change anything here; if it is yours, start the server \
                 with --http-origin"
            ))
        }
        _ => Ok(()),
    }
}

pub(super) const AMBIGUOUS: &str =
    "Host and Transfer-Encoding may stand in a request once, and the latter may only be chunked";

/// True for what others may take for another host, or for another end of the body. The rest of what can be
/// read in two ways was refused before it came here.
pub(super) fn is_ambiguous(headers: &HeaderMap) -> bool {
    let times = |name| headers.get_all(name).iter().count();
    let coding = headers.get(header::TRANSFER_ENCODING);
    times(header::HOST) > 1
        || times(header::TRANSFER_ENCODING) > 1
        || coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

/// A header that stands there once at most, and is text.
fn one(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, String> {
    let mut all = headers.get_all(&name).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match value.to_str() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(format!("the header {name} is not text")),
        },
        (Some(_), Some(_)) => Err(format!("the header {name} stands there more than once")),
    }
}

/// True for an address, with or without a port, and for this machine's own name.
fn is_address(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let v6 = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match v6 {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok(),
    }
}

/// Refuses what no browser would say of a page, and so would never be met.
pub(in crate::server) fn check_origin(origin: &str) -> Result<(), Error> {
    let fault = match origin.split_once("://") {
        Some(("http", authority)) => fault_of(authority, ":80"),
        Some(("https", authority)) => fault_of(authority, ":443"),
        _ => Some("give http:// or https:// and a host"),
    };
    fault.map_or(Ok(()), |fault| {
        let why = format!("{origin:?} is not what a browser calls a page's origin: {fault}");
        Err(Error::InvalidSetting { setting: "http-origin", why })
    })
}

fn fault_of(authority: &str, default_port: &str) -> Option<&'static str> {
    let is_known = authority.parse::<Authority>().is_ok_and(|it| !it.as_str().contains('@'));
    if authority.ends_with(default_port) {
        return Some("leave its usual port out");
    }
    (!is_known).then_some("give a scheme, a host and perhaps a port, and nothing behind them")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(host: &[&str], origin: &[&str]) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        for (name, values) in [(header::HOST, host), (header::ORIGIN, origin)] {
            for value in values {
                headers.append(&name, value.parse().unwrap());
            }
        }
        allow(&headers, None, &["https://admin.example".to_owned()])
    }

    #[test]
    fn addresses_and_names_that_were_given_may() {
        for host in ["127.0.0.1:5678", "localhost:5678", "[::1]:5678", "10.0.0.7", "admin.example"]
        {
            assert_eq!(asked(&[host], &[]), Ok(()), "{host}");
        }
        assert_eq!(asked(&["127.0.0.1:5678"], &["http://127.0.0.1:5678"]), Ok(()));
        assert_eq!(asked(&["10.0.0.7"], &["https://admin.example"]), Ok(()));
    }

    #[test]
    fn other_names_and_origins_may_not() {
        for (host, origin) in [
            (&["evil.example"][..], &[][..]),
            (&["127.0.0.1.evil.example:5678"], &[]),
            (&["localhost.evil.example"], &[]),
            (&["[::1].evil.example"], &[]),
            (&["[::1].evil.example:5678"], &[]),
            (&["127.0.0.1:evil"], &[]),
            (&["127.0.0.1:5678", "127.0.0.1:5678"], &[]),
            (&["127.0.0.1:5678"], &["http://evil.example"]),
            (&["127.0.0.1:5678"], &["https://127.0.0.1:5678"]),
            (&["127.0.0.1:5678"], &["http://127.0.0.1:9999"]),
            (&["127.0.0.1:5678"], &["null"]),
            (&["127.0.0.1:5678", "admin.example"], &[]),
            (&["127.0.0.1"], &["http://127.0.0.1", "http://evil.example"]),
            (&[], &[]),
        ] {
            assert!(asked(host, origin).is_err(), "{host:?} {origin:?}");
        }
    }

    /// HTTP/2 says it before the path, with the port, which is part of an origin.
    #[test]
    fn what_is_said_before_the_path_counts() {
        let asked = |authority, host: Option<&str>, origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
                headers.extend(value.map(|value| (name, value.parse().unwrap())));
            }
            allow(&headers, Some(authority), &[]).is_ok()
        };
        let here = "127.0.0.1:5678";
        assert!(asked(here, None, None));
        assert!(asked(here, Some(here), Some("http://127.0.0.1:5678")));
        assert!(!asked(here, None, Some("http://127.0.0.1")));
        assert!(!asked(here, None, Some("http://127.0.0.1:80")));
        assert!(!asked("evil.example", None, None));
        assert!(!asked("evil.example", Some(here), None));
        assert!(!asked(here, Some("evil.example"), None));
    }

    #[test]
    fn an_origin_is_what_a_browser_would_say() {
        for origin in ["https://ops.example", "http://10.0.0.7:8080", "http://[::1]:9", "http://a"]
        {
            assert_eq!(check_origin(origin), Ok(()), "{origin}");
        }
        for origin in [
            "ops.example",
            "https://",
            "https://ops.example/",
            "https://ops.example/page",
            "https://ops.example:443",
            "http://ops.example:80",
            "https://me@ops.example",
            "ftp://ops.example",
            "null",
            "*",
        ] {
            let error = check_origin(origin).unwrap_err().to_string();
            assert!(error.starts_with("http-origin: ") && error.contains(origin), "{error}");
        }
    }
}
