//! The table of keys: which key does what and where, and what help says about it. Handling, help and hints are all made
//! from it.

use std::fmt;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::editor::Move;

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Submit,
    NewLine,
    CompleteNext,
    CompletePrevious,
    RowUp,
    RowDown,
    Go(Move),
    DeleteTo(Move),
    Undo,
    Cancel,
    PageUp,
    PageDown,
    LineUp,
    LineDown,
    Newest,
    FirstNew,
    SelectUp,
    SelectDown,
    Reply,
    Edit,
    Erase,
    React,
    NextRoom,
    PreviousRoom,
    NextUnread,
    /// The room whose number the key is.
    NumberedRoom,
    ListRooms,
    Help,
    Redraw,
    Interrupt,
    EndOfInput,
    OverlayUp,
    OverlayDown,
    OverlayPageUp,
    OverlayPageDown,
    OverlayChoose,
    OverlayClose,
}

/// Where a key counts. Where several apply, those further up go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    /// Something lies over the messages.
    Overlay,
    /// A message is selected and nothing is being written.
    Selection,
    /// Nothing is being written.
    Empty,
    Always,
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) keys: &'static [Key],
    pub(crate) context: Context,
    pub(crate) action: Action,
    /// A line of help.
    pub(crate) help: &'static str,
    /// A word or two for the hint below the messages; empty if it is not shown there.
    hint: &'static str,
}

/// A key with its modifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    code: KeyCode,
    modifiers: KeyModifiers,
}

/// The table, in the sections that help shows.
pub(crate) const SECTIONS: [(&str, &[Binding]); 6] = [
    ("Writing", WRITING),
    ("Reading", READING),
    ("The selected message", SELECTION),
    ("Rooms", ROOMS),
    ("The screen", SCREEN),
    ("Help and lists", OVERLAY),
];

/// What the mouse does, which is not looked up by key.
pub(crate) const MOUSE: [(&str, &str); 3] = [
    ("Wheel", "scroll what is under the pointer"),
    ("Click", "go to a room in the list; one that you are not in is joined"),
    ("Shift+drag", "select text for copying: while this program has the mouse, Shift gives it back to the terminal"),
];

const WRITING: &[Binding] = &[
    bind(&[key(KeyCode::Enter)], Context::Always, Action::Submit, "send"),
    bind(
        &[alt(KeyCode::Enter), shift(KeyCode::Enter), control('j')],
        Context::Always,
        Action::NewLine,
        "begin a new line",
    ),
    bind(&[key(KeyCode::Tab)], Context::Always, Action::CompleteNext, "complete a /command, a room or an @name"),
    bind(&[key(KeyCode::BackTab)], Context::Always, Action::CompletePrevious, "go back to the candidate before"),
    bind(&[key(KeyCode::Up)], Context::Always, Action::RowUp, "go a row up, or to what you sent before"),
    bind(
        &[key(KeyCode::Down)],
        Context::Always,
        Action::RowDown,
        "go a row down; below the last is what you sent after",
    ),
    bind(&[key(KeyCode::Left)], Context::Always, Action::Go(Move::Left), "go left"),
    bind(&[key(KeyCode::Right)], Context::Always, Action::Go(Move::Right), "go right"),
    bind(
        &[control_key(KeyCode::Left), alt(KeyCode::Left), alt_char('b')],
        Context::Always,
        Action::Go(Move::WordLeft),
        "go a word left",
    ),
    bind(
        &[control_key(KeyCode::Right), alt(KeyCode::Right), alt_char('f')],
        Context::Always,
        Action::Go(Move::WordRight),
        "go a word right",
    ),
    bind(&[key(KeyCode::Home), control('a')], Context::Always, Action::Go(Move::LineStart), "go to the line's start"),
    bind(&[key(KeyCode::End), control('e')], Context::Always, Action::Go(Move::LineEnd), "go to the line's end"),
    bind(&[control_key(KeyCode::Home)], Context::Always, Action::Go(Move::Start), "go to the text's start"),
    bind(&[control_key(KeyCode::End)], Context::Always, Action::Go(Move::End), "go to the text's end"),
    bind(
        &[key(KeyCode::Backspace), control('h')],
        Context::Always,
        Action::DeleteTo(Move::Left),
        "delete the letter before the cursor",
    ),
    bind(
        &[key(KeyCode::Delete), control('d')],
        Context::Always,
        Action::DeleteTo(Move::Right),
        "delete the letter at the cursor",
    ),
    bind(
        &[control('w'), control_key(KeyCode::Backspace), alt(KeyCode::Backspace)],
        Context::Always,
        Action::DeleteTo(Move::WordLeft),
        "delete the word before the cursor",
    ),
    bind(&[alt_char('d')], Context::Always, Action::DeleteTo(Move::WordRight), "delete the word after the cursor"),
    bind(&[control('u')], Context::Always, Action::DeleteTo(Move::LineStart), "delete to the line's start"),
    bind(&[control('k')], Context::Always, Action::DeleteTo(Move::LineEnd), "delete to the line's end"),
    // Terminals send Ctrl+7 for Ctrl+_ and Ctrl+/.
    bind(&[control('z'), control('_'), control('7')], Context::Always, Action::Undo, "undo"),
];

