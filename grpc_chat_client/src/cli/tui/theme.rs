//! Colours, if there are to be any.

use ratatui::style::{Color, Modifier, Style};

/// How things look. Without colours (`NO_COLOR`) only bold, dim and the like tell them apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Theme {
    colours: bool,
}

/// Readable on dark and on light backgrounds, and not those that mean something elsewhere on the screen.
const AUTHORS: [u8; 12] = [32, 34, 37, 62, 98, 130, 132, 135, 138, 168, 172, 178];

impl Theme {
    pub(crate) fn new(colours: bool) -> Self {
        Self { colours }
    }

    /// An author's own colour: the same in every room, on every screen.
    pub(crate) fn author(self, name: &str) -> Style {
        // FNV-1a: the standard library's hasher does not promise to stay as it is.
        let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let colour = AUTHORS[hash as usize % AUTHORS.len()];
        self.colour(Color::Indexed(colour)).add_modifier(Modifier::BOLD)
    }

    /// What is not the matter at hand.
    pub(crate) fn faint(self) -> Style {
        if self.colours { Style::new().fg(Color::Indexed(245)) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    pub(crate) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(crate) fn bar(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(crate) fn good(self) -> Style {
        self.colour(Color::Indexed(34))
    }

    pub(crate) fn bad(self) -> Style {
        self.colour(Color::Indexed(160)).add_modifier(Modifier::BOLD)
    }

    /// What somebody should look at.
    pub(crate) fn news(self) -> Style {
        self.colour(Color::Indexed(172)).add_modifier(Modifier::BOLD)
    }

    pub(crate) fn selected(self) -> Style {
        if self.colours { Style::new().bg(Color::Indexed(238)).fg(Color::Indexed(255)) } else { self.bar() }
    }

    fn colour(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }
}
