//! A terminal with a program in it: tmux, told which keys are pressed, and asked what is on the screen.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything on a screen takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the screen is looked at while something is awaited.
const LOOK: Duration = Duration::from_millis(20);

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A terminal. Gone, with what runs in it, when dropped.
#[derive(Debug)]
pub(crate) struct Tmux {
    socket: String,
    /// Every byte that the program has written, from the beginning.
    raw: PathBuf,
}

impl Tmux {
    /// A terminal of this size, in which `command` runs in a shell. Everything that the program writes is kept in a file
    /// in `folder`. Its home is there, too.
    pub(crate) fn start(folder: &Path, size: (u16, u16), command: &str) -> Outcome<Self> {
        static TERMINALS: AtomicUsize = AtomicUsize::new(0);
        let number = TERMINALS.fetch_add(1, Ordering::Relaxed);
        let socket = format!("grpc-chat-{}-{number}", std::process::id());
        let tmux = Self { socket, raw: folder.join(format!("raw-{number}")) };
        let (width, height) = (size.0.to_string(), size.1.to_string());
        // The program begins when its bytes are being kept.
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
        // What a program could reach through tmux: its own bell, title and clipboard.
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

    /// The screen as it is, without what follows the last thing in each row.
    pub(crate) fn screen(&self) -> Outcome<String> {
        let screen = self.ask(["capture-pane", "-p", "-t", "chat"])?;
        Ok(screen.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
    }

    /// The same with its colours, as escape sequences.
    pub(crate) fn colours(&self) -> Outcome<String> {
        self.ask(["capture-pane", "-p", "-e", "-N", "-t", "chat"])
    }

    /// Waits until the screen is so, and answers it.
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
            thread::sleep(LOOK);
        }
    }

    /// Waits until this is on the screen.
    pub(crate) fn wait_for(&self, text: &str) -> Outcome<String> {
        self.wait(&format!("\"{text}\""), |screen| screen.contains(text))
    }

    /// What tmux knows about the terminal, by the name that it has for it.
    pub(crate) fn knows(&self, format: &str) -> Outcome<String> {
        Ok(self.ask(["display-message", "-p", "-t", "chat", format])?.trim_end().to_owned())
    }

    /// What a program has put into the clipboard.
    pub(crate) fn clipboard(&self) -> Outcome<String> {
        self.ask(["list-buffers"])
    }

    /// Every byte that the program has written.
    pub(crate) fn raw(&self) -> Outcome<Vec<u8>> {
        Ok(fs::read(&self.raw)?)
    }

    /// The process that runs this program in the terminal.
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
        // There is none if it did not start.
        let _ = self.ask(["kill-server"]);
    }
}