const READING: &[Binding] = &[
    bind(&[key(KeyCode::PageUp)], Context::Always, Action::PageUp, "scroll a page up"),
    bind(&[key(KeyCode::PageDown)], Context::Always, Action::PageDown, "scroll a page down"),
    bind(&[shift(KeyCode::Up)], Context::Always, Action::LineUp, "scroll a row up"),
    bind(&[shift(KeyCode::Down)], Context::Always, Action::LineDown, "scroll a row down"),
    bind(
        &[key(KeyCode::End), control_key(KeyCode::End)],
        Context::Empty,
        Action::Newest,
        "go to the newest message, if nothing is written",
    ),
    bind(&[key(KeyCode::Home)], Context::Empty, Action::FirstNew, "go to the first new message, if nothing is written"),
    bind(
        &[alt(KeyCode::Up), control_key(KeyCode::Up)],
        Context::Always,
        Action::SelectUp,
        "select a message, or the one above it",
    ),
    bind(
        &[alt(KeyCode::Down), control_key(KeyCode::Down)],
        Context::Always,
        Action::SelectDown,
        "select the message below",
    ),
];

const SELECTION: &[Binding] = &[
    hinted(&[char('r'), key(KeyCode::Enter)], Context::Selection, Action::Reply, "reply to it", "reply"),
    hinted(&[char('e')], Context::Selection, Action::Edit, "edit it, if it is yours", "edit"),
    hinted(
        &[char('d'), key(KeyCode::Delete)],
        Context::Selection,
        Action::Erase,
        "delete it, if it is yours, when pressed twice",
        "delete",
    ),
    hinted(&[char('+')], Context::Selection, Action::React, "react to it; the same again takes that back", "react"),
    bind(&[key(KeyCode::Up), char('k')], Context::Selection, Action::SelectUp, "select the message above"),
    bind(&[key(KeyCode::Down), char('j')], Context::Selection, Action::SelectDown, "select the message below"),
    hinted(
        &[key(KeyCode::Esc)],
        Context::Always,
        Action::Cancel,
        "give up an edit or a reply; select nothing; go to the newest message",
        "back",
    ),
];

const ROOMS: &[Binding] = &[
    bind(&[control('n')], Context::Always, Action::NextRoom, "go to the next room"),
    bind(&[control('p')], Context::Always, Action::PreviousRoom, "go to the room before"),
    bind(
        &[
            alt_char('1'),
            alt_char('2'),
            alt_char('3'),
            alt_char('4'),
            alt_char('5'),
            alt_char('6'),
            alt_char('7'),
            alt_char('8'),
            alt_char('9'),
        ],
        Context::Always,
        Action::NumberedRoom,
        "go to a room by its number in the list",
    ),
    bind(
        &[alt_char('a')],
        Context::Always,
        Action::NextUnread,
        "go to a room with something unread, first to one where you are mentioned",
    ),
    bind(&[control('r')], Context::Always, Action::ListRooms, "choose from all rooms"),
];

const SCREEN: &[Binding] = &[
    bind(&[key(KeyCode::F(1)), control('g')], Context::Always, Action::Help, "show this help"),
    bind(&[control('l')], Context::Always, Action::Redraw, "draw the screen again"),
    bind(&[control('c')], Context::Always, Action::Interrupt, "delete the text; without one, quit when pressed twice"),
    bind(&[control('d')], Context::Empty, Action::EndOfInput, "quit, if nothing is written"),
];

