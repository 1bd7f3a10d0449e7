//! A terminal with a program in it: tmux, which presses keys and captures the screen.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long something on the screen is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time between two captures while something is waited for.
const INTERVAL: Duration = Duration::from_millis(20);

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A terminal. Dropping it ends the terminal and what runs in it.
#[derive(Debug)]
pub(crate) struct Tmux {
    socket: String,
    /// Every byte that the program has written, from the beginning.
    raw: PathBuf,
}

impl Tmux {
    /// Starts a terminal of this size, in which a shell runs `command`. `folder` is its home, and has a file with everything
    /// that it writes.
    pub(crate) fn start(folder: &Path, size: (u16, u16), command: &str) -> Outcome<Self> {
        static TERMINALS: AtomicUsize = AtomicUsize::new(0);
        let number = TERMINALS.fetch_add(1, Ordering::Relaxed);
        let socket = format!("grpc-chat-{}-{number}", std::process::id());
        let tmux = Self { socket, raw: folder.join(format!("raw-{number}")) };
        let (width, height) = (size.0.to_string(), size.1.to_string());
        // The program starts once its output is being recorded.
        let script = folder.join(format!("script-{number}"));
        let go = folder.join(format!("go-{number}"));
        fs::write(
            &script,
            format!(
                "export HOME='{home}' TZ=UTC LANG=C.UTF-8 LC_ALL=C.UTF-8 RUST_BACKTRACE=0\n\
                 unset NO_COLOR XDG_CONFIG_HOME XDG_STATE_HOME XDG_DATA_HOME\n\
                 trap : INT\n\
                 while [ ! -e '{go}' ]; do sleep 0.02; done\n{command}\necho \"[ended with $?]\"\nstty -a\nexec cat\n",
                home = folder.display(),
                go = go.display(),
            ),
        )?;
        let shell = format!("exec sh '{}'", script.display());
        tmux.ask(["-u", "-f", "/dev/null", "new-session", "-d", "-s", "chat", "-x", &width, "-y", &height, &shell])?;
        // Lets programs use the title and the clipboard, so that a misuse is noticed.
        for option in [
            ["set-clipboard", "on"],
            ["allow-rename", "on"],
            ["automatic-rename", "off"],
            ["status", "off"],
            ["escape-time", "0"],
        ] {
            tmux.ask([&["set", "-g"][..], &option].concat())?;
        }
        tmux.ask(["pipe-pane", "-o", &format!("cat > '{}'", tmux.raw.display())])?;
        fs::write(go, "")?;
        Ok(tmux)
    }

    /// Presses keys, named as tmux names them.
    pub(crate) fn press(&self, keys: &[&str]) -> Outcome<()> {
        self.ask([&["send-keys", "-t", "chat"][..], keys].concat()).map(drop)
    }

    /// Presses one key many times.
    pub(crate) fn press_often(&self, key: &str, times: usize) -> Outcome<()> {
        self.ask(["send-keys", "-t", "chat", "-N", &times.to_string(), key]).map(drop)
    }

    /// Types text.
    pub(crate) fn types(&self, text: &str) -> Outcome<()> {
        self.ask(["send-keys", "-t", "chat", "-l", text]).map(drop)
    }

    /// Pastes text, as a terminal does that brackets it.
    pub(crate) fn paste(&self, file: &Path) -> Outcome<()> {
        self.ask([OsStr::new("load-buffer"), file.as_os_str()])?;
        self.ask(["paste-buffer", "-p", "-d", "-t", "chat"]).map(drop)
    }

    pub(crate) fn resize(&self, width: u16, height: u16) -> Outcome<()> {
        self.ask(["resize-window", "-t", "chat", "-x", &width.to_string(), "-y", &height.to_string()]).map(drop)
    }

    /// Captures the screen, without spaces at the ends of rows.
    pub(crate) fn screen(&self) -> Outcome<String> {
        let screen = self.ask(["capture-pane", "-p", "-t", "chat"])?;
        Ok(screen.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
    }

    /// Captures the screen with its colours, as escape sequences.
    pub(crate) fn colours(&self) -> Outcome<String> {
        self.ask(["capture-pane", "-p", "-e", "-N", "-t", "chat"])
    }

    /// Waits until `is_so` holds for the screen, and returns it.
    pub(crate) fn wait(&self, what: &str, is_so: impl Fn(&str) -> bool) -> Outcome<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen()?;
            if is_so(&screen) {
                return Ok(screen);
            }
            if Instant::now() > deadline {
                return Err(format!("on the screen there should be {what}; there is\n{screen}").into());
            }
            thread::sleep(INTERVAL);
        }
    }

    /// Waits until this text is on the screen, and returns the screen.
    pub(crate) fn wait_for(&self, text: &str) -> Outcome<String> {
        self.wait(&format!("\"{text}\""), |screen| screen.contains(text))
    }

    /// Returns what tmux knows about the terminal, in one of its formats.
    pub(crate) fn knows(&self, format: &str) -> Outcome<String> {
        Ok(self.ask(["display-message", "-p", "-t", "chat", format])?.trim_end().to_owned())
    }

    /// Returns what programs have put into the clipboard.
    pub(crate) fn clipboard(&self) -> Outcome<String> {
        self.ask(["list-buffers"])
    }

    /// Returns every byte that the program has written.
    pub(crate) fn raw(&self) -> Outcome<Vec<u8>> {
        Ok(fs::read(&self.raw)?)
    }

    /// Returns the id of the process that runs this program in the terminal.
    pub(crate) fn process(&self, program: &str) -> Outcome<u32> {
        let shell: u32 = self.knows("#{pane_pid}")?.parse()?;
        let found = Command::new("pgrep").args(["-P", &shell.to_string(), "-f", program]).output()?;
        let ids = String::from_utf8(found.stdout)?;
        ids.lines().next().and_then(|id| id.parse().ok()).ok_or_else(|| format!("{program} does not run").into())
    }

    fn ask(&self, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Outcome<String> {
        let mut tmux = Command::new("tmux");
        tmux.args(["-L", &self.socket]).args(words).env_remove("TMUX").stdin(Stdio::null());
        let output = tmux.output().map_err(|error| format!("cannot run tmux: {error}; install it"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("tmux failed ({}): {}", output.status, said.trim()).into())
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // It fails if tmux did not start.
        let _ = self.ask(["kill-server"]);
    }
}
