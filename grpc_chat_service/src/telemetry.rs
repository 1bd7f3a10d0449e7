//! Logs: to standard error, filtered by `RUST_LOG`, as text for people or JSON for machines.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// A line of text for people.
    Text,
    /// A JSON object per line.
    Json,
}

/// Starts logging for the whole process. Called once, by `main`.
///
/// # Errors
///
/// A sentence, if `RUST_LOG` is not a filter.
pub(crate) fn start(format: LogFormat) -> Result<(), String> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => EnvFilter::try_new(&filter).map_err(|error| {
            format!(
                "the environment variable RUST_LOG is not a log filter ({error}); use a level such as info or debug"
            )
        })?,
        Ok(_) | Err(std::env::VarError::NotPresent) => EnvFilter::new("info"),
        Err(std::env::VarError::NotUnicode(_)) => {
            return Err("the environment variable RUST_LOG is not UTF-8; use a level such as info or debug".to_owned());
        }
    };
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A log line that cannot be written would otherwise be reported with `eprintln!`, which panics once standard
        // error is closed: the call being logged would go down with its connection.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
    Ok(())
}
