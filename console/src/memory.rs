//! What the screens remember from one run to the next: theme, zone, the screen, how the list of incidents is
//! narrowed and ordered, views of it that were kept, and the search for events. No name or id of a person's is in it but what was typed
//! as a search. A file that makes no sense is as none.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::state::filter::EventFilter;
use crate::state::incidents::View;
use crate::state::views::{Kept, VIEWS_MAX};
use crate::state::{Place, State};
use crate::theme::Theme;
use crate::time::Zone;

/// Bytes of the file that are read.
const FILE_BYTES_MAX: u64 = 65_536;

/// What is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Memory {
    theme: String,
    is_local_time: bool,
    screen: String,
    events: String,
    incidents: View,
    #[serde(rename = "view")]
    views: Vec<Kept>,
}

impl Memory {
    /// Of what is shown now.
    pub(crate) fn of(state: &State) -> Self {
        Self {
            theme: state.theme.name().to_owned(),
            is_local_time: matches!(state.zone, Zone::Local(_)),
            screen: state.place().screen().name().to_owned(),
            events: state.events.filter().to_string(),
            incidents: state.incidents.view(),
            views: state.views.clone(),
        }
    }

    /// Begins where one was; the theme only where nothing else names one.
    pub(crate) fn recall(self, state: &mut State, is_theme_named: bool) {
        let theme = Theme::ALL.into_iter().find(|one| one.name() == self.theme);
        if let Some(theme) = theme.filter(|_| !is_theme_named) {
            state.theme = theme;
        }
        if let Some(zone) = state.local_zone.clone().filter(|_| self.is_local_time) {
            state.zone = Zone::Local(zone);
        }
        if let Ok(filter) = EventFilter::parse(&self.events) {
            state.events.set_filter(filter);
        }
        state.incidents.set_view(self.incidents);
        state.views = self.views;
        state.views.retain(|kept| !kept.name.is_empty());
        state.views.truncate(VIEWS_MAX);
        let mut screens = Place::SCREENS.into_iter();
        if let Some(place) = screens.find(|place| place.name() == self.screen) {
            state.begin_at(place);
        }
    }

    /// What the file says; nothing where it is not there or makes no sense.
    pub(crate) fn load(path: &Path) -> Self {
        let mut content = String::new();
        let read = File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut content));
        match read {
            Ok(_) => toml::from_str(&content).unwrap_or_default(),
            Err(_) => Self::default(),
        }
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let content = toml::to_string(self).map_err(io::Error::other)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let new = path.with_extension(format!("{}.new", std::process::id()));
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        // What one looked for is nobody else's business.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&new).and_then(|mut file| {
            file.write_all(content.as_bytes())?;
            file.sync_all()
        });
        written.and_then(|()| fs::rename(&new, path))
    }
}

/// Where the file is: `$XDG_STATE_HOME/tocsin/console.toml`, `~/.local/state/tocsin/console.toml`; nowhere
/// where there is no home.
pub(crate) fn path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = folder("XDG_STATE_HOME").or_else(|| folder("LOCALAPPDATA"));
    let state = state.or_else(|| folder("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("tocsin").join("console.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::keymap::Key;

    #[test]
    fn one_begins_where_one_was() {
        let mut state = State::new(Theme::Dark, (80, 24), 1);
        for key in "2voT/dana\nWa name\n5/user:dana x\n".chars() {
            let key = if key == '\n' {
                Key::Enter
            } else {
                Key::Char(key)
            };
            state.on(Event::Key(key), 2);
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/console.toml");
        Memory::of(&state).save(&path).unwrap();
        let mut again = State::new(Theme::Sixteen, (80, 24), 9);
        Memory::load(&path).recall(&mut again, false);
        assert_eq!(Memory::of(&again), Memory::of(&state));
        assert_eq!(*again.place(), Place::Events);
        assert_eq!(again.theme, Theme::Light);
        assert_eq!(again.incidents.filter(), "dana");
        assert_eq!(again.views, state.views);
        assert_eq!(again.views.len(), 1);
        let mut named = State::new(Theme::None, (80, 24), 9);
        Memory::load(&path).recall(&mut named, true);
        assert_eq!(named.theme, Theme::None, "NO_COLOR and the like win");
    }

    #[test]
    fn a_file_that_makes_no_sense_is_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console.toml");
        assert_eq!(Memory::load(&path), Memory::default());
        for content in ["theme = 7", "\u{1b}[2J", "incidents = \"x\""] {
            fs::write(&path, content).unwrap();
            assert_eq!(Memory::load(&path), Memory::default(), "{content}");
        }
        let memory = Memory {
            screen: "nowhere".into(),
            events: "kind:none".into(),
            ..Memory::default()
        };
        let mut state = State::new(Theme::Dark, (80, 24), 1);
        memory.recall(&mut state, false);
        assert_eq!(*state.place(), Place::Overview);
    }
}
