//! What stands above a screen: a choice, a line to type, or the palette.

use tocsin_proto::console::v1::{IncidentState, Verdict};
use tocsin_proto::json::Word;

use super::Place;
use super::cursor::Cursor;
use super::filter::EventFilter;
use super::input::Input;
use super::palette::Palette;
use crate::action::{Change, What};
use crate::keymap::{Cmd, Context, Key};
use crate::report::Form;

/// What stands above the screen.
#[derive(Debug)]
pub(crate) enum Popup {
    /// One of these.
    Choice(Choice),
    /// A line of text.
    Typing(Typing),
    /// Anything by its name.
    Palette(Palette),
}

impl Popup {
    /// Which keys count.
    pub(crate) fn context(&self) -> Context {
        match self {
            Self::Choice(_) => Context::Choice,
            Self::Typing(_) | Self::Palette(_) => Context::Typing,
        }
    }

    /// The line that is typed, if one is.
    pub(crate) fn input(&mut self) -> Option<&mut Input> {
        match self {
            Self::Choice(_) => None,
            Self::Typing(typing) => Some(&mut typing.input),
            Self::Palette(palette) => Some(&mut palette.input),
        }
    }

    /// Moves in what is to be chosen.
    pub(crate) fn go(&mut self, cmd: Cmd) {
        match self {
            Self::Choice(choice) => choice.cursor.go(cmd, choice.options.len(), 1),
            Self::Palette(palette) => palette.cursor.go(cmd, palette.found.len(), 1),
            Self::Typing(_) => false,
        };
    }

    /// Selects one of what is to be chosen.
    pub(crate) fn select(&mut self, at: usize) {
        match self {
            Self::Choice(choice) => choice.cursor = Cursor::new(at),
            Self::Palette(palette) => palette.cursor = Cursor::new(at),
            Self::Typing(_) => {}
        }
    }

    /// Types a key that is no command.
    pub(crate) fn key(&mut self, key: Key) {
        if let Some(input) = self.input() {
            input.key(key);
        }
    }
}

/// What choosing does.
#[derive(Debug, Clone)]
pub(crate) enum Pick {
    /// Changes something.
    Change(Change),
    /// Changes several.
    Bulk(Vec<Change>),
    /// Goes somewhere.
    Go(Place),
    /// Does what a key of the screen does.
    Do(Cmd),
    /// Shows these events.
    Find(Box<EventFilter>),
    /// Copies this text.
    Copy(String),
    /// Writes a report in this form.
    Export(Form),
    /// Opens a terminal at this endpoint, for this incident.
    Terminal(String, String),
    /// Shows the view with this name.
    View(String),
    /// Forgets it.
    Forget(String),
    /// Ends the terminal with this id.
    Kill(String),
    /// Does nothing.
    Nothing,
}

/// One of these.
#[derive(Debug)]
pub(crate) struct Choice {
    /// The question.
    pub(crate) title: String,
    /// The answers, unclean.
    pub(crate) options: Vec<(String, Pick)>,
    /// Which is selected.
    pub(crate) cursor: Cursor,
}

impl Choice {
    /// Of the state of an incident that is in this one.
    pub(crate) fn state(incident: &str, now: IncidentState) -> Self {
        Self::words("State", incident, now, What::State)
    }

    /// Of the verdict of an incident that has this one.
    pub(crate) fn verdict(incident: &str, now: Verdict) -> Self {
        Self::words("Verdict", incident, now, What::Verdict)
    }

    fn words<T: Word + PartialEq>(
        title: &str,
        incident: &str,
        now: T,
        what: impl Fn(T) -> What,
    ) -> Self {
        let options = T::ALL.iter().map(|value| {
            let mark = if *value == now { " (now)" } else { "" };
            let change = Change {
                incident: incident.to_owned(),
                what: what(*value),
            };
            let word = value.word().replace('_', " ");
            (format!("{word}{mark}"), Pick::Change(change))
        });
        let at = T::ALL.iter().position(|value| *value == now);
        Self {
            title: title.to_owned(),
            options: options.collect(),
            cursor: Cursor::new(at.unwrap_or(0)),
        }
    }
}

/// What typing is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To narrow the list below, while it is typed.
    Filter,
    /// To look for events.
    Events,
    /// To keep a view of the incidents by a name.
    View,
    /// To give this incident to somebody.
    Assign(String),
    /// To write a note on this incident.
    Note(String),
    /// To write a report in this form to a file.
    Export(Form),
    /// To open a terminal at this endpoint, for this incident, empty for none.
    Terminal(String, String),
}

/// A line of text.
#[derive(Debug)]
pub(crate) struct Typing {
    /// What it is for.
    pub(crate) purpose: Purpose,
    /// The line.
    pub(crate) input: Input,
}

impl Typing {
    /// As the popup calls it.
    pub(crate) fn title(&self) -> &'static str {
        match self.purpose {
            Purpose::Filter => "Narrow by words",
            Purpose::Events => "Search events",
            Purpose::View => "Keep this view by the name",
            Purpose::Assign(_) => "Give it to (nobody where empty)",
            Purpose::Note(_) => "Note",
            Purpose::Export(_) => "Write the report to",
            Purpose::Terminal(..) => "Why a terminal there (for the audit log)",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_begins_where_the_incident_is() {
        let choice = Choice::state("a", IncidentState::OnHold);
        assert_eq!(choice.options[choice.cursor.at()].0, "on hold (now)");
        let choice = Choice::verdict("a", Verdict::Unspecified);
        assert_eq!(choice.cursor.at(), 0);
        assert_eq!(choice.options.len(), Verdict::ALL.len());
    }
}
