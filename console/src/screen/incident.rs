//! One incident: how bad and how sure, who and when; the time axis; a pane, and on wide screens what speaks
//! for and against and what to do beside it.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph};
use tocsin_proto::console::v1::{
    Attempt, AttemptResult, BeliefBand, Confidence, Incident, IncidentState, ProvenanceVerdict,
    Verdict,
};

use super::incident_axis;
use super::incident_lines;
use super::incidents::severity_word;
use super::{freshness, heading};
use crate::command::{count, short, value, word};
use crate::output::style::Style;
use crate::reading;
use crate::state::State;
use crate::state::incident::Pane;
use crate::state::incidents::who;
use crate::state::story::{answer_style, provenance, provenance_sign};
use crate::time::Length;
use crate::widget::table::{self, Cell, Column, Rows, Table, column};
use crate::widget::timeline;
use crate::widget::{fit, span, wrapped};

/// From this width on a second pane stands beside the first, and from this height on a third.
const COLUMNS_OF_TWO: u16 = 110;
const ROWS_OF_THREE: u16 = 36;

/// Rows of the head, the axis, and the names of panes.
const HEAD_ROWS: u16 = 5;
const REASON_ROWS: u16 = 4;

/// Before what is to be done first.
const DO_FIRST: &str = "Do first: ";

const COLUMNS: &[Column] = &[
    column("TIME", 10, 19),
    column("RESULT", 10, 14),
    column("AFTER", 5, 10).optional(4),
    column("FROM", 12, 40),
    column("APPLICATION", 11, 24).optional(5),
    column("FACTOR", 6, 12).optional(3),
    column("PROVIDER", 8, 12).optional(6),
    column("PROVENANCE", 19, 40),
];

/// Which of them names the application.
const APPLICATION_AT: usize = 4;

struct Areas {
    head: Rect,
    axis: Rect,
    names: Rect,
    pane: Rect,
    beside: Option<Rect>,
    below: Option<Rect>,
}

fn areas(area: Rect, axis_rows: u16) -> Areas {
    let rows = [
        Constraint::Length(HEAD_ROWS),
        Constraint::Length(axis_rows),
        Constraint::Length(1),
        Constraint::Min(0),
    ];
    let [head, axis, names, body] = Layout::vertical(rows).areas(area);
    let mut all = Areas {
        head,
        axis,
        names,
        pane: body,
        beside: None,
        below: None,
    };
    if area.width >= COLUMNS_OF_TWO {
        let columns = [Constraint::Percentage(58), Constraint::Percentage(42)];
        let [left, right] = Layout::horizontal(columns).areas(body);
        all.pane = left;
        all.beside = Some(right);
        if area.height >= ROWS_OF_THREE {
            let rows = [Constraint::Percentage(65), Constraint::Percentage(35)];
            let [upper, lower] = Layout::vertical(rows).areas(right);
            all.beside = Some(upper);
            all.below = Some(lower);
        }
    }
    all
}

/// Draws it.
pub(super) fn draw(state: &State, frame: &mut Frame, area: Rect) -> Option<Rows> {
    let page = &state.incident;
    let Some(incident) = page.incident.value() else {
        let title = format!("Incident {}", short(&page.id));
        let said = freshness(&page.incident, state);
        frame.render_widget(Paragraph::new(heading(&title, &said, state)), area);
        return None;
    };
    let lanes = incident_axis::lanes(state, incident, area.height);
    let areas = areas(area, incident_axis::rows(&lanes));
    let columns = usize::from(areas.head.width);
    frame.render_widget(Paragraph::new(head(incident, state, columns)), areas.head);
    let axis = page.axis();
    let stretch = (axis.from_ms, axis.until_ms);
    timeline::draw(
        &lanes,
        (stretch, &state.zone),
        state.theme,
        frame,
        areas.axis,
    );
    let mut seen = String::new();
    let rows = match page.pane() {
        Pane::Attempts => Some(attempts(incident, state, frame, areas.pane)),
        Pane::Timeline => Some(incident_axis::draw_story(state, frame, areas.pane)),
        pane => {
            let lines = incident_lines::of(pane, incident, state, areas.pane.width.into());
            let scroll = u16::try_from(page.scroll()).unwrap_or(u16::MAX);
            seen = part(lines.len(), page.scroll(), areas.pane.height.into());
            frame.render_widget(Paragraph::new(lines).scroll((scroll, 0)), areas.pane);
            None
        }
    };
    let names = names(state, &seen, areas.names.width);
    frame.render_widget(Paragraph::new(names), areas.names);
    let (second, third) = match page.pane() {
        Pane::Evidence => (Pane::Missing, Pane::Next),
        Pane::Next => (Pane::Evidence, Pane::Missing),
        _ => (Pane::Evidence, Pane::Next),
    };
    for (place, pane) in [(areas.beside, second), (areas.below, third)] {
        if let Some(place) = place {
            beside(pane, incident, state, frame, place);
        }
    }
    rows
}

