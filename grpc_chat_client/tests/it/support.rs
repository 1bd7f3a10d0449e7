//! A service in this process, and the client as a process of its own.

use std::io::{BufRead, BufReader, Lines, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use grpc_chat_service::config::{Config, Store};
use grpc_chat_service::server::{self, BindError, Server};
use tokio::net::TcpSocket;
use tokio::sync::oneshot;

/// Waits far longer than anything here takes, so that a bug is a failed test and not a hung one.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("this should have happened long ago")
}

/// A service on a free port, on a thread of its own, that stops when dropped.
pub(crate) struct Service {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Service {
    pub(crate) fn start() -> Self {
        Self::start_with(Config::default())
    }

    /// Starts one whose history is in this folder.
    pub(crate) fn start_on(data: &Path) -> Self {
        Self::start_with(Config { store: Store::disk(data), ..Config::default() })
    }

    /// Starts one without rates.
    pub(crate) fn start_with(config: Config) -> Self {
        Self::start_with_rates(Config { rates: false, ..config })
    }

    /// Starts one with the rates of its configuration.
    pub(crate) fn start_with_rates(config: Config) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (bound, address) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            tokio::runtime::Runtime::new().unwrap().block_on(async {
                let server = bind(config).await;
                bound.send(server.local_addr()).unwrap();
                server.run(async { drop(stopped.await) }).await;
            });
        });
        Self { address: address.recv().unwrap(), stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Binds a server. Where a service has just left its data directory, the directory may still be locked for a moment: a process
/// that another test is starting has this process's files until it runs its own program.
async fn bind(config: Config) -> Server {
    soon(async {
        loop {
            match server::bind(config.clone()).await {
                Err(BindError::History(error)) if error.to_string().contains("in use by another process") => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                bound => return bound.unwrap(),
            }
        }
    })
    .await
}

/// What a client process printed, and its exit code.
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

/// Returns the client's command, without arguments and without this process's `CHAT_` variables.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grpc_chat_client"));
    let variables =
        std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("CHAT_"));
    for name in variables {
        command.env_remove(name);
    }
    // No configuration and state of this machine's user; times as the tests expect them.
    command.env("XDG_CONFIG_HOME", "/nonexistent").env("XDG_STATE_HOME", "/nonexistent").env("TZ", "UTC");
    command.env_remove("RUST_LOG").env("USER", "sam").stdin(Stdio::piped());
    command
}

/// Returns the client's command for this service.
pub(crate) fn client(service: &Service) -> Command {
    let mut command = command();
    command.args(["--server", &service.url()]);
    command
}

/// Runs a command to its end with `input` on standard input.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let writer = child.stdin.take().map(|mut stdin| {
        let input = input.to_vec();
        // A client that fails early does not read all of it.
        thread::spawn(move || drop(stdin.write_all(&input)))
    });
    let output = child.wait_with_output().unwrap();
    if let Some(writer) = writer {
        writer.join().unwrap();
    }
    Output {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code().unwrap(),
    }
}

/// Runs a command with these arguments to its end.
pub(crate) fn chat(service: &Service, args: &[&str]) -> Output {
    run(client(service).args(args), b"")
}

/// Returns a line without its time.
pub(crate) fn without_time(line: &str) -> String {
    let mut words = line.splitn(4, ' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(seq), Some(_), Some(_), Some(rest)) if !seq.is_empty() => format!("{seq} {rest}"),
        _ => line.to_owned(),
    }
}

/// A command that runs until it is killed, and the lines of its output.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub(crate) fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    /// Returns the next line, which is JSON.
    pub(crate) fn json(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    pub(crate) fn interrupt(&mut self) -> Option<i32> {
        let sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a URL where nothing listens as long as the socket is held: it is bound, and does not listen.
pub(crate) fn nobody() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    (socket, url)
}
