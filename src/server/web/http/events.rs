//! Watching, as server-sent events: each a whole state.
//!
//! An event's id says which state it is, and of which life of the server: who comes back with the last one
//! they had is not told that state again.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, Uri, header};
use http_body::Frame;
use tokio::time::{Sleep, sleep};

use super::problem::Problem;
use super::read::{ELECTIONS, OfElection, query};
use super::{Ground, json};
use crate::error::Error;
use crate::server::Life;
use crate::server::book::OK;
use crate::server::web::reply::Reply;
use crate::server::web::visit::{Account, Begun, Place, Visit};
use crate::service::Call;
use crate::wire::message::Message;
use crate::wire::tenure_v1::elections::{ObserveRequest, State as ElectionState};

/// A comment after so long without an event, so that whoever is between knows that it goes on.
const BEAT: Duration = Duration::from_secs(15);
/// How long a browser waits before it comes back.
const RETRY: &str = "retry: 1000\n\n";

pub(super) async fn watch(
    State(ground): State<Arc<Ground>>,
    Extension(visit): Extension<Arc<Visit>>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let OfElection { election } = query(&uri)?;
    if *ground.life.borrow() != Life::Serving {
        return Err(Error::Draining.into());
    }
    let payload = ObserveRequest { election, leader_only: false }.encode();
    let call = Call { service: ELECTIONS, method: "Observe", payload: &payload, session: None };
    let account = visit.account(ELECTIONS, "Observe");
    let place = visit.place()?;
    let Begun::Owed(reply) = visit.begin(&place, call)? else {
        return Err(Error::Draining.into());
    };
    visit.meter.owe_while_here();
    let events = Events {
        incarnation: ground.shared.engine.incarnation().into(),
        had: headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned),
        opening: Some(RETRY),
        beat: Box::pin(sleep(BEAT)),
        reply,
        is_over: false,
        account,
        _place: place,
    };
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], Body::new(events)).into_response())
}

struct Events {
    reply: Reply,
    is_over: bool,
    incarnation: Box<str>,
    /// The id that the watcher had last, until another state comes.
    had: Option<String>,
    opening: Option<&'static str>,
    beat: Pin<Box<Sleep>>,
    account: Account,
    _place: Place,
}

impl Events {
    /// The event of a state; `None` if the watcher has it.
    fn event(&mut self, message: &[u8]) -> Option<String> {
        let state = ElectionState::decode(message).ok()?;
        let id = id(&self.incarnation, &state);
        let is_known = self.had.take().is_some_and(|had| had == id);
        (!is_known).then(|| format!("id: {id}\ndata: {}\n\n", json::state(&state)))
    }
}

/// A revision alone would not do: a deleted election that is entered again counts from 1, and only its terms
/// go on. And who was told that the leader has to wait is to be told when it no longer has.
fn id(incarnation: &str, state: &ElectionState) -> String {
    let waits = if state.valid_after_micros > 0 { "-waits" } else { "" };
    format!("{incarnation}-{}-{}{waits}", state.term, state.revision)
}

/// Why nothing more comes. A browser comes back in any case; others would not know whether to.
fn farewell(error: Error) -> String {
    format!("event: end\ndata: {}\n\n", Problem::from(error).body())
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let said = |text: String| Poll::Ready(Some(Ok(Frame::data(text.into()))));
        if let Some(opening) = self.opening.take() {
            return said(opening.to_owned());
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        loop {
            match self.reply.poll(cx) {
                Poll::Ready(Some(Ok(message))) => {
                    if let Some(event) = self.event(&message) {
                        self.beat = Box::pin(sleep(BEAT));
                        return said(event);
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.account.close(error.code().number());
                    self.is_over = true;
                    return said(farewell(error));
                }
                Poll::Ready(None) => {
                    self.account.close(OK);
                    return Poll::Ready(None);
                }
                Poll::Pending if self.beat.as_mut().poll(cx).is_ready() => {
                    self.beat = Box::pin(sleep(BEAT));
                    return said(": still here\n\n".to_owned());
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
