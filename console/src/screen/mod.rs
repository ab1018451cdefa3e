//! What the state looks like. Drawing changes nothing; all foreign text goes through the widgets, which
//! clean it.

mod above;
mod audit;
mod endpoint;
mod endpoints;
mod event_lines;
mod events;
mod feeds;
mod help;
mod identities;
mod incident;
mod incident_axis;
mod incident_lines;
mod incidents;
mod listing;
mod overview;
mod prompts;
mod terminal;
mod terminals;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use crate::event::{Link, Target};
use crate::keymap::Keymap;
use crate::output::style::Style;
use crate::state::loaded::Loaded;
use crate::state::{Place, State};
use crate::text;
use crate::widget::table::Rows;
use crate::widget::{span, status_line};

/// Fewer columns or rows are not drawn on.
const COLUMNS_MIN: u16 = 40;
const ROWS_MIN: u16 = 10;

/// From this width on the server is named, and from this one on all screens.
const COLUMNS_OF_ADDRESS: u16 = 150;
const COLUMNS_OF_NAMES: u16 = 120;

/// The pictures of a spinner.
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// Top line, screen, bottom line.
fn parts(area: Rect) -> [Rect; 3] {
    let rows = [
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ];
    Layout::vertical(rows).areas(area)
}

/// Where what one can point at is.
#[derive(Debug, Default)]
pub(crate) struct Zones {
    /// The screens' names.
    pub(crate) tabs: Vec<(Rect, Place)>,
    /// The list of the screen.
    pub(crate) rows: Option<Rows>,
    /// What is to be chosen above it; then nothing below counts.
    pub(crate) choice: Option<Rows>,
}

impl Zones {
    /// What is at this place.
    pub(crate) fn at(&self, place: Position) -> Target {
        if let Some(choice) = &self.choice {
            return choice.at(place).map_or(Target::Elsewhere, Target::Choice);
        }
        let mut tabs = self.tabs.iter();
        if let Some((_, screen)) = tabs.find(|(area, _)| area.contains(place)) {
            return Target::Screen(screen.clone());
        }
        let row = self.rows.and_then(|rows| rows.at(place));
        row.map_or(Target::Elsewhere, Target::Row)
    }
}

/// Draws all, and says where things are.
pub(crate) fn draw(state: &State, frame: &mut Frame) -> Zones {
    let area = frame.area();
    if area.width < COLUMNS_MIN || area.height < ROWS_MIN {
        let said = format!("at least {COLUMNS_MIN} columns and {ROWS_MIN} rows");
        frame.render_widget(Paragraph::new(said), area);
        return Zones::default();
    }
    let [top, body, bottom] = parts(area);
    let tabs = draw_top(state, frame, top);
    let (here, pane) = terminal::areas(state, body);
    let rows = here.and_then(|here| draw_screen(state, frame, here));
    if let (Some(pane), Some(area)) = (&state.terminal, pane) {
        terminal::draw(state, pane, frame, area);
    }
    draw_bottom(state, frame, bottom);
    let choice = above::draw(state, frame, body, bottom);
    Zones { tabs, rows, choice }
}

/// Draws the screen that is shown; the rows of its list.
fn draw_screen(state: &State, frame: &mut Frame, body: Rect) -> Option<Rows> {
    match state.place() {
        Place::Overview => overview::draw(state, frame, body),
        Place::Incidents => incidents::draw(state, frame, body),
        Place::Incident(_) => incident::draw(state, frame, body),
        Place::Endpoints => endpoints::draw(state, frame, body),
        Place::Endpoint(_) => endpoint::draw(state, frame, body),
        Place::Identities => identities::draw(state, frame, body),
        Place::Identity(_) => identities::draw_one(state, frame, body),
        Place::Events => events::draw(state, frame, body),
        Place::Feeds => feeds::draw(state, frame, body),
        Place::Audit => audit::draw(state, frame, body),
        Place::Terminals => terminals::draw(state, frame, body),
        Place::Help => help::draw(state, frame, body),
    }
}

