//! One endpoint: facts, health, gaps, files that matter, and its processes as a tree.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use tocsin_proto::console::v1::{AgentHealth, Endpoint, EndpointState, EventRow, ProcessRow};

use super::endpoints::skew;
use super::{ago, at, clock, freshness, heading};
use crate::command::endpoints::system;
use crate::command::events::describe;
use crate::command::{bytes, count, short, word};
use crate::output::style::Style;
use crate::state::State;
use crate::state::endpoint::{Branch, command_line};
use crate::widget::table::{self, Cell, Column, Rows, Table, column};
use crate::widget::{fit, span};

/// Gaps, conflicts and files that are named where there is little room, and where there is much.
const FEW: usize = 1;
const MANY: usize = 6;

/// From this height on there is much room.
const ROWS_OF_MANY: u16 = 36;

/// Columns for the names of facts.
const NAME_COLUMNS: usize = 9;

const COLUMNS: &[Column] = &[
    column("PID", 5, 8),
    column("USER", 6, 16),
    column("STARTED", 19, 19).optional(2),
    column("PROCESS", 30, 400),
];

/// Draws it.
pub(super) fn draw(state: &State, frame: &mut Frame, area: Rect) -> Option<Rows> {
    let page = &state.endpoint;
    let lines = match page.endpoint.value() {
        Some(endpoint) => facts(endpoint, state, area),
        None => {
            let said = freshness(&page.endpoint, state);
            let title = format!("Endpoint {}", short(&page.id));
            vec![heading(&title, &said, state)]
        }
    };
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let rows = [
        Constraint::Length(height.min(area.height / 2)),
        Constraint::Length(1),
        Constraint::Min(0),
    ];
    let [top, title, body] = Layout::vertical(rows).areas(area);
    frame.render_widget(Paragraph::new(lines), top);
    let said = freshness(&page.processes, state);
    let total = page.processes.value().map_or(0, Vec::len);
    let name = match page.filter() {
        "" => format!("Processes ({total})"),
        _ => format!("{} of {total} processes, with the way to them", page.len()),
    };
    frame.render_widget(Paragraph::new(heading(&name, &said, state)), title);
    let table = Table {
        columns: COLUMNS,
        rows: page.len(),
        selected: page.at(),
        theme: state.theme,
    };
    let rows = table::draw(table, frame, body, |at| {
        let row = page.row(at);
        row.map(|(branch, process)| cells(branch, process, state))
            .unwrap_or_default()
    });
    Some(rows)
}

fn cells(branch: Branch, process: &ProcessRow, state: &State) -> Vec<Cell> {
    let style = if branch.is_way {
        Style::Faint
    } else {
        Style::Plain
    };
    let text = format!("{}{}", "  ".repeat(branch.depth), command_line(process));
    let user = match process.user.as_str() {
        "" => &process.uid,
        user => user,
    };
    vec![
        (process.pid.to_string(), style),
        (user.to_owned(), style),
        (state.zone.second(process.start_time_ms), Style::Faint),
        (text, style),
    ]
}

/// All that stands above the processes: what it is, how it is, what went wrong on it.
fn facts(endpoint: &Endpoint, state: &State, area: Rect) -> Vec<Line<'static>> {
    let many = match area.height {
        ROWS_OF_MANY.. => MANY,
        _ => FEW,
    };
    let mut rows = machine(endpoint, state);
    rows.extend(losses(endpoint, state, many));
    rows.extend(files(state, many));
    let room = usize::from(area.width).saturating_sub(NAME_COLUMNS + 1);
    let mut title = heading(
        &endpoint.hostname,
        &freshness(&state.endpoint.endpoint, state),
        state,
    );
    title.push_span(Span::raw(" "));
    title.push_span(span(
        &word::<EndpointState>(endpoint.state),
        state.theme.look(endpoint.state().into()),
    ));
    let mut lines = vec![title];
    lines.extend(rows.into_iter().map(|(name, text, style)| {
        Line::from(vec![
            span(
                &format!("{name:<NAME_COLUMNS$} "),
                state.theme.look(Style::Faint),
            ),
            fit(&text, room, state.theme.look(style)),
        ])
    }));
    lines
}

