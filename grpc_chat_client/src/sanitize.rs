//! Text of others, made safe to show.

use std::borrow::Cow;

/// Returns the text with every character that could control a terminal, or change its reading order, replaced by U+FFFD.
/// Newline and tab stay. Use it for everything from the service that is shown to a person.
///
/// ```
/// use grpc_chat_client::sanitize;
///
/// assert_eq!(sanitize("Hi, Sam"), "Hi, Sam");
/// assert_eq!(sanitize("\u{1b}[2J"), "\u{fffd}[2J");
/// ```
#[must_use]
pub fn sanitize(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_hostile) {
        Cow::Owned(text.chars().map(|c| if is_hostile(c) { char::REPLACEMENT_CHARACTER } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// C0 and C1 control characters, with which escape sequences start; the bidirectional overrides and isolates of Unicode's
/// UAX #9, which can make one text look like another; and Unicode's line and paragraph separators.
fn is_hostile(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_but_newline_and_tab_is_shown() {
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
    fn escape_sequences_and_overrides_have_no_effect() {
        for text in ["\x1b[2J", "\x1b]52;c;aGk=\x07", "\x1b]0;title\x07", "\u{9b}31m", "\u{202e}abc", "\u{2066}abc"] {
            let shown = sanitize(text);
            assert!(!shown.chars().any(is_hostile), "{shown:?}");
        }
    }

    #[test]
    fn ordinary_text_of_any_script_stays_as_it_is() {
        for text in ["", "Hi", "šŽ 漢字 עברית العربية", "👩‍👩‍👧‍👦 é", "a\tb\nc"] {
            assert!(matches!(sanitize(text), Cow::Borrowed(same) if same == text));
        }
    }
}
