//! Mentions: where a text addresses a user. Pure.

use std::ops::Range;

/// Returns the parts of a text that address a user, as byte ranges in order: the name after an `@`, or at the very
/// beginning of the text with `:` or `,` after it. Letters match in either case.
pub(crate) fn find(text: &str, user: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    if user.is_empty() {
        return found;
    }
    let is_user = |name: &str| name.eq_ignore_ascii_case(user);
    if let Some((name, after)) = text.split_at_checked(user.len())
        && is_user(name)
        && after.starts_with([':', ','])
    {
        found.push(0..name.len());
    }
    for (at, _) in text.match_indices('@') {
        let Some((name, after)) = text[at + 1..].split_at_checked(user.len()) else { break };
        if is_user(name) && !text[..at].ends_with(is_name_char) && ends_name(after) {
            found.push(at..at + 1 + name.len());
        }
    }
    found
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || is_name_punctuation(c)
}

fn is_name_punctuation(c: char) -> bool {
    matches!(c, '.' | '_' | '-')
}

/// Whether a name ends before this text. Punctuation that names may contain also ends sentences.
fn ends_name(after: &str) -> bool {
    !after.trim_start_matches(is_name_punctuation).starts_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_mention_whatever_ends_the_sentence() {
        for text in
            ["@sam", "ask @sam.", "@sam...", "@sam-", "(@sam)", "@sam, @ann", "@sam_\n", "@Sam", "SAM: hi", "sam, hi"]
        {
            assert!(!find(text, "sam").is_empty(), "{text}");
        }
        for text in [
            "@samantha",
            "@sam.smith",
            "@sam-2",
            "a@sam",
            "sam",
            "@sam._x",
            "samt: x",
            "ask sam: x",
            "sä: x",
            "two lines\nsam, hi",
            "@sä",
            "@",
        ] {
            assert!(find(text, "sam").is_empty(), "{text}");
        }
    }

    #[test]
    fn ranges_cover_the_name_and_its_sign() {
        let text = "Sam, ask @ann or @SAM.";
        let named: Vec<&str> = find(text, "sam").into_iter().map(|range| &text[range]).collect();
        assert_eq!(named, ["Sam", "@SAM"]);
    }

    #[test]
    fn a_user_without_a_name_is_never_mentioned() {
        assert!(find(": @ ", "").is_empty());
    }
}
