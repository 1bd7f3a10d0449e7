//! The service's binary: flags, logs, bind, run until told to stop.

mod telemetry;

use std::io::Write;
use std::process::ExitCode;

use grpc_chat_service::config::{Config, Problem};
use grpc_chat_service::server;
use tokio::signal;

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
    // Scripts read the port from this line; nothing else goes to standard output.
    let _ = writeln!(std::io::stdout(), "listening on http://{}", server.local_addr());

    tokio::select! {
        () = server.run(asked_to_stop()) => ExitCode::SUCCESS,
        () = async { asked_to_stop().await; asked_to_stop().await } => {
            complain("asked to stop a second time: leaving without waiting for open calls");
            ExitCode::FAILURE
        }
    }
}

/// Resolves on the next Ctrl-C or SIGTERM.
async fn asked_to_stop() {
    #[cfg(unix)]
    let terminated = async {
        match signal::unix::signal(signal::unix::SignalKind::terminate()) {
            Ok(mut terminate) => {
                terminate.recv().await;
            }
            Err(error) => {
                tracing::warn!(%error, "SIGTERM is not watched");
                std::future::pending::<()>().await;
            }
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();

    tokio::select! {
        interrupted = signal::ctrl_c() => {
            if let Err(error) = interrupted {
                tracing::warn!(%error, "Ctrl-C is not watched");
                std::future::pending::<()>().await;
            }
        }
        () = terminated => {}
    }
}

fn complain(sentence: &str) {
    // With standard error closed there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "grpc_chat_service: {sentence}");
}
