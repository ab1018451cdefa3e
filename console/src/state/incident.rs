//! One incident: what the server says about it, which pane one looks at, and which stretch of time.

use tocsin_proto::console::v1::{Attempt, EventRow, Incident, SearchEventsRequest};

use super::cursor::Cursor;
use super::loaded::Loaded;
use super::story::{Entry, story};
use crate::action::Query;
use crate::keymap::Cmd;

/// Endpoints whose events are shown on the axis; an incident rarely has more.
pub(crate) const AROUND_ENDPOINTS_MAX: usize = 4;

/// Events of each of them.
pub(crate) const AROUND_ROWS: u64 = 5000;

/// How long before and after the incident they are looked at.
const AROUND_MS: i64 = 600_000;

/// The shortest stretch that the axis shows.
const SPAN_MS_MIN: i64 = 10_000;

/// Room on both ends of the axis, as a part of the whole.
const MARGIN_DIVISOR: i64 = 20;

/// A part of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Pane {
    /// The sign-in attempts.
    #[default]
    Attempts,
    /// All that happened, in one order.
    Timeline,
    /// What speaks for and against.
    Evidence,
    /// What is missing or late.
    Missing,
    /// What to do.
    Next,
    /// Accounts, endpoints, ids.
    Facts,
    /// Notes and what happened to it.
    History,
}

impl Pane {
    /// All, in order.
    pub(crate) const ALL: [Self; 7] = [
        Self::Attempts,
        Self::Timeline,
        Self::Evidence,
        Self::Missing,
        Self::Next,
        Self::Facts,
        Self::History,
    ];

    /// Its name.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Attempts => "Attempts",
            Self::Timeline => "Timeline",
            Self::Evidence => "Evidence",
            Self::Missing => "Missing",
            Self::Next => "To do",
            Self::Facts => "Facts",
            Self::History => "Notes",
        }
    }

    fn step(self, by: usize) -> Self {
        let at = Self::ALL.iter().position(|pane| *pane == self).unwrap_or(0);
        let at = (at + by) % Self::ALL.len();
        Self::ALL.get(at).copied().unwrap_or_default()
    }
}

/// The stretch of time that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Axis {
    /// From.
    pub(crate) from_ms: i64,
    /// Until.
    pub(crate) until_ms: i64,
    all: (i64, i64),
}

impl Axis {
    /// All that is between these, with some room at both ends, at least so much.
    fn whole(first_ms: i64, last_ms: i64, margin_min: i64) -> Self {
        let span = last_ms.saturating_sub(first_ms).max(SPAN_MS_MIN);
        let margin = (span / MARGIN_DIVISOR).max(margin_min);
        let from_ms = first_ms.saturating_sub(margin);
        let until_ms = first_ms.saturating_add(span).saturating_add(margin);
        Self {
            from_ms,
            until_ms,
            all: (from_ms, until_ms),
        }
    }

    /// Whether it shows less than all.
    pub(crate) fn is_zoomed(self) -> bool {
        (self.from_ms, self.until_ms) != self.all
    }

    fn span(self) -> i64 {
        self.until_ms.saturating_sub(self.from_ms)
    }

    /// Does what the command says around this time; whether it was one of the axis's.
    fn command(&mut self, cmd: Cmd, around_ms: Option<i64>) -> bool {
        let middle = self.from_ms.saturating_add(self.span() / 2);
        match cmd {
            Cmd::ZoomIn => self.set(around_ms.unwrap_or(middle), self.span() / 2),
            Cmd::ZoomOut => self.set(middle, self.span().saturating_mul(2)),
            Cmd::ZoomAll => (self.from_ms, self.until_ms) = self.all,
            Cmd::Earlier => self.set(middle.saturating_sub(self.span() / 4), self.span()),
            Cmd::Later => self.set(middle.saturating_add(self.span() / 4), self.span()),
            _ => return false,
        }
        true
    }

    /// So much around that time, within all.
    fn set(&mut self, middle_ms: i64, span: i64) {
        let all = self.all.1.saturating_sub(self.all.0);
        let span = span.max(SPAN_MS_MIN).min(all);
        let last = self.all.1.saturating_sub(span).max(self.all.0);
        self.from_ms = middle_ms.saturating_sub(span / 2).clamp(self.all.0, last);
        self.until_ms = self.from_ms.saturating_add(span);
    }
}

