//! Who may change anything over HTTP: whoever runs the server said so, and no page of another origin asks.
//!
//! A browser sends what a page of anybody's tells it to, and says where that page came from (`Origin`) and
//! what it thinks the server is called (`Host`). A name that leads here only since a moment ago, as in DNS
//! rebinding, is not one that the server was told of; an address is.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, header};

use super::Ground;
use super::problem::Problem;

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
    let host = request.uri().host().map(str::to_owned);
    match allow(request.headers(), host.as_deref(), &settings.http_origins) {
        Ok(()) => next.run(request).await,
        Err(why) => Problem::forbidden(why).into_response(),
    }
}

/// `authority`: what HTTP/2 has in place of the Host header. `origins`: those that are trusted beside the
/// server's own.
fn allow(headers: &HeaderMap, authority: Option<&str>, origins: &[String]) -> Result<(), String> {
    let host = one(headers, header::HOST)?.or(authority);
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
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
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
            (&["[::1].evil.example"], &["http://evil.example"]),
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
}
