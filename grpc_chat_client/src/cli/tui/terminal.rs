//! The terminal: taken over at the beginning, and given back as it was on every way out.

use std::io::{self, BufWriter, Stdout, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ratatui::Frame;
use ratatui::buffer::{Buffer, Cell, CellDiffOption, CellWidth};
use ratatui::crossterm::cursor::{MoveTo, Show};
use ratatui::crossterm::event::{
    self, DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange, Event,
    KeyboardEnhancementFlags, PopKeyboardEnhancementFlags, PushKeyboardEnhancementFlags,
};
use ratatui::crossterm::style::{Print, force_color_output};
use ratatui::crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap, EndSynchronizedUpdate,
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{execute, queue};
use ratatui::layout::Position;
use ratatui::prelude::CrosstermBackend;
use tokio::sync::mpsc;

/// Buttons and the wheel, and not every move: crossterm's own command asks for those, too.
const MOUSE_ON: &str = "\x1b[?1000h\x1b[?1006h";
const MOUSE_OFF: &str = "\x1b[?1006l\x1b[?1000l";

/// Keys and pastes that have not been handled.
const UNHANDLED: usize = 256;

/// The terminal is ours, and has to be given back.
static TAKEN: AtomicBool = AtomicBool::new(false);

type Screen = ratatui::Terminal<CrosstermBackend<BufWriter<Stdout>>>;

/// A terminal that is taken over as long as this lives.
pub(crate) struct Terminal {
    terminal: Screen,
    /// What is on it.
    last: Buffer,
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
        // What a terminal takes for wider than it is must not go on in the next row.
        queue!(out, DisableLineWrap)?;
        let flags = KeyboardEnhancementFlags::DISAMBIGUATE_ESCAPE_CODES;
        queue!(out, PushKeyboardEnhancementFlags(flags), Print(MOUSE_ON))?;
        out.flush()?;
        let terminal = ratatui::Terminal::new(CrosstermBackend::new(out))?;
        Ok(Self { terminal, last: Buffer::default(), _guard: guard })
    }

    /// Draws what has changed, at once. `draw` answers where the cursor is, if it is to be seen.
    ///
    /// # Errors
    ///
    /// If the terminal cannot be written to, or was given back because a part of the program has panicked.
    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>) -> Option<Position>) -> io::Result<()> {
        self.is_ours()?;
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        self.terminal.autoresize()?;
        let cursor = draw(&mut self.terminal.get_frame());
        let rows = unsure(&self.last, self.terminal.current_buffer_mut());
        for y in &rows {
            queue!(self.terminal.backend_mut(), MoveTo(0, *y), Clear(ClearType::CurrentLine))?;
        }
        let mark = |terminal: &mut Screen, option| {
            let buffer = terminal.current_buffer_mut();
            rows.iter().for_each(|y| row(buffer, *y).for_each(|cell| cell.diff_option = option));
        };
        mark(&mut self.terminal, CellDiffOption::AlwaysUpdate);
        self.terminal.flush()?;
        mark(&mut self.terminal, CellDiffOption::None);
        self.last.clone_from(self.terminal.current_buffer_mut());
        match cursor {
            Some(cursor) => {
                self.terminal.show_cursor()?;
                self.terminal.set_cursor_position(cursor)?;
            }
            None => self.terminal.hide_cursor()?,
        }
        self.terminal.swap_buffers();
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
        self.last = Buffer::default();
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
        // What was being drawn when a panic gave it back is written only now.
        let _ = execute!(io::stdout(), EndSynchronizedUpdate);
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
        EnableLineWrap,
        LeaveAlternateScreen,
        Show
    );
    let _ = disable_raw_mode();
}

/// Rows that have changed and of which nobody knows how the terminal has them: they have, or had, something in them that
/// terminals disagree on how wide it is. They are emptied and written whole, or something of them would stay for ever.
fn unsure(last: &Buffer, next: &Buffer) -> Vec<u16> {
    let nothing = Buffer::empty(next.area);
    let last = if last.area == next.area { last } else { &nothing };
    let width = usize::from(next.area.width).max(1);
    let rows = last.content.chunks(width).zip(next.content.chunks(width)).zip(next.area.top()..);
    rows.filter(|((last, next), _)| last != next && last.iter().chain(*next).any(is_unsure)).map(|(_, y)| y).collect()
}

fn is_unsure(cell: &Cell) -> bool {
    let symbol = cell.symbol();
    let mut chars = symbol.chars();
    // Signs and lines between U+2000 and U+2BFF are as wide everywhere, as are letters of the nearer scripts.
    let sure = |c: char| c < '\u{900}' || ('\u{2000}'..'\u{2C00}').contains(&c);
    symbol.len() > 1 && (!chars.next().is_some_and(sure) || chars.next().is_some() || cell.cell_width() != 1)
}

fn row(buffer: &mut Buffer, y: u16) -> impl Iterator<Item = &mut Cell> {
    let (from, width) = (buffer.index_of(buffer.area.x, y), usize::from(buffer.area.width));
    buffer.content[from..from + width].iter_mut()
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

#[cfg(test)]
mod tests {
    #[test]
    fn rows_whose_width_is_a_matter_of_opinion_are_written_whole_when_they_change() {
        use super::{Buffer, unsure};
        let lines = |lines: [&'static str; 3]| Buffer::with_lines(lines);
        let before = lines(["plain │", "漢 word", "👍🏽 x   "]);
        for (after, rows) in [
            (["plain │", "漢 word", "👍🏽 x   "], &[][..]),
            (["other │", "漢 word", "👍🏽 x   "], &[]),
            (["plain │", "漢 work", "👍🏽 x   "], &[1]),
            (["क्षि   ", "漢 word", "gone   "], &[0, 2]),
        ] {
            assert_eq!(unsure(&before, &lines(after)), rows, "{after:?}");
        }
        assert_eq!(unsure(&Buffer::default(), &before), [1, 2], "on a terminal that is empty, too");
    }
}