/// The page of one incident.
#[derive(Debug, Default)]
pub(crate) struct IncidentPage {
    /// As it was asked for.
    pub(crate) id: String,
    /// What the server says.
    pub(crate) incident: Loaded<Incident>,
    /// What happened on its endpoints, by their place in it, and since when until when that was asked.
    around: Vec<(SearchEventsRequest, Loaded<Vec<EventRow>>)>,
    story: Vec<Entry>,
    moment: Cursor,
    pane: Pane,
    attempt: Cursor,
    scroll: Cursor,
    axis: Axis,
}

impl IncidentPage {
    /// Of this incident.
    pub(crate) fn new(id: String) -> Self {
        Self {
            id,
            ..Self::default()
        }
    }

    /// What the server says now. The axis stays where one has zoomed.
    pub(crate) fn set(&mut self, answer: Result<Incident, String>, now_ms: i64) {
        self.incident.set(answer, now_ms);
        let Some(incident) = self.incident.value() else {
            return;
        };
        let (first, last) = stretch(incident);
        let margin = match incident.endpoints.is_empty() {
            true => 0,
            false => AROUND_MS,
        };
        let whole = Axis::whole(first, last, margin);
        self.axis = match self.axis.is_zoomed() {
            true => Axis {
                all: whole.all,
                ..self.axis
            },
            false => whole,
        };
        self.attempt.keep(incident.attempts.len());
        self.tell();
    }

    /// The questions for what happened on its endpoints that have not been asked yet.
    pub(crate) fn wanted_around(&mut self) -> Vec<Query> {
        let Some(incident) = self.incident.value() else {
            return Vec::new();
        };
        let wanted = around(incident);
        self.around.truncate(wanted.len());
        let mut queries = Vec::new();
        for (at, request) in wanted.into_iter().enumerate() {
            match self.around.get_mut(at) {
                Some((known, loaded)) if *known == request => {
                    let is_done = loaded.value().is_some() && loaded.problem().is_none();
                    if is_done || loaded.is_loading() {
                        continue;
                    }
                }
                Some((known, _)) if known.endpoint == request.endpoint => {
                    known.clone_from(&request);
                }
                Some(other) => *other = (request.clone(), Loaded::default()),
                None => self.around.push((request.clone(), Loaded::default())),
            }
            queries.push(Query::Around(at, request));
        }
        queries
    }

    /// What happened on the endpoint at that place was asked for.
    pub(crate) fn ask_around(&mut self, at: usize) {
        if let Some((_, loaded)) = self.around.get_mut(at) {
            loaded.ask();
        }
    }

    /// It is not awaited any more.
    pub(crate) fn give_up_around(&mut self) {
        for (_, loaded) in &mut self.around {
            loaded.give_up();
        }
    }

    /// What happened on this endpoint at that place.
    pub(crate) fn set_around(
        &mut self,
        (at, endpoint): (usize, &str),
        answer: Result<Vec<EventRow>, String>,
        now_ms: i64,
    ) {
        let place = self.around.get_mut(at);
        if let Some((_, loaded)) = place.filter(|(request, _)| request.endpoint == endpoint) {
            loaded.set(answer, now_ms);
            self.tell();
        }
    }

    /// Puts the story together. The selection stays on its moment.
    fn tell(&mut self) {
        let Some(incident) = self.incident.value() else {
            return;
        };
        let selected = self.story.get(self.moment.at()).cloned();
        let around = self.around.iter();
        let events = around.filter_map(|(_, loaded)| loaded.value()).flatten();
        self.story = story(incident, events);
        let at = selected.and_then(|selected| self.story.iter().position(|one| *one == selected));
        self.moment = at.map_or(self.moment, Cursor::new);
        self.moment.keep(self.story.len());
    }

    /// What happened, the first first.
    pub(crate) fn story(&self) -> &[Entry] {
        &self.story
    }

    /// What happened on the endpoints, as it was asked for and answered.
    pub(crate) fn around(
        &self,
    ) -> impl Iterator<Item = &(SearchEventsRequest, Loaded<Vec<EventRow>>)> {
        self.around.iter()
    }

