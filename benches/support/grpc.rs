//! gRPC over a bare HTTP/2 client: no more of it than a bench needs.

use std::future::poll_fn;

use bytes::{BufMut, Bytes, BytesMut};
use h2::RecvStream;
use h2::client::{ResponseFuture, SendRequest};
use http::Request;
use tokio::net::TcpStream;

pub const ELECTION: &str = "atomix.runtime.election.v1.LeaderElection";
/// Of a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// One connection.
#[derive(Clone)]
pub struct Channel {
    requests: SendRequest<Bytes>,
}

impl Channel {
    /// Connects; a task of this runtime drives the connection.
    pub async fn open(address: &str) -> Self {
        let socket = TcpStream::connect(address).await.expect("a connection");
        socket.set_nodelay(true).expect("an option");
        let (requests, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
        tokio::spawn(async move {
            // The server's end is seen by the calls.
            let _over = connection.await;
        });
        Self { requests }
    }

    pub async fn call(&self, path: &str, message: Bytes) -> Messages {
        let request = Request::post(format!("http://tenure{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .expect("a request");
        let mut requests = self.requests.clone().ready().await.expect("the connection lives");
        let (response, mut body) = requests.send_request(request, false).expect("it is sent");
        body.send_data(message, true).expect("it is sent");
        Messages { response: Some(response), body: None, buffer: BytesMut::new() }
    }

    /// The answer of a call that has one.
    pub async fn unary(&self, path: &str, message: Bytes) -> Bytes {
        self.call(path, message).await.next().await.expect("an answer")
    }
}

/// A message as it is sent.
pub fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).expect("a message"));
    framed.put_slice(message);
    framed.freeze()
}

/// What a call is answered with.
pub struct Messages {
    response: Option<ResponseFuture>,
    body: Option<RecvStream>,
    buffer: BytesMut,
}

impl Messages {
    /// The next message, or `None` at the end; which must be a good one.
    pub async fn next(&mut self) -> Option<Bytes> {
        if let Some(response) = self.response.take() {
            self.body = Some(response.await.ok()?.into_body());
        }
        let body = self.body.as_mut()?;
        loop {
            if let Some(prefix) = self.buffer.first_chunk::<PREFIX>() {
                let len = u32::from_be_bytes(*prefix.last_chunk().expect("four bytes")) as usize;
                if self.buffer.len() >= PREFIX + len {
                    let message = self.buffer.split_to(PREFIX + len).freeze();
                    return Some(message.slice(PREFIX..));
                }
            }
            let Some(data) = body.data().await else {
                let trailers = poll_fn(|cx| body.poll_trailers(cx)).await.ok().flatten();
                let status = trailers.as_ref().and_then(|it| it.get("grpc-status"));
                assert_eq!(status.map(|it| it.as_bytes()), Some(&b"0"[..]), "{trailers:?}");
                return None;
            };
            let data = data.ok()?;
            // What was taken may come again.
            let _ended = body.flow_control().release_capacity(data.len());
            self.buffer.extend_from_slice(&data);
        }
    }
}