const OVERLAY: &[Binding] = &[
    bind(&[key(KeyCode::Up)], Context::Overlay, Action::OverlayUp, "go a line up"),
    bind(&[key(KeyCode::Down)], Context::Overlay, Action::OverlayDown, "go a line down"),
    bind(&[key(KeyCode::PageUp)], Context::Overlay, Action::OverlayPageUp, "go a page up"),
    bind(&[key(KeyCode::PageDown), char(' ')], Context::Overlay, Action::OverlayPageDown, "go a page down"),
    bind(&[key(KeyCode::Enter)], Context::Overlay, Action::OverlayChoose, "go to the room that is chosen; or close"),
    bind(
        &[key(KeyCode::Esc), key(KeyCode::F(1)), control('g'), char('q'), char('?')],
        Context::Overlay,
        Action::OverlayClose,
        "close; so does any other key, which then does what it always does",
    ),
];

/// Returns what a key does where these contexts apply.
pub(crate) fn find(event: KeyEvent, applies: impl Fn(Context) -> bool) -> Option<Action> {
    let find = |context: Context, matches: fn(&Key, KeyEvent) -> bool| {
        let mut bindings = all().filter(|binding| binding.context == context);
        bindings.find(|binding| binding.keys.iter().any(|key| matches(key, event))).map(|binding| binding.action)
    };
    let contexts = [Context::Overlay, Context::Selection, Context::Empty, Context::Always];
    let mut exact = contexts.iter().filter(|context| applies(**context));
    exact
        .find_map(|context| find(*context, Key::is))
        // With other modifiers it does what the key does alone.
        .or_else(|| contexts[2..].iter().filter(|it| applies(**it)).find_map(|it| find(*it, Key::is_without_modifiers)))
}

/// Returns the first key that does this.
pub(crate) fn key_for(action: Action) -> Key {
    let found = all().find(|binding| binding.action == action).and_then(|binding| binding.keys.first());
    found.copied().unwrap_or(key(KeyCode::Null))
}

/// Returns what can be done with the selected message, in a few words.
pub(crate) fn selection_hint() -> String {
    let hinted = SELECTION.iter().filter(|binding| !binding.hint.is_empty());
    let hints: Vec<String> = hinted.map(|binding| format!("{} {}", binding.keys[0], binding.hint)).collect();
    hints.join(" · ")
}

fn all() -> impl Iterator<Item = &'static Binding> {
    SECTIONS.iter().flat_map(|(_, bindings)| bindings.iter())
}

const fn bind(keys: &'static [Key], context: Context, action: Action, help: &'static str) -> Binding {
    Binding { keys, context, action, help, hint: "" }
}

const fn hinted(
    keys: &'static [Key],
    context: Context,
    action: Action,
    help: &'static str,
    hint: &'static str,
) -> Binding {
    Binding { keys, context, action, help, hint }
}

const fn key(code: KeyCode) -> Key {
    Key { code, modifiers: KeyModifiers::NONE }
}

const fn char(c: char) -> Key {
    key(KeyCode::Char(c))
}

const fn control(c: char) -> Key {
    control_key(KeyCode::Char(c))
}

const fn control_key(code: KeyCode) -> Key {
    Key { code, modifiers: KeyModifiers::CONTROL }
}

const fn alt(code: KeyCode) -> Key {
    Key { code, modifiers: KeyModifiers::ALT }
}

const fn alt_char(c: char) -> Key {
    alt(KeyCode::Char(c))
}

const fn shift(code: KeyCode) -> Key {
    Key { code, modifiers: KeyModifiers::SHIFT }
}

impl Key {
    fn is(&self, event: KeyEvent) -> bool {
        // Shift is in the letter already, and in the name of Shift+Tab.
        let shifted = matches!(self.code, KeyCode::Char(_) | KeyCode::BackTab);
        let counts = KeyModifiers::CONTROL | KeyModifiers::ALT;
        let counts = if shifted { counts } else { counts | KeyModifiers::SHIFT };
        self.code == event.code && self.modifiers == event.modifiers & counts
    }

