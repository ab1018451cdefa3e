//! Anything by its name: what is typed is looked for a bounded piece at a time, so that a key never waits for the names
//! of a hundred thousand endpoints. What is shown is the best of what was looked through so far; the next key begins anew.

use super::cursor::Cursor;
use super::input::Input;
use super::popup::{Pick, Popup};
use super::{Place, State, incidents, people};
use crate::keymap::Cmd;

/// Matches that are shown.
pub(crate) const FOUND_MAX: usize = 12;

/// Names that are looked through at once: about a millisecond's work.
const SLICE_NAMES: usize = 10_000;

/// Anything by its name.
#[derive(Debug, Default)]
pub(crate) struct Palette {
    /// What is looked for.
    pub(crate) input: Input,
    /// The best matches so far: how good, the name, unclean, and what it does.
    pub(crate) found: Vec<(u32, String, Pick)>,
    /// Which is selected.
    pub(crate) cursor: Cursor,
    /// What is still to be looked through.
    rest: Option<Rest>,
}

/// Places in long lists from which on they are to be looked through.
#[derive(Debug, Clone, Copy, Default)]
struct Rest {
    endpoints: usize,
    identities: usize,
}

/// Something with a name that one can go to.
struct Named<'a> {
    /// Its name in pieces, unclean: it is put together only where it is shown.
    name: [&'a str; 4],
    /// Where it leads.
    to: To<'a>,
}

/// Where something with a name leads.
enum To<'a> {
    /// To a screen.
    Screen(Place),
    /// To the view with this name.
    View(&'a str),
    /// To what a key does here.
    Action(Cmd),
    /// To the screen of the one with this id.
    Of(fn(String) -> Place, &'a str),
}

impl To<'_> {
    fn pick(&self) -> Pick {
        match self {
            Self::Screen(place) => Pick::Go(place.clone()),
            Self::View(name) => Pick::View((*name).to_owned()),
            Self::Action(cmd) => Pick::Do(*cmd),
            Self::Of(place, id) => Pick::Go(place((*id).to_owned())),
        }
    }
}

impl Palette {
    /// Whether not all was looked through yet.
    pub(crate) fn is_searching(&self) -> bool {
        self.rest.is_some()
    }

    fn wanted(&self) -> Vec<char> {
        let typed = self.input.text().to_lowercase();
        typed.chars().filter(|c| !c.is_whitespace()).collect()
    }

    /// Whether one that is so good would be shown. What comes first stays where nothing tells two apart.
    fn admits(&self, score: u32) -> bool {
        let worst = self.found.last().map_or(0, |(score, ..)| *score);
        self.found.len() < FOUND_MAX || score > worst
    }

    fn put(&mut self, score: u32, name: String, pick: Pick) {
        let at = self.found.partition_point(|(other, ..)| *other >= score);
        self.found.insert(at, (score, name, pick));
        self.found.truncate(FOUND_MAX);
    }

    /// Looks at some names at once.
    fn look<'a>(&mut self, wanted: &[char], all: impl Iterator<Item = Named<'a>>) {
        for named in all {
            let mut walk = Walk::new(wanted);
            named.name.iter().for_each(|piece| walk.take(piece));
            if let Some(score) = walk.score().filter(|score| self.admits(*score)) {
                self.put(score, named.name.concat(), named.to.pick());
            }
        }
    }

    /// Looks at the next piece of names that all begin alike; where to go on, none at the end.
    fn look_on<'a>(
        &mut self,
        wanted: &[char],
        begin: &str,
        (from, names): (usize, impl Iterator<Item = (&'a str, &'a str)>),
        place: fn(String) -> Place,
    ) -> Option<usize> {
        let mut begun = Walk::new(wanted);
        begun.take(begin);
        let mut seen = 0;
        for (id, name) in names.take(SLICE_NAMES) {
            seen += 1;
            let mut walk = begun;
            walk.take(name);
            if let Some(score) = walk.score().filter(|score| self.admits(*score)) {
                self.put(
                    score,
                    format!("{begin}{name}"),
                    Pick::Go(place(id.to_owned())),
                );
            }
        }
        // All are alike where nothing is typed: the first will do.
        let goes_on = seen == SLICE_NAMES && !wanted.is_empty();
        goes_on.then_some(from.saturating_add(seen))
    }
}

impl State {
    /// Opens the palette.
    pub(super) fn open_palette(&mut self) {
        self.popup = Some(Popup::Palette(Palette::default()));
        self.has_typed();
    }

    /// Whether names are still looked through.
    pub(crate) fn is_searching(&self) -> bool {
        matches!(&self.popup, Some(Popup::Palette(palette)) if palette.is_searching())
    }

