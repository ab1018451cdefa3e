//! The audit log, the newest first, and whether it is whole.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use tocsin_proto::console::v1::AuditRow;

use super::listing::{Listing, NONE_AS_ASKED, rows_of};
use super::{freshness, heading};
use crate::output::style::Style;
use crate::state::State;
use crate::widget::span;
use crate::widget::table::{Cell, Column, Rows, column};

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
    let list = &state.audit.rows;
    let title = format!(
        "{} of {} audit rows, the newest first",
        list.len(),
        list.total()
    );
    let said = freshness(&list.all, state);
    let listing = Listing {
        above: vec![heading(&title, &said, state), verified(state)],
        none: match list.total() {
            0 => "",
            _ => NONE_AS_ASKED,
        },
        table: rows_of(list, COLUMNS, state),
    };
    listing.draw(frame, area, |at| list.row(at).map(|one| cells(one, state)))
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
