//! The list of incidents.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::widgets::Paragraph;
use tocsin_proto::console::v1::{IncidentState, IncidentSummary, Severity, Verdict};
use tocsin_proto::json::Word as _;

use super::{as_of, heading};
use crate::command::{short, word};
use crate::event::Link;
use crate::output::style::Style;
use crate::state::State;
use crate::state::incidents::subject;
use crate::widget::table::{self, Cell, Column, Rows, Table, column};

const COLUMNS: &[Column] = &[
    column("SEVERITY", 8, 8),
    column("SCORE", 5, 5).optional(3),
    column("STATE", 11, 11),
    column("PERSON", 14, 32),
    column("LAST EVENT", 16, 16).optional(2),
    column("ASSIGNEE", 8, 16).optional(5),
    column("VERDICT", 8, 17).optional(6),
    column("ID", 8, 8).optional(4),
    column("TITLE", 20, 120),
];

/// Draws it.
pub(super) fn draw(state: &State, frame: &mut Frame, area: Rect) -> Option<Rows> {
    let rows = [Constraint::Length(1), Constraint::Min(0)];
    let [top, body] = Layout::vertical(rows).areas(area);
    let list = &state.incidents;
    let kind = if list.with_closed() { "" } else { "open, " };
    let severity = list.severity_min().word();
    let severity = match severity.as_str() {
        "" => "any severity".to_owned(),
        word => format!("{word} and worse"),
    };
    let title = format!("{} of {} incidents", list.len(), list.total());
    let mut said = (
        format!("{kind}{severity}, {}", list.sort().word()),
        Style::Faint,
    );
    if list.left_out() > 0 {
        said.0 += &format!("; {} more were left out", list.left_out());
    }
    if !matches!(state.link, Link::Up(_)) {
        let time_ms = list.time_ms().max(state.link_time_ms);
        said = (format!("STALE: {}", as_of(time_ms, state)), Style::High);
    }
    frame.render_widget(Paragraph::new(heading(&title, &said, state)), top);
    if list.len() == 0 {
        let said = match (list.total(), &state.link) {
            (0, Link::Up(_)) => "No incidents. The overview (1) says what to do next.",
            (0, _) => "Nothing is known yet.",
            _ => {
                "None is as asked: c shows also those that are closed, v any severity, / other words."
            }
        };
        frame.render_widget(Paragraph::new(said), body);
        return None;
    }
    let rows = draw_rows(state, (list.len(), list.at()), frame, body, |at| {
        list.row(at)
    });
    Some(rows)
}

/// Draws so many rows, of which one is selected.
pub(super) fn draw_rows<'a>(
    state: &State,
    (rows, selected): (usize, usize),
    frame: &mut Frame,
    area: Rect,
    row: impl Fn(usize) -> Option<&'a IncidentSummary>,
) -> Rows {
    let table = Table {
        columns: COLUMNS,
        rows,
        selected,
        theme: state.theme,
    };
    table::draw(table, frame, area, |at| {
        let incident = row(at);
        incident.map(|one| cells(one, state)).unwrap_or_default()
    })
}

fn cells(incident: &IncidentSummary, state: &State) -> Vec<Cell> {
    let plain = |text: String| (text, Style::Plain);
    vec![
        (severity_word(incident.severity), incident.severity().into()),
        plain(incident.score.to_string()),
        plain(word::<IncidentState>(incident.state)),
        plain(subject(incident).to_owned()),
        plain(state.zone.minute(incident.last_event_time_ms)),
        plain(incident.assignee.clone()),
        plain(word::<Verdict>(incident.verdict)),
        (short(&incident.id).to_owned(), Style::Faint),
        match state.incidents.is_marked(&incident.id) {
            true => (format!("[marked] {}", incident.title), Style::Heading),
            false => plain(incident.title.clone()),
        },
    ]
}

/// The word of a severity; the worst in capitals, so that they stand out without colour.
pub(super) fn severity_word(severity: i32) -> String {
    let said = word::<Severity>(severity);
    match severity >= i32::from(Severity::High) {
        true => said.to_uppercase(),
        false => said,
    }
}
