//! `chat.v1.ChatService/Session`.

use std::error::Error;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use http::{Request, Response};
use tokio_stream::StreamExt;
use tonic::Status;

use super::convert::FrameDecoder;
use super::{messages, reply, status};
use crate::access::Caller;
use crate::address::Peer;
use crate::connection::{Calls, Part, RequestBody, ResponseBody};
use crate::session::{self, ClientKind, Context, Outbound, Sent};

/// The path of the method.
pub(super) const PATH: &str = "/chat.v1.ChatService/Session";

/// Opens a session.
pub(super) fn call(
    context: &Arc<Context>,
    caller: &Caller,
    calls: &Calls,
    request: Request<RequestBody>,
) -> Result<Response<Frames>, Status> {
    let limits = &context.limits;
    let mut decoder = FrameDecoder::new(limits.session.text_bytes);
    // Each message is decoded separately: one that cannot be decoded is refused, and the next one is read.
    let incoming = request.body().incoming();
    let messages = messages::of(request, limits.connection.message_bytes);
    let frames = messages.map_err(|broken| status::from_broken(&broken))?.map(move |message| match message {
        Ok(message) => Ok(decoder.frame_from_wire(&message)),
        Err(broken) => Err(status::end_of_broken(&broken)),
    });
    let (session, outbound) = session::open(context, caller.clone(), ClientKind::Chat);
    calls.start(session.run(frames, incoming));
    Ok(reply::response(Frames { outbound, peer: caller.peer }))
}

/// What a session sends, as the body of its response. These are bytes already: an event is encoded once, by its room, and
/// every reader's stream passes the same bytes on.
pub(super) struct Frames {
    outbound: Outbound,
    peer: Peer,
}

impl ResponseBody for Frames {
    fn reads_request(&self) -> bool {
        false
    }

    fn set_blocked(&mut self, blocked: bool) {
        self.outbound.set_blocked(blocked);
    }

    fn poll_part(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Part, Box<dyn Error + Send + Sync>>>> {
        self.outbound.poll(cx).map(|sent| {
            sent.map(|sent| match sent {
                Sent::Frames { bytes, is_all } => Ok(Part::Data { bytes, is_all }),
                Sent::End(end) => {
                    let status = status::from_end(&end);
                    tracing::debug!(peer = %self.peer, code = ?status.code(), why = status.message(), "stream ends");
                    Ok(Part::Trailers(reply::trailers(&status)))
                }
            })
        })
    }
}
