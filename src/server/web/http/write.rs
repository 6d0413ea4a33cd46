//! Changing by hand, where it was switched on.

use std::error::Error as _;
use std::sync::Arc;

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Extension, Request, State};
use http::{HeaderMap, header};
use http_body_util::LengthLimitError;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::problem::Problem;
use super::read::{ELECTIONS, SESSIONS, ask};
use super::{Ground, json};
use crate::server::web::visit::Visit;
use crate::wire::tenure_v1::elections::{
    ChangeRequest, ChangeResponse, DeleteRequest, DeleteResponse,
};
use crate::wire::tenure_v1::sessions::{EndRequest, EndResponse};

/// Bytes of a body: a few names and a reason.
const MOST: usize = 16 << 10;

type Answer = Result<Json<Value>, Problem>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    election: String,
    candidate: String,
    expected_term: Option<u64>,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deletion {
    election: String,
    expected_term: Option<u64>,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ending {
    /// As it is listed: a string, since it may be over 2^53.
    session: String,
    #[serde(default)]
    reason: String,
}

macro_rules! changes {
    ($($name:ident $method:literal)*) => {$(
        pub(super) async fn $name(
            State(ground): State<Arc<Ground>>,
            Extension(visit): Extension<Arc<Visit>>,
            request: Request,
        ) -> Answer {
            change(&ground, &visit, $method, request).await
        }
    )*};
}

changes! {
    anoint "Anoint"
    promote "Promote"
    demote "Demote"
    evict "Evict"
}

async fn change(ground: &Ground, visit: &Arc<Visit>, method: &str, request: Request) -> Answer {
    let Change { election, candidate, expected_term, reason } =
        body(ground, visit, request).await?;
    let request = ChangeRequest { session: 0, election, candidate, expected_term, reason };
    let reply: ChangeResponse = ask(visit, ELECTIONS, method, &request).await?;
    Ok(Json(json::state(&reply.state.unwrap_or_default())))
}

pub(super) async fn delete(
    State(ground): State<Arc<Ground>>,
    Extension(visit): Extension<Arc<Visit>>,
    request: Request,
) -> Answer {
    let Deletion { election, expected_term, reason } = body(&ground, &visit, request).await?;
    let request = DeleteRequest { election: election.clone(), expected_term, reason };
    let _: DeleteResponse = ask(&visit, ELECTIONS, "Delete", &request).await?;
    Ok(Json(json!({"election": election, "deleted": true})))
}

pub(super) async fn end_session(
    State(ground): State<Arc<Ground>>,
    Extension(visit): Extension<Arc<Visit>>,
    request: Request,
) -> Answer {
    let Ending { session, reason } = body(&ground, &visit, request).await?;
    let id: u64 = session.parse().unwrap_or_default();
    if id.to_string() != session {
        let why = format!("session {session:?} is not a session's id: give it as listed");
        return Err(Problem::invalid(why));
    }
    let _: EndResponse = ask(&visit, SESSIONS, "End", &EndRequest { session: id, reason }).await?;
    Ok(Json(json!({"session": session, "ended": true})))
}

/// The body, if it is a JSON object and says what is needed, and no more; nor does anything else.
async fn body<T: DeserializeOwned>(
    ground: &Ground,
    visit: &Visit,
    request: Request,
) -> Result<T, Problem> {
    if request.uri().query().is_some() {
        return Err(Problem::invalid(
            "a change is told in the body alone; leave out what is behind ?",
        ));
    }
    if !is_json(request.headers()) {
        return Err(Problem::other_type());
    }
    let whole = timeout(ground.shared.terms.frame_time, to_bytes(request.into_body(), MOST)).await;
    let bytes = whole.map_err(|_| Problem::too_slow())?.map_err(|error| fault_of(&error))?;
    visit.came_whole();
    // A list would do for a struct, too: its fields by their places.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::invalid("the body has to be a JSON object, as GET / shows it"));
    }
    serde_json::from_slice(&bytes).map_err(|error| Problem::invalid(format!("the body: {error}")))
}

/// It is too long, or not framed as HTTP has it.
fn fault_of(error: &axum::Error) -> Problem {
    if error.source().is_some_and(|source| source.is::<LengthLimitError>()) {
        return Problem::too_large(MOST);
    }
    Problem::invalid(format!("the body can't be read: {error}"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}