    /// Looks anew for what the palette has, from the beginning: a letter or a list is another.
    pub(super) fn begin_search(&mut self) {
        let Some(Popup::Palette(mut palette)) = self.popup.take() else {
            return;
        };
        palette.found.clear();
        palette.rest = Some(Rest::default());
        let wanted = palette.wanted();
        palette.look(&wanted, self.screens().into_iter());
        self.look_at_actions(&mut palette, &wanted);
        palette.look(&wanted, self.incident_names());
        self.popup = Some(Popup::Palette(palette));
        self.search_on();
    }

    /// Looks through some more names.
    pub(super) fn search_on(&mut self) {
        let Some(Popup::Palette(mut palette)) = self.popup.take() else {
            return;
        };
        palette.rest = palette
            .rest
            .and_then(|rest| self.search_from(rest, &mut palette));
        let found = palette.found.len();
        palette.cursor.keep(found);
        self.popup = Some(Popup::Palette(palette));
    }

    /// One piece of one of the lists; what is left.
    fn search_from(&self, rest: Rest, palette: &mut Palette) -> Option<Rest> {
        let wanted = palette.wanted();
        let fleet = self.endpoints.all.value();
        let count = fleet.map_or(0, |fleet| fleet.len());
        if let Some(fleet) = fleet.filter(|_| rest.endpoints < count) {
            let names = (rest.endpoints, fleet.names(rest.endpoints));
            let next = palette.look_on(&wanted, "endpoint ", names, Place::Endpoint);
            // A list that ends within a piece leaves room for the next one.
            match next {
                Some(endpoints) => return Some(Rest { endpoints, ..rest }),
                None if count > SLICE_NAMES && !wanted.is_empty() => {
                    return Some(Rest {
                        endpoints: count,
                        ..rest
                    });
                }
                None => {}
            }
        }
        let identities = self.identities.all.value().map_or(&[][..], Vec::as_slice);
        let left = identities.get(rest.identities..).unwrap_or_default().iter();
        let names = left.map(|identity| (identity.id.as_str(), people::name(identity)));
        let names = (rest.identities, names);
        let identities = palette.look_on(&wanted, "identity ", names, Place::Identity)?;
        Some(Rest {
            endpoints: count,
            identities,
        })
    }

    fn screens(&self) -> Vec<Named<'_>> {
        let screens = Place::SCREENS.into_iter().map(|place| Named {
            name: [place.name(), "", "", ""],
            to: To::Screen(place),
        });
        let views = self.views.iter().map(|kept| Named {
            name: ["view ", &kept.name, "", ""],
            to: To::View(&kept.name),
        });
        screens.chain(views).collect()
    }

    /// What actions say is long: letters strewn over it would hide the names that are meant.
    fn look_at_actions(&self, palette: &mut Palette, wanted: &[char]) {
        let typed = palette.input.text().to_lowercase();
        let is_meant = |said: &str| typed.split_whitespace().all(|word| said.contains(word));
        let mut actions = self.keymap.actions(self.place().context());
        actions.retain(|(row, _)| is_meant(&row.help.to_lowercase()));
        let actions = actions.iter().map(|(row, keys)| Named {
            name: ["do: ", row.help, "  ", keys],
            to: To::Action(row.cmd),
        });
        palette.look(wanted, actions);
    }

    fn incident_names(&self) -> impl Iterator<Item = Named<'_>> {
        self.incidents.worst().map(|incident| Named {
            name: [
                "incident ",
                incidents::subject(incident),
                ": ",
                &incident.title,
            ],
            to: To::Of(Place::Incident, &incident.id),
        })
    }
}

/// How far a name has the wanted characters in their order, and how well: those in a row and those at the beginning of a
/// word count more.
#[derive(Debug, Clone, Copy)]
struct Walk<'w> {
    wanted: &'w [char],
    score: u32,
    run: u32,
    is_start: bool,
}

impl<'w> Walk<'w> {
    fn new(wanted: &'w [char]) -> Self {
        Self {
            wanted,
            score: 0,
            run: 0,
            is_start: true,
        }
    }

    /// The next piece of the name.
    fn take(&mut self, piece: &str) {
        match piece.is_ascii() {
            true => piece.bytes().for_each(|byte| self.letter(char::from(byte))),
            false => piece.chars().for_each(|c| self.letter(c)),
        }
    }

    fn letter(&mut self, c: char) {
        let Some((one, rest)) = self.wanted.split_first() else {
            return;
        };
        if is_same(c, *one) {
            self.run = self.run.saturating_add(1);
            let bonus = if self.is_start { 3 } else { 0 };
            self.score = self.score.saturating_add(self.run + bonus);
            self.wanted = rest;
        } else {
            self.run = 0;
        }
        self.is_start = !c.is_alphanumeric();
    }

    /// None where a character is missing.
    fn score(&self) -> Option<u32> {
        self.wanted.is_empty().then_some(self.score)
    }
}

