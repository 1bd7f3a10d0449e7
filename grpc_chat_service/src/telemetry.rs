//! Logs: to standard error, filtered by `RUST_LOG`, as text for people or JSON for machines.

use std::io::IsTerminal;

use grpc_chat_service::config::LogFormat;
use tracing_subscriber::EnvFilter;

/// Starts logging for the whole process. Called once, by `main`.
pub(crate) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A log that cannot be written would otherwise be reported with `eprintln!`, which panics when nobody
        // reads standard error any more: the call being logged would go down with its connection.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
}