    /// Which moment of the story is selected.
    pub(crate) fn moment(&self) -> usize {
        self.moment.at()
    }

    /// The time of what is selected.
    pub(crate) fn selected_time_ms(&self) -> Option<i64> {
        match self.pane {
            Pane::Timeline => self.story.get(self.moment.at()).map(|one| one.time_ms),
            _ => self.attempt().map(|attempt| attempt.time_ms),
        }
    }

    /// Does what the command says; whether it was one of the page's.
    pub(crate) fn command(&mut self, cmd: Cmd, page: usize) -> bool {
        if self.axis.command(cmd, self.selected_time_ms()) {
            return true;
        }
        match cmd {
            Cmd::NextPane => self.show(self.pane.step(1)),
            Cmd::PreviousPane => self.show(self.pane.step(Pane::ALL.len() - 1)),
            _ if self.pane == Pane::Attempts => {
                let incident = self.incident.value();
                let attempts = incident.map_or(0, |incident| incident.attempts.len());
                return self.attempt.go(cmd, attempts, page);
            }
            _ if self.pane == Pane::Timeline => {
                return self.moment.go(cmd, self.story.len(), page);
            }
            _ => return self.scroll.go(cmd, usize::MAX, page),
        }
        true
    }

    fn show(&mut self, pane: Pane) {
        self.pane = pane;
        self.scroll = Cursor::default();
    }

    /// The pane that has so many lines more than there is room cannot be scrolled further.
    pub(crate) fn keep_scroll(&mut self, max: usize) {
        self.scroll.keep(max.saturating_add(1));
    }

    /// The pane that one looks at.
    pub(crate) fn pane(&self) -> Pane {
        self.pane
    }

    /// First line of the pane that is shown.
    pub(crate) fn scroll(&self) -> usize {
        self.scroll.at()
    }

    /// Selects a row of the pane.
    pub(crate) fn select(&mut self, at: usize) {
        let attempts = self.incident.value().map_or(0, |one| one.attempts.len());
        match self.pane {
            Pane::Attempts => {
                self.attempt = Cursor::new(at);
                self.attempt.keep(attempts);
            }
            Pane::Timeline => {
                self.moment = Cursor::new(at);
                self.moment.keep(self.story.len());
            }
            _ => {}
        }
    }

    /// Which attempt is selected.
    pub(crate) fn at(&self) -> usize {
        self.attempt.at()
    }

    /// The attempt that is selected.
    pub(crate) fn attempt(&self) -> Option<&Attempt> {
        self.incident.value()?.attempts.get(self.attempt.at())
    }

    /// The stretch of time that is shown.
    pub(crate) fn axis(&self) -> Axis {
        self.axis
    }
}

/// The questions for what happened on an incident's endpoints in its time.
pub(crate) fn around(incident: &Incident) -> Vec<SearchEventsRequest> {
    let (first, last) = stretch(incident);
    let endpoints = incident.endpoints.iter().take(AROUND_ENDPOINTS_MAX);
    let requests = endpoints.map(|endpoint| SearchEventsRequest {
        endpoint: endpoint.id.clone(),
        since_time_ms: first.saturating_sub(AROUND_MS).max(1),
        until_time_ms: last.saturating_add(AROUND_MS).max(1),
        limit: AROUND_ROWS,
        ascending: true,
        ..SearchEventsRequest::default()
    });
    requests.collect()
}

