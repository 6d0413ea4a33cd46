//! gRPC: tonic's framing of answers over the method table.
//!
//! The messages are those of `wire/`, which the table reads and writes as bytes; so the encoder only hands
//! them through, and one handler serves every method.
//!
//! A request's message is read here and not by tonic's decoder, which makes room for as many bytes as the
//! peer announces: a connection's calls together hold no more than a bound, of what has arrived.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use futures_core::Stream;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};
use tonic::body::Body;
use tonic::codec::{
    BufferSettings, EncodeBody, EncodeBuf, Encoder, SingleMessageCompressionOverride,
};
use tonic::{Code, Status};

use super::outgoing::Outgoing;
use super::reply::{Reply, Timed, late};
use super::visit::{Account, Begun, Place, Visit};
use crate::error::Error;
use crate::server::book::OK;
use crate::service::{Call, SESSION};

/// What stands before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// True if the request wants gRPC, and not a page or JSON.
pub(super) fn is_meant(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let format = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    matches!(format, Some([] | [b'+' | b';', ..]))
}

/// Answers a call.
pub(super) async fn answer(visit: Arc<Visit>, request: Request<Incoming>) -> Response<Outgoing> {
    let (service, method) = names(request.uri().path());
    let mut account = visit.account(service, method);
    let (place, answered) = match visit.place() {
        Ok(place) => {
            let answered = call(&visit, &place, request).await;
            (Some(place), answered)
        }
        Err(error) => (None, Err(status(&visit, error))),
    };
    match answered {
        Ok(Told::One(message)) => {
            account.close(OK);
            respond(visit, place, Messages::One(Some(message)))
        }
        Ok(Told::Many(reply)) => respond(visit, place, Messages::Many(Box::new(reply), account)),
        Err(status) => {
            account.close(status.code().into());
            status.into_http().map(|body| Outgoing::new(visit, place, body, 0))
        }
    }
}

async fn call(
    visit: &Arc<Visit>,
    place: &Place,
    request: Request<Incoming>,
) -> Result<Told, Status> {
    let (head, body) = request.into_parts();
    let mut deadline = patience(&head.headers).map(|time| Box::pin(sleep(time)));
    let payload = tokio::select! {
        biased;
        message = message(visit, body) => message?,
        () = passed(&mut deadline) => {
            return Err(status(visit, Error::DeadlineExceeded { may_have_happened: false }));
        }
    };
    let call = call_of(head.uri.path(), &head.headers, &payload)?;
    let mut reply = match visit.begin(place, call).map_err(|error| status(visit, error))? {
        Begun::Done(message) => return Ok(Told::One(message)),
        Begun::Owed(reply) => reply,
    };
    if reply.streams() {
        return Ok(Told::Many(Timed::new(reply, deadline)));
    }
    let message = only(&mut reply, &mut deadline).await;
    message.map(Told::One).map_err(|error| status(visit, error))
}

async fn only(reply: &mut Reply, deadline: &mut Option<Pin<Box<Sleep>>>) -> Result<Bytes, Error> {
    tokio::select! {
        biased;
        message = reply.only() => return message,
        () = passed(deadline) => {}
    }
    Err(late(reply))
}

async fn passed(deadline: &mut Option<Pin<Box<Sleep>>>) {
    match deadline {
        Some(deadline) => deadline.await,
        None => pending().await,
    }
}

/// A request's one message, within the time that a frame has. Whatever comes behind it is not looked at.
async fn message(visit: &Arc<Visit>, body: Incoming) -> Result<Bytes, Status> {
    tokio::select! {
        biased;
        message = receive(visit, body) => message,
        () = sleep(visit.shared.terms.frame_time) => {
            Err(Status::deadline_exceeded("the message did not arrive in time; nothing was changed"))
        }
    }
}

async fn receive(visit: &Arc<Visit>, mut body: Incoming) -> Result<Bytes, Status> {
    let mut arriving = visit.arriving();
    let mut received = Vec::new();
    let mut length = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Status::cancelled(error.to_string()))?;
        let Some(data) = frame.data_ref() else { continue };
        visit.meter.message(data.len());
        // Of what comes behind the message nothing is kept.
        let wanted = PREFIX + length.unwrap_or(visit.shared.engine.limits().frame_bytes);
        let part = &data[..data.len().min(wanted - received.len())];
        arriving.add(part.len()).map_err(|error| status(visit, error))?;
        received.extend_from_slice(part);
        if length.is_none()
            && let Some(prefix) = received.first_chunk()
        {
            let announced = length_of(visit, prefix)?;
            received.truncate(PREFIX + announced);
            length = Some(announced);
        }
    }
    let whole = length.filter(|length| received.len() == PREFIX + length);
    whole.ok_or_else(|| {
        Status::invalid_argument("the call has no whole message; send one, and then end the stream")
    })?;
    let mut message = Bytes::from(received);
    message.advance(PREFIX);
    Ok(message)
}