    fn is_without_modifiers(&self, event: KeyEvent) -> bool {
        self.code == event.code && self.modifiers.is_empty() && !matches!(self.code, KeyCode::Char(_))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (modifier, name) in
            [(KeyModifiers::CONTROL, "Ctrl+"), (KeyModifiers::ALT, "Alt+"), (KeyModifiers::SHIFT, "Shift+")]
        {
            if self.modifiers.contains(modifier) {
                f.write_str(name)?;
            }
        }
        match self.code {
            KeyCode::Char(' ') => f.write_str("Space"),
            KeyCode::Char(c) if self.modifiers.is_empty() => write!(f, "{c}"),
            KeyCode::Char(c) => write!(f, "{}", c.to_ascii_uppercase()),
            KeyCode::BackTab => f.write_str("Shift+Tab"),
            KeyCode::PageUp => f.write_str("PageUp"),
            KeyCode::PageDown => f.write_str("PageDown"),
            code => write!(f, "{code}"),
        }
    }
}

impl Binding {
    /// The names of its keys; of a long run only the ends.
    pub(crate) fn names(&self) -> String {
        match self.keys {
            [first, .., last] if self.keys.len() > 5 => format!("{first} … {last}"),
            keys => keys.iter().map(Key::to_string).collect::<Vec<_>>().join(", "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(code: KeyCode, modifiers: KeyModifiers, contexts: &[Context]) -> Option<Action> {
        find(KeyEvent::new(code, modifiers), |context| contexts.contains(&context))
    }

    #[test]
    fn no_key_is_bound_twice_in_one_context() {
        let mut seen: Vec<(Context, Key)> = Vec::new();
        for binding in all() {
            for key in binding.keys {
                assert!(!seen.contains(&(binding.context, *key)), "{key} in {:?}", binding.context);
                seen.push((binding.context, *key));
            }
            assert!(!binding.help.is_empty());
        }
    }

    #[test]
    fn what_is_more_particular_goes_first() {
        use Context::{Always, Empty, Overlay, Selection};
        let (none, control, alt, shift) =
            (KeyModifiers::NONE, KeyModifiers::CONTROL, KeyModifiers::ALT, KeyModifiers::SHIFT);
        let up = KeyCode::Up;
        assert_eq!(pressed(up, none, &[Always]), Some(Action::RowUp));
        assert_eq!(pressed(up, control, &[Always]), Some(Action::SelectUp));
        assert_eq!(pressed(up, shift, &[Always]), Some(Action::LineUp));
        assert_eq!(pressed(up, none, &[Selection, Always]), Some(Action::SelectUp));
        assert_eq!(pressed(up, none, &[Overlay, Always]), Some(Action::OverlayUp));
        assert_eq!(pressed(KeyCode::Enter, alt, &[Selection, Empty, Always]), Some(Action::NewLine));
        assert_eq!(pressed(KeyCode::Char('d'), control, &[Empty, Always]), Some(Action::EndOfInput));
        assert_eq!(pressed(KeyCode::Char('d'), control, &[Always]), Some(Action::DeleteTo(Move::Right)));
        assert_eq!(pressed(KeyCode::PageUp, control, &[Always]), Some(Action::PageUp));
        assert_eq!(pressed(KeyCode::BackTab, shift, &[Always]), Some(Action::CompletePrevious));
        for letter in ['r', '?', 'q'] {
            assert_eq!(pressed(KeyCode::Char(letter), none, &[Empty, Always]), None, "{letter} begins a message");
        }
        assert_eq!(pressed(KeyCode::Char('é'), control | alt, &[Empty, Always]), None);
    }

    #[test]
    fn keys_have_the_names_that_are_on_them() {
        let names = |action| all().find(|binding| binding.action == action).map(Binding::names).unwrap_or_default();
        assert_eq!(names(Action::NewLine), "Alt+Enter, Shift+Enter, Ctrl+J");
        assert_eq!(names(Action::CompletePrevious), "Shift+Tab");
        assert_eq!(names(Action::NumberedRoom), "Alt+1 … Alt+9");
        assert_eq!(names(Action::OverlayPageDown), "PageDown, Space");
        assert_eq!(selection_hint(), "r reply · e edit · d delete · + react · Esc back");
        assert_eq!(key_for(Action::Help).to_string(), "F1");
    }
}
