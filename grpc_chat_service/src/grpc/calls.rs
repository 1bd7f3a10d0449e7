//! What is counted of calls: their methods, their statuses and the reasons in these, and the time that unary calls take.

use std::error::Error;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{HeaderMap, Response};
use stubs::chat::v1::Reason;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::reply::{self, Body};
use crate::connection::{Part, ResponseBody};
use crate::metrics::{Method, Metrics};

/// The method of a call to anything that is not served. What callers invent is no label.
const UNKNOWN: Method = method("unknown", "unknown");

/// The methods that are served: path, labels, and whether they are unary.
const METHODS: [(&str, Method, bool); 9] = [
    ("/Chat/chat", method("Chat", "chat"), false),
    ("/chat.v1.ChatService/Session", method("chat.v1.ChatService", "Session"), false),
    ("/chat.v1.ChatService/ListMessages", method("chat.v1.ChatService", "ListMessages"), true),
    ("/chat.v1.ChatService/ListRooms", method("chat.v1.ChatService", "ListRooms"), true),
    ("/chat.v1.ChatService/SendMessage", method("chat.v1.ChatService", "SendMessage"), true),
    ("/grpc.health.v1.Health/Check", method("grpc.health.v1.Health", "Check"), true),
    ("/grpc.health.v1.Health/Watch", method("grpc.health.v1.Health", "Watch"), false),
    (
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        method("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo"),
        false,
    ),
    (
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        method("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo"),
        false,
    ),
];

const fn method(grpc_service: &'static str, grpc_method: &'static str) -> Method {
    Method { grpc_service, grpc_method }
}

/// A call that has begun. If it is dropped before it ends, the caller has left.
pub(super) struct Call {
    metrics: Arc<Metrics>,
    method: Method,
    /// When a unary call began.
    began: Option<Instant>,
    ended: bool,
}

impl Call {
    /// Counts a call that begins.
    pub(super) fn begin(metrics: &Arc<Metrics>, path: &str) -> Self {
        let known = METHODS.iter().find(|(known, ..)| *known == path);
        let &(_, method, is_unary) = known.unwrap_or(&("", UNKNOWN, false));
        metrics.calls.started(method);
        Self { metrics: Arc::clone(metrics), method, began: is_unary.then(Instant::now), ended: false }
    }

    /// Whether the call has one request and one response.
    pub(super) fn is_unary(&self) -> bool {
        self.began.is_some()
    }

    /// Returns the response to the call, which counts how the call ends.
    pub(super) fn respond<B: ResponseBody + 'static>(
        mut self,
        response: Result<Response<B>, Status>,
    ) -> Response<Body> {
        if let Some(began) = self.began {
            self.metrics.calls.took(self.method, began.elapsed());
        }
        match response {
            Ok(response) if response.headers().contains_key(Status::GRPC_STATUS) => {
                self.end(response.headers());
                response.map(|body| Box::new(body) as Body)
            }
            Ok(response) => response.map(|body| Box::new(CountedBody { body, call: self }) as Body),
            Err(status) => {
                let response = reply::failed(status);
                self.end(response.headers());
                response
            }
        }
    }

    /// Counts the end of the call, with the status in these headers or trailers.
    fn end(&mut self, headers: &HeaderMap) {
        self.ended = true;
        let status = Status::from_header_map(headers).unwrap_or_else(|| Status::unknown("no status"));
        self.metrics.calls.handled(self.method, name(status.code()));
        if status.code() != Code::Ok
            && let Some(info) = status.get_details_error_info()
            && let Some(reason) = Reason::from_str_name(&info.reason)
        {
            self.metrics.refused(reason.as_str_name());
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.ended {
            self.metrics.calls.handled(self.method, name(Code::Cancelled));
        }
    }
}

/// The body of a response, whose trailers are the end of its call.
struct CountedBody<B> {
    body: B,
    call: Call,
}

impl<B: ResponseBody> ResponseBody for CountedBody<B> {
    fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    fn set_blocked(&mut self, blocked: bool) {
        self.body.set_blocked(blocked);
    }

    fn reads_request(&self) -> bool {
        self.body.reads_request()
    }

    fn stall(&self) -> Option<Duration> {
        self.body.stall()
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, Box<dyn Error + Send + Sync>>>> {
        let part = self.body.poll_part(cx);
        if let Poll::Ready(Some(Ok(Part::Trailers(trailers)))) = &part {
            self.call.end(trailers);
        }
        part
    }
}

/// Returns the name of a status as gRPC's other libraries have it in their figures.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}
