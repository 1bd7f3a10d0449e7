//! The table of slash commands: what each is called, does, takes and completes. Pure.

use std::collections::HashSet;

use grpc_chat_client::{ParseError, RoomId};

use super::text::cut;

/// What a text asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Post it.
    Post(String),
    Join(RoomId),
    /// This room, or another.
    Leave(Option<RoomId>),
    /// Gives the selected message, or the user's last one, this text; without one the old text goes to the composer.
    Edit(Option<String>),
    Delete,
    /// Reacts to the selected message, or to the last one.
    React(String),
    Reply(String),
    ListPeople,
    ListRooms,
    Help,
    Quit,
}

/// A slash command.
#[derive(Debug)]
pub(crate) struct Command {
    /// With its slash.
    pub(crate) name: &'static str,
    /// What follows it, as help shows that.
    pub(crate) argument: &'static str,
    pub(crate) doc: &'static str,
    completer: Completer,
    /// Makes a request of what follows it, or says in a sentence why that cannot be one.
    parse: fn(&str) -> Result<Request, String>,
}

/// What can follow a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Completer {
    Nothing,
    Rooms,
}

pub(crate) const COMMANDS: [Command; 10] = [
    Command {
        name: "/join",
        argument: "ROOM",
        doc: "join a room, or make one",
        completer: Completer::Rooms,
        parse: |argument| match argument {
            "" => Err("/join needs the name of a room".to_owned()),
            room => checked(room).map(Request::Join),
        },
    },
    Command {
        name: "/leave",
        argument: "[ROOM]",
        doc: "leave this room, or another",
        completer: Completer::Rooms,
        parse: |argument| match argument {
            "" => Ok(Request::Leave(None)),
            room => checked(room).map(|room| Request::Leave(Some(room))),
        },
    },
    Command {
        name: "/edit",
        argument: "[TEXT]",
        doc: "edit the selected or your last message",
        completer: Completer::Nothing,
        parse: |argument| Ok(Request::Edit(given(argument))),
    },
    Command {
        name: "/delete",
        argument: "",
        doc: "delete the selected or your last message",
        completer: Completer::Nothing,
        parse: |_| Ok(Request::Delete),
    },
    Command {
        name: "/react",
        argument: "EMOJI",
        doc: "react to the selected or last message",
        completer: Completer::Nothing,
        parse: |argument| {
            given(argument).map(Request::React).ok_or_else(|| "/react needs a reaction, such as 👍".to_owned())
        },
    },
    Command {
        name: "/reply",
        argument: "TEXT",
        doc: "reply to the selected or last message",
        completer: Completer::Nothing,
        parse: |argument| given(argument).map(Request::Reply).ok_or_else(|| "/reply needs a text".to_owned()),
    },
    Command {
        name: "/who",
        argument: "",
        doc: "list the people who are here",
        completer: Completer::Nothing,
        parse: |_| Ok(Request::ListPeople),
    },
    Command {
        name: "/rooms",
        argument: "",
        doc: "choose from all rooms",
        completer: Completer::Nothing,
        parse: |_| Ok(Request::ListRooms),
    },
    Command {
        name: "/help",
        argument: "",
        doc: "show keys and commands",
        completer: Completer::Nothing,
        parse: |_| Ok(Request::Help),
    },
    Command {
        name: "/quit",
        argument: "",
        doc: "quit; what is unsent is kept",
        completer: Completer::Nothing,
        parse: |_| Ok(Request::Quit),
    },
];

/// Returns what a text asks for, or a sentence that says why it cannot be done.
pub(crate) fn parse(text: &str) -> Result<Request, String> {
    // A message that is to begin with a slash begins with two.
    let Some(line) = text.strip_prefix('/').filter(|rest| !rest.starts_with('/')) else {
        return Ok(Request::Post(text.strip_prefix('/').unwrap_or(text).to_owned()));
    };
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match COMMANDS.iter().find(|command| command.name[1..] == *name) {
        Some(command) => (command.parse)(argument.trim()),
        None => Err(format!("there is no /{}; see /help, or begin with // to post it", cut(name, 20))),
    }
}

/// What could replace the word before the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Completion {
    /// Bytes before the cursor that are replaced.
    pub(crate) replaced: usize,
    pub(crate) candidates: Vec<Candidate>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// With what separates it from the next word.
    pub(crate) text: String,
    /// What it does, if it is a command.
    pub(crate) doc: &'static str,
}

