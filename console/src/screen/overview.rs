//! What is open, which endpoints are there, how fresh the feeds are, and what to do next where there is
//! nothing yet.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use tocsin_proto::console::v1::{EndpointCounts, EndpointState, Severity};
use tocsin_proto::json::Word as _;

use super::incidents::{draw_rows, severity_word};
use super::{ago, as_of, freshness, heading, prompts};
use crate::command::count;
use crate::event::Link;
use crate::output::style::Style;
use crate::state::{State, WORST_MAX};
use crate::widget::table::Rows;
use crate::widget::{fit, span};

/// Feeds that are named.
const FEEDS_MAX: usize = 5;

/// Columns for the names of lines.
const NAME_COLUMNS: usize = 16;

/// Draws it.
pub(super) fn draw(state: &State, frame: &mut Frame, area: Rect) -> Option<Rows> {
    let mut lines = vec![severities(state), endpoints(state)];
    lines.extend(feeds(state));
    lines.push(Line::default());
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let rows = [Constraint::Length(height), Constraint::Min(0)];
    let [top, body] = Layout::vertical(rows).areas(area);
    frame.render_widget(Paragraph::new(lines), top);
    let worst: Vec<_> = state.incidents.worst().take(WORST_MAX).collect();
    if worst.is_empty() {
        frame.render_widget(Paragraph::new(next(state)), body);
        return None;
    }
    // The list keeps at least as many rows as the prompts take.
    let chart_rows = match body.height > 2 * prompts::ROWS {
        true => prompts::ROWS + 1,
        false => 0,
    };
    let rows = [
        Constraint::Length(chart_rows),
        Constraint::Length(1),
        Constraint::Min(0),
    ];
    let [chart, title, body] = Layout::vertical(rows).areas(body);
    if chart_rows > 0 {
        let chart = Rect {
            height: prompts::ROWS,
            ..chart
        };
        prompts::draw(state, frame, chart);
    }
    let said = match &state.link {
        Link::Up(_) => (String::new(), Style::Plain),
        _ => {
            let said = as_of(state.link_time_ms, state);
            (format!("STALE: {said}"), Style::High)
        }
    };
    let title_line = heading("Open incidents, the worst first", &said, state);
    frame.render_widget(Paragraph::new(title_line), title);
    let selected = (worst.len(), state.worst.at());
    let rows = draw_rows(state, selected, frame, body, |at| worst.get(at).copied());
    Some(rows)
}

fn name(name: &str, state: &State) -> Span<'static> {
    let name = format!("{name:<NAME_COLUMNS$}");
    span(&name, state.theme.look(Style::Heading))
}

fn severities(state: &State) -> Line<'static> {
    let mut spans = vec![name("Open incidents", state)];
    // No zero is claimed before anybody has counted.
    if state.incidents.total() == 0 && !matches!(state.link, Link::Up(_)) {
        spans.push(span("not known yet", state.theme.look(Style::Faint)));
        return Line::from(spans);
    }
    for severity in Severity::ALL.iter().rev() {
        let wire = i32::from(*severity);
        let worst = state.incidents.worst();
        let n = worst.filter(|incident| incident.severity == wire).count();
        let style = if n > 0 {
            (*severity).into()
        } else {
            Style::Faint
        };
        let word = match n {
            0 => severity.word(),
            _ => severity_word(wire),
        };
        spans.push(span(&format!("{n} {word}   "), state.theme.look(style)));
    }
    Line::from(spans)
}

fn endpoints(state: &State) -> Line<'static> {
    let list = &state.endpoints;
    let mut spans = vec![name("Endpoints", state)];
    // The server counts them whenever one changes; a large fleet is read more seldom.
    let told = state.changes.endpoint_counts;
    if list.all.value().is_some() || told.is_some() {
        for one in EndpointState::ALL {
            let n = told.map_or_else(|| list.count(*one) as u64, |told| told_of(told, *one));
            let style = if n > 0 { (*one).into() } else { Style::Faint };
            let word = one.word();
            spans.push(span(&format!("{n} {word}   "), state.theme.look(style)));
        }
    }
    let said = freshness(&list.all, state);
    spans.push(span(&said.0, state.theme.look(said.1)));
    Line::from(spans)
}

fn told_of(told: EndpointCounts, state: EndpointState) -> u64 {
    match state {
        EndpointState::Online => told.online,
        EndpointState::Offline | EndpointState::Unspecified => told.offline,
        EndpointState::Conflict => told.conflict,
        EndpointState::Revoked => told.revoked,
    }
}

fn feeds(state: &State) -> Vec<Line<'static>> {
    let said = freshness(&state.feeds.all, state);
    let feeds = state.feeds.all.value().map_or(&[][..], Vec::as_slice);
    let mut lines = Vec::new();
    for feed in feeds.iter().take(FEEDS_MAX) {
        let title = if lines.is_empty() { "Feeds" } else { "" };
        let newest = ago(feed.last_event_time_ms, state);
        let events = count(feed.mfa_events, "MFA event");
        let (kind, style) = super::feeds::kind(feed);
        let malformed = match feed.malformed {
            0 => String::new(),
            n => format!(", {n} malformed"),
        };
        let text = format!(
            "{} ({kind}): {events}{malformed}, newest {newest}, received {}",
            feed.provider,
            ago(feed.last_receive_time_ms, state)
        );
        let room = usize::from(state.size.0).saturating_sub(NAME_COLUMNS);
        let look = state.theme.look(style);
        lines.push(Line::from(vec![name(title, state), fit(&text, room, look)]));
    }
    if let Some(more) = feeds.len().checked_sub(FEEDS_MAX + 1) {
        let faint = state.theme.look(Style::Faint);
        let more = format!("and {} more", more + 1);
        lines.push(Line::from(vec![name("", state), span(&more, faint)]));
    }
    match lines.last_mut() {
        Some(line) => {
            line.push_span(span(&format!("  {}", said.0), state.theme.look(said.1)));
        }
        None => {
            let text = match (state.feeds.all.value(), said.0.as_str()) {
                (Some(_), "") => "none",
                (_, said) => said,
            };
            let look = state.theme.look(said.1);
            lines.push(Line::from(vec![name("Feeds", state), span(text, look)]));
        }
    }
    lines
}

/// What to do where nothing is open.
fn next(state: &State) -> Vec<Line<'static>> {
    let mut said = Vec::new();
    let is_known = matches!(state.link, Link::Up(_));
    if !is_known {
        return vec![Line::from(span(
            "Nothing is known yet; the bottom line says why there is no connection.",
            state.theme.look(Style::Faint),
        ))];
    }
    if state
        .endpoints
        .all
        .value()
        .is_some_and(|fleet| fleet.is_empty())
    {
        said.push("Enroll an endpoint. On the server, then on the machine:");
        said.push("    tocsin-server token create --data DIR");
        said.push("    tocsin-agent enroll --server HOST:PORT --token TOKEN");
    }
    if state.feeds.all.value().is_some_and(Vec::is_empty) {
        said.push("Import MFA events:");
        said.push("    tocsin feeds import FILE --provider okta|entra|duo");
    }
    said.push("An incident appears here by itself when it opens.");
    let heading = state.theme.look(Style::Heading);
    let plain = state.theme.look(Style::Plain);
    let mut lines = vec![Line::from(span(
        "Nothing is open. What to do next",
        heading,
    ))];
    lines.extend(
        said.into_iter()
            .map(|said| Line::from(span(&format!("  {said}"), plain))),
    );
    lines
}
