//! What the screens show, and how events change it. Pure: no drawing, no network, no clock; times come in
//! with events.
//!
//! ```text
//! Event --on()--> State' + Actions      settle() once after any number of events, then draw
//! ```
//!
//! News of a slot that is not for what is shown now are dropped. Nothing that was known is forgotten because
//! a later question failed.

pub(crate) mod cursor;
pub(crate) mod endpoint;
pub(crate) mod endpoints;
pub(crate) mod incident;
pub(crate) mod incidents;
pub(crate) mod input;
pub(crate) mod loaded;
mod news;
pub(crate) mod popup;
mod way;

use tocsin_proto::console::v1::{Feed, GetServerResponse};

use self::cursor::Cursor;
use self::endpoint::EndpointPage;
use self::endpoints::Endpoints;
use self::incident::IncidentPage;
use self::incidents::Incidents;
use self::input::Input;
use self::loaded::Loaded;
use self::popup::{Choice, Palette, Pick, Popup, Purpose, Typing};
pub(crate) use self::way::Place;
use self::way::Way;
use crate::action::{Action, Change, What};
use crate::event::{Event, Link};
use crate::keymap::{self, Cmd, Context, Key};
use crate::output::style::Style;
use crate::theme::Theme;

/// Open incidents that the overview names.
pub(crate) const WORST_MAX: usize = 50;

/// Rows of a screen that are not rows of its list, roughly; what is left is a page.
const FRAME_ROWS: usize = 6;

/// All that is shown.
#[derive(Debug)]
pub(crate) struct State {
    /// The time of the last event.
    pub(crate) now_ms: i64,
    /// The terminal's columns and rows.
    pub(crate) size: (u16, u16),
    /// Which styles.
    pub(crate) theme: Theme,
    /// The connection.
    pub(crate) link: Link,
    /// Since when it is in this state.
    pub(crate) link_time_ms: i64,
    /// Who answers, and who is asking.
    pub(crate) server: Loaded<GetServerResponse>,
    /// The feeds.
    pub(crate) feeds: Loaded<Vec<Feed>>,
    /// The list of incidents.
    pub(crate) incidents: Incidents,
    /// The incident that was looked at last.
    pub(crate) incident: IncidentPage,
    /// The list of endpoints.
    pub(crate) endpoints: Endpoints,
    /// The endpoint that was looked at last.
    pub(crate) endpoint: EndpointPage,
    /// What stands above the screen.
    pub(crate) popup: Option<Popup>,
    /// What there is to say, clean, until the next key.
    pub(crate) notice: Option<(String, Style)>,
    /// Which picture of a spinner.
    pub(crate) beat: usize,
    /// Line of the overview's list.
    pub(crate) worst: Cursor,
    /// Line of the help screen.
    pub(crate) help: Cursor,
    way: Way,
}

impl State {
    /// Before anything has happened.
    pub(crate) fn new(theme: Theme, size: (u16, u16), now_ms: i64) -> Self {
        Self {
            now_ms,
            size,
            theme,
            link: Link::Connecting,
            link_time_ms: now_ms,
            server: Loaded::default(),
            feeds: Loaded::default(),
            incidents: Incidents::default(),
            incident: IncidentPage::default(),
            endpoints: Endpoints::default(),
            endpoint: EndpointPage::default(),
            popup: None,
            notice: None,
            beat: 0,
            worst: Cursor::default(),
            help: Cursor::default(),
            way: Way::default(),
        }
    }

    /// The screen that is shown.
    pub(crate) fn place(&self) -> &Place {
        self.way.here()
    }

    /// Whether something on the screen is awaited.
    pub(crate) fn is_waiting(&self) -> bool {
        let here = match self.place() {
            Place::Overview => {
                self.server.is_loading()
                    || self.feeds.is_loading()
                    || self.endpoints.all.is_loading()
            }
            Place::Incident(_) => self.incident.incident.is_loading(),
            Place::Endpoints => self.endpoints.all.is_loading(),
            Place::Endpoint(_) => {
                self.endpoint.endpoint.is_loading() || self.endpoint.processes.is_loading()
            }
            Place::Incidents | Place::Help => false,
        };
        here || self.link == Link::Connecting
    }

    /// Takes up an event; what is to be done outside comes back.
    pub(crate) fn on(&mut self, event: Event, now_ms: i64) -> Vec<Action> {
        self.now_ms = now_ms;
        match event {
            Event::Key(key) => return self.key(key),
            Event::Paste(text) => {
                if let Some(input) = self.popup.as_mut().and_then(Popup::input) {
                    input.paste(&text);
                    self.has_typed();
                }
            }
            Event::Resize(columns, rows) => self.size = (columns, rows),
            Event::Beat => self.beat = self.beat.wrapping_add(1),
            Event::Refresh => return self.refresh(),
            Event::News(news) => return self.news(news),
            Event::End => return vec![Action::Quit],
        }
        Vec::new()
    }

