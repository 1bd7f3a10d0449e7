//! The terminal: taken over at the beginning, and given back as it was on every way out.

use std::io::{self, BufWriter, Stdout, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ratatui::Frame;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{
    self, DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange, Event,
    KeyboardEnhancementFlags, PopKeyboardEnhancementFlags, PushKeyboardEnhancementFlags,
};
use ratatui::crossterm::style::{Print, force_color_output};
use ratatui::crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode,
};
use ratatui::crossterm::{execute, queue};
use ratatui::prelude::CrosstermBackend;
use tokio::sync::mpsc;

/// Buttons and the wheel, and not every move: crossterm's own command asks for those, too.
const MOUSE_ON: &str = "\x1b[?1000h\x1b[?1006h";
const MOUSE_OFF: &str = "\x1b[?1006l\x1b[?1000l";

/// Keys and pastes that have not been handled.
const UNHANDLED: usize = 256;

/// The terminal is ours, and has to be given back.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// A terminal that is taken over as long as this lives.
pub(crate) struct Terminal {
    terminal: ratatui::Terminal<CrosstermBackend<BufWriter<Stdout>>>,
    _guard: Guard,
}

struct Guard;

impl Terminal {
    /// Takes it over.
    pub(crate) fn take() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            // Whichever thread it is: the program ends with it, and the report is to be read.
            std::panic::set_hook(Box::new(move |panic| {
                give_back();
                before(panic);
            }));
        });
        // Where there are to be no colours the theme has none. What crossterm does instead takes bold away, too.
        force_color_output(true);
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        let guard = Guard;
        let mut out = BufWriter::with_capacity(64 * 1024, io::stdout());
        queue!(out, EnterAlternateScreen, EnableBracketedPaste, EnableFocusChange)?;
        let flags = KeyboardEnhancementFlags::DISAMBIGUATE_ESCAPE_CODES;
        queue!(out, PushKeyboardEnhancementFlags(flags), Print(MOUSE_ON))?;
        out.flush()?;
        Ok(Self { terminal: ratatui::Terminal::new(CrosstermBackend::new(out))?, _guard: guard })
    }

    /// Draws what has changed, at once.
    ///
    /// # Errors
    ///
    /// If the terminal cannot be written to, or was given back because a part of the program has panicked.
    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.is_ours()?;
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        self.terminal.draw(draw)?;
        execute!(self.terminal.backend_mut(), EndSynchronizedUpdate)
    }

    /// The next draw draws everything, whatever is on the terminal.
    ///
    /// # Errors
    ///
    /// As with [`Terminal::draw`].
    pub(crate) fn forget(&mut self) -> io::Result<()> {
        self.is_ours()?;
        // Not `clear`, which asks the terminal where its cursor is, on the way that keys come.
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }

    fn is_ours(&self) -> io::Result<()> {
        if TAKEN.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(io::Error::other("a part of the program has failed; its report is above"))
    }

    pub(crate) fn size(&self) -> io::Result<ratatui::layout::Size> {
        self.terminal.size()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back, if it is taken.
fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // Whatever of it fails, the rest is still worth trying, and there is nowhere to say it.
    let _ = execute!(
        io::stdout(),
        EndSynchronizedUpdate,
        Print(MOUSE_OFF),
        PopKeyboardEnhancementFlags,
        DisableFocusChange,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        Show
    );
    let _ = disable_raw_mode();
}

/// What the user does, as it comes. Read on a thread of its own: reading waits, and a sequence that comes in two parts
/// would hold up everything else.
pub(crate) fn inputs() -> io::Result<mpsc::Receiver<io::Result<Event>>> {
    let (sender, inputs) = mpsc::channel(UNHANDLED);
    // It ends with the program, or when nobody listens any more.
    thread::Builder::new().name("keys".to_owned()).spawn(move || {
        while !sender.is_closed() {
            let input = match event::poll(Duration::from_millis(200)) {
                Ok(true) => event::read(),
                Ok(false) => continue,
                Err(error) => Err(error),
            };
            let broken = input.is_err();
            if sender.blocking_send(input).is_err() || broken {
                return;
            }
        }
    })?;
    Ok(inputs)
}
