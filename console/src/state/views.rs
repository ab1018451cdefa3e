//! Views of the list of incidents that somebody has kept by a name: what it is narrowed by, and in which order.

use serde::{Deserialize, Serialize};

use super::State;
use super::cursor::Cursor;
use super::incidents::View;
use super::input::Input;
use super::popup::{Choice, Pick, Popup, Purpose, Typing};
use super::way::Place;
use crate::action::Action;
use crate::output::style::Style;

/// Views that are kept: more than a list to choose from has rows is no help.
pub(crate) const VIEWS_MAX: usize = 16;

/// Characters of a name.
const NAME_CHARS_MAX: usize = 40;

/// A view and its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kept {
    /// Its name, as it was typed.
    pub(crate) name: String,
    /// How the list is narrowed and ordered.
    pub(crate) view: View,
}

impl State {
    /// Under which name is the view to be kept?
    pub(super) fn ask_view_name(&mut self) -> Option<Popup> {
        Some(Popup::Typing(Typing {
            purpose: Purpose::View,
            input: Input::new(&self.incidents.view().to_string()),
        }))
    }

    /// Keeps the view under this name; one that has it already is replaced.
    pub(super) fn keep_view(&mut self, name: &str) {
        let name: String = name.chars().take(NAME_CHARS_MAX).collect();
        let view = self.incidents.view();
        let shown = crate::text::line(&name).into_owned();
        self.notice = Some((format!("kept as '{shown}': w shows it again"), Style::Good));
        if let Some(kept) = self.views.iter_mut().find(|kept| kept.name == name) {
            kept.view = view;
        } else if self.views.len() < VIEWS_MAX {
            self.views.push(Kept { name, view });
        } else {
            let said = format!("{VIEWS_MAX} views are kept already: w forgets one");
            self.notice = Some((said, Style::Medium));
        }
    }

    /// Which view is to be shown, or forgotten?
    pub(super) fn pick_view(&mut self) -> Option<Popup> {
        let said = |kept: &Kept| format!("{}  ({})", kept.name, kept.view);
        let show = self.views.iter();
        let show = show.map(|kept| (said(kept), Pick::View(kept.name.clone())));
        let forget = self.views.iter().map(|kept| {
            let said = format!("forget {}", kept.name);
            (said, Pick::Forget(kept.name.clone()))
        });
        let options: Vec<_> = show.chain(forget).collect();
        if options.is_empty() {
            let said = "no view is kept: W keeps this one by a name";
            self.notice = Some((said.to_owned(), Style::Medium));
            return None;
        }
        Some(Popup::Choice(Choice {
            title: "Views of the incidents".to_owned(),
            options,
            cursor: Cursor::default(),
        }))
    }

    /// Shows the view with this name.
    pub(super) fn show_view(&mut self, name: &str) -> Vec<Action> {
        let Some(kept) = self.views.iter().find(|kept| kept.name == name) else {
            return Vec::new();
        };
        self.incidents.set_view(kept.view.clone());
        let shown = crate::text::line(name).into_owned();
        self.notice = Some((format!("view: {shown}"), Style::Plain));
        self.go(Place::Incidents)
    }

    /// Forgets the view with this name.
    pub(super) fn forget_view(&mut self, name: &str) {
        self.views.retain(|kept| kept.name != name);
        let shown = crate::text::line(name).into_owned();
        self.notice = Some((format!("forgotten: {shown}"), Style::Plain));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::keymap::Key;
    use crate::theme::Theme;

    fn press(state: &mut State, keys: &str) {
        for key in keys.chars() {
            let key = match key {
                '\n' => Key::Enter,
                '\x15' => Key::Ctrl('u'),
                c => Key::Char(c),
            };
            state.on(Event::Key(key), 1);
            state.settle();
        }
    }

    #[test]
    fn a_view_is_kept_by_a_name_shown_again_and_forgotten() {
        let mut state = State::new(Theme::None, (80, 24), 1);
        press(&mut state, "2/dana\nvoW");
        let Some(Popup::Typing(typing)) = &state.popup else {
            panic!("{:?}", state.popup);
        };
        assert_eq!(typing.input.text(), "dana, low and worse, newest first");
        press(&mut state, "\x15mine\n");
        press(&mut state, "/\x15\no1");
        assert_eq!(state.incidents.filter(), "");
        press(&mut state, ":viewmine\n");
        assert_eq!(*state.place(), Place::Incidents);
        assert_eq!(state.incidents.filter(), "dana");
        assert_eq!(state.incidents.sort().word(), "newest first");
        press(&mut state, "wj\n");
        assert_eq!(state.views, []);
        press(&mut state, "w");
        assert!(state.popup.is_none());
    }

    #[test]
    fn views_and_their_names_are_bounded() {
        let mut state = State::new(Theme::None, (80, 24), 1);
        for n in 0..VIEWS_MAX + 5 {
            state.keep_view(&format!("{n}{}", "x".repeat(99)));
        }
        assert_eq!(state.views.len(), VIEWS_MAX);
        assert!(
            state
                .views
                .iter()
                .all(|kept| kept.name.chars().count() <= NAME_CHARS_MAX)
        );
    }
}
