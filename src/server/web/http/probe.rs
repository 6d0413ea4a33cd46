//! For machines that look after the server.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::Ground;
use super::problem::Problem;
use crate::server::Life;

/// It serves: whoever asks reads this.
pub(super) async fn live() -> Json<Value> {
    Json(json!({"live": true}))
}

/// It takes changes. 503 while it drains, and while nothing new can be kept.
pub(super) async fn ready(State(ground): State<Arc<Ground>>) -> Result<Json<Value>, Problem> {
    if *ground.life.borrow() != Life::Serving {
        return Err(Problem::unavailable("the server is draining"));
    }
    ground.shared.engine.check_storage()?;
    Ok(Json(json!({"ready": true})))
}

pub(super) async fn version(State(ground): State<Arc<Ground>>) -> Json<Value> {
    let engine = &ground.shared.engine;
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"), "server_id": engine.server_id(),
        "incarnation": engine.incarnation(), "durable": engine.is_durable(),
    }))
}

/// One page at a time, and on no thread that serves others: for wide globs it walks through all elections.
pub(super) async fn metrics(State(ground): State<Arc<Ground>>) -> Result<Response, Problem> {
    let turn = ground.scrapes.clone().acquire_owned().await;
    let shared = ground.shared.clone();
    let page = spawn_blocking(move || {
        let page = shared.metrics();
        drop(turn);
        page
    });
    let page = page.await.map_err(|_| Problem::internal("the page could not be made"))?;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], page).into_response())
}
