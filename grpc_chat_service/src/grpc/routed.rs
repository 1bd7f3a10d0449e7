//! The calls that go through tonic's routes: everything but the two bidirectional methods.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::OptionFuture;
use http::{HeaderMap, Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::service::Routes;

use super::calls::Call;
use super::messages::{Broken, PREFIX_BYTES};
use super::reply::Body;
use super::status;
use crate::access::Caller;
use crate::connection::{AnyBody, Part, RequestBody, ResponseBody};
use crate::limits::ConnectionLimits;
use crate::pages::PageLease;

/// The calls of one connection that go through tonic's routes.
#[derive(Clone)]
pub(super) struct Routed {
    routes: Routes,
    /// Places for unary calls.
    unary: Arc<Semaphore>,
    stall: Duration,
    max_message_bytes: usize,
}

/// The body of a request, of which a message that is too long is refused by its prefix. tonic would do so with another status
/// than the two bidirectional methods.
struct LimitedBody {
    body: RequestBody,
    max_message_bytes: usize,
    /// The first bytes. There is one message.
    prefix: Vec<u8>,
}

/// The body of a response, and what it occupies until it has been sent.
struct RoutedBody {
    body: AnyBody<tonic::body::Body>,
    stall: Duration,
    _place: Option<OwnedSemaphorePermit>,
    _page: Option<Arc<PageLease>>,
}

impl Routed {
    pub(super) fn new(routes: Routes, limits: &ConnectionLimits) -> Self {
        Self {
            routes,
            unary: Arc::new(Semaphore::new(limits.unary_calls)),
            stall: limits.stall,
            max_message_bytes: limits.message_bytes,
        }
    }

    /// Carries out a call, in time if its caller has set a deadline. A unary call waits for a place.
    pub(super) async fn call(self, mut request: Request<RequestBody>, caller: Caller, call: Call) -> Response<Body> {
        request.extensions_mut().insert(caller);
        let deadline = deadline(request.headers());
        let max_message_bytes = self.max_message_bytes;
        let request = request.map(|body| LimitedBody { body, max_message_bytes, prefix: Vec::new() });
        let handled = async {
            let place = OptionFuture::from(call.is_unary().then(|| self.unary.acquire_owned())).await;
            // The router is always ready, and a clone of it is one more reference.
            match tonic::codegen::Service::call(&mut { self.routes }, request).await {
                Ok(response) => (response, place.transpose().ok().flatten()),
                Err(never) => match never {},
            }
        };
        let handled = match deadline {
            None => Ok(handled.await),
            Some(deadline) => tokio::time::timeout(deadline, handled).await.map_err(|_| status::too_late()),
        };
        let response = handled.map(|(mut response, place)| {
            let page = response.extensions_mut().remove();
            let stall = self.stall;
            response.map(|body| RoutedBody { body: AnyBody(body), stall, _place: place, _page: page })
        });
        call.respond(response)
    }
}

/// Returns how long the caller waits, if it says so
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, "Timeout").
fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let timeout = headers.get("grpc-timeout")?.to_str().ok()?;
    let (count, unit) = timeout.split_at_checked(timeout.len().checked_sub(1)?)?;
    if count.len() > 8 {
        return None;
    }
    let count: u64 = count.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 60 * 60),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

impl http_body::Body for LimitedBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let Self { body, max_message_bytes, prefix } = &mut *self;
        let frame = ready!(Pin::new(body).poll_frame(cx)).transpose()?;
        if prefix.len() < PREFIX_BYTES
            && let Some(data) = frame.as_ref().and_then(http_body::Frame::data_ref)
        {
            prefix.extend(data.iter().take(PREFIX_BYTES - prefix.len()));
            if let [_, a, b, c, d] = prefix[..] {
                let bytes = u32::from_be_bytes([a, b, c, d]) as usize;
                if bytes > *max_message_bytes {
                    let status = status::from_broken(&Broken::TooLong { bytes, max_bytes: *max_message_bytes });
                    return Poll::Ready(Some(Err(status.into())));
                }
            }
        }
        Poll::Ready(frame.map(Ok))
    }
}

impl ResponseBody for RoutedBody {
    fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    fn stall(&self) -> Option<Duration> {
        Some(self.stall)
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, Box<dyn Error + Send + Sync>>>> {
        self.body.poll_part(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read_as_grpc_writes_them() {
        let read = |timeout: &'static str| {
            let headers = HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), timeout.parse().unwrap())]);
            deadline(&headers)
        };
        for (timeout, expected) in [
            ("2H", Duration::from_secs(7200)),
            ("3M", Duration::from_secs(180)),
            ("99999999S", Duration::from_secs(99_999_999)),
            ("1m", Duration::from_millis(1)),
            ("10u", Duration::from_micros(10)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(read(timeout), Some(expected), "{timeout}");
        }
        for nonsense in ["", "S", "10", "123456789S", "-1S", "1x", "1 S", "\u{e9}"] {
            if let Ok(value) = nonsense.parse() {
                let headers = HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), value)]);
                assert_eq!(deadline(&headers), None, "{nonsense}");
            }
        }
        assert_eq!(deadline(&HeaderMap::new()), None);
    }
}
