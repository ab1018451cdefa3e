//! What stands above a screen: a choice, a line to type, or the palette.

use tocsin_proto::console::v1::{IncidentState, Verdict};
use tocsin_proto::json::Word;

use super::Place;
use super::cursor::Cursor;
use super::filter::EventFilter;
use super::input::Input;
use crate::action::{Change, What};
use crate::keymap::{Cmd, Context, Key};
use crate::report::Form;

/// Matches that the palette shows.
pub(crate) const FOUND_MAX: usize = 12;

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

/// Anything by its name.
#[derive(Debug, Default)]
pub(crate) struct Palette {
    /// What is looked for.
    pub(crate) input: Input,
    /// The best matches, unclean.
    pub(crate) found: Vec<(String, Pick)>,
    /// Which is selected.
    pub(crate) cursor: Cursor,
}

/// Something with a name that one can go to.
pub(crate) struct Named<'a> {
    /// Its name in pieces, unclean: it is put together only where it is shown.
    pub(crate) name: [&'a str; 4],
    /// Where it leads.
    pub(crate) to: To<'a>,
}

/// Where something with a name leads.
pub(crate) enum To<'a> {
    /// To a screen.
    Screen(Place),
    /// To the view with this name.
    View(&'a str),
    /// To what a key does here.
    Action(Cmd),
    /// To the screen of the one with this id.
    Of(fn(String) -> Place, &'a str),
}

impl Palette {
    /// Looks among these.
    pub(crate) fn find<'a>(&mut self, all: impl Iterator<Item = Named<'a>>) {
        let wanted: Vec<char> = self
            .input
            .text()
            .to_lowercase()
            .chars()
            .filter(|c| !c.is_whitespace())
            .collect();
        self.found = best(all, &wanted)
            .into_iter()
            .map(|named| {
                let pick = match named.to {
                    To::Screen(place) => Pick::Go(place),
                    To::View(name) => Pick::View(name.to_owned()),
                    To::Action(cmd) => Pick::Do(cmd),
                    To::Of(place, id) => Pick::Go(place(id.to_owned())),
                };
                (named.name.concat(), pick)
            })
            .collect();
        self.cursor = Cursor::default();
    }
}

/// The best of them; in the order in which they come where nothing tells them apart. Of a hundred thousand, only those
/// that are shown cost more than a look at their letters.
fn best<'a>(all: impl Iterator<Item = Named<'a>>, wanted: &[char]) -> Vec<Named<'a>> {
    if wanted.is_empty() {
        return all.take(FOUND_MAX).collect();
    }
    let mut best: Vec<(u32, Named<'a>)> = Vec::with_capacity(FOUND_MAX + 1);
    for named in all {
        let Some(score) = score(&named.name, wanted) else {
            continue;
        };
        let at = best.partition_point(|(other, _)| *other >= score);
        if at < FOUND_MAX {
            best.truncate(FOUND_MAX - 1);
            best.insert(at.min(best.len()), (score, named));
        }
    }
    best.into_iter().map(|(_, named)| named).collect()
}

/// How well a name has the wanted characters in their order; none where it has not. Characters in a row
/// and at the beginning of a word count more.
fn score(name: &[&str], wanted: &[char]) -> Option<u32> {
    let mut wanted = wanted.iter().copied();
    let mut next = wanted.next();
    let (mut score, mut run, mut is_start) = (0_u32, 0_u32, true);
    for c in name.iter().flat_map(|piece| piece.chars()) {
        let Some(one) = next else {
            break;
        };
        if is_same(c, one) {
            run = run.saturating_add(1);
            score = score.saturating_add(run + if is_start { 3 } else { 0 });
            next = wanted.next();
        } else {
            run = 0;
        }
        is_start = !c.is_alphanumeric();
    }
    next.is_none().then_some(score)
}

fn is_same(c: char, lower: char) -> bool {
    match c.is_ascii() {
        true => c.to_ascii_lowercase() == lower,
        false => c.to_lowercase().eq(std::iter::once(lower)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    #[test]
    fn a_name_is_found_by_some_of_its_letters_in_order() {
        assert!(score(&["Dana ", "Example"], &wanted("dex")).is_some());
        assert_eq!(score(&["Dana ", "Example"], &wanted("xd")), None);
        assert_eq!(score(&[""], &wanted("")), Some(0));
        assert!(score(&["endpoints"], &wanted("end")) > score(&["dependency"], &wanted("end")));
    }

    #[test]
    fn of_many_the_best_are_kept_in_the_order_in_which_they_come() {
        let hosts: Vec<String> = (0..1000).map(|n| format!("x-{n:03}")).collect();
        let mut palette = Palette::default();
        palette.input.paste("x9");
        palette.find(hosts.iter().map(|host| Named {
            name: ["endpoint ", host, "", ""],
            to: To::Of(Place::Endpoint, host),
        }));
        let names: Vec<&str> = palette
            .found
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names.len(), FOUND_MAX);
        assert_eq!(
            names.first(),
            Some(&"endpoint x-900"),
            "at the beginning of a word"
        );
        assert_eq!(names.get(11), Some(&"endpoint x-911"));
        let Pick::Go(place) = &palette.found[1].1 else {
            panic!("{:?}", palette.found);
        };
        assert_eq!(*place, Place::Endpoint("x-901".into()));
    }

    #[test]
    fn a_choice_begins_where_the_incident_is() {
        let choice = Choice::state("a", IncidentState::OnHold);
        assert_eq!(choice.options[choice.cursor.at()].0, "on hold (now)");
        let choice = Choice::verdict("a", Verdict::Unspecified);
        assert_eq!(choice.cursor.at(), 0);
        assert_eq!(choice.options.len(), Verdict::ALL.len());
    }
}