/// How many lines the screen can be scrolled; 0 where it has a list instead.
pub(crate) fn scroll_max(state: &State) -> usize {
    let (width, height) = state.size;
    let [_, body, _] = parts(Rect::new(0, 0, width, height));
    let body = terminal::areas(state, body).0.unwrap_or(body);
    match state.place() {
        Place::Incident(_) => incident::scroll_max(state, body),
        Place::Identity(_) => identities::scroll_max(state, body),
        Place::Help => help::scroll_max(state, body),
        _ => 0,
    }
}

fn draw_top(state: &State, frame: &mut Frame, area: Rect) -> Vec<(Rect, Place)> {
    let bar = state.theme.bar();
    let here = state.place().screen();
    let is_wide = area.width >= COLUMNS_OF_NAMES;
    let mut left = "Tocsin ".to_owned();
    let mut tabs = Vec::new();
    for (number, place) in Place::SCREENS.into_iter().enumerate() {
        let key = match place {
            Place::Help => "?".to_owned(),
            _ => (number + 1).to_string(),
        };
        let name = place.name();
        let tab = match (place == here, is_wide) {
            (true, _) => format!("[{key} {name}]"),
            // The bottom line says what it is, and its name has no room beside who is asking.
            (false, true) if place == Place::Help && area.width < COLUMNS_OF_ADDRESS => {
                format!(" {key} ")
            }
            (false, true) => format!(" {key} {name} "),
            (false, false) => format!(" {key} "),
        };
        let columns = |text: &str| u16::try_from(text::width(text)).unwrap_or(u16::MAX);
        let x = area.x.saturating_add(columns(&left)).saturating_add(1);
        let width = columns(&tab).min(area.right().saturating_sub(x));
        tabs.push((Rect { x, width, ..area }, place));
        left += &tab;
    }
    let (right, style) = link(state);
    let heading = state.theme.look(Style::Heading);
    let look = state.theme.look(style);
    status_line::draw((&left, heading), (&right, look), bar, frame, area);
    tabs
}

/// What is to be known about the connection.
fn link(state: &State) -> (String, Style) {
    match &state.link {
        Link::Connecting => (format!("{} connecting", spinner(state)), Style::Plain),
        Link::Up(address) => {
            let server = state.server.value();
            let said = match server {
                Some(server) if state.size.0 < COLUMNS_OF_ADDRESS => {
                    format!("{}, {}", server.analyst, server.role)
                }
                Some(server) => format!("{} ({}) at {address}", server.analyst, server.role),
                None => address.clone(),
            };
            (said, Style::Good)
        }
        Link::Down(_) => {
            let since = clock(state.link_time_ms, state);
            (format!("NOT CONNECTED since {since}"), Style::Critical)
        }
    }
}

fn spinner(state: &State) -> &'static str {
    SPINNER
        .get(state.beat % SPINNER.len())
        .copied()
        .unwrap_or("")
}

