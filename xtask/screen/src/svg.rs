//! A captured screen as an SVG picture. Every cell has its place, whatever font it is shown in; lines and blocks are drawn
//! and not written, so that they meet.

use std::fmt::Write;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// The size of a cell, and the space around all of them.
const WIDTH: f64 = 8.4;
const HEIGHT: f64 = 18.0;
const MARGIN: f64 = 14.0;

/// From a row's top to the line that letters stand on.
const BASELINE: f64 = 13.0;

const FONTS: &str = "ui-monospace, 'JetBrains Mono', 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace";

/// The terminal's own colours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    pub(crate) background: &'static str,
    pub(crate) text: &'static str,
}

pub(crate) const DARK: Terminal = Terminal { background: "#16181d", text: "#d6d9e0" };
pub(crate) const LIGHT: Terminal = Terminal { background: "#fcfbf8", text: "#24292f" };

/// How a cell looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Style {
    text: Option<u8>,
    background: Option<u8>,
    bold: bool,
    italic: bool,
}

/// One thing in a cell, or text in several.
struct Run<'a> {
    column: usize,
    columns: usize,
    text: String,
    style: &'a Style,
}

/// Returns a picture of a screen that was captured with its escape sequences.
pub(crate) fn render(screen: &str, terminal: Terminal) -> String {
    let rows: Vec<Vec<(Style, String)>> = styled(screen);
    let columns =
        rows.iter().map(|row| row.iter().map(|(_, text)| text.width()).sum::<usize>()).max().unwrap_or_default();
    let (width, height) = (columns as f64 * WIDTH + 2.0 * MARGIN, rows.len() as f64 * HEIGHT + 2.0 * MARGIN);
    let (mut backgrounds, mut signs) = (String::new(), String::new());
    for (row, styled) in rows.iter().enumerate() {
        let y = row as f64 * HEIGHT;
        let mut column = 0;
        for (style, text) in styled {
            let columns = text.width();
            if let Some(background) = style.background {
                let (x, width) = (column as f64 * WIDTH, columns as f64 * WIDTH);
                let colour = rgb(background);
                put(
                    &mut backgrounds,
                    format_args!(
                        "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{HEIGHT}\" fill=\"{colour}\"/>"
                    ),
                );
            }
            for run in runs(text, column, style) {
                draw(&run, y, terminal, &mut signs);
            }
            column += columns;
        }
    }
    let Terminal { background, .. } = terminal;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{background}\"/>\n\
         <g transform=\"translate({MARGIN} {MARGIN})\" font-family=\"{FONTS}\" font-size=\"14\" fill=\"none\">\n\
         {backgrounds}{signs}</g>\n</svg>\n"
    )
}

fn put(picture: &mut String, element: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(picture, "{element}");
}

/// Each row as texts with their styles.
fn styled(screen: &str) -> Vec<Vec<(Style, String)>> {
    let mut style = Style::default();
    let mut rows = Vec::new();
    for line in screen.lines() {
        let mut row = Vec::new();
        let mut parts = line.split("\u{1b}[");
        let first = parts.next().unwrap_or_default();
        row.push((style.clone(), first.to_owned()));
        for part in parts {
            let Some((codes, text)) = part.split_once('m') else { continue };
            style.change(codes);
            row.push((style.clone(), text.to_owned()));
        }
        row.retain(|(_, text)| !text.is_empty());
        rows.push(row);
    }
    rows
}

impl Style {
    /// Takes the codes of one escape sequence (ECMA-48, SGR).
    fn change(&mut self, codes: &str) {
        let codes: Vec<u8> = codes.split(';').map(|code| code.parse().unwrap_or(0)).collect();
        let mut codes = &codes[..];
        while let Some((code, rest)) = codes.split_first() {
            codes = rest;
            match (code, rest) {
                (0, _) => *self = Self::default(),
                (1, _) => self.bold = true,
                (3, _) => self.italic = true,
                (22, _) => self.bold = false,
                (23, _) => self.italic = false,
                (39, _) => self.text = None,
                (49, _) => self.background = None,
                (38, [5, colour, after @ ..]) => (self.text, codes) = (Some(*colour), after),
                (48, [5, colour, after @ ..]) => (self.background, codes) = (Some(*colour), after),
                _ => {}
            }
        }
    }
}

/// Letters as long runs; whatever may be measured otherwise, or is drawn, by itself.
fn runs<'a>(text: &str, column: usize, style: &'a Style) -> Vec<Run<'a>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    let mut at = column;
    for cell in text.graphemes(true) {
        let columns = cell.width();
        let letters = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        match runs.last_mut().filter(|last| letters(cell) && letters(&last.text)) {
            Some(last) => {
                last.text.push_str(cell);
                last.columns += columns;
            }
            None => runs.push(Run { column: at, columns, text: cell.to_owned(), style }),
        }
        at += columns;
    }
    runs
}

