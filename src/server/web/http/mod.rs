//! HTTP: JSON for people and scripts, and probes for machines.

use std::sync::Arc;

use axum::Router;

use super::Side;
use crate::server::Shared;

/// The routes that are served to whoever comes in at that side.
pub(super) fn router(_shared: &Arc<Shared>, _side: Side) -> Router {
    Router::new()
}
