//! The list of feeds: how fresh each is, and what it could not read.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::widgets::Paragraph;
use tocsin_proto::console::v1::Feed;

use super::{ago, freshness, heading};
use crate::output::style::Style;
use crate::state::State;
use crate::widget::table::{self, Cell, Column, Rows, Table, column};

const COLUMNS: &[Column] = &[
    column("PROVIDER", 8, 20),
    column("KIND", 4, 12),
    column("NEWEST RECORD", 13, 20),
    column("AT", 16, 16).optional(3),
    column("RECEIVED", 10, 20).optional(1),
    column("MFA EVENTS", 10, 12),
    column("MALFORMED", 9, 12).optional(2),
    column("ID", 8, 40).optional(4),
];

/// Draws it.
pub(super) fn draw(state: &State, frame: &mut Frame, area: Rect) -> Option<Rows> {
    let rows = [Constraint::Length(1), Constraint::Min(0)];
    let [top, body] = Layout::vertical(rows).areas(area);
    let list = &state.feeds;
    let title = format!("{} of {} feeds", list.len(), list.total());
    let said = freshness(&list.all, state);
    frame.render_widget(Paragraph::new(heading(&title, &said, state)), top);
    if list.len() == 0 {
        let said = match (list.all.value(), list.total()) {
            (None, _) => "",
            (_, 0) => {
                "No feeds. Without one there are no prompts and no incidents:\n\
                 tocsin feeds import FILE --provider okta|entra|duo"
            }
            _ => "None is as asked: / for other words.",
        };
        frame.render_widget(Paragraph::new(said), body);
        return None;
    }
    let table = Table {
        columns: COLUMNS,
        rows: list.len(),
        selected: list.at(),
        theme: state.theme,
    };
    let rows = table::draw(table, frame, body, |at| {
        let row = list.row(at);
        row.map(|one| cells(one, state)).unwrap_or_default()
    });
    Some(rows)
}

fn cells(feed: &Feed, state: &State) -> Vec<Cell> {
    let plain = |text: String| (text, Style::Plain);
    vec![
        plain(feed.provider.clone()),
        plain(feed.kind.clone()),
        plain(ago(feed.last_event_time_ms, state)),
        plain(state.zone.minute(feed.last_event_time_ms)),
        plain(ago(feed.last_receive_time_ms, state)),
        plain(feed.mfa_events.to_string()),
        match feed.malformed {
            0 => ("0".to_owned(), Style::Faint),
            n => (n.to_string(), Style::Medium),
        },
        (feed.id.clone(), Style::Faint),
    ]
}
