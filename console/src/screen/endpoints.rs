//! The list of endpoints.

use ratatui::Frame;
use ratatui::layout::Rect;
use tocsin_proto::console::v1::{ClockSkew, EndpointState};
use tocsin_proto::json::Word as _;

use super::listing::{Listing, NONE_AS_ASKED};
use super::{ago, fleet_freshness, heading};
use crate::command::endpoints::system;
use crate::command::short;
use crate::output::style::Style;
use crate::state::State;
use crate::state::fleet::EndpointLine;
use crate::widget::table::{Cell, Column, Rows, Table, column};

const COLUMNS: &[Column] = &[
    column("STATE", 8, 8),
    column("HOST", 14, 40),
    column("SYSTEM", 8, 30).optional(2),
    column("AGENT", 6, 12).optional(4),
    column("SEEN", 8, 16),
    column("CLOCK", 12, 18).optional(3),
    column("LOST", 4, 10).optional(5),
    column("ADDRESS", 9, 40).optional(6),
    column("TAGS", 4, 30).optional(7),
    column("ID", 8, 8).optional(1),
];

/// Draws it.
pub(super) fn draw(state: &State, frame: &mut Frame, area: Rect) -> Option<Rows> {
    let list = &state.endpoints;
    let total = list.all.value().map_or(0, |fleet| fleet.len());
    let title = format!("{} of {total} endpoints", list.len());
    let listing = Listing {
        above: vec![heading(&title, &fleet_freshness(state), state)],
        none: match total {
            0 => {
                "No endpoints. On the server: tocsin-server token create --data DIR\n\
                  On the machine: tocsin-agent enroll --server HOST:PORT --token TOKEN"
            }
            _ => NONE_AS_ASKED,
        },
        table: Table {
            columns: COLUMNS,
            rows: list.len(),
            selected: list.at(),
            theme: state.theme,
        },
    };
    listing.draw(frame, area, |at| list.row(at).map(|one| cells(&one, state)))
}

fn cells(endpoint: &EndpointLine<'_>, state: &State) -> Vec<Cell> {
    let plain = |text: String| (text, Style::Plain);
    let said = endpoint.state.word();
    let said = match endpoint.state {
        EndpointState::Conflict => said.to_uppercase(),
        _ => said.to_owned(),
    };
    let lost = endpoint.lost;
    vec![
        (said, endpoint.state.into()),
        plain(endpoint.hostname.to_owned()),
        plain(system(endpoint.os, endpoint.os_version)),
        plain(endpoint.agent_version.to_owned()),
        plain(match endpoint.state {
            EndpointState::Online => "now".to_owned(),
            _ => ago(endpoint.last_seen_time_ms, state),
        }),
        plain(skew(endpoint.clock_skew.as_ref())),
        (
            lost.to_string(),
            if lost > 0 {
                Style::Medium
            } else {
                Style::Faint
            },
        ),
        plain(endpoint.address.to_owned()),
        plain(endpoint.tags.to_owned()),
        (short(endpoint.id).to_owned(), Style::Faint),
    ]
}

/// How far its clock is off.
pub(super) fn skew(skew: Option<&ClockSkew>) -> String {
    match skew {
        None => "not measured".to_owned(),
        Some(skew) => format!("{:+} to {:+} ms", skew.min_ms, skew.max_ms),
    }
}