fn draw(run: &Run<'_>, y: f64, terminal: Terminal, picture: &mut String) {
    let colour = run.style.text.map_or_else(|| terminal.text.to_owned(), rgb);
    let x = run.column as f64 * WIDTH;
    if let Some(path) = line(&run.text) {
        return put(
            picture,
            format_args!("<path transform=\"translate({x:.1} {y})\" d=\"{path}\" stroke=\"{colour}\"/>"),
        );
    }
    if let Some(width) = block(&run.text) {
        return put(
            picture,
            format_args!("<rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{HEIGHT}\" fill=\"{colour}\"/>"),
        );
    }
    let text = run.text.trim_end();
    let before = text.len() - text.trim_start().len();
    let text = text.trim_start();
    if text.is_empty() {
        return;
    }
    let (x, width, y) = (x + before as f64 * WIDTH, text.width() as f64 * WIDTH, y + BASELINE);
    let bold = if run.style.bold { " font-weight=\"bold\"" } else { "" };
    let italic = if run.style.italic { " font-style=\"italic\"" } else { "" };
    let place = match run.columns {
        // In the middle of its cells: it may be narrower, or wider.
        _ if !text.is_ascii() => format!("x=\"{:.1}\" text-anchor=\"middle\"", x + width / 2.0),
        _ => format!("x=\"{x:.1}\" textLength=\"{width:.1}\""),
    };
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    put(
        picture,
        format_args!("<text {place} y=\"{y}\" fill=\"{colour}\" xml:space=\"preserve\"{bold}{italic}>{text}</text>"),
    );
}

/// The path of a line that is drawn with a sign, in its cell.
fn line(sign: &str) -> Option<&'static str> {
    Some(match sign {
        "─" => "M0 9H8.4",
        "│" => "M4.2 0V18",
        "╭" => "M8.4 9H7.2Q4.2 9 4.2 12V18",
        "╮" => "M0 9H1.2Q4.2 9 4.2 12V18",
        "╰" => "M8.4 9H7.2Q4.2 9 4.2 6V0",
        "╯" => "M0 9H1.2Q4.2 9 4.2 6V0",
        "├" => "M4.2 0V18M4.2 9H8.4",
        "┤" => "M4.2 0V18M4.2 9H0",
        "┬" => "M0 9H8.4M4.2 9V18",
        "┴" => "M0 9H8.4M4.2 9V0",
        _ => return None,
    })
}

/// The width of a block that fills its cell's left part.
fn block(sign: &str) -> Option<f64> {
    match sign {
        "▎" => Some(WIDTH / 4.0),
        "▌" => Some(WIDTH / 2.0),
        _ => None,
    }
}

/// One of the 256 colours of terminals. The first 16 are the terminal's own; only black is used.
fn rgb(colour: u8) -> String {
    let [red, green, blue] = match colour {
        0..16 => [0; 3],
        16..232 => [36, 6, 1].map(|unit| [0, 95, 135, 175, 215, 255][usize::from((colour - 16) / unit % 6)]),
        grey => [8 + 10 * (grey - 232); 3],
    };
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_its_place() {
        let screen = "╭─ \u{1b}[1m\u{1b}[38;5;75mgeneral\u{1b}[0m a<b 漢x\n\u{1b}[48;5;237m 1 \u{1b}[49m▎";
        let picture = render(screen, DARK);
        for there in [
            "<path transform=\"translate(0.0 0)\" d=\"M8.4 9H7.2Q4.2 9 4.2 12V18\" stroke=\"#d6d9e0\"/>",
            "<text x=\"25.2\" textLength=\"58.8\" y=\"13\" fill=\"#5fafff\" xml:space=\"preserve\" font-weight=\"bold\">general</text>",
            "textLength=\"25.2\" y=\"13\" fill=\"#d6d9e0\" xml:space=\"preserve\">a&lt;b</text>",
            "<text x=\"134.4\" text-anchor=\"middle\"",
            "<rect x=\"0.0\" y=\"18\" width=\"25.2\" height=\"18\" fill=\"#3a3a3a\"/>",
            "<rect x=\"25.2\" y=\"18\" width=\"2.1\" height=\"18\" fill=\"#d6d9e0\"/>",
        ] {
            assert!(picture.contains(there), "{there} in {picture}");
        }
    }
}
