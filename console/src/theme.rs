//! Styles by what they mean; no other file names a colour. What a colour says, a word or a sign beside it
//! says too, so that the theme without colours loses nothing.

use ratatui::style::{Color, Modifier, Style as Look};

use crate::output::style::Style;

/// The environment variable that names a theme.
pub(crate) const THEME_VARIABLE: &str = "TOCSIN_THEME";

/// A set of styles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Theme {
    /// For dark terminals.
    Dark,
    /// For light terminals.
    Light,
    /// Strong differences only.
    Contrast,
    /// The sixteen colours that the terminal defines.
    Sixteen,
    /// No colours.
    None,
}

impl Theme {
    /// All, in the order in which the key walks through them.
    pub(crate) const ALL: [Self; 5] = [
        Self::Dark,
        Self::Light,
        Self::Contrast,
        Self::Sixteen,
        Self::None,
    ];

    /// The one that the surroundings ask for. `variable` reads an environment variable.
    pub(crate) fn choose(variable: impl Fn(&str) -> Option<String>) -> Self {
        let is_set = |name| variable(name).is_some_and(|value| !value.is_empty());
        if is_set("NO_COLOR") || variable("TERM").is_some_and(|term| term == "dumb") {
            return Self::None;
        }
        let named = variable(THEME_VARIABLE).unwrap_or_default();
        if let Some(theme) = Self::ALL.into_iter().find(|theme| theme.name() == named) {
            return theme;
        }
        let depth = variable("COLORTERM").unwrap_or_default();
        match depth.as_str() {
            "truecolor" | "24bit" => Self::Dark,
            _ => Self::Sixteen,
        }
    }

    /// Whether the surroundings name one, instead of leaving it to what the terminal can do.
    pub(crate) fn is_named(variable: impl Fn(&str) -> Option<String>) -> bool {
        let is_set = |name| variable(name).is_some_and(|value| !value.is_empty());
        let is_dumb = variable("TERM").is_some_and(|term| term == "dumb");
        is_set("NO_COLOR") || is_set(THEME_VARIABLE) || is_dumb
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Light => "light",
            Self::Contrast => "contrast",
            Self::Sixteen => "16",
            Self::None => "none",
        }
    }

    /// The one after it.
    pub(crate) fn next(self) -> Self {
        let at = Self::ALL.iter().position(|theme| *theme == self);
        let next = at.map_or(0, |at| (at + 1) % Self::ALL.len());
        Self::ALL.get(next).copied().unwrap_or(self)
    }

    /// How text of this meaning looks.
    pub(crate) fn look(self, style: Style) -> Look {
        let plain = Look::new();
        let look = match style {
            Style::Plain => return plain,
            Style::Heading => return plain.add_modifier(Modifier::BOLD),
            Style::Faint => match self {
                Self::None => return plain.add_modifier(Modifier::DIM),
                Self::Contrast => return plain,
                _ => plain,
            },
            Style::Critical => plain.add_modifier(Modifier::BOLD),
            Style::High | Style::Medium | Style::Good => plain,
        };
        match self.color(style) {
            Some(color) => look.fg(color),
            None => look,
        }
    }

    fn color(self, style: Style) -> Option<Color> {
        let rgb = |hex: u32| {
            let [_, r, g, b] = hex.to_be_bytes();
            Some(Color::Rgb(r, g, b))
        };
        match (self, style) {
            (Self::None, _) | (_, Style::Plain | Style::Heading) => None,
            (Self::Dark, Style::Critical) => rgb(0x00ff_5f6d),
            (Self::Dark, Style::High) => rgb(0x00ff_9e64),
            (Self::Dark, Style::Medium) => rgb(0x00e0_c068),
            (Self::Dark, Style::Good) => rgb(0x008f_c97a),
            (Self::Dark, Style::Faint) => rgb(0x008a_90a0),
            (Self::Light, Style::Critical) => rgb(0x00b0_0020),
            (Self::Light, Style::High) => rgb(0x00a0_4000),
            (Self::Light, Style::Medium) => rgb(0x007a_5a00),
            (Self::Light, Style::Good) => rgb(0x001b_6e2f),
            (Self::Light, Style::Faint) => rgb(0x005c_6270),
            (_, Style::Critical) => Some(Color::LightRed),
            (Self::Contrast, Style::High) => Some(Color::LightYellow),
            (Self::Contrast, Style::Medium) => Some(Color::LightCyan),
            (Self::Contrast, Style::Good) => Some(Color::LightGreen),
            (Self::Contrast, Style::Faint) => None,
            (Self::Sixteen, Style::High) => Some(Color::Red),
            (Self::Sixteen, Style::Medium) => Some(Color::Yellow),
            (Self::Sixteen, Style::Good) => Some(Color::Green),
            (Self::Sixteen, Style::Faint) => Some(Color::DarkGray),
        }
    }

    /// What is selected; the sign before it says the same.
    pub(crate) fn selected(self) -> Look {
        match self {
            Self::Dark => Look::new().bg(Color::Rgb(0x2b, 0x33, 0x48)),
            Self::Light => Look::new().bg(Color::Rgb(0xd9, 0xe2, 0xf5)),
            Self::Contrast | Self::Sixteen | Self::None => {
                Look::new().add_modifier(Modifier::REVERSED)
            }
        }
    }

    /// The line at the top and the one at the bottom.
    pub(crate) fn bar(self) -> Look {
        match self {
            Self::Dark => Look::new().bg(Color::Rgb(0x22, 0x27, 0x35)),
            Self::Light => Look::new().bg(Color::Rgb(0xe6, 0xe9, 0xf0)),
            Self::Contrast | Self::Sixteen | Self::None => {
                Look::new().add_modifier(Modifier::REVERSED)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLES: [Style; 7] = [
        Style::Plain,
        Style::Heading,
        Style::Faint,
        Style::Critical,
        Style::High,
        Style::Medium,
        Style::Good,
    ];

    #[test]
    fn without_colour_there_is_none() {
        let theme = Theme::choose(|name| (name == "NO_COLOR").then(|| "1".to_owned()));
        assert_eq!(theme, Theme::None);
        for style in STYLES {
            let look = theme.look(style);
            assert_eq!((look.fg, look.bg), (None, None), "{style:?}");
        }
    }

    #[test]
    fn in_colour_the_severities_differ() {
        for theme in [Theme::Dark, Theme::Light, Theme::Contrast, Theme::Sixteen] {
            let looks = [Style::Critical, Style::High, Style::Medium, Style::Plain];
            let looks = looks.map(|style| theme.look(style));
            for (at, look) in looks.iter().enumerate() {
                assert!(!looks.iter().skip(at + 1).any(|other| other == look));
            }
        }
    }

    #[test]
    fn the_key_walks_through_all_themes() {
        let mut theme = Theme::Dark;
        for _ in Theme::ALL {
            theme = theme.next();
        }
        assert_eq!(theme, Theme::Dark);
        assert_ne!(theme.next(), theme);
    }

    #[test]
    fn a_theme_is_chosen_by_name_and_by_what_the_terminal_can_do() {
        let with = |name: &'static str, value: &'static str| {
            Theme::choose(move |asked| (asked == name).then(|| value.to_owned()))
        };
        assert_eq!(with("TOCSIN_THEME", "light"), Theme::Light);
        assert_eq!(with("COLORTERM", "truecolor"), Theme::Dark);
        assert_eq!(with("TERM", "xterm"), Theme::Sixteen);
        assert_eq!(with("TERM", "dumb"), Theme::None);
    }
}
