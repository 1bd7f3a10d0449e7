//! The terminal: taken over at the beginning, and restored on every way out.

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

/// Reports buttons and the wheel. crossterm's own command also asks for every move of the mouse.
const MOUSE_ON: &str = "\x1b[?1000h\x1b[?1006h";
const MOUSE_OFF: &str = "\x1b[?1006l\x1b[?1000l";

/// Keys and pastes that wait to be handled.
const UNHANDLED: usize = 256;

/// Whether this program has taken over the terminal and has to restore it.
static TAKEN: AtomicBool = AtomicBool::new(false);

type Screen = ratatui::Terminal<CrosstermBackend<BufWriter<Stdout>>>;

/// A terminal that is taken over until this is dropped.
pub(crate) struct Terminal {
    terminal: Screen,
    /// What was drawn last.
    last: Buffer,
    _guard: Guard,
}

struct Guard;

impl Terminal {
    /// Takes over the terminal.
    pub(crate) fn take() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            // The report of a panic must be readable, whichever thread it is.
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                before(panic);
            }));
        });
        // The theme decides about colours. crossterm would leave out bold as well.
        force_color_output(true);
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        let guard = Guard;
        let mut out = BufWriter::with_capacity(64 * 1024, io::stdout());
        queue!(out, EnterAlternateScreen, EnableBracketedPaste, EnableFocusChange)?;
        // A cell that the terminal measures as wider must not wrap into the next row.
        queue!(out, DisableLineWrap)?;
        let flags = KeyboardEnhancementFlags::DISAMBIGUATE_ESCAPE_CODES;
        queue!(out, PushKeyboardEnhancementFlags(flags), Print(MOUSE_ON))?;
        out.flush()?;
        let terminal = ratatui::Terminal::new(CrosstermBackend::new(out))?;
        Ok(Self { terminal, last: Buffer::default(), _guard: guard })
    }

    /// Draws what has changed. `draw` returns where the cursor is, if it is visible.
    ///
    /// # Errors
    ///
    /// If the terminal cannot be written to, or was restored because a thread has panicked.
    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>) -> Option<Position>) -> io::Result<()> {
        self.check_taken()?;
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        self.terminal.autoresize()?;
        let cursor = draw(&mut self.terminal.get_frame());
        let rows = ambiguous_rows(&self.last, self.terminal.current_buffer_mut());
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

    /// Makes the next draw write every cell, whatever is on the terminal.
    ///
    /// # Errors
    ///
    /// As with [`Terminal::draw`].
    pub(crate) fn forget(&mut self) -> io::Result<()> {
        self.check_taken()?;
        // Not `clear`: it asks the terminal for the cursor, and the answer comes the way keys do.
        let size = self.terminal.size()?;
        self.last = Buffer::default();
        self.terminal.resize(size.into())
    }

    fn check_taken(&self) -> io::Result<()> {
        if TAKEN.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(io::Error::other("the chat has failed because of a mistake in it; its report is above, please report it"))
    }

    pub(crate) fn size(&self) -> io::Result<ratatui::layout::Size> {
        self.terminal.size()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        restore();
        // If a panic restored the terminal, the frame that was being drawn is written only now.
        let _ = execute!(io::stdout(), EndSynchronizedUpdate);
    }
}

/// Restores the terminal, if it is taken.
fn restore() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // If a step fails the others are still tried; there is nowhere to report it.
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

/// Returns the rows that have changed and contain, or contained, something that terminals measure differently. They are
/// cleared and written whole; otherwise parts of the old row might stay.
fn ambiguous_rows(last: &Buffer, next: &Buffer) -> Vec<u16> {
    let nothing = Buffer::empty(next.area);
    let last = if last.area == next.area { last } else { &nothing };
    let width = usize::from(next.area.width).max(1);
    let rows = last.content.chunks(width).zip(next.content.chunks(width)).zip(next.area.top()..);
    rows.filter(|((last, next), _)| last != next && last.iter().chain(*next).any(is_ambiguous))
        .map(|(_, y)| y)
        .collect()
}

fn is_ambiguous(cell: &Cell) -> bool {
    let symbol = cell.symbol();
    let mut chars = symbol.chars();
    // Signs and lines between U+2000 and U+2BFF have the same width everywhere, as have European scripts.
    let certain = |c: char| c < '\u{900}' || ('\u{2000}'..'\u{2C00}').contains(&c);
    symbol.len() > 1 && (!chars.next().is_some_and(certain) || chars.next().is_some() || cell.cell_width() != 1)
}

fn row(buffer: &mut Buffer, y: u16) -> impl Iterator<Item = &mut Cell> {
    let (from, width) = (buffer.index_of(buffer.area.x, y), usize::from(buffer.area.width));
    buffer.content[from..from + width].iter_mut()
}

/// Returns the user's input as it comes. It is read on a thread of its own: reading blocks, also in the middle of an escape
/// sequence that comes in two parts.
pub(crate) fn inputs() -> io::Result<mpsc::Receiver<io::Result<Event>>> {
    let (sender, inputs) = mpsc::channel(UNHANDLED);
    // It ends with the program, or when the receiver is dropped.
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
    fn rows_that_terminals_measure_differently_are_written_whole_when_they_change() {
        use super::{Buffer, ambiguous_rows};
        let lines = |lines: [&'static str; 3]| Buffer::with_lines(lines);
        let before = lines(["plain │", "漢 word", "👍🏽 x   "]);
        for (after, rows) in [
            (["plain │", "漢 word", "👍🏽 x   "], &[][..]),
            (["other │", "漢 word", "👍🏽 x   "], &[]),
            (["plain │", "漢 work", "👍🏽 x   "], &[1]),
            (["क्षि   ", "漢 word", "gone   "], &[0, 2]),
        ] {
            assert_eq!(ambiguous_rows(&before, &lines(after)), rows, "{after:?}");
        }
        assert_eq!(ambiguous_rows(&Buffer::default(), &before), [1, 2], "also on an empty terminal");
    }
}
