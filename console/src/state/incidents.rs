//! The list of incidents: all that the server has told of, narrowed and ordered.
//!
//! The selection stays on its incident while others come and go around it. The list is put in order once
//! for any number of news, in [`Incidents::settle`].

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use tocsin_proto::console::v1::{Incident, IncidentState, IncidentSummary, Severity, SubjectKind};
use tocsin_proto::json::Word as _;

use super::cursor::Cursor;
use crate::command::value;
use crate::keymap::Cmd;

/// Incidents that are kept; what comes beyond is counted. A server keeps far fewer open.
pub(crate) const INCIDENTS_MAX: usize = 100_000;

/// Incidents that are marked at once: as many changes as may be under way.
const MARKED_MAX: usize = 16;

/// How the list is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Sort {
    /// The worst first.
    #[default]
    Worst,
    /// The one that something happened to last first.
    Newest,
    /// By person.
    Person,
}

impl Sort {
    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Worst => "worst first",
            Self::Newest => "newest first",
            Self::Person => "by person",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Worst => Self::Newest,
            Self::Newest => Self::Person,
            Self::Person => Self::Worst,
        }
    }
}

/// How the list is narrowed and ordered, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct View {
    filter: String,
    sort: String,
    severity_min: String,
    with_closed: bool,
}

impl std::fmt::Display for View {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.filter.is_empty() {
            write!(out, "{}, ", self.filter)?;
        }
        if !self.severity_min.is_empty() {
            write!(out, "{} and worse, ", self.severity_min)?;
        }
        if self.with_closed {
            write!(out, "closed too, ")?;
        }
        write!(out, "{}", self.sort)
    }
}

/// The list.
#[derive(Debug, Default)]
pub(crate) struct Incidents {
    all: HashMap<String, IncidentSummary>,
    /// Ids of those that are shown, in order.
    shown: Vec<String>,
    /// Ids of those that are open, the worst first.
    worst: Vec<String>,
    filter: String,
    sort: Sort,
    severity_min: Severity,
    with_closed: bool,
    cursor: Cursor,
    selected: Option<String>,
    marked: BTreeSet<String>,
    is_stirred: bool,
    left_out: u64,
    /// When something came last.
    time_ms: i64,
}

/// Whether an incident still needs somebody.
pub(crate) fn is_open(incident: &IncidentSummary) -> bool {
    !matches!(
        incident.state(),
        IncidentState::Resolved | IncidentState::Closed
    )
}

/// The person or campaign as people call it, unclean.
pub(crate) fn subject(incident: &IncidentSummary) -> &str {
    let Some(subject) = &incident.subject else {
        return "";
    };
    match subject.display_name.as_str() {
        "" => subject
            .accounts
            .first()
            .map_or("", |account| account.login.as_str()),
        name => name,
    }
}

/// The person and the accounts, unclean.
pub(crate) fn who(incident: &Incident) -> String {
    let Some(subject) = &incident.subject else {
        return String::new();
    };
    if let Some(campaign) = &incident.campaign {
        return format!(
            "campaign: {} against {} people",
            campaign.source, campaign.people
        );
    }
    let accounts = subject.accounts.iter();
    let accounts: Vec<_> = accounts
        .map(|account| format!("{} {}", account.provider, account.login))
        .collect();
    let kind = match value::<SubjectKind>(subject.kind) {
        SubjectKind::Campaign => "campaign: ",
        SubjectKind::Person | SubjectKind::Unspecified => "",
    };
    match subject.display_name.as_str() {
        "" => format!("{kind}{}", accounts.join(", ")),
        name => format!("{kind}{name}: {}", accounts.join(", ")),
    }
}

