//! What others wrote, made safe to show.

use std::borrow::Cow;

/// The text with every character that could steer a terminal, or turn its reading order around, replaced by
/// U+FFFD. Newline and tab stay. For anything that is shown to a person; bytes for a program stay as they are.
#[must_use]
pub fn sanitize(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_hostile) {
        Cow::Owned(text.chars().map(|c| if is_hostile(c) { char::REPLACEMENT_CHARACTER } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// C0 and C1 controls (escape sequences start with one), the bidirectional overrides and isolates of Unicode's UAX #9,
/// which can make one text look like another, and its two other ends of lines.
fn is_hostile(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_reaches_the_screen_but_newline_and_tab() {
        for code in (0..0x20).chain(0x7F..0xA0) {
            let c = char::from_u32(code).unwrap();
            let shown = sanitize(&format!("a{c}b")).into_owned();
            if c == '\n' || c == '\t' {
                assert_eq!(shown, format!("a{c}b"));
            } else {
                assert_eq!(shown, "a\u{FFFD}b", "U+{code:04X}");
            }
        }
    }

    #[test]
    fn escape_sequences_and_overrides_lose_their_power() {
        for text in ["\x1b[2J", "\x1b]52;c;aGk=\x07", "\x1b]0;title\x07", "\u{9b}31m", "\u{202e}abc", "\u{2066}abc"] {
            let shown = sanitize(text);
            assert!(!shown.chars().any(is_hostile), "{shown:?}");
        }
    }

    #[test]
    fn ordinary_text_of_any_script_is_not_touched() {
        for text in ["", "Hi", "šŽ 漢字 עברית العربية", "👩‍👩‍👧‍👦 é", "a\tb\nc"] {
            assert!(matches!(sanitize(text), Cow::Borrowed(same) if same == text));
        }
    }
}
