//! The terminals that are open at endpoints: whose, where, since when, why, and how much went through.

use ratatui::Frame;
use ratatui::layout::Rect;
use tocsin_proto::console::v1::{Terminal, TerminalState};

use super::listing::{Listing, NONE_AS_ASKED, rows_of};
use super::{ago, at, freshness, heading};
use crate::command::{bytes, short, word};
use crate::output::style::Style;
use crate::state::State;
use crate::widget::table::{Cell, Column, Rows, column};

const COLUMNS: &[Column] = &[
    column("ENDPOINT", 12, 30),
    column("ANALYST", 8, 20),
    column("ACCOUNT", 7, 16).optional(5),
    column("STATE", 7, 7),
    column("OPENED", 10, 16),
    column("AT", 19, 19).optional(7),
    column("TYPED", 7, 10).optional(6),
    column("PRINTED", 7, 10).optional(4),
    column("WATCHERS", 8, 8).optional(3),
    column("INCIDENT", 8, 8).optional(2),
    column("ID", 8, 8).optional(8),
    column("REASON", 30, 80).optional(1),
];

/// Draws it.
pub(super) fn draw(state: &State, frame: &mut Frame, area: Rect) -> Option<Rows> {
    let list = &state.terminals;
    let title = format!("{} of {} open terminals", list.len(), list.total());
    let said = match freshness(&list.all, state) {
        // It is asked for at each change; only what is wrong is said.
        (_, Style::Faint) if list.all.value().is_some() => (String::new(), Style::Faint),
        said => said,
    };
    let listing = Listing {
        above: vec![heading(&title, &said, state)],
        none: match (list.all.value(), list.total()) {
            (None, _) => "",
            (_, 0) => {
                "No terminal is open. The key t on an endpoint (3, enter) or an incident opens\n\
                 one; here everybody sees it, watches it (enter) and ends it (x)."
            }
            _ => NONE_AS_ASKED,
        },
        table: rows_of(list, COLUMNS, state),
    };
    listing.draw(frame, area, |at| list.row(at).map(|one| cells(one, state)))
}

fn cells(terminal: &Terminal, state: &State) -> Vec<Cell> {
    let plain = |text: String| (text, Style::Plain);
    let is_mine =
        |server: &tocsin_proto::console::v1::GetServerResponse| server.analyst == terminal.analyst;
    let whose = match state.server.value().is_some_and(is_mine) {
        true => (format!("{} (you)", terminal.analyst), Style::Good),
        false => plain(terminal.analyst.clone()),
    };
    let style = match terminal.state() {
        TerminalState::Open => Style::Good,
        _ => Style::Medium,
    };
    let incident = match terminal.incident.as_str() {
        "" => ("-".to_owned(), Style::Faint),
        id => plain(short(id).to_owned()),
    };
    vec![
        plain(terminal.hostname.clone()),
        whose,
        plain(terminal.user.clone()),
        (word::<TerminalState>(terminal.state), style),
        plain(ago(terminal.open_time_ms, state)),
        plain(at(terminal.open_time_ms, state)),
        plain(bytes(terminal.input_bytes)),
        plain(bytes(terminal.output_bytes)),
        plain(terminal.watchers.to_string()),
        incident,
        (short(&terminal.id).to_owned(), Style::Faint),
        plain(terminal.reason.clone()),
    ]
}
