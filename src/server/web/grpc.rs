//! gRPC: tonic's framing over the method table.
//!
//! The messages are those of `wire/`, which the table reads and writes as bytes; so the codec only hands
//! them through, and one handler serves every method.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use futures_core::Stream;
use http::{HeaderMap, Request, Response, Uri};
use hyper::body::Incoming;
use tokio::time::timeout;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, StreamingService};
use tonic::{Code, Status, Streaming};

use super::reply::{Reply, Timed, late};
use super::visit::{Begun, Visit};
use crate::error::Error;
use crate::service::{Call, SESSION};

/// True if the request wants gRPC, and not a page or JSON.
pub(super) fn is_meant(headers: &HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Answers a call. `frame` is the longest message that is taken, in bytes.
pub(super) async fn answer(
    visit: Arc<Visit>,
    frame: usize,
    request: Request<Incoming>,
) -> Response<Body> {
    let method = Method { visit, frame, path: request.uri().clone() };
    Grpc::new(Raw).max_decoding_message_size(frame).streaming(method, request).await
}

/// Messages as they are on the wire.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(bytes.copy_to_bytes(bytes.remaining())))
    }
}

/// The method that a request's path names.
struct Method {
    visit: Arc<Visit>,
    frame: usize,
    path: Uri,
}

impl StreamingService<Bytes> for Method {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Messages>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Self::Future {
        let (visit, path, frame) = (self.visit.clone(), self.path.clone(), self.frame);
        Box::pin(async move {
            let (metadata, _, mut messages) = request.into_parts();
            let headers = metadata.into_headers();
            let patience = patience(&headers);
            let payload = only_message(&mut messages, frame).await?;
            let call = call_of(&path, &headers, &payload)?;
            let messages = match visit.begin(call).map_err(status)? {
                Begun::Done(message) => Messages::One(Some(message)),
                Begun::Owed(reply) => owed(reply, patience).await?,
            };
            Ok(tonic::Response::new(messages))
        })
    }
}

/// A call's one message; whatever a client sends behind it is not looked at.
async fn only_message(messages: &mut Streaming<Bytes>, frame: usize) -> Result<Bytes, Status> {
    match messages.message().await {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(Status::invalid_argument("the call has no message; send one")),
        // What the other protocol says of it.
        Err(too_long) if too_long.code() == Code::OutOfRange => {
            let advice = "send a smaller message, or raise the limit";
            let max = frame as u64;
            Err(status(Error::LimitReached { limit: "frame_bytes", max, advice }))
        }
        Err(error) => Err(error),
    }
}

fn call_of<'a>(
    path: &'a Uri,
    headers: &'a HeaderMap,
    payload: &'a [u8],
) -> Result<Call<'a>, Status> {
    let (service, method) = path.path()[1..].split_once('/').unwrap_or((&path.path()[1..], ""));
    let session = match headers.get(SESSION).map(|key| key.to_str()) {
        None => None,
        Some(Ok(key)) => Some(key),
        Some(Err(_)) => {
            let why = format!("the metadata {SESSION} is not text: give the key, 32 hex digits");
            return Err(Status::invalid_argument(why));
        }
    };
    Ok(Call { service, method, payload, session })
}

async fn owed(mut reply: Reply, patience: Option<Duration>) -> Result<Messages, Status> {
    if reply.streams() {
        return Ok(Messages::Many(Box::new(Timed::new(reply, patience))));
    }
    let message = match patience {
        None => reply.only().await,
        Some(time) => {
            let message = timeout(time, reply.only()).await;
            message.unwrap_or_else(|_| Err(late(&reply)))
        }
    };
    Ok(Messages::One(Some(message.map_err(status)?)))
}

/// The messages of an answer.
enum Messages {
    One(Option<Bytes>),
    Many(Box<Timed>),
}

impl Stream for Messages {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut *self {
            Messages::One(message) => Poll::Ready(message.take().map(Ok)),
            Messages::Many(reply) => {
                reply.poll(cx).map(|next| next.map(|message| message.map_err(status)))
            }
        }
    }
}

/// As ttrpc gives it: the codes are the same.
fn status(error: Error) -> Status {
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
}
