//! Styles by what they mean. Colour only ever repeats what the words beside it say.

use tocsin_proto::console::v1::{EndpointState, Severity};

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Style {
    /// Nothing in particular.
    #[default]
    Plain,
    /// A heading.
    Heading,
    /// Of less weight.
    Faint,
    /// Needs somebody now.
    Critical,
    /// Needs somebody soon.
    High,
    /// Worth a look.
    Medium,
    /// As it should be.
    Good,
}

impl Style {
    /// The SGR sequence that begins it; none for plain text.
    fn sgr(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Heading => Some("\x1b[1m"),
            Self::Faint => Some("\x1b[2m"),
            Self::Critical => Some("\x1b[1;31m"),
            Self::High => Some("\x1b[31m"),
            Self::Medium => Some("\x1b[33m"),
            Self::Good => Some("\x1b[32m"),
        }
    }

    /// Clean text in this style, or as it is where colour is off.
    pub(crate) fn paint(self, clean: &str, color: bool) -> String {
        match self.sgr() {
            Some(begin) if color && !clean.is_empty() => format!("{begin}{clean}\x1b[0m"),
            _ => clean.to_owned(),
        }
    }
}

impl From<Severity> for Style {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Critical => Self::Critical,
            Severity::High => Self::High,
            Severity::Medium => Self::Medium,
            Severity::Low | Severity::Info | Severity::Unspecified => Self::Plain,
        }
    }
}

impl From<EndpointState> for Style {
    fn from(state: EndpointState) -> Self {
        match state {
            EndpointState::Online => Self::Good,
            EndpointState::Conflict => Self::Critical,
            EndpointState::Offline | EndpointState::Revoked => Self::Faint,
            EndpointState::Unspecified => Self::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colour_nothing_is_added() {
        assert_eq!(Style::Critical.paint("critical", false), "critical");
        assert_eq!(
            Style::Critical.paint("critical", true),
            "\x1b[1;31mcritical\x1b[0m"
        );
        assert_eq!(Style::Plain.paint("x", true), "x");
    }
}
