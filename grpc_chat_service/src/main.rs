//! The service's binary: flags, logs, bind, run until told to stop.

mod telemetry;

use std::io::Write;
use std::process::ExitCode;

use grpc_chat_service::config::{Config, Problem};
use grpc_chat_service::server;
use tokio::signal;
use tokio::sync::oneshot;

fn main() -> ExitCode {
    let config = match Config::from_process() {
        Ok(config) => config,
        Err(Problem::Asked(text)) => {
            // Help or version, asked for. A reader that has gone away has had what it wanted.
            let _ = write!(std::io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(Problem::Usage(sentence)) => {
            complain(&sentence);
            return ExitCode::from(2);
        }
    };
    telemetry::start(config.log_format);

    // An idle connection costs a file descriptor each, and the usual soft limit of 1,024 is soon reached.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }

    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> ExitCode {
    let server = match server::bind(config).await {
        Ok(server) => server,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    // Whoever reads the next line may send a signal at once: it must find us listening for it.
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
            complain("asked to stop a second time: leaving without waiting for open calls");
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C and SIGTERM, from the moment this exists.
#[cfg(unix)]
struct Signals {
    interrupt: Option<signal::unix::Signal>,
    terminate: Option<signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn watch() -> Self {
        let watch = |kind, name| match signal::unix::signal(kind) {
            Ok(watched) => Some(watched),
            Err(error) => {
                tracing::warn!(%error, "{name} is not watched");
                None
            }
        };
        Self {
            interrupt: watch(signal::unix::SignalKind::interrupt(), "Ctrl-C"),
            terminate: watch(signal::unix::SignalKind::terminate(), "SIGTERM"),
        }
    }

    /// Resolves when one of them comes.
    async fn next(&mut self) {
        async fn one(watched: &mut Option<signal::unix::Signal>) {
            match watched {
                Some(watched) => {
                    watched.recv().await;
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
            tracing::warn!(%error, "Ctrl-C is not watched");
            std::future::pending::<()>().await;
        }
    }
}

fn complain(sentence: &str) {
    // With standard error closed there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "grpc_chat_service: {sentence}");
}
