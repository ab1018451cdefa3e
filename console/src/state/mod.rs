//! What the screens show, and how events change it. Pure: no drawing, no network, no clock; times come in
//! with events.
//!
//! ```text
//! Event --on()--> State' + Actions      settle() once after any number of events, then draw
//! ```
//!
//! News of a slot that is not for what is shown now are dropped. Nothing that was known is forgotten because
//! a later question failed.

mod above;
pub(crate) mod age;
pub(crate) mod cursor;
pub(crate) mod endpoint;
pub(crate) mod endpoints;
pub(crate) mod events;
pub(crate) mod filter;
pub(crate) mod fleet;
pub(crate) mod incident;
pub(crate) mod incidents;
pub(crate) mod input;
pub(crate) mod list;
pub(crate) mod loaded;
mod news;
pub(crate) mod palette;
pub(crate) mod people;
mod point;
pub(crate) mod popup;
pub(crate) mod story;
pub(crate) mod terminal;
mod values;
pub(crate) mod views;
mod way;

use jiff::tz::TimeZone;
use tocsin_proto::console::v1::{
    Attempt, Changes, Feed, GetServerResponse, Identity, IncidentSummary, Terminal, Unmapped,
};

use self::age::Ages;
use self::cursor::Cursor;
use self::endpoint::EndpointPage;
use self::endpoints::Endpoints;
use self::events::Events;
use self::incident::IncidentPage;
use self::incidents::Incidents;
use self::list::List;
use self::loaded::Loaded;
use self::people::{Audit, IdentityPage};
use self::popup::Popup;
use self::terminal::Pane;
pub(crate) use self::way::Place;
use self::way::Way;
use crate::action::{Action, PaneId, ToTerminal};
use crate::event::{Event, Link};
use crate::keymap::{BINDINGS, Cmd, Key, Keymap};
use crate::output::style::Style;
use crate::theme::Theme;
use crate::time::Zone;

/// Open incidents that the overview names.
pub(crate) const WORST_MAX: usize = 50;

