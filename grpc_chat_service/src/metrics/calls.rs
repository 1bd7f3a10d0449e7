//! Calls of gRPC methods, under the names that gRPC's other libraries use.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::register::registered;

/// Seconds. A unary call waits for one sync of the disk, or reads a page.
const SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// What is counted of calls.
#[derive(Debug)]
pub(crate) struct CallMetrics {
    started: Family<Method, Counter>,
    handled: Family<Handled, Counter>,
    seconds: Family<Method, Histogram>,
}

/// A method, as the labels of its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Method {
    pub(crate) grpc_service: &'static str,
    pub(crate) grpc_method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Handled {
    grpc_service: &'static str,
    grpc_method: &'static str,
    grpc_code: &'static str,
}

impl CallMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let seconds = Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram);
        registry.register(
            "grpc_server_handling_seconds",
            "Seconds from the arrival of a unary call until its response was ready",
            seconds.clone(),
        );
        Self {
            started: registered(registry, "grpc_server_started", "Calls that have begun"),
            handled: registered(registry, "grpc_server_handled", "Calls that have ended, by their status"),
            seconds,
        }
    }

    /// Counts a call that begins.
    pub(crate) fn started(&self, method: Method) {
        self.started.get_or_create(&method).inc();
    }

    /// Counts a call that has ended with a status. `code` is the name of the status in gRPC's documentation, such as
    /// `NotFound`.
    pub(crate) fn handled(&self, method: Method, code: &'static str) {
        let Method { grpc_service, grpc_method } = method;
        self.handled.get_or_create(&Handled { grpc_service, grpc_method, grpc_code: code }).inc();
    }

    /// Notes how long the response to a unary call took.
    pub(crate) fn took(&self, method: Method, time: Duration) {
        self.seconds.get_or_create(&method).observe(time.as_secs_f64());
    }
}