impl Incidents {
    /// Takes up what the server tells of one.
    pub(crate) fn put(&mut self, incident: IncidentSummary, now_ms: i64) {
        self.time_ms = now_ms;
        if self.all.len() >= INCIDENTS_MAX && !self.all.contains_key(&incident.id) {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.all.insert(incident.id.clone(), incident);
        self.is_stirred = true;
    }

    /// Forgets one that is another now.
    pub(crate) fn forget(&mut self, id: &str) {
        self.is_stirred |= self.all.remove(id).is_some();
    }

    /// Puts the list in order, where something has come since.
    pub(crate) fn settle(&mut self) {
        if !std::mem::take(&mut self.is_stirred) {
            return;
        }
        let words: Vec<_> = self
            .filter
            .split_whitespace()
            .map(str::to_lowercase)
            .collect();
        let mut shown: Vec<_> = self
            .all
            .values()
            .filter(|incident| self.with_closed || is_open(incident))
            .filter(|incident| incident.severity >= i32::from(self.severity_min))
            .filter(|incident| matches(incident, &words))
            .collect();
        let worst = |incident: &&IncidentSummary| {
            let rank = (
                incident.severity,
                incident.score,
                incident.last_event_time_ms,
            );
            (Reverse(rank), incident.id.clone())
        };
        match self.sort {
            Sort::Worst => shown.sort_by_cached_key(worst),
            Sort::Newest => shown.sort_by_cached_key(|incident| {
                (Reverse(incident.last_event_time_ms), incident.id.clone())
            }),
            Sort::Person => shown
                .sort_by_cached_key(|incident| (subject(incident).to_lowercase(), worst(incident))),
        }
        let shown: Vec<_> = shown
            .into_iter()
            .map(|incident| incident.id.clone())
            .collect();
        let mut open: Vec<_> = self.all.values().filter(|one| is_open(one)).collect();
        open.sort_by_cached_key(worst);
        self.worst = open
            .into_iter()
            .map(|incident| incident.id.clone())
            .collect();
        self.shown = shown;
        let selected = self.selected.as_ref();
        let at = selected.and_then(|id| self.shown.iter().position(|shown| shown == id));
        self.cursor = at.map_or(self.cursor, Cursor::new);
        self.cursor.keep(self.shown.len());
    }

    /// Does what the command says; whether it was one of the list's.
    pub(crate) fn command(&mut self, cmd: Cmd, page: usize) -> bool {
        match cmd {
            Cmd::Sort => self.sort = self.sort.next(),
            Cmd::Mark => {
                let id = self.selected().map(|one| one.id.clone());
                if let Some(id) = id.filter(|id| !self.marked.remove(id))
                    && self.marked.len() < MARKED_MAX
                {
                    self.marked.insert(id);
                }
                return true;
            }
            Cmd::Closed => self.with_closed = !self.with_closed,
            Cmd::Severity => {
                let at = Severity::ALL
                    .iter()
                    .position(|one| *one == self.severity_min);
                let next = Severity::ALL.get(at.map_or(1, |at| at + 1)).copied();
                self.severity_min = next.unwrap_or_default();
            }
            _ => {
                let has_moved = self.cursor.go(cmd, self.shown.len(), page);
                self.selected = self.shown.get(self.cursor.at()).cloned();
                return has_moved;
            }
        }
        self.is_stirred = true;
        true
    }

    /// How it is narrowed and ordered.
    pub(crate) fn view(&self) -> View {
        View {
            filter: self.filter.clone(),
            sort: self.sort.word().to_owned(),
            severity_min: self.severity_min.word(),
            with_closed: self.with_closed,
        }
    }

    /// Narrows and orders it so; a word that is not known is as none.
    pub(crate) fn set_view(&mut self, view: View) {
        let sorts = [Sort::Worst, Sort::Newest, Sort::Person];
        let sort = sorts.into_iter().find(|one| one.word() == view.sort);
        self.sort = sort.unwrap_or_default();
        self.severity_min = Severity::from_word(&view.severity_min).unwrap_or_default();
        self.with_closed = view.with_closed;
        self.filter = view.filter;
        self.is_stirred = true;
    }

    /// Narrows by these words.
    pub(crate) fn set_filter(&mut self, filter: String) {
        self.filter = filter;
        self.is_stirred = true;
    }

    /// The words that it is narrowed by.
    pub(crate) fn filter(&self) -> &str {
        &self.filter
    }

    /// Whether it is marked.
    pub(crate) fn is_marked(&self, id: &str) -> bool {
        self.marked.contains(id)
    }

    /// The ids of those that are marked; of the one that is selected where none is.
    pub(crate) fn marked(&self) -> Vec<String> {
        match self.marked.is_empty() {
            true => self
                .selected()
                .map(|one| one.id.clone())
                .into_iter()
                .collect(),
            false => self.marked.iter().cloned().collect(),
        }
    }

    /// None is marked any more.
    pub(crate) fn unmark(&mut self) {
        self.marked.clear();
    }

    /// How it is ordered.
    pub(crate) fn sort(&self) -> Sort {
        self.sort
    }

    /// The least severity; unspecified for any.
    pub(crate) fn severity_min(&self) -> Severity {
        self.severity_min
    }

    /// Whether it has those that are closed.
    pub(crate) fn with_closed(&self) -> bool {
        self.with_closed
    }

    /// The row that is selected.
    pub(crate) fn at(&self) -> usize {
        self.cursor.at()
    }

    /// The incident that is selected.
    pub(crate) fn selected(&self) -> Option<&IncidentSummary> {
        self.row(self.cursor.at())
    }

    /// How many are shown.
    pub(crate) fn len(&self) -> usize {
        self.shown.len()
    }

    /// How many there are.
    pub(crate) fn total(&self) -> usize {
        self.all.len()
    }

    /// How many came beyond what is kept.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// When something came last.
    pub(crate) fn time_ms(&self) -> i64 {
        self.time_ms
    }

    /// A row of the list.
    pub(crate) fn row(&self, at: usize) -> Option<&IncidentSummary> {
        self.shown.get(at).and_then(|id| self.all.get(id))
    }

    /// One by its id.
    pub(crate) fn get(&self, id: &str) -> Option<&IncidentSummary> {
        self.all.get(id)
    }

    /// All of them, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &IncidentSummary> {
        self.all.values()
    }