/// A fact: its name, what it says, what that means.
type Fact = (&'static str, String, Style);

fn machine(endpoint: &Endpoint, state: &State) -> Vec<Fact> {
    let machine = format!(
        "{}, kernel {}, {}, up since {}, zone {}",
        system(&endpoint.os, &endpoint.os_version),
        endpoint.kernel_version,
        endpoint.architecture,
        at(endpoint.boot_time_ms, state),
        endpoint.time_zone
    );
    let agent = format!(
        "{}, run {}, {} stored, certificate until {}",
        endpoint.agent_version,
        short(&endpoint.run),
        count(endpoint.events, "event"),
        at(endpoint.certificate_expiry_time_ms, state),
    );
    let seen = format!(
        "{} from {}, enrolled {}",
        match endpoint.connected {
            true => "now".to_owned(),
            false => ago(endpoint.last_seen_time_ms, state),
        },
        endpoint.address,
        at(endpoint.enrolled_time_ms, state)
    );
    let clock = format!(
        "{} against the server's",
        skew(endpoint.clock_skew.as_ref())
    );
    let mut facts = vec![
        ("Machine", machine, Style::Plain),
        ("Agent", agent, Style::Plain),
        ("Seen", seen, Style::Plain),
        ("Clock", clock, Style::Plain),
    ];
    if let Some(health) = &endpoint.health {
        let (sensors, style) = sensors(health);
        facts.push(("Sensors", sensors, style));
        facts.push(("Health", health_text(health, state), Style::Plain));
    }
    facts
}

/// Refused runs and gaps, the newest first, so many of each.
fn losses(endpoint: &Endpoint, state: &State, many: usize) -> Vec<Fact> {
    let conflicts = endpoint.conflicts.iter().rev().take(many);
    let conflicts = conflicts.map(|conflict| {
        let said = format!(
            "{}: run {} as {} from {} was refused",
            at(conflict.time_ms, state),
            short(&conflict.run),
            conflict.hostname,
            conflict.address
        );
        ("Conflict", said, Style::Critical)
    });
    let mut facts: Vec<_> = conflicts.collect();
    let loaded = &state.endpoint.gaps;
    let gaps = loaded.value().map_or(&[][..], Vec::as_slice);
    let shown = gaps.iter().take(many);
    facts.extend(shown.map(|gap| ("Gap", gap_text(gap, state), Style::Medium)));
    if gaps.is_empty() {
        let (said, style) = freshness(loaded, state);
        let said = match said.as_str() {
            "" => "no loss of events is known".to_owned(),
            _ => said,
        };
        facts.push(("Gaps", said, style));
    }
    facts
}

/// The latest that happened to files that matter; nothing where that is nothing.
fn files(state: &State, many: usize) -> Vec<Fact> {
    let files = state.endpoint.files.value().map_or(&[][..], Vec::as_slice);
    let shown = files.iter().take(many);
    let facts = shown.map(|row| {
        let (what, style) = describe(row);
        let said = format!("{}: {} {what}", at(row.event_time_ms, state), row.activity);
        ("File", said, style)
    });
    facts.collect()
}

fn sensors(health: &AgentHealth) -> (String, Style) {
    let sensors = health.sensors.iter();
    let texts: Vec<_> = sensors
        .map(|sensor| {
            let lost = match sensor.lost {
                0 => String::new(),
                lost => format!(", {lost} lost"),
            };
            let detail = match (sensor.state.as_str(), sensor.detail.as_str()) {
                ("running", _) | (_, "") => String::new(),
                (_, detail) => format!(" ({detail})"),
            };
            format!("{} {}{detail}{lost}", sensor.name, sensor.state)
        })
        .collect();
    let is_well = health
        .sensors
        .iter()
        .all(|sensor| sensor.state == "running");
    let style = if is_well { Style::Good } else { Style::Medium };
    (texts.join("; "), style)
}

fn health_text(health: &AgentHealth, state: &State) -> String {
    format!(
        "at {}: spool {} of {}, {} waiting, {} dropped, {} in memory",
        clock(health.reported_time_ms, state),
        bytes(health.spool_bytes),
        bytes(health.spool_bytes_max),
        health.spool_events,
        health.dropped_events,
        bytes(health.resident_bytes)
    )
}

fn gap_text(row: &EventRow, state: &State) -> String {
    let Some(gap) = &row.gap else {
        return String::new();
    };
    let lost = gap
        .lost
        .map_or("unknown how many".to_owned(), |n| n.to_string());
    format!(
        "{} to {}: {lost} events lost at {} ({}) {}",
        at(gap.from_time_ms, state),
        at(gap.until_time_ms, state),
        gap.place,
        gap.reason,
        gap.component
    )
}
