//! The edge: everything that knows gRPC. Nothing outside this folder imports `tonic` or `stubs`.

mod call;
mod chat;
mod convert;
mod example;
mod lines;
mod status;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;

use futures_util::future::Either;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::server::TcpConnectInfo;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::connection::Calls;
use crate::session::Shared;

pub(crate) use convert::ENCODE;

/// The services for which health is told, beside `""`, which stands for the whole server.
const SERVICES: [&str; 2] = ["Chat", "chat.v1.ChatService"];

/// Every service on the port, and the hand that turns its health.
pub(crate) async fn service(shared: Shared) -> (Service, Health) {
    let (reporter, health) = tonic_health::server::health_reporter();
    for name in SERVICES {
        reporter.set_service_status(name, ServingStatus::Serving).await;
    }

    let mut routes = Routes::builder();
    routes.add_service(example::server(&shared));
    routes.add_service(chat::pages(&shared));
    routes.add_service(health);
    match (reflection().build_v1(), reflection().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => {
            routes.add_service(v1).add_service(v1alpha);
        }
        // The descriptor set is part of the binary and a test reads it, so this is not seen in the field.
        (Err(error), _) | (_, Err(error)) => tracing::error!(%error, "no reflection"),
    }
    let routes: Routes =
        routes.routes().into_axum_router().route_service(chat::SESSION, chat::Sessions::new(shared)).into();
    (Service { routes: routes.prepare() }, Health { reporter })
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(stubs::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// What `grpc.health.v1` tells.
pub(crate) struct Health {
    reporter: HealthReporter,
}

impl Health {
    /// Tells, for ever, whether the chat can store what it is sent. The example needs no store.
    pub(crate) async fn follow(&self, mut healthy: watch::Receiver<bool>) {
        loop {
            let status = if *healthy.borrow_and_update() { ServingStatus::Serving } else { ServingStatus::NotServing };
            for name in ["chat.v1.ChatService", ""] {
                self.reporter.set_service_status(name, status).await;
            }
            if healthy.changed().await.is_err() {
                // The history is closed: the server is leaving, which is told elsewhere.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Tells those who watch that the server is leaving, and ends their streams, which would otherwise
    /// stay open until the grace is over.
    pub(crate) async fn leaving(mut self) {
        for name in SERVICES.into_iter().chain([""]) {
            self.reporter.set_service_status(name, ServingStatus::NotServing).await;
            self.reporter.clear_service_status(name).await;
        }
    }
}

/// The routes, to be given to connections.
pub(crate) struct Service {
    routes: Routes,
}

impl Service {
    /// The routes for one connection; handlers learn its addresses from the request, and start there what runs beside
    /// their answers.
    pub(crate) fn called_by(&self, peer: SocketAddr, local: SocketAddr, calls: Calls) -> Connected {
        let addresses = TcpConnectInfo { local_addr: Some(local), remote_addr: Some(peer) };
        Connected { routes: self.routes.clone(), addresses, calls }
    }
}

/// The routes for one connection.
pub(crate) struct Connected {
    routes: Routes,
    addresses: TcpConnectInfo,
    calls: Calls,
}

impl hyper::service::Service<Request<Incoming>> for Connected {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<
        Ready<Result<Self::Response, Infallible>>,
        <Routes as tonic::codegen::Service<Request<Incoming>>>::Future,
    >;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if let Some(why) = not_grpc(request.method(), request.headers()) {
            let mut refusal = Response::new(Body::empty());
            *refusal.status_mut() = why;
            return Either::Left(ready(Ok(refusal)));
        }
        request.extensions_mut().insert(self.addresses.clone());
        request.extensions_mut().insert(self.calls.clone());
        // The router is always ready; a clone of it is one reference more.
        Either::Right(tonic::codegen::Service::call(&mut self.routes.clone(), request))
    }
}

/// The HTTP status for a request that is no gRPC at all, as gRPC's protocol asks for; tonic itself would take
/// whatever comes for a call (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, "Requests").
fn not_grpc(method: &Method, headers: &HeaderMap) -> Option<StatusCode> {
    if method != Method::POST {
        return Some(StatusCode::METHOD_NOT_ALLOWED);
    }
    let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    match content_type.strip_prefix(b"application/grpc") {
        Some([] | [b'+' | b';', ..]) => None,
        _ => Some(StatusCode::UNSUPPORTED_MEDIA_TYPE),
    }
}