fn is_same(c: char, lower: char) -> bool {
    match c.is_ascii() {
        true => c.to_ascii_lowercase() == lower,
        false => c.to_lowercase().eq(std::iter::once(lower)),
    }
}

#[cfg(test)]
mod tests {
    use tocsin_proto::console::v1::Endpoint;

    use super::*;
    use crate::event::{Event, Link, News, Reply};
    use crate::keymap::Key;
    use crate::state::fleet::Fleet;
    use crate::theme::Theme;

    fn score(name: &[&str], wanted: &str) -> Option<u32> {
        let wanted: Vec<char> = wanted.chars().collect();
        let mut walk = Walk::new(&wanted);
        name.iter().for_each(|piece| walk.take(piece));
        walk.score()
    }

    #[test]
    fn a_name_is_found_by_some_of_its_letters_in_order() {
        assert!(score(&["Dana ", "Example"], "dex").is_some());
        assert_eq!(score(&["Dana ", "Example"], "xd"), None);
        assert_eq!(score(&[""], ""), Some(0));
        assert!(score(&["endpoints"], "end") > score(&["dependency"], "end"));
        assert!(score(&["büro Ö"], "öx").is_none());
        assert!(score(&["büro Ö"], "bö").is_some());
    }

    /// With so many endpoints, and the palette open.
    fn palette_over(count: usize) -> State {
        let fleet: Vec<Endpoint> = (0..count)
            .map(|n| Endpoint {
                id: format!("id-{n:06}"),
                hostname: format!("x-{n:06}"),
                ..Endpoint::default()
            })
            .collect();
        let mut state = State::new(Theme::None, (80, 24), 1);
        state.on(Event::News(News::Link(Link::Up("a:1".into()))), 2);
        let reply = Reply::Endpoints(Fleet::of(&fleet).into());
        let query = crate::action::Query::Endpoints;
        state.on(Event::News(News::Answer(query, Ok(reply))), 3);
        state.on(Event::Key(Key::Char(':')), 4);
        state
    }

    fn press(state: &mut State, keys: &str) {
        for key in keys.chars() {
            state.on(Event::Key(Key::Char(key)), 5);
        }
    }

    fn found(state: &State) -> Vec<&str> {
        let Some(Popup::Palette(palette)) = &state.popup else {
            panic!("{:?}", state.popup);
        };
        palette.found.iter().map(|(_, name, _)| &**name).collect()
    }

    #[test]
    fn of_many_the_best_are_kept_in_the_order_in_which_they_come() {
        let mut state = palette_over(1000);
        press(&mut state, "x0009");
        assert!(!state.is_searching(), "few are looked through at once");
        let names = found(&state);
        assert_eq!(names.len(), FOUND_MAX);
        assert_eq!(names.first(), Some(&"endpoint x-000900"));
        assert_eq!(names.get(11), Some(&"endpoint x-000911"));
        state.on(Event::Key(Key::Enter), 6);
        assert_eq!(*state.place(), Place::Endpoint("id-000900".into()));
    }

    #[test]
    fn many_are_looked_through_piece_by_piece_and_a_key_begins_anew() {
        let mut state = palette_over(5 * SLICE_NAMES / 2);
        assert!(!state.is_searching(), "nothing is typed yet");
        press(&mut state, "x02");
        assert!(state.is_searching());
        assert!(!found(&state).contains(&"endpoint x-020000"));
        state.on(Event::Search, 6);
        assert!(state.is_searching());
        state.on(Event::Search, 6);
        assert_eq!(
            found(&state).first(),
            Some(&"endpoint x-020000"),
            "{:?}",
            found(&state)
        );
        let mut rounds = 0;
        while state.is_searching() {
            state.on(Event::Search, 6);
            rounds += 1;
            assert!(rounds < 3, "it ends");
        }
        press(&mut state, "4999");
        assert!(state.is_searching(), "anew");
        while state.is_searching() {
            state.on(Event::Search, 6);
        }
        assert_eq!(found(&state), ["endpoint x-024999"]);
        press(&mut state, "q");
        state.on(Event::Key(Key::Esc), 7);
        assert!(!state.is_searching(), "nobody looks any more");
    }

    #[test]
    fn endpoints_that_come_while_it_is_open_are_found() {
        let mut state = palette_over(0);
        press(&mut state, "lab");
        let fleet = Fleet::of(&[Endpoint {
            id: "e".into(),
            hostname: "lab-7".into(),
            ..Endpoint::default()
        }]);
        let query = crate::action::Query::Endpoints;
        let reply = Reply::Endpoints(fleet.into());
        state.on(Event::News(News::Answer(query, Ok(reply))), 6);
        assert_eq!(found(&state), ["endpoint lab-7"]);
    }
}
