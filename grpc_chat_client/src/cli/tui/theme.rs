//! How things look: colours where the terminal has them, otherwise bold, dim and reversed text.

use clap::ValueEnum;
use ratatui::style::{Color, Modifier, Style};

use super::palette::{BASIC_ACCENT, BASIC_ALERT, BASIC_AUTHORS, BASIC_BAD, BASIC_GOOD, DARK, EITHER, LIGHT, Palette};

/// The background that colours are chosen for, as `--theme` names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Background {
    /// What the terminal says in COLORFGBG; without that, colours that are readable on both
    #[default]
    Auto,
    /// For a dark background
    Dark,
    /// For a light background
    Light,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Theme {
    colours: Colours,
}

#[derive(Clone, Copy, Debug)]
enum Colours {
    None,
    Basic,
    Full(&'static Palette),
}

impl Theme {
    /// Returns the theme for the terminal that these environment variables describe.
    pub(crate) fn detect(background: Background, variable: impl Fn(&str) -> Option<String>) -> Self {
        // https://no-color.org: set and not empty.
        if variable("NO_COLOR").is_some_and(|value| !value.is_empty()) {
            return Self { colours: Colours::None };
        }
        if variable("TERM").is_some_and(|term| has_basic_colours(&term)) {
            return Self { colours: Colours::Basic };
        }
        Self::full(match background {
            Background::Dark => &DARK,
            Background::Light => &LIGHT,
            Background::Auto => match variable("COLORFGBG").as_deref().and_then(is_dark) {
                Some(true) => &DARK,
                Some(false) => &LIGHT,
                None => &EITHER,
            },
        })
    }

    fn full(palette: &'static Palette) -> Self {
        Self { colours: Colours::Full(palette) }
    }

    /// Returns how many colours there are for authors.
    pub(crate) fn author_colours(self) -> usize {
        match self.colours {
            Colours::None => 1,
            Colours::Basic => BASIC_AUTHORS.len(),
            Colours::Full(palette) => palette.authors.len(),
        }
    }

    /// For an author's name. `slot` is less than [`Theme::author_colours`].
    pub(crate) fn author(self, slot: usize) -> Style {
        let colour = match self.colours {
            Colours::None => return self.strong(),
            Colours::Basic => BASIC_AUTHORS.get(slot).copied(),
            Colours::Full(palette) => palette.authors.get(slot).copied(),
        };
        colour.map_or_else(Style::new, foreground).add_modifier(Modifier::BOLD)
    }

    /// For secondary text.
    pub(crate) fn faint(self) -> Style {
        self.full_or(|palette| foreground(palette.faint), Style::new().add_modifier(Modifier::DIM))
    }

    /// For lines and frames.
    pub(crate) fn line(self) -> Style {
        self.full_or(|palette| foreground(palette.line), Style::new().add_modifier(Modifier::DIM))
    }

    pub(crate) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// For what the user can act on, and for their own name.
    pub(crate) fn accent(self) -> Style {
        self.colour(|palette| palette.accent, BASIC_ACCENT).add_modifier(Modifier::BOLD)
    }

    /// For mentions and new messages.
    pub(crate) fn alert(self) -> Style {
        self.colour(|palette| palette.alert, BASIC_ALERT).add_modifier(Modifier::BOLD)
    }

    pub(crate) fn good(self) -> Style {
        self.colour(|palette| palette.good, BASIC_GOOD)
    }

    pub(crate) fn bad(self) -> Style {
        self.colour(|palette| palette.bad, BASIC_BAD).add_modifier(Modifier::BOLD)
    }

    /// For the line or message that keys act on.
    pub(crate) fn selected(self) -> Style {
        let selected = |palette: &Palette| {
            let text = palette.selected_text.map_or_else(Style::new, foreground);
            text.bg(Color::Indexed(palette.selected))
        };
        self.full_or(selected, Style::new().add_modifier(Modifier::REVERSED))
    }

    /// For a reaction; `own` if this user is among those who reacted so.
    pub(crate) fn chip(self, own: bool) -> Style {
        let otherwise = if own { self.accent() } else { self.faint() };
        self.full_or(|palette| pair(if own { palette.own_chip } else { palette.chip }), otherwise)
    }

    /// Returns what stands before and after the text of a chip or a badge: brackets where there is no background to show its
    /// extent.
    pub(crate) fn chip_ends(self) -> (&'static str, &'static str) {
        if matches!(self.colours, Colours::Full(_)) { (" ", " ") } else { ("[", "]") }
    }

    /// For the number of unread messages; `alert` if one of them addresses this user.
    pub(crate) fn badge(self, alert: bool) -> Style {
        let otherwise = if alert { self.alert() } else { self.strong() };
        let badge = self.full_or(|palette| pair(if alert { palette.alert_badge } else { palette.badge }), otherwise);
        if alert { badge.add_modifier(Modifier::BOLD) } else { badge }
    }

