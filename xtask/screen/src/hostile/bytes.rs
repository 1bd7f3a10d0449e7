//! Which bytes may reach a terminal. Pure.

#[path = "../../../../grpc_chat_client/src/cli/tui/palette.rs"]
mod palette;

use palette::{BASIC_ACCENT, BASIC_ALERT, BASIC_AUTHORS, BASIC_BAD, BASIC_GOOD, DARK, EITHER, LIGHT, Palette};
use xtask::Outcome;

/// What the screen itself turns on and off: a screen of its own, pastes, focus, mouse, cursor, whole frames, wrapping.
const MODES: [&str; 8] = ["1049", "2004", "1004", "1000", "1006", "25", "2026", "7"];

/// Fails if there is a control character in a captured screen.
pub(super) fn check_text(screen: &str) -> Outcome {
    match screen.chars().find(|c| c.is_control() && *c != '\n' || is_override(*c)) {
        None => Ok(()),
        Some(c) => Err(format!("there is a {c:?} on the screen:\n{screen}").into()),
    }
}

/// Fails if there is a control character in printed lines, other than their ends and tabs.
pub(super) fn check_lines(raw: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(raw);
    match text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t') || is_override(*c)) {
        None => Ok(()),
        Some(c) => Err(format!("{c:?} was written, in {:?}", around(&text, c)).into()),
    }
}

/// Fails if there is an escape sequence in what was written that the screen does not draw with.
pub(super) fn check_drawn(raw: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(raw);
    let mut rest = text.as_ref();
    while let Some(at) = rest.find(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t') || is_override(c)) {
        let sequence = rest[at..].strip_prefix("\u{1b}[");
        let end = sequence.and_then(|it| it.find(|c: char| c.is_ascii_alphabetic()));
        let (Some(sequence), Some(end)) = (sequence, end) else {
            return Err(format!("{:?} was written", rest[at..].chars().take(20).collect::<String>()).into());
        };
        if !is_own(&sequence[..end], sequence.as_bytes()[end]) {
            return Err(format!("ESC [ {} was written, and the screen does not draw so", &sequence[..=end]).into());
        }
        rest = &sequence[end + 1..];
    }
    Ok(())
}

fn is_own(parameters: &str, end: u8) -> bool {
    let numbers = || parameters.split(';').all(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    match end {
        b'h' | b'l' => {
            parameters.strip_prefix('?').is_some_and(|modes| modes.split(';').all(|mode| MODES.contains(&mode)))
        }
        b'u' => parameters.starts_with(['>', '<']),
        b'm' => is_own_style(&parameters.split(';').collect::<Vec<_>>()),
        b'H' | b'J' | b'K' | b'A' | b'B' | b'C' | b'D' | b'G' => numbers(),
        _ => false,
    }
}

fn is_own_style(mut codes: &[&str]) -> bool {
    loop {
        codes = match codes {
            [] => return true,
            ["38" | "48", "5", colour, rest @ ..] if colour.parse().is_ok_and(is_own_colour) => rest,
            ["" | "0" | "1" | "2" | "3" | "7" | "22" | "23" | "27" | "39" | "49" | "59", rest @ ..] => rest,
            _ => return false,
        }
    }
}

/// Whether the screen draws with this colour. A service has no part in choosing it.
fn is_own_colour(colour: u8) -> bool {
    let basic = [BASIC_ACCENT, BASIC_ALERT, BASIC_GOOD, BASIC_BAD, 0];
    let of = |palette: &Palette| {
        let Palette { accent, alert, good, bad, faint, line, selected, selected_text, authors, .. } = *palette;
        let pairs = [palette.chip, palette.own_chip, palette.badge, palette.alert_badge];
        [accent, alert, good, bad, faint, line, selected].contains(&colour)
            || selected_text == Some(colour)
            || pairs.iter().any(|pair| pair.0 == colour || pair.1 == colour)
            || authors.contains(&colour)
    };
    basic.contains(&colour) || BASIC_AUTHORS.contains(&colour) || [DARK, LIGHT, EITHER].iter().any(of)
}

fn is_override(c: char) -> bool {
    matches!(c, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn around(text: &str, c: char) -> String {
    text.split(c).next().unwrap_or_default().chars().rev().take(40).collect::<Vec<_>>().into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_screen_draws_with_is_told_from_everything_else() {
        check_drawn(b"\x1b[?1049h\x1b[1;1H\x1b[38;5;245;49mHi\x1b[0m\r\n\x1b[?2026l\x1b[>1u").unwrap();
        for bad in [
            "\u{1b}]0;title\u{7}",
            "\u{1b}[5m",
            "\u{1b}[38;5;199m",
            "\u{1b}[31m",
            "\u{1b}[?1047h",
            "\u{1b}[6n",
            "\u{1b}c",
            "\u{1b}",
            "\u{7}",
            "\u{9b}5m",
            "\u{202e}",
        ] {
            check_drawn(bad.as_bytes()).unwrap_err();
            check_lines(bad.as_bytes()).unwrap_err();
            check_text(bad).unwrap_err();
        }
        check_lines("plain, \u{fffd}\ttext\r\n".as_bytes()).unwrap();
        check_text("plain\ntext").unwrap();
    }
}