/// From the first to the last thing that is known.
fn stretch(incident: &Incident) -> (i64, i64) {
    let attempts = incident.attempts.iter();
    let times = attempts.flat_map(|attempt| [attempt.time_ms, attempt.result_time_ms]);
    let stages = incident
        .stages
        .iter()
        .map(|stage| stage.first_event_time_ms);
    let ends = [incident.first_event_time_ms, incident.last_event_time_ms];
    let known = times.chain(stages).chain(ends).filter(|time| *time != 0);
    let (first, last) = known.fold((i64::MAX, i64::MIN), |(first, last), time| {
        (first.min(time), last.max(time))
    });
    if first > last { (0, 0) } else { (first, last) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn page() -> IncidentPage {
        let attempt = |n: i64| Attempt {
            time_ms: n * MINUTE,
            ..Attempt::default()
        };
        let mut page = IncidentPage::new("a".into());
        let incident = Incident {
            attempts: (100..=140).map(attempt).collect(),
            ..Incident::default()
        };
        page.set(Ok(incident), 1);
        page
    }

    #[test]
    fn the_axis_begins_with_all_and_stays_within_it() {
        let mut page = page();
        assert_eq!(page.axis().from_ms, 98 * MINUTE);
        assert_eq!(page.axis().until_ms, 142 * MINUTE);
        page.command(Cmd::Bottom, 1);
        page.command(Cmd::ZoomIn, 1);
        assert_eq!(page.axis().until_ms, 142 * MINUTE);
        assert_eq!(page.axis().span(), 22 * MINUTE);
        for _ in 0..50 {
            page.command(Cmd::ZoomIn, 1);
            page.command(Cmd::Earlier, 1);
        }
        assert_eq!(page.axis().span(), SPAN_MS_MIN);
        assert!(page.axis().from_ms >= 98 * MINUTE);
        for _ in 0..50 {
            page.command(Cmd::ZoomOut, 1);
        }
        assert!(!page.axis().is_zoomed());
    }

    #[test]
    fn zooming_stays_on_the_attempt_that_is_selected() {
        let mut page = page();
        page.command(Cmd::Down, 1);
        for _ in 0..4 {
            page.command(Cmd::ZoomIn, 1);
        }
        let axis = page.axis();
        assert!((axis.from_ms..=axis.until_ms).contains(&(101 * MINUTE)));
    }

    #[test]
    fn a_pane_is_scrolled_no_further_than_its_last_line() {
        let mut page = page();
        page.command(Cmd::NextPane, 1);
        assert_eq!(page.pane(), Pane::Timeline);
        page.command(Cmd::NextPane, 1);
        assert_eq!(page.pane(), Pane::Evidence);
        page.command(Cmd::Bottom, 1);
        page.keep_scroll(7);
        assert_eq!(page.scroll(), 7);
        page.command(Cmd::PreviousPane, 1);
        page.command(Cmd::PreviousPane, 1);
        assert_eq!((page.pane(), page.scroll()), (Pane::Attempts, 0));
        page.command(Cmd::PreviousPane, 1);
        assert_eq!(page.pane(), Pane::History);
    }

    #[test]
    fn what_happened_on_an_endpoint_is_asked_for_once_and_told_in_its_place() {
        let mut page = page();
        let mut incident = page.incident.value().unwrap().clone();
        incident.endpoints = (0..9)
            .map(|n| tocsin_proto::console::v1::EndpointRef {
                id: format!("e{n}"),
                ..Default::default()
            })
            .collect();
        page.set(Ok(incident.clone()), 1);
        assert_eq!(page.axis().from_ms, 90 * MINUTE, "and what was before it");
        let wanted = page.wanted_around();
        assert_eq!(wanted.len(), AROUND_ENDPOINTS_MAX);
        for at in 0..wanted.len() {
            page.ask_around(at);
        }
        assert_eq!(page.wanted_around(), []);
        let event = EventRow {
            event_time_ms: 99 * MINUTE,
            ..EventRow::default()
        };
        page.set_around((0, "other"), Ok(vec![event.clone()]), 2);
        assert_eq!(page.story().len(), 41, "an answer for another endpoint");
        page.set_around((0, "e0"), Ok(vec![event]), 2);
        assert_eq!(page.story()[0].time_ms, 99 * MINUTE);
        page.set_around((1, "e1"), Err("no answer".into()), 2);
        page.set(Ok(incident), 3);
        assert_eq!(page.wanted_around().len(), 1, "only what failed");
    }

    #[test]
    fn times_that_make_no_sense_do_no_harm() {
        let mut page = IncidentPage::new("a".into());
        let incident = Incident {
            first_event_time_ms: i64::MIN,
            last_event_time_ms: i64::MAX,
            ..Incident::default()
        };
        page.set(Ok(incident), 1);
        for cmd in [Cmd::ZoomIn, Cmd::Later, Cmd::ZoomOut, Cmd::Earlier] {
            assert!(page.command(cmd, 1));
        }
        page.set(Ok(Incident::default()), 1);
        assert!(page.axis().from_ms <= page.axis().until_ms);
    }
}