/// How many lines the pane can be scrolled.
pub(super) fn scroll_max(state: &State, area: Rect) -> usize {
    let page = &state.incident;
    let (Some(incident), pane) = (page.incident.value(), page.pane()) else {
        return 0;
    };
    if matches!(pane, Pane::Attempts | Pane::Timeline) {
        return 0;
    }
    let lanes = incident_axis::lanes(state, incident, area.height);
    let place = areas(area, incident_axis::rows(&lanes)).pane;
    let lines = incident_lines::of(pane, incident, state, place.width.into());
    lines.len().saturating_sub(usize::from(place.height))
}

fn beside(pane: Pane, incident: &Incident, state: &State, frame: &mut Frame, area: Rect) {
    let faint = state.theme.look(Style::Faint);
    let block = Block::new()
        .borders(Borders::LEFT | Borders::TOP)
        .border_style(faint)
        .title(span(pane.title(), state.theme.look(Style::Heading)));
    let inside = block.inner(area);
    let lines = incident_lines::of(pane, incident, state, inside.width.into());
    frame.render_widget(block, area);
    frame.render_widget(Paragraph::new(lines), inside);
}

/// Which lines of a pane are seen, where not all are: `1-9 of 57`.
fn part(lines: usize, scroll: usize, height: usize) -> String {
    let last = lines.min(scroll.saturating_add(height));
    match lines > height {
        true => format!("{}-{last} of {lines}", scroll.saturating_add(1)),
        false => String::new(),
    }
}

fn names(state: &State, seen: &str, width: u16) -> Line<'static> {
    let mut spans = Vec::new();
    for pane in Pane::ALL {
        let (name, look) = match pane == state.incident.pane() {
            true => (
                format!("[{}]", pane.title()),
                state.theme.look(Style::Heading),
            ),
            false => (
                format!(" {} ", pane.title()),
                state.theme.look(Style::Faint),
            ),
        };
        spans.push(span(&name, look));
        spans.push(Span::raw(" "));
    }
    if !seen.is_empty() {
        spans.push(span(seen, state.theme.look(Style::Medium)));
        spans.push(Span::raw("  "));
    }
    if state.incident.axis().is_zoomed() {
        spans.push(span("zoomed: 0 shows all", state.theme.look(Style::Medium)));
    }
    let used: usize = spans.iter().map(Span::width).sum();
    let legend = "  h here  e elsewhere  ? unknown  A approved  d denied  u unanswered";
    if used + legend.len() <= usize::from(width) {
        spans.push(span(legend, state.theme.look(Style::Faint)));
    }
    Line::from(spans)
}

fn head(incident: &Incident, state: &State, columns: usize) -> Vec<Line<'static>> {
    let plain = state.theme.look(Style::Plain);
    let (said, style) = freshness(&state.incident.incident, state);
    let room = columns.saturating_sub(crate::text::width(&said) + 2);
    let title = Line::from(vec![
        fit(&incident.title, room, state.theme.look(Style::Heading)),
        Span::raw("  "),
        span(&said, state.theme.look(style)),
    ]);
    let band = word::<BeliefBand>(incident.belief);
    let band = match band.as_str() {
        "" => "not known how likely an attack".to_owned(),
        band => format!("an attack is {band}"),
    };
    let verdict = word::<Verdict>(incident.verdict);
    let verdict = if verdict.is_empty() {
        "no verdict"
    } else {
        &verdict
    };
    let assignee = match incident.assignee.as_str() {
        "" => "unassigned".to_owned(),
        name => format!("with {name}"),
    };
    let severity = severity_word(incident.severity);
    let how = Line::from(vec![
        span(&severity, state.theme.look(incident.severity().into())),
        span(&format!(" {}  {band}  ", incident.score), plain),
        span(
            &format!(
                "{}, {verdict}, {assignee}",
                word::<IncidentState>(incident.state)
            ),
            plain,
        ),
    ]);
    let (first, last) = (incident.first_event_time_ms, incident.last_event_time_ms);
    let when = format!(
        "{} for {}: {}: {}",
        state.zone.minute(first),
        Length::between(first, last),
        count(incident.attempts.len() as u64, "attempt"),
        made(incident)
    );
    let first = match reading::first(incident).as_str() {
        "" => "nothing is recommended".to_owned(),
        first => first.to_owned(),
    };
    let heading = state.theme.look(Style::Heading);
    let room = columns.saturating_sub(DO_FIRST.len());
    let first = Line::from(vec![span(DO_FIRST, plain), fit(&first, room, heading)]);
    vec![
        title,
        how,
        first,
        Line::from(fit(&who(incident), columns, plain)),
        Line::from(fit(&when, columns, plain)),
    ]
}