    /// Puts in order what news have stirred.
    pub(crate) fn settle(&mut self) {
        self.incidents.settle();
        self.worst
            .keep(self.incidents.worst().take(WORST_MAX).count());
    }

    /// Nothing is scrolled further than so many lines.
    pub(crate) fn keep_scroll(&mut self, max: usize) {
        self.incident.keep_scroll(max);
        if *self.place() == Place::Help {
            self.help.keep(max.saturating_add(1));
        }
    }

    fn key(&mut self, key: Key) -> Vec<Action> {
        self.notice = None;
        let context = match &self.popup {
            Some(popup) => popup.context(),
            None => self.place().context(),
        };
        let cmd = keymap::find(context, key);
        match (&mut self.popup, cmd) {
            (Some(_), Some(cmd)) => self.popup_command(cmd),
            (Some(popup), None) => {
                popup.key(key);
                self.has_typed();
                Vec::new()
            }
            (None, Some(cmd)) => self.command(cmd),
            (None, None) => Vec::new(),
        }
    }

    /// Rows of a page of the list that is shown.
    fn page(&self) -> usize {
        usize::from(self.size.1).saturating_sub(FRAME_ROWS).max(1)
    }

    fn command(&mut self, cmd: Cmd) -> Vec<Action> {
        match cmd {
            Cmd::Quit => vec![Action::Quit],
            Cmd::Help => self.go(Place::Help),
            Cmd::Overview => self.go(Place::Overview),
            Cmd::Incidents => self.go(Place::Incidents),
            Cmd::Endpoints => self.go(Place::Endpoints),
            Cmd::Back => self.step(Way::back),
            Cmd::Forward => self.step(Way::forward),
            Cmd::Refresh => {
                let mut actions = self.refresh();
                if !matches!(self.link, Link::Up(_)) {
                    actions.push(Action::Reconnect);
                }
                actions
            }
            Cmd::Theme => {
                self.theme = self.theme.next();
                self.notice = Some((format!("theme: {}", self.theme.name()), Style::Plain));
                Vec::new()
            }
            Cmd::Palette => {
                self.popup = Some(Popup::Palette(Palette::default()));
                self.has_typed();
                Vec::new()
            }
            _ => self.command_here(cmd),
        }
    }

    /// What the screen does with it.
    fn command_here(&mut self, cmd: Cmd) -> Vec<Action> {
        let page = self.page();
        if cmd == Cmd::Filter {
            let filter = self.filter().unwrap_or_default().to_owned();
            self.popup = Some(Popup::Typing(Typing {
                purpose: Purpose::Filter,
                input: Input::new(&filter),
            }));
            return Vec::new();
        }
        if cmd == Cmd::Open {
            return match self.selected_place() {
                Some(place) => self.go(place),
                None => Vec::new(),
            };
        }
        match self.way.here() {
            Place::Overview => {
                let rows = self.incidents.worst().take(WORST_MAX).count();
                self.worst.go(cmd, rows, page);
            }
            Place::Incidents => {
                self.incidents.command(cmd, page);
            }
            Place::Incident(_) => {
                if !self.incident.command(cmd, page) {
                    self.open_popup(cmd);
                }
            }
            Place::Endpoints => {
                self.endpoints.command(cmd, page);
            }
            Place::Endpoint(_) => {
                self.endpoint.command(cmd, page);
            }
            Place::Help => {
                self.help.go(cmd, keymap::BINDINGS.len() * 2, page);
            }
        }
        Vec::new()
    }

    /// Where opening what is selected leads.
    fn selected_place(&self) -> Option<Place> {
        match self.place() {
            Place::Overview => {
                let mut worst = self.incidents.worst();
                let incident = worst.nth(self.worst.at())?;
                Some(Place::Incident(incident.id.clone()))
            }
            Place::Incidents => {
                let incident = self.incidents.selected()?;
                Some(Place::Incident(incident.id.clone()))
            }
            Place::Endpoints => {
                let endpoint = self.endpoints.selected()?;
                Some(Place::Endpoint(endpoint.id.clone()))
            }
            Place::Incident(_) | Place::Endpoint(_) | Place::Help => None,
        }
    }

