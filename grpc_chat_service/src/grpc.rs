//! The gRPC layer: everything that knows gRPC. Nothing outside of it imports `tonic`, `prost` or `stubs`.

mod caller;
mod calls;
mod convert;
mod decode;
mod encode;
mod example;
mod lines;
mod messages;
mod reply;
mod responses;
mod routed;
mod sessions;
mod status;
mod unary;

use std::future::ready;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use stubs::chat::v1::chat_service_server::SERVICE_NAME as CHAT_SERVICE;
use stubs::chat_server::SERVICE_NAME as EXAMPLE_SERVICE;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::access::Caller;
use crate::address::Peer;
use crate::connection::{AnyBody, Calls, RequestBody};
use crate::session::Context;

use self::calls::Call;
pub(crate) use encode::ENCODE;
use reply::Body;
use routed::Routed;

/// The name under which `grpc.health.v1` reports on the whole server.
const WHOLE_SERVER: &str = "";

/// Returns every service on the port, and the handle that sets their health status.
pub(crate) async fn service(context: Arc<Context>) -> (Service, Health) {
    let (reporter, health) = tonic_health::server::health_reporter();
    for name in [EXAMPLE_SERVICE, CHAT_SERVICE] {
        reporter.set_service_status(name, ServingStatus::Serving).await;
    }

    let mut routes = Routes::builder();
    routes.add_service(unary::server(&context));
    routes.add_service(health);
    match (reflection().build_v1(), reflection().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => {
            routes.add_service(v1).add_service(v1alpha);
        }
        // The descriptor set is part of the binary and covered by a test, so this does not happen in the field.
        (Err(error), _) | (_, Err(error)) => tracing::error!(%error, "no reflection"),
    }
    (Service { context, routes: routes.routes().prepare() }, Health { reporter, ready: watch::Sender::new(true) })
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(stubs::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// The handle that sets the status served by `grpc.health.v1`.
pub(crate) struct Health {
    reporter: HealthReporter,
    /// The status of the whole server.
    ready: watch::Sender<bool>,
}

impl Health {
    /// Returns a watch on the status of the whole server.
    pub(crate) fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Keeps the chat's status up to date with whether it can store what it is sent, for ever. The example needs no store.
    pub(crate) async fn follow(&self, mut healthy: watch::Receiver<bool>) {
        loop {
            let is_healthy = *healthy.borrow_and_update();
            self.ready.send_replace(is_healthy);
            let status = if is_healthy { ServingStatus::Serving } else { ServingStatus::NotServing };
            for name in [CHAT_SERVICE, WHOLE_SERVER] {
                self.reporter.set_service_status(name, status).await;
            }
            if healthy.changed().await.is_err() {
                // The history is closed, because the server is shutting down; `shut_down` reports that.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Reports that the server is shutting down, and ends the streams of those who watch, which would otherwise stay open
    /// until the grace period is over.
    pub(crate) async fn shut_down(mut self) {
        self.ready.send_replace(false);
        for name in [EXAMPLE_SERVICE, CHAT_SERVICE, WHOLE_SERVER] {
            self.reporter.set_service_status(name, ServingStatus::NotServing).await;
            self.reporter.clear_service_status(name).await;
        }
    }
}

/// What all connections share.
pub(crate) struct Service {
    context: Arc<Context>,
    /// The methods that are not on the hot path.
    routes: Routes,
}

impl Service {
    /// Returns the function that handles the requests of one connection.
    ///
    /// The two bidirectional methods, through which all messages go, are in front of the generated routes: those would
    /// copy, box and poll each message several times over.
    pub(crate) fn for_connection(
        &self,
        peer: Peer,
        calls: Calls,
    ) -> impl Fn(Request<RequestBody>) -> BoxFuture<'static, Response<Body>> + Unpin + use<> {
        let (context, caller) = (Arc::clone(&self.context), Caller::at(peer));
        let routed = Routed::new(self.routes.clone(), &context.limits.connection);
        move |request| {
            if let Err(status) = check_is_grpc(request.method(), request.headers()) {
                let mut refusal = Response::new(Box::new(AnyBody(tonic::body::Body::empty())) as Body);
                *refusal.status_mut() = status;
                return Box::pin(ready(refusal));
            }
            let call = Call::begin(&context.metrics, request.uri().path());
            match request.uri().path() {
                sessions::PATH => {
                    let response = sessions::call(&context, &caller, &calls, request);
                    Box::pin(ready(call.respond(response)))
                }
                example::PATH => {
                    let response = example::call(Arc::clone(&context), caller.clone(), calls.clone(), request);
                    Box::pin(async { call.respond(response.await) })
                }
                _ => Box::pin(routed.clone().call(request, caller.clone(), call)),
            }
        }
    }
}

/// Returns the HTTP status for a request that is not gRPC, as gRPC's protocol demands; tonic itself would accept it
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, "Requests").
fn check_is_grpc(method: &Method, headers: &HeaderMap) -> Result<(), StatusCode> {
    if method != Method::POST {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    match content_type.strip_prefix(b"application/grpc") {
        Some([] | [b'+' | b';', ..]) => Ok(()),
        _ => Err(StatusCode::UNSUPPORTED_MEDIA_TYPE),
    }
}
