//! The time axis of an incident: its lanes, and all that happened as one list.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::widgets::Paragraph;
use tocsin_proto::console::v1::Incident;

use super::heading;
use crate::output::style::Style;
use crate::state::State;
use crate::state::incident::{AROUND_ROWS, Pane};
use crate::state::story::Lane as Kind;
use crate::widget::table::{self, Column, Rows, Table, column};
use crate::widget::timeline::{Lane, Mark};

/// From this height on all lanes are shown on every pane.
const ROWS_OF_ALL: u16 = 34;

const COLUMNS: &[Column] = &[
    column("TIME", 8, 19),
    column("LANE", 8, 8),
    column("", 1, 1),
    column("WHAT", 20, 400),
];

/// Rows that the lanes and the times below them take.
pub(super) fn rows(lanes: &[Lane]) -> u16 {
    u16::try_from(lanes.len() + 1).unwrap_or(u16::MAX)
}

/// The lanes for a screen of that height.
pub(super) fn lanes(state: &State, incident: &Incident, height: u16) -> Vec<Lane> {
    let page = &state.incident;
    let is_all = height >= ROWS_OF_ALL || page.pane() == Pane::Timeline;
    let kinds: &[Kind] = match is_all {
        true => &[
            Kind::Prompt,
            Kind::Answer,
            Kind::Stage,
            Kind::Session,
            Kind::Endpoint,
            Kind::Action,
        ],
        false => &[Kind::Prompt, Kind::Answer, Kind::Stage, Kind::Endpoint],
    };
    let mut lanes: Vec<_> = kinds
        .iter()
        .map(|kind| Lane {
            name: kind.name(),
            marks: page
                .story()
                .iter()
                .filter(|entry| entry.lane == *kind)
                .map(|entry| Mark {
                    time_ms: entry.time_ms,
                    sign: entry.sign,
                    weight: entry.weight,
                    style: entry.style,
                })
                .collect(),
            is_counted: *kind != Kind::Answer,
            otherwise: otherwise(*kind, state, incident),
        })
        .collect();
    let selected = page.selected_time_ms();
    lanes.push(Lane {
        name: "selected",
        marks: selected
            .map(|time_ms| Mark {
                time_ms,
                sign: '▲',
                weight: 1,
                style: Style::Heading,
            })
            .into_iter()
            .collect(),
        is_counted: false,
        otherwise: String::new(),
    });
    lanes
}

/// Why a lane is empty, where there is a reason.
fn otherwise(kind: Kind, state: &State, incident: &Incident) -> String {
    let is_empty = incident.endpoints.is_empty();
    let mut around = state.incident.around();
    let said = match kind {
        Kind::Endpoint | Kind::Session if is_empty => "no endpoint is linked to this person",
        Kind::Endpoint | Kind::Session if around.any(|(_, one)| one.is_loading()) => {
            return format!("{} asking the server", super::spinner(state));
        }
        Kind::Endpoint => match state.incident.around().find_map(|(_, one)| one.problem()) {
            Some(problem) => return problem.to_owned(),
            None => "no event of these endpoints is stored",
        },
        Kind::Session => "no login or session event of these endpoints is stored",
        Kind::Action => "nobody has done anything yet",
        Kind::Prompt | Kind::Answer | Kind::Stage => "",
    };
    said.to_owned()
}

/// Draws all that happened, one a row.
pub(super) fn draw_story(state: &State, frame: &mut Frame, area: Rect) -> Rows {
    let rows = [Constraint::Length(1), Constraint::Min(0)];
    let [top, body] = Layout::vertical(rows).areas(area);
    let page = &state.incident;
    let story = page.story();
    let cut = page.around().find_map(|(_, loaded)| {
        let rows = loaded.value()?;
        let last = rows.last()?;
        let is_cut = rows.len() as u64 >= AROUND_ROWS;
        is_cut.then(|| state.zone.second(last.event_time_ms))
    });
    let said = match cut {
        Some(time) => (
            format!("events of an endpoint only until {time}: f finds the others"),
            Style::Medium,
        ),
        None => (String::new(), Style::Plain),
    };
    let title = format!("All that happened ({})", story.len());
    frame.render_widget(Paragraph::new(heading(&title, &said, state)), top);
    let day = |time_ms| state.zone.second(time_ms).get(..10).map(str::to_owned);
    let ends = (story.first(), story.last());
    let is_one_day = match ends {
        (Some(first), Some(last)) => day(first.time_ms) == day(last.time_ms),
        _ => true,
    };
    let table = Table {
        columns: COLUMNS,
        rows: story.len(),
        selected: page.moment(),
        theme: state.theme,
    };
    table::draw(table, frame, body, |at| {
        let Some(entry) = story.get(at) else {
            return Vec::new();
        };
        let time = state.zone.second(entry.time_ms);
        let time = match is_one_day {
            true => time.get(11..).map_or(time.clone(), str::to_owned),
            false => time,
        };
        vec![
            (time, Style::Plain),
            (entry.lane.name().to_owned(), Style::Faint),
            (entry.sign.to_string(), entry.style),
            (entry.what.clone(), entry.style),
        ]
    })
}