/// Completes a command at the beginning of a text, a room after a command that takes one, and a name after `@`.
pub(crate) fn complete<'a>(
    before_cursor: &str,
    users: impl Iterator<Item = &'a str>,
    rooms: impl Iterator<Item = &'a str>,
) -> Option<Completion> {
    let word = before_cursor.rsplit(char::is_whitespace).next().unwrap_or_default();
    let candidate = |text: String| Candidate { text, doc: "" };
    if before_cursor.starts_with('/') && word.len() == before_cursor.len() {
        let commands = COMMANDS.iter().map(|it| Candidate { text: format!("{} ", it.name), doc: it.doc });
        return fitting(word, commands);
    }
    if let Some(start) = after_command(before_cursor, Completer::Rooms) {
        return fitting(start, rooms.map(|room| candidate(room.to_owned())));
    }
    if word.starts_with('@') {
        // At the beginning of a text somebody is addressed.
        let end = if word.len() == before_cursor.len() { ", " } else { " " };
        return fitting(word, users.map(|user| candidate(format!("@{user}{end}"))));
    }
    None
}

/// Returns the commands whose names begin like a text that is only the beginning of one.
pub(crate) fn commands_like(text: &str) -> Vec<Candidate> {
    if !text.starts_with('/') || text.contains(char::is_whitespace) {
        return Vec::new();
    }
    let fitting = COMMANDS.iter().filter(|command| command.name.starts_with(text));
    fitting.map(|it| Candidate { text: format!("{} {}", it.name, it.argument), doc: it.doc }).collect()
}

/// Whether the cursor is after a command that takes rooms which the user need not be in.
pub(crate) fn is_joining(before_cursor: &str) -> bool {
    before_cursor.starts_with("/join ")
}

/// Returns what follows a command that is completed so.
fn after_command(before_cursor: &str, completer: Completer) -> Option<&str> {
    let (name, argument) = before_cursor.split_once(' ')?;
    let command = COMMANDS.iter().find(|command| command.name == name)?;
    (command.completer == completer).then(|| argument.trim_start())
}

/// The candidates that begin so, each once; `None` if there are none.
fn fitting(prefix: &str, all: impl Iterator<Item = Candidate>) -> Option<Completion> {
    let mut seen = HashSet::new();
    let fits = |it: &str| it.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    let candidates: Vec<_> = all.filter(|it| fits(&it.text) && seen.insert(it.text.clone())).collect();
    (!candidates.is_empty()).then_some(Completion { replaced: prefix.len(), candidates })
}

fn given(argument: &str) -> Option<String> {
    (!argument.is_empty()).then(|| argument.to_owned())
}

fn checked(room: &str) -> Result<RoomId, String> {
    room.parse().map_err(|why: ParseError| why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_message_unless_it_begins_with_one_slash() {
        for (text, request) in [
            ("Hi", Request::Post("Hi".to_owned())),
            ("?", Request::Post("?".to_owned())),
            ("//join", Request::Post("/join".to_owned())),
            ("and/or", Request::Post("and/or".to_owned())),
            ("/join general", Request::Join("general".parse().unwrap())),
            ("/join  a/b ", Request::Join("a/b".parse().unwrap())),
            ("/leave", Request::Leave(None)),
            ("/leave general", Request::Leave(Some("general".parse().unwrap()))),
            ("/edit", Request::Edit(None)),
            ("/edit two\nlines", Request::Edit(Some("two\nlines".to_owned()))),
            ("/react 👍", Request::React("👍".to_owned())),
            ("/reply yes, it is", Request::Reply("yes, it is".to_owned())),
            ("/quit", Request::Quit),
        ] {
            assert_eq!(parse(text).as_ref(), Ok(&request), "{text}");
        }
        for text in ["/", "/jion general", "/join", "/join a b", "/join /", "/react", "/reply "] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_word_is_completed_by_what_fits_where_it_stands() {
        let completed = |text: &str| {
            complete(text, ["ann", "anton", "sam", "ann"].into_iter(), ["a/b", "general"].into_iter())
                .map(|it| (it.replaced, it.candidates.into_iter().map(|candidate| candidate.text).collect::<Vec<_>>()))
        };
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert_eq!(completed("/jo"), Some((3, words(&["/join "]))));
        assert_eq!(completed("/re"), Some((3, words(&["/react ", "/reply "]))));
        assert_eq!(completed("/join g"), Some((1, words(&["general"]))));
        assert_eq!(completed("/join "), Some((0, words(&["a/b", "general"]))));
        assert_eq!(completed("/leave g"), Some((1, words(&["general"]))));
        assert_eq!(completed("@A"), Some((2, words(&["@ann, ", "@anton, "]))));
        assert_eq!(completed("@a"), Some((2, words(&["@ann, ", "@anton, "]))));
        assert_eq!(completed("Hi @s"), Some((2, words(&["@sam "]))));
        for text in ["", "Hi", "@x", "/nothing", "/edit g", "a@b"] {
            assert_eq!(completed(text), None, "{text}");
        }
    }
}
