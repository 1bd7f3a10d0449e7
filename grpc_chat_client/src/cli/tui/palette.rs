//! The colours of the screen, as numbers in the 256-colour table of terminals. Constants only: `cargo xtask screen`
//! includes this file.

/// The colours for one kind of background.
#[derive(Debug)]
pub(crate) struct Palette {
    /// For what the user can act on, and for their own name.
    pub(crate) accent: u8,
    /// For mentions and new messages.
    pub(crate) alert: u8,
    pub(crate) good: u8,
    pub(crate) bad: u8,
    /// For secondary text.
    pub(crate) faint: u8,
    /// For lines and frames.
    pub(crate) line: u8,
    /// The background of what is selected, and the text on it where that cannot keep its colours.
    pub(crate) selected: u8,
    pub(crate) selected_text: Option<u8>,
    /// Pairs of text and background.
    pub(crate) chip: (u8, u8),
    pub(crate) own_chip: (u8, u8),
    pub(crate) badge: (u8, u8),
    pub(crate) alert_badge: (u8, u8),
    /// For authors. None of them is used for anything else. Ordered by hue, so that neighbours look alike.
    pub(crate) authors: [u8; 16],
}

/// For dark backgrounds.
pub(crate) const DARK: Palette = Palette {
    accent: 75,
    alert: 221,
    good: 114,
    bad: 203,
    faint: 245,
    line: 239,
    selected: 237,
    selected_text: None,
    chip: (250, 236),
    own_chip: (153, 24),
    badge: (252, 238),
    alert_badge: (16, 221),
    authors: [204, 174, 209, 215, 180, 185, 113, 108, 35, 43, 37, 81, 183, 177, 212, 218],
};

/// For light backgrounds.
pub(crate) const LIGHT: Palette = Palette {
    accent: 26,
    alert: 130,
    good: 28,
    bad: 160,
    faint: 243,
    line: 250,
    selected: 254,
    selected_text: None,
    chip: (239, 254),
    own_chip: (18, 153),
    badge: (236, 252),
    alert_badge: (231, 130),
    authors: [161, 131, 124, 94, 58, 22, 29, 23, 24, 25, 98, 97, 54, 96, 89, 162],
};

/// For unknown backgrounds: readable on dark and on light ones.
pub(crate) const EITHER: Palette = Palette {
    accent: 33,
    alert: 166,
    good: 28,
    bad: 167,
    faint: 245,
    line: 243,
    selected: 238,
    selected_text: Some(255),
    chip: (254, 240),
    own_chip: (255, 25),
    badge: (255, 241),
    alert_badge: (231, 130),
    authors: [168, 131, 130, 136, 100, 101, 64, 29, 30, 31, 68, 103, 97, 134, 169, 162],
};

/// For terminals with 16 colours, which show them as their own theme says. Backgrounds are not used.
pub(crate) const BASIC_ACCENT: u8 = 6;
pub(crate) const BASIC_ALERT: u8 = 3;
pub(crate) const BASIC_GOOD: u8 = 2;
pub(crate) const BASIC_BAD: u8 = 1;
pub(crate) const BASIC_AUTHORS: [u8; 6] = [4, 14, 10, 12, 5, 13];