    /// What stands above an incident after this command.
    fn open_popup(&mut self, cmd: Cmd) {
        let Some(incident) = self.incident.incident.value() else {
            return;
        };
        let id = incident.id.clone();
        let me = self.server.value().map_or("", |server| &server.analyst);
        let popup = match cmd {
            Cmd::State => Popup::Choice(Choice::state(&id, incident.state())),
            Cmd::Verdict => Popup::Choice(Choice::verdict(&id, incident.verdict())),
            Cmd::Assign => Popup::Typing(Typing {
                purpose: Purpose::Assign(id),
                input: Input::new(me),
            }),
            Cmd::Note => Popup::Typing(Typing {
                purpose: Purpose::Note(id),
                input: Input::default(),
            }),
            Cmd::Linked if incident.endpoints.is_empty() => {
                let said = "no endpoint is linked to this person";
                self.notice = Some((said.to_owned(), Style::Medium));
                return;
            }
            Cmd::Linked => {
                let options = incident.endpoints.iter().map(|endpoint| {
                    let place = Place::Endpoint(endpoint.id.clone());
                    (endpoint.hostname.clone(), Pick::Go(place))
                });
                Popup::Choice(Choice {
                    title: "Endpoint".to_owned(),
                    options: options.collect(),
                    cursor: Cursor::default(),
                })
            }
            _ => return,
        };
        self.popup = Some(popup);
    }

    fn popup_command(&mut self, cmd: Cmd) -> Vec<Action> {
        match (cmd, &mut self.popup) {
            (Cmd::Cancel, _) => {
                if let Some(Popup::Typing(typing)) = self.popup.take()
                    && typing.purpose == Purpose::Filter
                {
                    self.set_filter(String::new());
                }
            }
            (Cmd::Accept, _) => return self.accept(),
            (Cmd::Up | Cmd::Down, Some(popup)) => popup.go(cmd),
            (_, Some(popup)) => {
                if let Some(input) = popup.input() {
                    input.command(cmd);
                    self.has_typed();
                }
            }
            (_, None) => {}
        }
        Vec::new()
    }

    fn accept(&mut self) -> Vec<Action> {
        match self.popup.take() {
            Some(Popup::Choice(choice)) => {
                let at = choice.cursor.at();
                match choice.options.into_iter().nth(at) {
                    Some((_, Pick::Change(change))) => vec![Action::Change(change)],
                    Some((_, Pick::Go(place))) => self.go(place),
                    None => Vec::new(),
                }
            }
            Some(Popup::Palette(palette)) => {
                let at = palette.cursor.at();
                match palette.found.into_iter().nth(at) {
                    Some((_, place)) => self.go(place),
                    None => Vec::new(),
                }
            }
            Some(Popup::Typing(typing)) => {
                let text = typing.input.text().trim().to_owned();
                let (incident, what) = match typing.purpose {
                    Purpose::Note(id) if !text.is_empty() => (id, What::Note(text)),
                    Purpose::Assign(id) => (id, What::Assignee(text)),
                    Purpose::Filter | Purpose::Note(_) => return Vec::new(),
                };
                vec![Action::Change(Change { incident, what })]
            }
            None => Vec::new(),
        }
    }

    /// After each change of the line that is being typed.
    fn has_typed(&mut self) {
        match &mut self.popup {
            Some(Popup::Typing(typing)) if typing.purpose == Purpose::Filter => {
                let filter = typing.input.text();
                self.set_filter(filter);
            }
            Some(Popup::Palette(palette)) => {
                let screens = Place::SCREENS.into_iter();
                let screens = screens.map(|place| (place.name().to_owned(), place));
                let incidents = self.incidents.worst().map(|incident| {
                    let who = incidents::subject(incident);
                    let name = format!("incident {who}: {}", incident.title);
                    (name, Place::Incident(incident.id.clone()))
                });
                let endpoints = (0..self.endpoints.len()).filter_map(|at| self.endpoints.row(at));
                let endpoints = endpoints.map(|endpoint| {
                    let name = format!("endpoint {}", endpoint.hostname);
                    (name, Place::Endpoint(endpoint.id.clone()))
                });
                palette.find(screens.chain(incidents).chain(endpoints));
            }
            _ => {}
        }
    }

    /// The words by which the list that is shown is narrowed; none where it cannot be.
    pub(crate) fn filter(&self) -> Option<&str> {
        match self.place().context() {
            Context::Incidents => Some(self.incidents.filter()),
            Context::Endpoints => Some(self.endpoints.filter()),
            Context::Endpoint => Some(self.endpoint.filter()),
            _ => None,
        }
    }

    fn set_filter(&mut self, filter: String) {
        match self.place().context() {
            Context::Incidents => self.incidents.set_filter(filter),
            Context::Endpoints => self.endpoints.set_filter(filter),
            Context::Endpoint => self.endpoint.set_filter(filter),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
