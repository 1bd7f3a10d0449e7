//! Logs: to standard error, filtered by `RUST_LOG`, as text for people or JSON for machines, and so many lines a second.

mod budget;

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use budget::Budget;

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// A line of text for people.
    Text,
    /// A JSON object per line.
    Json,
}

/// How often it is logged that lines were not written.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// Starts logging for the whole process. Called once, by `main`. `suppressed` counts the lines that are not written because
/// there are too many.
///
/// # Errors
///
/// A sentence, if `RUST_LOG` is not a filter.
pub(crate) fn start(format: LogFormat, suppressed: &Arc<AtomicU64>) -> Result<(), String> {
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
    let budget = Budget::new(Arc::clone(suppressed));
    match format {
        LogFormat::Text => logs.finish().with(budget).init(),
        LogFormat::Json => logs.json().finish().with(budget).init(),
    }
    Ok(())
}

/// Logs from time to time how many lines were not written. Runs for ever.
pub(crate) async fn report_suppressed(suppressed: Arc<AtomicU64>) {
    let mut reported = 0;
    loop {
        tokio::time::sleep(REPORT_EVERY).await;
        let so_far = suppressed.load(Ordering::Relaxed);
        if so_far > reported {
            tracing::warn!(lines = so_far - reported, "log lines were not written, because there were too many");
            reported = so_far;
        }
    }
}