fn draw_bottom(state: &State, frame: &mut Frame, area: Rect) {
    let hint = match state.place() {
        Place::Overview => {
            "enter open  2 incidents  3 endpoints  5 events  : go to  ? keys  q leave"
        }
        Place::Incidents => {
            "enter open  / narrow  o order  v severity  c closed  w W views  m b mark  ? keys"
        }
        Place::Incident(_) => {
            "tab pane  +/- zoom  a s v n work  t terminal  x report  e go to  ? keys"
        }
        Place::Endpoints => "enter open  / narrow  f events  ? keys",
        Place::Endpoint(_) => "/ narrow  p parent  t terminal  f events  y copy  esc back  ? keys",
        Place::Identities => "enter open  / narrow  u not mapped, or all  f events  ? keys",
        Place::Identity(_) => "e endpoints, incidents  f events  y copy  esc back  ? keys",
        Place::Events => "/ search  t follow  f find with a value  enter endpoint  y copy  ? keys",
        Place::Feeds => "/ narrow  r again  ? keys",
        Place::Audit => "V verify  / narrow  y copy  ? keys",
        Place::Terminals => "enter watch  x end it  e its endpoint, incident  / narrow  ? keys",
        Place::Help => "esc back  q leave",
    };
    let hint = match &state.terminal {
        Some(pane) if pane.takes_keys() => {
            "every key goes to the terminal but ctrl-]: back to the screens"
        }
        _ => hint,
    };
    // It names the keys that nobody has changed.
    let is_theirs = state.keymap != Keymap::default();
    let hint = if is_theirs { "" } else { hint };
    let faint = state.theme.look(Style::Faint);
    let (left, look) = match (&state.notice, &state.link) {
        (Some((said, style)), _) => (said.as_str(), state.theme.look(*style)),
        (None, Link::Down(why)) => (why.as_str(), state.theme.look(Style::Critical)),
        (None, _) => (hint, faint),
    };
    let filter = state.filter().filter(|words| !words.is_empty());
    let mut right = filter.map_or_else(String::new, |words| format!("narrowed: {words}  "));
    right += &state.zone.name();
    let right = (right.as_str(), state.theme.look(Style::Medium));
    status_line::draw((left, look), right, state.theme.bar(), frame, area);
}

/// What is to be said about the state of an answer: that it is awaited, old, or did not come; empty where
/// all is well.
fn freshness<T>(loaded: &Loaded<T>, state: &State) -> (String, Style) {
    let as_of = || as_of(loaded.time_ms(), state);
    match (loaded.value(), loaded.problem()) {
        (None, Some(problem)) => (problem.to_owned(), Style::Critical),
        (Some(_), _) if !matches!(state.link, Link::Up(_)) => {
            (format!("STALE: {}", as_of()), Style::High)
        }
        (Some(_), Some(problem)) => (format!("{}: {problem}", as_of()), Style::Critical),
        (None, None) if loaded.is_loading() => (
            format!("{} asking the server", spinner(state)),
            Style::Faint,
        ),
        (None, None) => ("not known yet".to_owned(), Style::Faint),
        (Some(_), None) if loaded.is_loading() => (spinner(state).to_owned(), Style::Faint),
        (Some(_), None) => (String::new(), Style::Faint),
    }
}

/// How long ago, in words.
fn ago(time_ms: i64, state: &State) -> String {
    state.ages.ago(time_ms, state.now_ms)
}

/// Of when something is that is not as it is now.
fn as_of(time_ms: i64, state: &State) -> String {
    format!("as of {}", clock(time_ms, state))
}

/// A time to the second; without its day where that is today.
fn clock(time_ms: i64, state: &State) -> String {
    let (time, now) = (state.zone.second(time_ms), state.zone.second(state.now_ms));
    match (time.split_once(' '), now.split_once(' ')) {
        (Some((day, clock)), Some((today, _))) if day == today => clock.to_owned(),
        _ => time,
    }
}

/// [`freshness`] of the fleet, which is not asked for at each change where it is large.
fn fleet_freshness(state: &State) -> (String, Style) {
    let all = &state.endpoints.all;
    match freshness(all, state) {
        (said, _) if said.is_empty() && state.endpoints.is_behind(state.changes.endpoints) => {
            (as_of(all.time_ms(), state), Style::Faint)
        }
        said => said,
    }
}

/// A time to the second; a dash where there is none.
fn at(time_ms: i64, state: &State) -> String {
    match time_ms {
        0 => "-".to_owned(),
        _ => state.zone.second(time_ms),
    }
}

/// A heading with something to say beside it.
fn heading(title: &str, said: &(String, Style), state: &State) -> Line<'static> {
    Line::from(vec![
        span(title, state.theme.look(Style::Heading)),
        span("  ", state.theme.look(Style::Plain)),
        span(&said.0, state.theme.look(said.1)),
    ])
}

#[cfg(test)]
mod tests;
