//! A session over bare HTTP/2, for tests that choose a frame's bytes, or when the client reads.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::RecvStream;
use prost::Message;
use tonic::Status;

use crate::support::frames::{ClientBody, hello, pb};
use crate::support::http2::{
    Http2Client, RequestBody, decode_messages, length_prefixed, next_data, read_body, read_status, response_body,
    send_data,
};
use crate::support::with_timeout;

/// The path of the session's method.
pub(crate) const SESSION: &str = "/chat.v1.ChatService/Session";

/// The client's side of a session. Nothing is read, and no flow-control capacity released, until a test asks for it.
pub(crate) struct RawSession {
    request: RequestBody,
    response: RecvStream,
}

impl RawSession {
    /// Opens a session for `user` on a connection of its own, with the default flow-control window.
    pub(crate) async fn open(addr: SocketAddr, user: &str) -> Self {
        Self::open_on(&mut Http2Client::connect(addr).await, user).await
    }

    /// Opens a session for `user` on the client's connection: sends Hello, with id 1.
    pub(crate) async fn open_on(client: &mut Http2Client, user: &str) -> Self {
        let (response, mut request) = client.open(SESSION, &[]).await;
        assert!(send_data(&mut request, encode(1, hello(user))).await);
        Self { request, response: response_body(response).await }
    }

    /// Sends a frame. Returns whether the stream is still open.
    pub(crate) async fn send_frame(&mut self, id: u64, body: ClientBody) -> bool {
        with_timeout(send_data(&mut self.request, encode(id, body))).await
    }

    /// Sends an encoded frame, whatever it is, on a stream that is open.
    pub(crate) async fn send_encoded(&mut self, frame: &[u8]) {
        assert!(with_timeout(send_data(&mut self.request, length_prefixed(frame))).await);
    }

    /// Returns the next bytes of the response.
    pub(crate) async fn next_data(&mut self) -> Bytes {
        next_data(&mut self.response).await
    }

    pub(crate) fn half_close(&mut self) {
        self.request.send_data(Bytes::new(), true).unwrap();
    }

    /// Half-closes, if the stream is still open, and does what [`RawSession::read_to_end`] does.
    pub(crate) async fn half_closed_to_end(mut self) -> (Bytes, Status) {
        let _ = self.request.send_data(Bytes::new(), true);
        self.read_to_end().await
    }

    /// Reads the response to its end. Returns its bytes and the status in its trailers.
    pub(crate) async fn read_to_end(mut self) -> (Bytes, Status) {
        let all = read_body(&mut self.response).await.unwrap();
        (all.freeze(), read_status(&mut self.response).await)
    }
}

fn encode(id: u64, body: ClientBody) -> Bytes {
    length_prefixed(&pb::ClientFrame { id, body: Some(body) }.encode_to_vec())
}

/// Decodes frames of the server.
pub(crate) fn decode_frames(bytes: &[u8]) -> Vec<pb::ServerFrame> {
    decode_messages(bytes)
}
