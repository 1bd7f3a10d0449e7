//! The real binary, as a process of its own.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::support::with_timeout;

/// A running binary on a free port. Killed when dropped.
pub(crate) struct Binary {
    pub(crate) addr: SocketAddr,
    child: Child,
    stderr: JoinHandle<String>,
}

const PATH: &str = env!("CARGO_BIN_EXE_grpc_chat_service");

/// Returns a command that runs the binary, without the environment variables that configure it.
pub(crate) fn binary() -> Command {
    isolated(Command::new(PATH))
}

/// Returns a command that runs a shell script, in which `$0` is the binary.
#[cfg(target_os = "linux")]
pub(crate) fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script, PATH]);
    isolated(command)
}

fn isolated(mut command: Command) -> Command {
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("CHAT_") || variable == "RUST_LOG" {
            command.env_remove(variable);
        }
    }
    // Without this, a test that names no data directory would use that of the person who runs it.
    command.env("CHAT_MEMORY", "1");
    // Only one of several services could have the default address.
    command.env("CHAT_ADMIN", "off");
    command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a finished process left behind.
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the binary with `args` to its end.
pub(crate) async fn run(args: &[&str]) -> Output {
    finish(binary().args(args)).await
}

/// Runs `command` to its end.
pub(crate) async fn finish(command: &mut Command) -> Output {
    let output = with_timeout(command.output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Output { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

impl Output {
    /// Asserts that the process exited with `code` and one line on standard error, which contains `part`.
    pub(crate) fn assert_error(&self, code: i32, part: &str) {
        let Self { stderr, .. } = self;
        assert_eq!(self.code, Some(code), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("grpc_chat_service: ") && stderr.contains(part), "{stderr}");
        assert!(!stderr.contains("panicked") && !stderr.contains("backtrace"), "{stderr}");
        assert_eq!(self.stdout, "");
    }
}

impl Binary {
    /// Starts the binary with `args` on a free port.
    pub(crate) async fn start(args: &[&str]) -> Self {
        let mut command = binary();
        command.args(["--listen", "127.0.0.1:0"]).args(args);
        Self::spawn(command).await
    }

    /// Starts `command`, which must run the binary in the process that it starts, and waits until it listens.
    pub(crate) async fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stderr = tokio::spawn(read_to_end(child.stderr.take().unwrap()));
        let mut first_line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        with_timeout(stdout.read_line(&mut first_line)).await.unwrap();
        let addr = first_line.trim_end().strip_prefix("listening on http://").expect(&first_line).parse().unwrap();
        Self { addr, child, stderr }
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) async fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(with_timeout(sent).await.unwrap().success());
    }

    /// Waits until the process has exited. Returns its status and everything it wrote to standard error.
    pub(crate) async fn exited(&mut self) -> (ExitStatus, String) {
        let status = with_timeout(self.child.wait()).await.unwrap();
        (status, with_timeout(&mut self.stderr).await.unwrap())
    }

    /// Returns the memory that the process has in RAM, in KiB.
    #[cfg(target_os = "linux")]
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Returns the CPU time that the process has used, in user and kernel mode, in clock ticks of 10 ms.
    #[cfg(target_os = "linux")]
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let after_name = stat.rsplit_once(") ").unwrap().1;
        after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

    fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }
}

async fn read_to_end(mut from: impl AsyncRead + Unpin) -> String {
    let mut text = Vec::new();
    from.read_to_end(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}