    fn colour(self, full: impl Fn(&Palette) -> u8, basic: u8) -> Style {
        match self.colours {
            Colours::None => Style::new(),
            Colours::Basic => foreground(basic),
            Colours::Full(palette) => foreground(full(palette)),
        }
    }

    fn full_or(self, full: impl Fn(&Palette) -> Style, otherwise: Style) -> Style {
        if let Colours::Full(palette) = self.colours { full(palette) } else { otherwise }
    }
}

fn foreground(colour: u8) -> Style {
    Style::new().fg(Color::Indexed(colour))
}

fn pair((text, background): (u8, u8)) -> Style {
    foreground(text).bg(Color::Indexed(background))
}

/// Whether a terminal, by its terminfo name, has 16 colours or fewer.
fn has_basic_colours(term: &str) -> bool {
    ["linux", "ansi", "cygwin", "eterm", "vt"].iter().any(|name| term.starts_with(name)) || term.ends_with("-16color")
}

/// Reads `COLORFGBG`, which ends in the number of the background's colour, of 16.
fn is_dark(colours: &str) -> Option<bool> {
    let background: u8 = colours.rsplit(';').next()?.parse().ok()?;
    (background < 16).then_some(background < 7 || background == 8)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const WHITE: [u8; 3] = [255, 255, 255];
    const BLACK: [u8; 3] = [30, 30, 30];

    fn detected(background: Background, variables: &[(&str, &str)]) -> Theme {
        let value = |name: &str| variables.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned());
        Theme::detect(background, value)
    }

    fn accent(background: Background, variables: &[(&str, &str)]) -> Option<Color> {
        detected(background, variables).accent().fg
    }

    #[test]
    fn the_environment_says_which_colours_there_are() {
        use Background::{Auto, Dark, Light};
        let full = |palette: &Palette| Some(Color::Indexed(palette.accent));
        assert_eq!(accent(Auto, &[]), full(&EITHER));
        assert_eq!(accent(Dark, &[]), full(&DARK));
        assert_eq!(accent(Light, &[("COLORFGBG", "15;0")]), full(&LIGHT), "the user knows better");
        assert_eq!(accent(Auto, &[("COLORFGBG", "15;0")]), full(&DARK));
        assert_eq!(accent(Auto, &[("COLORFGBG", "0;default;15")]), full(&LIGHT));
        assert_eq!(accent(Auto, &[("COLORFGBG", "0;default")]), full(&EITHER));
        assert_eq!(accent(Dark, &[("NO_COLOR", "1")]), None);
        assert_eq!(accent(Dark, &[("NO_COLOR", "")]), full(&DARK));
        for term in ["linux", "vt220", "xterm-16color"] {
            assert_eq!(accent(Dark, &[("TERM", term)]), Some(Color::Indexed(BASIC_ACCENT)), "{term}");
        }
        for term in ["xterm", "screen", "tmux-256color", "alacritty"] {
            assert_eq!(accent(Dark, &[("TERM", term)]), full(&DARK), "{term}");
        }
    }

    #[test]
    fn every_colour_of_text_can_be_read_on_its_background() {
        for (palette, backgrounds, least) in
            [(&DARK, &[BLACK][..], 4.5), (&LIGHT, &[WHITE], 4.5), (&EITHER, &[BLACK, WHITE], 3.3)]
        {
            let Palette { accent, alert, good, bad, faint, .. } = palette;
            for colour in [accent, alert, good, bad, faint].into_iter().chain(&palette.authors) {
                for background in backgrounds {
                    let contrast = contrast(rgb(*colour), *background);
                    assert!(contrast >= least, "{colour} on {background:?}: {contrast}");
                }
            }
            let selected = palette.selected_text.map(|text| (text, palette.selected));
            let pairs = [palette.chip, palette.own_chip, palette.badge, palette.alert_badge];
            for (text, background) in pairs.into_iter().chain(selected) {
                let contrast = contrast(rgb(text), rgb(background));
                assert!(contrast >= 4.0, "{text} on {background}: {contrast}");
            }
        }
    }

    #[test]
    fn no_author_has_a_colour_that_means_something_else_or_that_another_has() {
        for palette in [&DARK, &LIGHT, &EITHER] {
            let Palette { accent, alert, good, bad, .. } = palette;
            let all: HashSet<&u8> = [accent, alert, good, bad].into_iter().chain(&palette.authors).collect();
            assert_eq!(all.len(), 4 + palette.authors.len());
        }
    }

    /// Of the 6x6x6 cube, or of the greys after it.
    fn rgb(colour: u8) -> [u8; 3] {
        match colour.checked_sub(232) {
            Some(step) => [8 + 10 * step; 3],
            None => [36, 6, 1].map(|unit| [0, 95, 135, 175, 215, 255][usize::from((colour - 16) / unit % 6)]),
        }
    }

    /// As WCAG 2 defines it.
    fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
        let luminance = |[red, green, blue]: [u8; 3]| {
            let linear = |channel: u8| ((f64::from(channel) / 255.0 + 0.055) / 1.055).powf(2.4);
            0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
        };
        let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
        one.max(other) / one.min(other)
    }
}
