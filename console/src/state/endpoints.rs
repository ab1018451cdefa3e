//! The list of endpoints, narrowed by words; those that need somebody first.

use tocsin_proto::console::v1::{Endpoint, EndpointState};
use tocsin_proto::json::Word as _;

use super::cursor::Cursor;
use super::loaded::Loaded;
use crate::keymap::Cmd;

/// The list.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    /// All, as the server tells them.
    pub(crate) all: Loaded<Vec<Endpoint>>,
    filter: String,
    /// Places in `all` of those that are shown.
    shown: Vec<usize>,
    cursor: Cursor,
}

impl Endpoints {
    /// What the server says now.
    pub(crate) fn set(&mut self, answer: Result<Vec<Endpoint>, String>, now_ms: i64) {
        let selected = self.selected().map(|endpoint| endpoint.id.clone());
        self.all.set(answer, now_ms);
        self.arrange();
        let at = selected.and_then(|id| {
            let mut shown = (0..self.shown.len()).map(|at| self.row(at));
            shown.position(|row| row.is_some_and(|row| row.id == id))
        });
        self.cursor = at.map_or(self.cursor, Cursor::new);
        self.cursor.keep(self.shown.len());
    }

    fn arrange(&mut self) {
        let words: Vec<_> = self
            .filter
            .split_whitespace()
            .map(str::to_lowercase)
            .collect();
        let all = self.all.value().map_or(&[][..], Vec::as_slice);
        let mut shown: Vec<_> = all
            .iter()
            .enumerate()
            .filter(|(_, endpoint)| matches(endpoint, &words))
            .collect();
        shown.sort_by_cached_key(|(_, endpoint)| {
            (
                rank(endpoint.state()),
                endpoint.hostname.clone(),
                endpoint.id.clone(),
            )
        });
        self.shown = shown.into_iter().map(|(at, _)| at).collect();
        self.cursor.keep(self.shown.len());
    }

    /// Narrows by these words.
    pub(crate) fn set_filter(&mut self, filter: String) {
        self.filter = filter;
        self.arrange();
    }

    /// The words that it is narrowed by.
    pub(crate) fn filter(&self) -> &str {
        &self.filter
    }

    /// Does what the command says; whether it was one of the list's.
    pub(crate) fn command(&mut self, cmd: Cmd, page: usize) -> bool {
        self.cursor.go(cmd, self.shown.len(), page)
    }

    /// Selects a row.
    pub(crate) fn select(&mut self, at: usize) {
        self.cursor = Cursor::new(at);
        self.cursor.keep(self.shown.len());
    }

    /// One by its id.
    pub(crate) fn get(&self, id: &str) -> Option<&Endpoint> {
        self.all.value()?.iter().find(|one| one.id == id)
    }

    /// The row that is selected.
    pub(crate) fn at(&self) -> usize {
        self.cursor.at()
    }

    /// The endpoint that is selected.
    pub(crate) fn selected(&self) -> Option<&Endpoint> {
        self.row(self.cursor.at())
    }

    /// How many are shown.
    pub(crate) fn len(&self) -> usize {
        self.shown.len()
    }

    /// A row of the list.
    pub(crate) fn row(&self, at: usize) -> Option<&Endpoint> {
        let at = self.shown.get(at)?;
        self.all.value()?.get(*at)
    }

    /// How many are in this state.
    pub(crate) fn count(&self, state: EndpointState) -> usize {
        let all = self.all.value().map_or(&[][..], Vec::as_slice);
        all.iter().filter(|one| one.state() == state).count()
    }
}

fn rank(state: EndpointState) -> u8 {
    match state {
        EndpointState::Conflict => 0,
        EndpointState::Online => 1,
        EndpointState::Offline | EndpointState::Unspecified => 2,
        EndpointState::Revoked => 3,
    }
}

fn matches(endpoint: &Endpoint, words: &[String]) -> bool {
    if words.is_empty() {
        return true;
    }
    let text = format!(
        "{} {} {} {} {} {} {}",
        endpoint.hostname,
        endpoint.tags.join(" "),
        endpoint.os,
        endpoint.os_version,
        endpoint.address,
        endpoint.id,
        endpoint.state().word(),
    )
    .to_lowercase();
    words.iter().all(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(id: &str, state: EndpointState) -> Endpoint {
        Endpoint {
            id: id.into(),
            hostname: format!("host-{id}"),
            state: state.into(),
            ..Endpoint::default()
        }
    }

    #[test]
    fn conflicts_come_first_and_the_selection_stays_on_its_endpoint() {
        let mut list = Endpoints::default();
        let (online, offline) = (EndpointState::Online, EndpointState::Offline);
        list.set(Ok(vec![endpoint("a", offline), endpoint("b", online)]), 1);
        assert_eq!(list.selected().unwrap().id, "b");
        let conflict = endpoint("c", EndpointState::Conflict);
        list.set(Ok(vec![endpoint("b", online), conflict]), 2);
        assert_eq!(list.row(0).unwrap().id, "c");
        assert_eq!(list.selected().unwrap().id, "b");
        list.set_filter("conflict".into());
        assert_eq!((list.len(), list.at()), (1, 0));
    }

    #[test]
    fn a_failed_question_leaves_what_is_known() {
        let mut list = Endpoints::default();
        list.set(Ok(vec![endpoint("a", EndpointState::Online)]), 1);
        list.set(Err("no answer".into()), 2);
        assert_eq!(list.len(), 1);
        assert_eq!(list.all.time_ms(), 1);
        assert_eq!(list.all.problem(), Some("no answer"));
    }
}
