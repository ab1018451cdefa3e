//! The audit log, the newest first, and whether it is whole.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;
use tocsin_proto::console::v1::AuditRow;

use super::{freshness, heading};
use crate::output::style::Style;
use crate::state::State;
use crate::widget::span;
use crate::widget::table::{self, Cell, Column, Rows, Table, column};

const COLUMNS: &[Column] = &[
    column("NUMBER", 6, 10),
    column("TIME", 19, 19),
    column("ACTOR", 10, 30),
    column("ACTION", 12, 30),
    column("DECISION", 8, 8).optional(3),
    column("TARGET", 8, 40).optional(1),
    column("DETAIL", 10, 200).optional(2),
];

/// Draws it.
pub(super) fn draw(state: &State, frame: &mut Frame, area: Rect) -> Option<Rows> {
    let rows = [Constraint::Length(2), Constraint::Min(0)];
    let [top, body] = Layout::vertical(rows).areas(area);
    let list = &state.audit.rows;
    let title = format!(
        "{} of {} audit rows, the newest first",
        list.len(),
        list.total()
    );
    let said = freshness(&list.all, state);
    let lines = vec![heading(&title, &said, state), verified(state)];
    frame.render_widget(Paragraph::new(lines), top);
    if list.len() == 0 {
        let said = match list.total() {
            0 => "",
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

/// What checking the chain of hashes said.
fn verified(state: &State) -> Line<'static> {
    let loaded = &state.audit.verified;
    let (said, style) = match loaded.value() {
        _ if loaded.is_loading() || loaded.problem().is_some() => freshness(loaded, state),
        None => (
            "not checked: V follows the chain of hashes".to_owned(),
            Style::Faint,
        ),
        Some(one) if one.intact => (
            format!(
                "INTACT at {}: {} rows; keep the head hash elsewhere: {}",
                state.zone.second(loaded.time_ms()),
                one.rows,
                one.head_hash
            ),
            Style::Good,
        ),
        Some(one) => (
            format!(
                "NOT INTACT: row {} of {} does not follow from the one before. {}",
                one.first_bad_row, one.rows, one.detail
            ),
            Style::Critical,
        ),
    };
    Line::from(span(&said, state.theme.look(style)))
}

fn cells(row: &AuditRow, state: &State) -> Vec<Cell> {
    let plain = |text: String| (text, Style::Plain);
    let decision = match row.decision.as_str() {
        "allowed" => (row.decision.clone(), Style::Plain),
        other => (other.to_uppercase(), Style::Medium),
    };
    vec![
        plain(row.id.clone()),
        plain(state.zone.second(row.time_ms)),
        plain(format!("{} {}", row.actor_kind, row.actor)),
        plain(row.action.clone()),
        decision,
        plain(row.target.clone()),
        plain(row.detail.clone()),
    ]
}