    /// Selects a row.
    pub(crate) fn select(&mut self, at: usize) {
        self.cursor = Cursor::new(at);
        self.cursor.keep(self.shown.len());
        self.selected = self.shown.get(self.cursor.at()).cloned();
    }

    /// Those that are open, the worst first, whatever is narrowed.
    pub(crate) fn worst(&self) -> impl Iterator<Item = &IncidentSummary> {
        self.worst.iter().filter_map(|id| self.all.get(id))
    }
}

/// Whether every word occurs in what an analyst would look for.
fn matches(incident: &IncidentSummary, words: &[String]) -> bool {
    if words.is_empty() {
        return true;
    }
    let logins = incident
        .subject
        .iter()
        .flat_map(|subject| &subject.accounts);
    let logins: Vec<_> = logins.map(|account| account.login.as_str()).collect();
    let text = format!(
        "{} {} {} {} {} {} {}",
        incident.title,
        subject(incident),
        logins.join(" "),
        incident.id,
        incident.assignee,
        incident.severity().word(),
        incident.state().word(),
    )
    .to_lowercase();
    words.iter().all(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident(id: &str, severity: Severity, score: u32) -> IncidentSummary {
        IncidentSummary {
            id: id.into(),
            title: format!("title of {id}"),
            severity: severity.into(),
            score,
            state: IncidentState::New.into(),
            ..IncidentSummary::default()
        }
    }

    fn list() -> Incidents {
        let mut list = Incidents::default();
        list.put(incident("a", Severity::Low, 10), 1);
        list.put(incident("b", Severity::Critical, 90), 1);
        list.put(incident("c", Severity::Medium, 50), 1);
        list.settle();
        list
    }

    fn ids(list: &Incidents) -> Vec<&str> {
        list.shown.iter().map(String::as_str).collect()
    }

    #[test]
    fn the_worst_come_first_and_the_filter_narrows() {
        let mut list = list();
        assert_eq!(ids(&list), ["b", "c", "a"]);
        list.set_filter("TITLE c".into());
        list.settle();
        assert_eq!(ids(&list), ["b", "c"], "critical has a c too");
        list.set_filter("of c".into());
        list.command(Cmd::Severity, 1);
        assert_eq!(list.severity_min(), Severity::Low, "info is any");
        list.command(Cmd::Severity, 1);
        list.command(Cmd::Severity, 1);
        list.settle();
        assert_eq!(list.severity_min(), Severity::High);
        assert_eq!(ids(&list), ["b"], "words may stand anywhere");
    }

    #[test]
    fn the_selection_stays_on_its_incident() {
        let mut list = list();
        list.command(Cmd::Down, 10);
        assert_eq!(list.selected().unwrap().id, "c");
        list.put(incident("d", Severity::Critical, 95), 2);
        list.settle();
        assert_eq!(list.selected().unwrap().id, "c");
        assert_eq!(list.at(), 2);
        list.forget("c");
        list.settle();
        assert_eq!(list.selected().unwrap().id, "a");
    }

    #[test]
    fn what_is_closed_leaves_unless_it_is_asked_for() {
        let mut list = list();
        let mut closed = incident("b", Severity::Critical, 90);
        closed.state = IncidentState::Closed.into();
        list.put(closed, 2);
        list.settle();
        assert_eq!(ids(&list), ["c", "a"]);
        list.command(Cmd::Closed, 1);
        list.settle();
        assert_eq!(ids(&list), ["b", "c", "a"]);
        assert_eq!(list.worst().count(), 2);
    }
}
