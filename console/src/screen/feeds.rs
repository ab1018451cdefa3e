//! The list of feeds: how fresh each is, and what it could not read.

use ratatui::Frame;
use ratatui::layout::Rect;
use tocsin_proto::console::v1::Feed;

use super::listing::{Listing, NONE_AS_ASKED, rows_of};
use super::{ago, freshness, heading};
use crate::command::feeds_live::state_style;
use crate::output::style::Style;
use crate::state::State;
use crate::widget::table::{Cell, Column, Rows, column};

const COLUMNS: &[Column] = &[
    column("PROVIDER", 8, 20),
    column("KIND", 4, 18),
    column("NEWEST RECORD", 13, 20),
    column("AT", 16, 16).optional(3),
    column("RECEIVED", 10, 20).optional(1),
    column("MFA EVENTS", 10, 12),
    column("MALFORMED", 9, 12).optional(2),
    column("ID", 8, 40).optional(4),
];

/// Draws it.
pub(super) fn draw(state: &State, frame: &mut Frame, area: Rect) -> Option<Rows> {
    let list = &state.feeds;
    let title = format!("{} of {} feeds", list.len(), list.total());
    let listing = Listing {
        above: vec![heading(&title, &freshness(&list.all, state), state)],
        none: match (list.all.value(), list.total()) {
            (None, _) => "",
            (_, 0) => {
                "No feeds. Without one there are no prompts and no incidents:\n\
                 tocsin feeds import FILE --provider okta|entra|duo|..."
            }
            _ => NONE_AS_ASKED,
        },
        table: rows_of(list, COLUMNS, state),
    };
    listing.draw(frame, area, |at| list.row(at).map(|one| cells(one, state)))
}

/// "file", or "live" with what it is doing where that is not all well.
pub(super) fn kind(feed: &Feed) -> Cell {
    let style = match feed.state.as_str() {
        "" | "current" => Style::Plain,
        _ => state_style(feed),
    };
    let text = match feed.state.as_str() {
        "" | "current" => feed.kind.clone(),
        state => format!("{} {}", feed.kind, state.replace('_', " ")),
    };
    (text, style)
}

fn cells(feed: &Feed, state: &State) -> Vec<Cell> {
    let plain = |text: String| (text, Style::Plain);
    vec![
        plain(feed.provider.clone()),
        kind(feed),
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