/// Where the attempts were made, counted.
fn made(incident: &Incident) -> String {
    let n = |verdict| {
        let attempts = incident.attempts.iter();
        attempts
            .filter(|attempt| provenance(attempt) == verdict)
            .count()
    };
    format!(
        "{} made here, {} elsewhere, {} unknown",
        n(ProvenanceVerdict::Here),
        n(ProvenanceVerdict::Elsewhere),
        n(ProvenanceVerdict::Unknown)
    )
}

fn attempts(incident: &Incident, state: &State, frame: &mut Frame, area: Rect) -> Rows {
    let rows = [Constraint::Min(3), Constraint::Length(REASON_ROWS)];
    let [list, reasons] = Layout::vertical(rows).areas(area);
    // A column in which nothing stands leaves its room to the others.
    let names_application = incident
        .attempts
        .iter()
        .any(|one| !one.application.is_empty());
    let is_kept = |at: usize| names_application || at != APPLICATION_AT;
    let kept = COLUMNS.iter().enumerate().filter(|(at, _)| is_kept(*at));
    let columns: Vec<Column> = kept.map(|(_, column)| *column).collect();
    let table = Table {
        columns: &columns,
        rows: incident.attempts.len(),
        selected: state.incident.at(),
        theme: state.theme,
    };
    let day = |time_ms| state.zone.second(time_ms).get(..10).map(str::to_owned);
    let is_one_day = day(incident.first_event_time_ms) == day(incident.last_event_time_ms);
    let rows = table::draw(table, frame, list, |at| {
        let attempt = incident.attempts.get(at);
        let all = attempt.map(|one| cells(one, incident, (state, is_one_day)));
        let all = all.unwrap_or_default().into_iter().enumerate();
        all.filter(|(at, _)| is_kept(*at))
            .map(|(_, cell)| cell)
            .collect()
    });
    let Some(attempt) = state.incident.attempt() else {
        return rows;
    };
    let columns = usize::from(reasons.width);
    let plain = state.theme.look(Style::Plain);
    let provenance = attempt.provenance.iter().flat_map(|one| &one.reasons);
    let mut why: Vec<_> = provenance.cloned().collect();
    if !attempt.user_agent.is_empty() {
        why.push(format!("user agent {}", attempt.user_agent));
    }
    let title = span("Why ", state.theme.look(Style::Heading));
    let lines = wrapped(title, &why.join("; "), columns, plain);
    frame.render_widget(Paragraph::new(lines), reasons);
    rows
}

fn cells(attempt: &Attempt, incident: &Incident, (state, is_one_day): (&State, bool)) -> Vec<Cell> {
    let plain = |text: String| (text, Style::Plain);
    let when = state.zone.second(attempt.time_ms);
    let when = match is_one_day {
        true => when.get(11..).map_or(when.clone(), str::to_owned),
        false => when,
    };
    let after = reading::after(attempt);
    let from = format!("{} {}", attempt.source_ip, attempt.source_place);
    let result = attempt.result();
    let said = match result {
        AttemptResult::Approved => "APPROVED".to_owned(),
        _ => word::<AttemptResult>(attempt.result),
    };
    vec![
        plain(when),
        (said, answer_style(result)),
        plain(after),
        plain(from),
        plain(attempt.application.clone()),
        plain(attempt.factor.clone()),
        plain(attempt.provider.clone()),
        (
            provenance_text(attempt, incident),
            provenance_sign(provenance(attempt)).1,
        ),
    ]
}

/// Where it was made, how sure that is, and on which endpoint.
fn provenance_text(attempt: &Attempt, incident: &Incident) -> String {
    let verdict = provenance(attempt);
    let (sign, _) = provenance_sign(verdict);
    let said = format!("{sign} {}", word::<ProvenanceVerdict>(verdict.into()));
    let Some(provenance) = &attempt.provenance else {
        return said;
    };
    let endpoint = incident
        .endpoints
        .iter()
        .find(|one| one.id == provenance.endpoint);
    let on = match (endpoint, provenance.endpoint.as_str()) {
        (Some(endpoint), _) => format!(" on {}", endpoint.hostname),
        (None, "") => String::new(),
        (None, id) => format!(" on {}", short(id)),
    };
    match value::<Confidence>(provenance.confidence) {
        Confidence::None | Confidence::Unspecified => format!("{said}{on}"),
        _ => format!("{said}, {}{on}", word::<Confidence>(provenance.confidence)),
    }
}