/// Open incidents whose prompts the overview counts, the worst first.
pub(crate) const COUNTED_MAX: usize = 12;

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
    /// What the server said last of what has changed.
    pub(crate) changes: Changes,
    /// What it had said of what the screen shows when that was asked for last, and when that was.
    asked: (u64, i64),
    /// When what was asked in vain is asked again.
    retry_ms: Option<i64>,
    /// When the next of the ages grows that were drawn last.
    pub(crate) ages: Ages,
    /// The feeds.
    pub(crate) feeds: List<Feed>,
    /// The list of incidents.
    pub(crate) incidents: Incidents,
    /// Views of it that were kept.
    pub(crate) views: Vec<views::Kept>,
    /// The incident that was looked at last.
    pub(crate) incident: IncidentPage,
    /// The list of endpoints.
    pub(crate) endpoints: Endpoints,
    /// The endpoint that was looked at last.
    pub(crate) endpoint: EndpointPage,
    /// The list of identities.
    pub(crate) identities: List<Identity>,
    /// Accounts that are nobody's, people without any.
    pub(crate) unmapped: List<Unmapped>,
    /// Whether these are shown instead of all identities.
    pub(crate) is_unmapped: bool,
    /// The identity that was looked at last.
    pub(crate) identity: IdentityPage,
    /// The events that were looked for last.
    pub(crate) events: Events,
    /// The audit log.
    pub(crate) audit: Audit,
    /// The terminals that are open.
    pub(crate) terminals: List<Terminal>,
    /// In which zone times are shown.
    pub(crate) zone: Zone,
    /// This machine's zone.
    pub(crate) local_zone: Option<TimeZone>,
    /// Which keys count.
    pub(crate) keymap: Keymap,
    /// What stands above the screen.
    pub(crate) popup: Option<Popup>,
    /// The terminal that is open in the pane or watched, or was last.
    pub(crate) terminal: Option<Pane>,
    /// Of the last pane.
    pane_id: PaneId,
    /// What there is to say, clean, until the next key.
    pub(crate) notice: Option<(String, Style)>,
    /// Which picture of a spinner.
    pub(crate) beat: usize,
    /// The prompts of the worst open incidents.
    pub(crate) attempts: Loaded<Vec<Attempt>>,
    /// The incidents that these were asked for.
    counted: Vec<IncidentSummary>,
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
            changes: Changes::default(),
            asked: (0, now_ms),
            retry_ms: None,
            ages: Ages::default(),
            feeds: List::default(),
            incidents: Incidents::default(),
            views: Vec::new(),
            incident: IncidentPage::default(),
            endpoints: Endpoints::default(),
            endpoint: EndpointPage::default(),
            identities: List::default(),
            unmapped: List::default(),
            is_unmapped: false,
            identity: IdentityPage::default(),
            events: Events::default(),
            audit: Audit::default(),
            terminals: List::default(),
            zone: Zone::default(),
            local_zone: None,
            keymap: Keymap::default(),
            popup: None,
            terminal: None,
            pane_id: PaneId::default(),
            notice: None,
            beat: 0,
            attempts: Loaded::default(),
            counted: Vec::new(),
            worst: Cursor::default(),
            help: Cursor::default(),
            way: Way::default(),
        }
    }

    /// Shows this screen first; nothing is asked before there is a connection.
    pub(crate) fn begin_at(&mut self, place: Place) {
        self.way = Way::default();
        self.way.go(place);
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
                    || self.feeds.all.is_loading()
                    || self.endpoints.all.is_loading()
            }
            Place::Incident(_) => {
                let mut around = self.incident.around();
                self.incident.incident.is_loading() || around.any(|(_, one)| one.is_loading())
            }
            Place::Endpoints => self.endpoints.all.is_loading(),
            Place::Endpoint(_) => {
                self.endpoint.endpoint.is_loading() || self.endpoint.processes.is_loading()
            }
            Place::Identities if self.is_unmapped => self.unmapped.all.is_loading(),
            Place::Identities => self.identities.all.is_loading(),
            Place::Identity(_) => self.identity.identity.is_loading(),
            Place::Events => self.events.older.is_loading(),
            Place::Feeds => self.feeds.all.is_loading(),
            Place::Terminals => {
                self.terminals.all.is_loading() && self.terminals.all.value().is_none()
            }
            Place::Audit => self.audit.rows.all.is_loading() || self.audit.verified.is_loading(),
            Place::Incidents | Place::Help => false,
        };
        here || self.link == Link::Connecting
    }

    /// Takes up an event; what is to be done outside comes back.
    pub(crate) fn on(&mut self, event: Event, now_ms: i64) -> Vec<Action> {
        self.now_ms = now_ms;
        match event {
            Event::Key(key) => return self.key(key),
            Event::Typed(bytes) => return vec![Action::Terminal(ToTerminal::Input(bytes))],
            Event::Paste(text) if self.terminal_has_keys() => return self.paste(&text),
            Event::Paste(text) => {
                if let Some(input) = self.popup.as_mut().and_then(Popup::input) {
                    input.paste(&text);
                    self.has_typed();
                }
            }
            Event::Click(target) => return self.click(target),
            Event::Wheel(is_down) => return self.wheel(is_down),
            Event::Resize(columns, rows) => {
                self.size = (columns, rows);
                return self.resize_terminal();
            }
            Event::Beat => self.beat = self.beat.wrapping_add(1),
            Event::Refresh => return self.refresh(),
            Event::Search => self.search_on(),
            // The time is all that is new.
            Event::Age => {}
            Event::Written(name, written) => {
                let name = crate::text::line(&name);
                self.notice = Some(match written {
                    Ok(()) => (format!("written: {name}"), Style::Good),
                    Err(why) => {
                        let why = crate::text::line(&why);
                        (format!("not written: {name}: {why}"), Style::Critical)
                    }
                });
            }
            Event::ReadAnew(name, Ok(())) => {
                self.notice = Some((
                    format!("{name} changed and is used as it is now"),
                    Style::Good,
                ));
            }
            Event::ReadAnew(name, Err(why)) => {
                let why = crate::text::line(&why);
                let said = format!("{name} changed and cannot be used; the former stays: {why}");
                self.notice = Some((said, Style::Critical));
            }
            Event::Zone(name, Some(zone)) => self.zone = Zone::Person(zone, name),
            Event::Zone(name, None) => {
                let name = crate::text::fit(&name, 40).into_owned();
                let said = format!("this machine knows no zone '{name}'");
                self.notice = Some((said, Style::Medium));
            }
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
        match self.way.here() {
            Place::Help => self.help.keep(max.saturating_add(1)),
            Place::Identity(_) => self.identity.scroll.keep(max.saturating_add(1)),
            _ => {}
        }
    }

    fn key(&mut self, key: Key) -> Vec<Action> {
        self.notice = None;
        if self.popup.is_none() && self.is_watching_above() {
            return self.key_of_watched(key);
        }
        let context = match &self.popup {
            Some(popup) => popup.context(),
            None => self.place().context(),
        };
        let cmd = self.keymap.find(context, key);
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
            Cmd::Quit => self.quit(),
            Cmd::Keys => {
                self.give_keys();
                Vec::new()
            }
            Cmd::EndTerminal => self.end_terminal(),
            Cmd::Help => self.go(Place::Help),
            Cmd::Overview => self.go(Place::Overview),
            Cmd::Incidents => self.go(Place::Incidents),
            Cmd::Endpoints => self.go(Place::Endpoints),
            Cmd::Identities => self.go(Place::Identities),
            Cmd::Events => self.go(Place::Events),
            Cmd::Feeds => self.go(Place::Feeds),
            Cmd::Audit => self.go(Place::Audit),
            Cmd::Terminals => self.go(Place::Terminals),
            Cmd::Back => self.step(Way::back),
            Cmd::Forward => self.step(Way::forward),
            Cmd::Refresh => {
                if *self.place() == Place::Events {
                    self.events.forget();
                }
                self.endpoints.want();
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
            Cmd::Zone => self.next_zone(),
            Cmd::Palette => {
                self.open_palette();
                Vec::new()
            }
            _ => self.command_here(cmd),
        }
    }

    /// What the screen does with it.
    fn command_here(&mut self, cmd: Cmd) -> Vec<Action> {
        let page = self.page();
        if opens_popup(cmd) {
            self.open_popup(cmd);
            return Vec::new();
        }
        if cmd == Cmd::Open {
            return match self.selected_place() {
                _ if *self.place() == Place::Terminals => self.watch_selected(),
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
            Place::Identities if cmd == Cmd::Unmapped => {
                self.is_unmapped = !self.is_unmapped;
                return self.refresh();
            }
            Place::Identities if self.is_unmapped => {
                self.unmapped.command(cmd, page);
            }
            Place::Identities => {
                self.identities.command(cmd, page);
            }
            Place::Identity(_) => {
                self.identity.scroll.go(cmd, usize::MAX, page);
            }
            Place::Events => {
                self.events.command(cmd, page);
                return match cmd {
                    Cmd::Tail => self.tail(),
                    _ => self.more_events(),
                };
            }
            Place::Feeds => {
                self.feeds.command(cmd, page);
            }
            Place::Audit => {
                if cmd == Cmd::Verify {
                    return self.verify_audit();
                }
                self.audit.rows.command(cmd, page);
            }
            Place::Terminals => {
                self.terminals.command(cmd, page);
            }
            Place::Help => {
                self.help.go(cmd, BINDINGS.len() * 2, page);
            }
        }
        Vec::new()
    }

    /// The next zone: UTC, this machine's, that of the person whose endpoint is known here.
    fn next_zone(&mut self) -> Vec<Action> {
        let local = self.local_zone.clone().map(Zone::Local);
        self.zone = match (&self.zone, local) {
            (Zone::Utc, Some(local)) => local,
            (Zone::Utc | Zone::Local(_), _) => match self.person_zone() {
                Some(name) => return vec![Action::FindZone(name)],
                None => Zone::Utc,
            },
            (Zone::Person(..), _) => Zone::Utc,
        };
        Vec::new()
    }

    /// The zone of the endpoint that the screen is about, as it says.
    fn person_zone(&self) -> Option<String> {
        let id = match self.place() {
            Place::Incident(_) => &self.incident.incident.value()?.endpoints.first()?.id,
            Place::Identity(_) => {
                &self
                    .identity
                    .identity
                    .value()?
                    .local_accounts
                    .first()?
                    .endpoint
            }
            Place::Endpoint(id) => id,
            Place::Events => &self.events.selected()?.endpoint,
            _ => return None,
        };
        let page = self.endpoint.endpoint.value().filter(|one| one.id == *id);
        let zone = match page {
            Some(endpoint) => &endpoint.time_zone,
            None => self.endpoints.get(id)?.time_zone,
        };
        Some(zone.to_owned()).filter(|name| !name.is_empty())
    }

    /// The hostname of an endpoint, where it is known; its id where not. Unclean.
    pub(crate) fn hostname<'a>(&'a self, id: &'a str) -> &'a str {
        let name = self.endpoints.get(id).map_or("", |one| one.hostname);
        if name.is_empty() { id } else { name }
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
                Some(Place::Endpoint(endpoint.id.to_owned()))
            }
            Place::Identities if self.is_unmapped => {
                Some(people::of_unmapped(self.unmapped.selected()?))
            }
            Place::Identities => {
                let identity = self.identities.selected()?;
                Some(Place::Identity(identity.id.clone()))
            }
            Place::Events => {
                let event = self.events.selected()?;
                Some(Place::Endpoint(event.endpoint.clone()))
            }
            Place::Incident(_)
            | Place::Endpoint(_)
            | Place::Identity(_)
            | Place::Feeds
            | Place::Audit
            | Place::Terminals
            | Place::Help => None,
        }
    }
}

/// Whether a command asks something more, whatever the screen.
fn opens_popup(cmd: Cmd) -> bool {
    use Cmd::{Bulk, Copy, Filter, Find, KeepView, Kill, Linked, Terminal, View};
    matches!(
        cmd,
        Filter | Find | Copy | Linked | Bulk | Terminal | Kill | View | KeepView
    )
}

#[cfg(test)]
mod tests;
