//! HTTP: JSON for people and scripts, and probes for machines.
//!
//! What is asked goes through the method table, as `tenure.v1` has it; so an answer here and one over ttrpc
//! say the same. `openapi.json` describes it, and a test holds the two together.

mod events;
mod guard;
mod json;
mod probe;
mod problem;
mod read;
mod write;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderValue, Method, header};
use tokio::sync::{Semaphore, watch};

pub(in crate::server) use self::guard::check_origin;
use self::problem::Problem;
use super::Side;
use crate::server::{Life, Shared};

/// What a request may need beside its connection.
pub(super) struct Ground {
    shared: Arc<Shared>,
    life: watch::Receiver<Life>,
    side: Side,
    /// Taken by whoever makes a page of metrics.
    scrapes: Arc<Semaphore>,
}

impl Ground {
    pub(super) fn new(shared: Arc<Shared>, life: watch::Receiver<Life>, side: Side) -> Self {
        Self { shared, life, side, scrapes: Arc::new(Semaphore::new(1)) }
    }
}

/// The routes that are served to whoever comes in at that side. Where those who run the server have an
/// address of their own, what is for them is there alone.
pub(super) fn router(ground: Ground) -> Router {
    let has_admin = ground.shared.has_admin;
    let is_theirs = ground.side == Side::Admin || !has_admin;
    let ground = Arc::new(ground);
    let mut routes = Router::new()
        .route("/", get(list))
        .route("/openapi.json", get(openapi))
        .route("/v1/elections", get(read::elections))
        .route("/v1/election", get(read::election))
        .route("/v1/leader", get(read::leader))
        .route("/v1/is-leader", get(read::is_leader))
        .route("/v1/history", get(read::history))
        .route("/v1/sessions", get(read::sessions))
        .route("/v1/watch", get(events::watch));
    if is_theirs {
        let writes = Router::new()
            .route("/v1/anoint", post(write::anoint))
            .route("/v1/promote", post(write::promote))
            .route("/v1/demote", post(write::demote))
            .route("/v1/evict", post(write::evict))
            .route("/v1/delete", post(write::delete))
            .route("/v1/end-session", post(write::end_session))
            .route_layer(from_fn_with_state(ground.clone(), guard::check));
        routes = routes
            .merge(writes)
            .route("/livez", get(probe::live))
            .route("/readyz", get(probe::ready))
            .route("/version", get(probe::version))
            .route("/metrics", get(probe::metrics));
    }
    routes
        .method_not_allowed_fallback(other_method)
        .fallback(nothing_there)
        .layer(from_fn_with_state(ground.clone(), plainly))
        .with_state(ground)
}

/// For people who look what there is.
async fn list(State(ground): State<Arc<Ground>>) -> String {
    let mut lines = format!("tenure {}\n\n", env!("CARGO_PKG_VERSION"));
    lines.push_str(include_str!("paths.txt"));
    if ground.shared.has_admin {
        lines.push_str("\nprobes, metrics and changes are served on the admin address\n");
    }
    lines
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("openapi.json"))
}

async fn nothing_there(State(ground): State<Arc<Ground>>, request: Request) -> Problem {
    let path: String = request.uri().path().chars().take(128).collect();
    let elsewhere = ground.shared.has_admin && ground.side == Side::Main;
    let advice = if elsewhere {
        "; probes, metrics and changes are served on the admin address"
    } else {
        "; GET / lists what is"
    };
    Problem::not_found(format!("there is nothing at {path}{advice}"))
}

async fn other_method(method: Method) -> Problem {
    Problem::other_method(&method)
}

/// Nothing is kept by caches, or taken for another type than it is. A request that whoever passed it on may
/// have understood in another way is refused, with all that comes behind it.
async fn plainly(State(ground): State<Arc<Ground>>, request: Request, next: Next) -> Response {
    let is_ambiguous = guard::is_ambiguous(request.headers());
    let mut response = match is_ambiguous {
        true => Problem::invalid(guard::AMBIGUOUS).into_response(),
        false => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_ambiguous || *ground.life.borrow() != Life::Serving {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
