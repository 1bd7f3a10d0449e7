//! The gRPC layer: everything that knows gRPC. Nothing outside of it imports `tonic`, `prost` or `stubs`.

mod caller;
mod convert;
mod example;
mod lines;
mod responses;
mod sessions;
mod status;
mod unary;

use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use stubs::chat::v1::chat_service_server::SERVICE_NAME as CHAT_SERVICE;
use stubs::chat_server::SERVICE_NAME as EXAMPLE_SERVICE;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::access::Caller;
use crate::connection::{Calls, RequestBody};
use crate::session::Context;

pub(crate) use convert::ENCODE;

/// The name under which `grpc.health.v1` reports on the whole server.
const WHOLE_SERVER: &str = "";

/// Returns every service on the port, and the handle that sets their health status.
pub(crate) async fn service(context: Arc<Context>) -> (Service, Health) {
    let (reporter, health) = tonic_health::server::health_reporter();
    for name in [EXAMPLE_SERVICE, CHAT_SERVICE] {
        reporter.set_service_status(name, ServingStatus::Serving).await;
    }

    let mut routes = Routes::builder();
    routes.add_service(example::server(&context));
    routes.add_service(unary::server(&context));
    routes.add_service(health);
    match (reflection().build_v1(), reflection().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => {
            routes.add_service(v1).add_service(v1alpha);
        }
        // The descriptor set is part of the binary and covered by a test, so this does not happen in the field.
        (Err(error), _) | (_, Err(error)) => tracing::error!(%error, "no reflection"),
    }
    let sessions = sessions::Sessions::new(context);
    let routes: Routes = routes.routes().into_axum_router().route_service(sessions::PATH, sessions).into();
    (Service { routes: routes.prepare() }, Health { reporter })
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(stubs::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// The handle that sets the status served by `grpc.health.v1`.
pub(crate) struct Health {
    reporter: HealthReporter,
}

impl Health {
    /// Keeps the chat's status up to date with whether it can store what it is sent, for ever. The example needs no store.
    pub(crate) async fn follow(&self, mut healthy: watch::Receiver<bool>) {
        loop {
            let status = if *healthy.borrow_and_update() { ServingStatus::Serving } else { ServingStatus::NotServing };
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
        for name in [EXAMPLE_SERVICE, CHAT_SERVICE, WHOLE_SERVER] {
            self.reporter.set_service_status(name, ServingStatus::NotServing).await;
            self.reporter.clear_service_status(name).await;
        }
    }
}

/// The routes that all connections share.
pub(crate) struct Service {
    routes: Routes,
}

impl Service {
    /// Returns the function that handles the requests of one connection. Handlers find the caller in their request, and
    /// start there what runs beside their response.
    pub(crate) fn for_connection(
        &self,
        peer: SocketAddr,
        calls: Calls,
    ) -> impl Fn(Request<RequestBody>) -> BoxFuture<'static, Response<Body>> + Unpin + use<> {
        let (routes, caller) = (self.routes.clone(), Caller { peer });
        move |mut request| {
            if let Err(status) = check_is_grpc(request.method(), request.headers()) {
                let mut refusal = Response::new(Body::empty());
                *refusal.status_mut() = status;
                return Box::pin(ready(refusal));
            }
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(calls.clone());
            // The router is always ready, and a clone of it is one more reference.
            let response = tonic::codegen::Service::call(&mut routes.clone(), request);
            Box::pin(async move {
                match response.await {
                    Ok(response) => response,
                    Err(never) => match never {},
                }
            })
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