fn length_of(visit: &Visit, prefix: &[u8; PREFIX]) -> Result<usize, Status> {
    let [compressed, length @ ..] = *prefix;
    let (length, max) = (u32::from_be_bytes(length), visit.shared.engine.limits().frame_bytes);
    if compressed != 0 {
        return Err(Status::unimplemented("compressed messages are not taken; send them plain"));
    }
    if length as usize > max {
        let advice = "send a smaller message, or raise the limit";
        let error = Error::LimitReached { limit: "frame_bytes", max: max as u64, advice };
        return Err(status(visit, error));
    }
    Ok(length as usize)
}

/// The service and the method that a path names.
fn names(path: &str) -> (&str, &str) {
    let path = path.strip_prefix('/').unwrap_or_default();
    path.split_once('/').unwrap_or((path, ""))
}

fn call_of<'a>(
    path: &'a str,
    headers: &'a HeaderMap,
    payload: &'a [u8],
) -> Result<Call<'a>, Status> {
    let (service, method) = names(path);
    let session = match headers.get(SESSION).map(HeaderValue::to_str) {
        None => None,
        Some(Ok(key)) => Some(key),
        Some(Err(_)) => {
            let why = format!("the metadata {SESSION} is not text: give the key, 32 hex digits");
            return Err(Status::invalid_argument(why));
        }
    };
    Ok(Call { service, method, payload, session })
}

fn respond(visit: Arc<Visit>, place: Option<Place>, messages: Messages) -> Response<Outgoing> {
    let ready = match &messages {
        Messages::One(message) => message.as_ref().map_or(0, |message| PREFIX + message.len()),
        Messages::Many(..) => 0,
    };
    let plain = SingleMessageCompressionOverride::default();
    let body = Body::new(EncodeBody::new_server(Raw, messages, None, plain, None));
    let mut response = Response::new(Outgoing::new(visit, place, body, ready));
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Messages as they are on the wire.
struct Raw;

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(message);
        Ok(())
    }

    /// Each message by itself: the next is asked for when this one has found room.
    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(256, 1)
    }
}

/// What a call was told.
enum Told {
    One(Bytes),
    Many(Timed),
}

/// The messages of an answer; a stream is counted when it ends.
enum Messages {
    One(Option<Bytes>),
    Many(Box<Timed>, Account),
}

impl Stream for Messages {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut *self {
            Messages::One(message) => Poll::Ready(message.take().map(Ok)),
            Messages::Many(reply, account) => reply.poll(cx).map(|next| match next {
                None => {
                    account.close(OK);
                    None
                }
                Some(Ok(message)) => Some(Ok(message)),
                Some(Err(error)) => {
                    account.close(error.code().number());
                    Some(Err(status(account.visit(), error)))
                }
            }),
        }
    }
}

/// As ttrpc gives it: the codes are the same.
fn status(visit: &Visit, error: Error) -> Status {
    visit.shared.requests.told(&error);
    Status::new(Code::from_i32(error.code().number()), error.to_string())
}

/// How long the caller waits: up to eight digits and a unit. What can't be read sets no limit, as in
/// other servers.
fn patience(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            patience(&headers)
        };
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(read("1S"), Some(Duration::from_secs(1)));
        assert_eq!(read("0n"), Some(Duration::ZERO));
        for text in ["", "S", "1", "1s", "-1S", "123456789S", "1é"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn any_path_names_a_method_or_none() {
        let headers = HeaderMap::new();
        for (path, service, method) in [
            ("/a.B/C", "a.B", "C"),
            ("/a.B/C/D", "a.B", "C/D"),
            ("/a.B", "a.B", ""),
            ("/", "", ""),
            ("*", "", ""),
            ("", "", ""),
        ] {
            let call = call_of(path, &headers, b"").unwrap();
            assert_eq!((call.service, call.method), (service, method), "{path:?}");
        }
    }

    #[test]
    fn grpc_is_told_by_its_content_type() {
        let is = |kind: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            is_meant(&headers)
        };
        assert!(is("application/grpc") && is("application/grpc+proto"));
        assert!(!is("application/grpc-web") && !is("application/json") && !is("text/plain"));
        assert!(!is_meant(&HeaderMap::new()));
    }
}
