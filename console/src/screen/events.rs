//! Events that match, the newest first, and all that is known about the one that is selected.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::widgets::{Block, Borders, Paragraph};
use tocsin_proto::console::v1::EventRow;

use super::{event_lines, freshness, heading};
use crate::command::events::{describe, user};
use crate::output::style::Style;
use crate::state::State;
use crate::state::filter::FIELDS;
use crate::widget::table::{self, Cell, Column, Rows, Table, column};
use crate::widget::wrapped;

/// From this width on the event that is selected stands beside the list instead of below it.
const COLUMNS_BESIDE: u16 = 150;

/// From this width on times have their year.
const COLUMNS_OF_YEARS: u16 = 100;

/// Rows of the event that is selected, below the list.
const BELOW_ROWS: u16 = 7;

const COLUMNS: &[Column] = &[
    column("TIME", 14, 19),
    column("ENDPOINT", 8, 24).optional(2),
    column("KIND", 7, 8),
    column("ACTIVITY", 5, 10).optional(3),
    column("USER", 5, 16).optional(1),
    column("WHAT", 20, 400),
];

/// Draws it.
pub(super) fn draw(state: &State, frame: &mut Frame, area: Rect) -> Option<Rows> {
    let rows = [Constraint::Length(1), Constraint::Min(0)];
    let [top, body] = Layout::vertical(rows).areas(area);
    let events = &state.events;
    let more = match (events.has_all(), events.is_full()) {
        (true, _) => "",
        (false, true) => " (older ones: narrow the search)",
        (false, false) => " and more",
    };
    let title = match events.older.value() {
        Some(()) => format!("{} events{more}, the newest first", events.len()),
        None => "Events".to_owned(),
    };
    let mut said = freshness(&events.older, state);
    if said.0.is_empty() && events.follows() {
        said = match events.newer.problem() {
            Some(problem) => (problem.to_owned(), Style::Critical),
            None => ("following".to_owned(), Style::Good),
        };
    }
    frame.render_widget(Paragraph::new(heading(&title, &said, state)), top);
    if events.len() == 0 {
        nothing(state, frame, body);
        return None;
    }
    let (list, one) = split(body);
    let table = Table {
        columns: COLUMNS,
        rows: events.len(),
        selected: events.at(),
        theme: state.theme,
    };
    let rows = table::draw(table, frame, list, |at| {
        let event = events.row(at);
        event
            .map(|one| cells(&one, state, list.width < COLUMNS_OF_YEARS))
            .unwrap_or_default()
    });
    if let Some(event) = events.selected() {
        let block = Block::new()
            .borders(match one.x == list.x {
                true => Borders::TOP,
                false => Borders::LEFT,
            })
            .border_style(state.theme.look(Style::Faint));
        let inside = block.inner(one);
        frame.render_widget(block, one);
        let lines = event_lines::of(&event, state, inside.width.into());
        frame.render_widget(Paragraph::new(lines), inside);
    }
    Some(rows)
}

/// The list, and the event that is selected.
fn split(body: Rect) -> (Rect, Rect) {
    let [list, one] = match body.width >= COLUMNS_BESIDE {
        true => {
            Layout::horizontal([Constraint::Percentage(62), Constraint::Percentage(38)]).areas(body)
        }
        false => {
            let below = BELOW_ROWS.max(body.height / 3);
            Layout::vertical([Constraint::Min(3), Constraint::Length(below)]).areas(body)
        }
    };
    (list, one)
}

/// Why nothing is shown, and what to do next.
fn nothing(state: &State, frame: &mut Frame, area: Rect) {
    let events = &state.events;
    let said = match (events.older.value(), events.filter().to_string().as_str()) {
        (None, _) => return,
        (Some(()), "") => {
            "No event is stored. An endpoint sends its first ones when it is enrolled: 3 shows which are."
                .to_owned()
        }
        (Some(()), filter) => format!(
            "No event matches {filter}  - / for another search; fields are {}: with times as 90m, 24h, 7d, \
             2026-11-24 or 2026-11-24T02:10:00Z; all other words are text to be found.",
            FIELDS.join(":, ")
        ),
    };
    let plain = state.theme.look(Style::Plain);
    let lines = wrapped("".into(), &said, area.width.into(), plain);
    frame.render_widget(Paragraph::new(lines), area);
}

fn cells(event: &EventRow, state: &State, is_narrow: bool) -> Vec<Cell> {
    let (what, style) = describe(event);
    let name = state.hostname(&event.endpoint);
    let time = state.zone.second(event.event_time_ms);
    let time = match is_narrow {
        true => time.get(5..).map_or(time.clone(), str::to_owned),
        false => time,
    };
    vec![
        (time, Style::Plain),
        (name.to_owned(), Style::Plain),
        (event.kind.clone(), style),
        (event.activity.clone(), style),
        (user(event).to_owned(), Style::Plain),
        (what, style),
    ]
}
