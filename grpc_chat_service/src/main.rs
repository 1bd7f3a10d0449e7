//! The service's binary: settings, logs, bind, run until told to stop.

mod args;
mod settings;
mod telemetry;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use args::{Args, ArgsError};
use grpc_chat_service::config::Config;
use grpc_chat_service::server;
use tokio::signal;
use tokio::sync::oneshot;

/// The exit code for flags, variables or a configuration file that cannot be used.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let args = match Args::from_process() {
        Ok(args) => args,
        Err(ArgsError::Info(text)) => {
            // A reader that closes the pipe early has read what it wanted.
            let _ = write!(std::io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(ArgsError::Usage(sentences)) => {
            sentences.iter().for_each(|sentence| report(sentence));
            return ExitCode::from(USAGE);
        }
    };
    if let Err(sentence) = telemetry::start(args.log_format, &args.config.suppressed_log_lines) {
        report(&sentence);
        return ExitCode::from(USAGE);
    }

    // An idle connection costs a file descriptor each, and the usual soft limit of 1,024 is soon reached.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "cannot raise the limit on open files");
    }

    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            report(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(serve(args.config))
}

async fn serve(config: Config) -> ExitCode {
    tokio::spawn(telemetry::report_suppressed(Arc::clone(&config.suppressed_log_lines)));
    let server = match server::bind(config).await {
        Ok(server) => server,
        Err(error) => {
            report(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    // Whoever reads the next line may send a signal at once, so the handlers are installed before it is printed.
    let mut signals = Signals::watch();
    // Scripts read the port from this line; nothing else goes to standard output.
    let _ = writeln!(std::io::stdout(), "listening on http://{}", server.local_addr());

    let (stop, stopped) = oneshot::channel();
    let asked_twice = async {
        signals.next().await;
        let _ = stop.send(());
        signals.next().await;
    };
    tokio::select! {
        () = server.run(async { let _ = stopped.await; }) => ExitCode::SUCCESS,
        () = asked_twice => {
            report("asked to stop a second time: exiting without waiting for open calls");
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C and SIGTERM, received from the moment this is created.
#[cfg(unix)]
struct Signals {
    interrupt: Option<signal::unix::Signal>,
    terminate: Option<signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn watch() -> Self {
        let watch = |kind, name| match signal::unix::signal(kind) {
            Ok(signal) => Some(signal),
            Err(error) => {
                tracing::warn!(%error, "cannot receive {name}");
                None
            }
        };
        Self {
            interrupt: watch(signal::unix::SignalKind::interrupt(), "Ctrl-C"),
            terminate: watch(signal::unix::SignalKind::terminate(), "SIGTERM"),
        }
    }

    /// Waits for either of them.
    async fn next(&mut self) {
        async fn one(signal: &mut Option<signal::unix::Signal>) {
            match signal {
                Some(signal) => {
                    signal.recv().await;
                }
                None => std::future::pending().await,
            }
        }
        tokio::select! {
            () = one(&mut self.interrupt) => {}
            () = one(&mut self.terminate) => {}
        }
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn watch() -> Self {
        Self
    }

    async fn next(&mut self) {
        if let Err(error) = signal::ctrl_c().await {
            tracing::warn!(%error, "cannot receive Ctrl-C");
            std::future::pending::<()>().await;
        }
    }
}

fn report(sentence: &str) {
    // If standard error is closed there is nowhere to report to.
    let _ = writeln!(std::io::stderr(), "grpc_chat_service: {sentence}");
}
