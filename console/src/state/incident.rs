//! One incident: what the server says about it, which pane one looks at, and which stretch of time.

use tocsin_proto::console::v1::{Attempt, Incident};

use super::cursor::Cursor;
use super::loaded::Loaded;
use crate::keymap::Cmd;

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
    pub(crate) const ALL: [Self; 6] = [
        Self::Attempts,
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
    /// All that is between these, with some room at both ends.
    fn whole(first_ms: i64, last_ms: i64) -> Self {
        let span = last_ms.saturating_sub(first_ms).max(SPAN_MS_MIN);
        let margin = span / MARGIN_DIVISOR;
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
        let whole = Axis::whole(first, last);
        self.axis = match self.axis.is_zoomed() {
            true => Axis {
                all: whole.all,
                ..self.axis
            },
            false => whole,
        };
        self.attempt.keep(incident.attempts.len());
    }

    /// Does what the command says; whether it was one of the page's.
    pub(crate) fn command(&mut self, cmd: Cmd, page: usize) -> bool {
        let around = self.attempt().map(|attempt| attempt.time_ms);
        if self.axis.command(cmd, around) {
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
        if self.pane == Pane::Attempts {
            self.attempt = Cursor::new(at);
            self.attempt.keep(attempts);
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
        assert_eq!(page.pane(), Pane::Evidence);
        page.command(Cmd::Bottom, 1);
        page.keep_scroll(7);
        assert_eq!(page.scroll(), 7);
        page.command(Cmd::PreviousPane, 1);
        assert_eq!((page.pane(), page.scroll()), (Pane::Attempts, 0));
        page.command(Cmd::PreviousPane, 1);
        assert_eq!(page.pane(), Pane::History);
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
