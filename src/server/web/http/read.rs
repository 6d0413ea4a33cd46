//! Reading: who leads, who waits, who led. Nothing is made by asking.

use std::error::Error as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Query};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::json;
use super::problem::Problem;
use crate::error::NameFault;
use crate::id::checked_name;
use crate::server::web::visit::Visit;
use crate::service::Call;
use crate::wire::message::Message;
use crate::wire::tenure_v1::elections::{
    DescribeRequest, DescribeResponse, HistoryRequest, HistoryResponse, ListElectionsRequest,
    ListElectionsResponse,
};
use crate::wire::tenure_v1::sessions::{ListRequest, ListResponse};

pub(super) const ELECTIONS: &str = "tenure.v1.Elections";
pub(super) const SESSIONS: &str = "tenure.v1.Sessions";

type Answer = Result<Json<Value>, Problem>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default)]
    page_size: u32,
    #[serde(default)]
    page_token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Prefix {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    page_size: u32,
    #[serde(default)]
    page_token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfElection {
    pub(super) election: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Candidacy {
    election: String,
    candidate: String,
}

pub(super) async fn elections(Extension(visit): Extension<Arc<Visit>>, uri: Uri) -> Answer {
    let Prefix { prefix, page_size, page_token } = query(&uri)?;
    let request = ListElectionsRequest { prefix, page_size, page_token };
    let page: ListElectionsResponse = ask(&visit, ELECTIONS, "List", &request).await?;
    Ok(Json(json!({
        "elections": page.elections.iter().map(json::summary).collect::<Vec<_>>(),
        "next_page_token": page.next_page_token,
    })))
}

pub(super) async fn election(Extension(visit): Extension<Arc<Visit>>, uri: Uri) -> Answer {
    let Named { name } = query(&uri)?;
    Ok(Json(json::description(&describe(&visit, name).await?)))
}

/// Who leads, and where; 404 when nobody does.
pub(super) async fn leader(
    Extension(visit): Extension<Arc<Visit>>,
    uri: Uri,
) -> Result<Response, Problem> {
    let OfElection { election } = query(&uri)?;
    let state = describe(&visit, election).await?.state.unwrap_or_default();
    let status = if state.leader.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let body = json!({
        "election": state.election, "term": state.term,
        "leader": state.leader.as_ref().map(json::candidate),
        "since_unix_micros": state.since_unix_micros,
        "valid_after_micros": state.valid_after_micros,
    });
    Ok((status, Json(body)).into_response())
}

/// For load balancers: 200 where this candidate leads, else 503.
pub(super) async fn is_leader(
    Extension(visit): Extension<Arc<Visit>>,
    uri: Uri,
) -> Result<Response, Problem> {
    let Candidacy { election, candidate } = query(&uri)?;
    let max = visit.shared.engine.limits().name_bytes;
    checked_name("candidate", candidate.as_bytes(), max)?;
    let state = describe(&visit, election).await?.state.unwrap_or_default();
    let leads = state.leader.is_some_and(|leader| leader.name == candidate);
    let status = if leads { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "election": state.election, "candidate": candidate, "leads": leads, "term": state.term,
        "valid_after_micros": state.valid_after_micros,
    });
    Ok((status, Json(body)).into_response())
}

pub(super) async fn history(Extension(visit): Extension<Arc<Visit>>, uri: Uri) -> Answer {
    let OfElection { election } = query(&uri)?;
    let request = HistoryRequest { election: election.clone() };
    let history: HistoryResponse = ask(&visit, ELECTIONS, "History", &request).await?;
    let reigns: Vec<Value> = history.reigns.iter().map(json::reign).collect();
    Ok(Json(json!({"election": election, "reigns": reigns})))
}

pub(super) async fn sessions(Extension(visit): Extension<Arc<Visit>>, uri: Uri) -> Answer {
    let Page { page_size, page_token } = query(&uri)?;
    let request = ListRequest { page_size, page_token };
    let page: ListResponse = ask(&visit, SESSIONS, "List", &request).await?;
    Ok(Json(json!({
        "sessions": page.sessions.iter().map(json::session).collect::<Vec<_>>(),
        "next_page_token": page.next_page_token,
    })))
}

async fn describe(visit: &Arc<Visit>, election: String) -> Result<DescribeResponse, Problem> {
    ask(visit, ELECTIONS, "Describe", &DescribeRequest { election }).await
}

/// The query's parameters: those that there are, and no others.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    uri.query().unwrap_or_default().split('&').try_for_each(check_parameter)?;
    let query = Query::<T>::try_from_uri(uri);
    let Query(parameters) = query.map_err(|rejected| {
        let why = rejected.source().map_or_else(|| rejected.body_text(), ToString::to_string);
        Problem::invalid(why)
    })?;
    Ok(parameters)
}

/// What is decoded next would put other characters in place of what is no text: another name.
fn check_parameter(parameter: &str) -> Result<(), Problem> {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let mut pieces = value.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let digits = piece.get(..2).filter(|it| it.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let byte = byte.ok_or_else(|| {
            Problem::invalid(format!("{name}: % without two hex digits; write % itself as %25"))
        })?;
        bytes.push(byte);
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    match std::str::from_utf8(&bytes) {
        Ok(_) => Ok(()),
        Err(error) => {
            let fault = NameFault::NotUtf8 { at: error.valid_up_to() };
            Err(Problem::invalid(format!("{name} {fault}")))
        }
    }
}

pub(super) async fn ask<Asked: Message, Told: Message>(
    visit: &Arc<Visit>,
    service: &str,
    method: &str,
    request: &Asked,
) -> Result<Told, Problem> {
    let payload = request.encode();
    let call = Call { service, method, payload: &payload, session: None };
    let reply = visit.ask(call).await?;
    Told::decode(&reply).map_err(|fault| fault.of("the answer").into())
}
