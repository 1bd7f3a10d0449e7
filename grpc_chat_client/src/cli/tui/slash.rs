//! What begins with a slash, and what Tab makes of the beginning of a word. Pure.

use std::collections::HashSet;

use grpc_chat_client::RoomId;

use super::text::cut;

/// Something typed into the composer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// To be said.
    Text(String),
    Join(String),
    /// This room, or another.
    Leave(Option<String>),
    /// The selected message, or the last of one's own: this text instead, or the old one into the composer.
    Edit(Option<String>),
    Delete,
    /// The selected message, or the last one.
    React(String),
    Reply(String),
    Who,
    Rooms,
    Help,
    Quit,
    /// Nothing of that; why, in a sentence.
    Wrong(String),
}

/// Every command, what follows it, and what it does.
pub(crate) const COMMANDS: [(&str, &str, &str); 10] = [
    ("/join", "ROOM", "take part in a room, which its first message makes"),
    ("/leave", "[ROOM]", "leave this room, or another"),
    ("/edit", "[TEXT]", "change the selected message, or your last one"),
    ("/delete", "", "erase the selected message, or your last one"),
    ("/react", "EMOJI", "react to the selected message, or the last one; again to take it back"),
    ("/reply", "TEXT", "answer the selected message, or the last one"),
    ("/who", "", "who is here"),
    ("/rooms", "", "which rooms there are, and what is unread"),
    ("/help", "", "keys and commands"),
    ("/quit", "", "leave the chat; what is unsent is kept"),
];

/// What a text is.
pub(crate) fn parse(text: &str) -> Typed {
    // A text that is to begin with a slash begins with two.
    let Some(command) = text.strip_prefix('/').filter(|rest| !rest.starts_with('/')) else {
        return Typed::Text(text.strip_prefix('/').unwrap_or(text).to_owned());
    };
    let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let rest = rest.trim();
    let given = || if rest.is_empty() { None } else { Some(rest.to_owned()) };
    let needed = |what: &str, typed: fn(String) -> Typed| {
        given().map_or_else(|| Typed::Wrong(format!("/{name} needs {what}")), typed)
    };
    let room = |typed: fn(String) -> Typed| match rest.parse::<RoomId>() {
        Ok(_) => typed(rest.to_owned()),
        Err(why) => Typed::Wrong(why.to_string()),
    };
    match name {
        "join" if !rest.is_empty() => room(Typed::Join),
        "join" => Typed::Wrong("/join needs a room's name".to_owned()),
        "leave" if !rest.is_empty() => room(|room| Typed::Leave(Some(room))),
        "leave" => Typed::Leave(None),
        "edit" => Typed::Edit(given()),
        "delete" => Typed::Delete,
        "react" => needed("a reaction, such as 👍", Typed::React),
        "reply" => needed("a text", Typed::Reply),
        "who" => Typed::Who,
        "rooms" => Typed::Rooms,
        "help" => Typed::Help,
        "quit" => Typed::Quit,
        _ => Typed::Wrong(format!("there is no /{}; see /help, or begin with // to say it", cut(name, 20))),
    }
}

/// What could stand in place of the word before the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Completion {
    /// Bytes before the cursor that are replaced.
    pub(crate) replaced: usize,
    pub(crate) candidates: Vec<String>,
}

/// Completes a command at the beginning, a room after `/join` or `/leave`, and a name after `@`.
pub(crate) fn complete<'a>(
    before_cursor: &str,
    users: impl Iterator<Item = &'a str>,
    rooms: impl Iterator<Item = &'a str>,
) -> Option<Completion> {
    let word = before_cursor.rsplit(char::is_whitespace).next().unwrap_or_default();
    let of = |prefix: &str, mut all: Vec<String>| {
        let mut seen = HashSet::new();
        let fits = |it: &str| it.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        all.retain(|candidate| fits(candidate) && seen.insert(candidate.clone()));
        (!all.is_empty()).then_some(Completion { replaced: prefix.len(), candidates: all })
    };
    if before_cursor.starts_with('/') && word.len() == before_cursor.len() {
        return of(word, COMMANDS.iter().map(|(name, ..)| format!("{name} ")).collect());
    }
    if let Some(start) = ["/join ", "/leave "].iter().find_map(|command| before_cursor.strip_prefix(command)) {
        return of(start.trim_start(), rooms.map(str::to_owned).collect());
    }
    if word.starts_with('@') {
        // At the beginning of a text somebody is spoken to.
        let end = if word.len() == before_cursor.len() { ", " } else { " " };
        return of(word, users.map(|user| format!("@{user}{end}")).collect());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_text_unless_it_begins_with_one_slash() {
        for (typed, meant) in [
            ("Hi", Typed::Text("Hi".to_owned())),
            ("//join", Typed::Text("/join".to_owned())),
            ("and/or", Typed::Text("and/or".to_owned())),
            ("/join general", Typed::Join("general".to_owned())),
            ("/join  a/b ", Typed::Join("a/b".to_owned())),
            ("/leave", Typed::Leave(None)),
            ("/leave general", Typed::Leave(Some("general".to_owned()))),
            ("/edit", Typed::Edit(None)),
            ("/edit two\nlines", Typed::Edit(Some("two\nlines".to_owned()))),
            ("/react 👍", Typed::React("👍".to_owned())),
            ("/reply yes, it is", Typed::Reply("yes, it is".to_owned())),
            ("/quit", Typed::Quit),
        ] {
            assert_eq!(parse(typed), meant, "{typed}");
        }
        for typed in ["/", "/jion general", "/join", "/join a b", "/join /", "/react", "/reply "] {
            assert!(matches!(parse(typed), Typed::Wrong(_)), "{typed}");
        }
    }

    #[test]
    fn a_word_is_completed_by_what_fits_where_it_stands() {
        let completed = |text: &str| {
            complete(text, ["ann", "anton", "sam", "ann"].into_iter(), ["a/b", "general"].into_iter())
                .map(|completion| (completion.replaced, completion.candidates))
        };
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert_eq!(completed("/jo"), Some((3, words(&["/join "]))));
        assert_eq!(completed("/re"), Some((3, words(&["/react ", "/reply "]))));
        assert_eq!(completed("/join g"), Some((1, words(&["general"]))));
        assert_eq!(completed("/join "), Some((0, words(&["a/b", "general"]))));
        assert_eq!(completed("@A"), Some((2, words(&["@ann, ", "@anton, "]))));
        assert_eq!(completed("@a"), Some((2, words(&["@ann, ", "@anton, "]))));
        assert_eq!(completed("Hi @s"), Some((2, words(&["@sam "]))));
        for text in ["", "Hi", "@x", "/nothing", "a@b"] {
            assert_eq!(completed(text), None, "{text}");
        }
    }
}
