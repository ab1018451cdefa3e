//! The list of endpoints, narrowed by words; those that need somebody first.

use std::sync::Arc;

use tocsin_proto::console::v1::EndpointState;
use tocsin_proto::json::Word as _;

use super::cursor::Cursor;
use super::fleet::{EndpointLine, Fleet};
use super::loaded::Loaded;
use crate::keymap::Cmd;

/// The list.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    /// All, as the server tells them.
    pub(crate) all: Loaded<Arc<Fleet>>,
    filter: String,
    /// Places in `all` of those that are shown; `None`: all of them.
    shown: Option<Vec<u32>>,
    cursor: Cursor,
    is_wanted: bool,
    /// What the server said of their changes when they were asked for; none where that means nothing any more.
    told: Option<u64>,
}

/// How much more seldom they are asked for again where only their names are needed.
const ONLY_NAMES: i64 = 10;

impl Endpoints {
    /// What the server says now.
    pub(crate) fn set(&mut self, answer: Result<Arc<Fleet>, String>, now_ms: i64) {
        let selected = self.selected().map(|endpoint| endpoint.id.to_owned());
        self.all.set(answer, now_ms);
        self.is_wanted = false;
        self.arrange();
        let at = selected.and_then(|id| {
            let place = self.all.value()?.place(&id)?;
            match &self.shown {
                None => Some(place),
                Some(shown) => shown.binary_search(&u32::try_from(place).ok()?).ok(),
            }
        });
        self.cursor = at.map_or(self.cursor, Cursor::new);
        self.cursor.keep(self.len());
    }

    /// They are asked for, while the server says this of their changes.
    pub(crate) fn ask(&mut self, told: u64) {
        self.all.ask();
        self.told = Some(told);
    }

    /// The connection is another: what is told of changes from now on cannot be compared.
    pub(crate) fn forget_told(&mut self) {
        self.told = None;
    }

    /// Whether they have changed since they were asked for.
    pub(crate) fn is_behind(&self, told: u64) -> bool {
        self.told != Some(told)
    }

    /// When it is time to ask for them again; none where they have not changed. A large fleet is asked for more seldom,
    /// about a second for each thousand, so that looking at it costs neither side much; still more seldom where its
    /// list is not what is looked at.
    pub(crate) fn due_ms(&self, told: u64, is_looked_at: bool) -> Option<i64> {
        if self.is_wanted || self.all.value().is_none() || self.all.problem().is_some() {
            return Some(self.all.time_ms());
        }
        let count = self.all.value().map_or(0, |fleet| fleet.len());
        let patience = i64::try_from(count).unwrap_or(i64::MAX);
        let patience = match is_looked_at {
            true => patience,
            false => patience.saturating_mul(ONLY_NAMES),
        };
        self.is_behind(told)
            .then(|| self.all.time_ms().saturating_add(patience))
    }

    /// Somebody wants to see them as they are now.
    pub(crate) fn want(&mut self) {
        self.is_wanted = true;
    }

    fn arrange(&mut self) {
        let words: Vec<_> = self
            .filter
            .split_whitespace()
            .map(str::to_lowercase)
            .collect();
        self.shown = (!words.is_empty()).then(|| {
            let lines = (0_u32..).map_while(|place| {
                let line = self.all.value()?.get(place as usize)?;
                Some((place, line))
            });
            let shown = lines.filter(|(_, line)| matches(line, &words));
            shown.map(|(place, _)| place).collect()
        });
        self.cursor.keep(self.len());
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
        self.cursor.go(cmd, self.len(), page)
    }

    /// Selects a row.
    pub(crate) fn select(&mut self, at: usize) {
        self.cursor = Cursor::new(at);
        self.cursor.keep(self.len());
    }

    /// One by its id.
    pub(crate) fn get(&self, id: &str) -> Option<EndpointLine<'_>> {
        let fleet = self.all.value()?;
        fleet.get(fleet.place(id)?)
    }

    /// The row that is selected.
    pub(crate) fn at(&self) -> usize {
        self.cursor.at()
    }

    /// The endpoint that is selected.
    pub(crate) fn selected(&self) -> Option<EndpointLine<'_>> {
        self.row(self.cursor.at())
    }

    /// How many are shown.
    pub(crate) fn len(&self) -> usize {
        let all = || self.all.value().map_or(0, |fleet| fleet.len());
        self.shown.as_ref().map_or_else(all, Vec::len)
    }

    /// A row of the list.
    pub(crate) fn row(&self, at: usize) -> Option<EndpointLine<'_>> {
        let place = match &self.shown {
            None => at,
            Some(shown) => *shown.get(at)? as usize,
        };
        self.all.value()?.get(place)
    }

    /// How many are in this state.
    pub(crate) fn count(&self, state: EndpointState) -> usize {
        self.all.value().map_or(0, |fleet| fleet.count(state))
    }
}

fn matches(endpoint: &EndpointLine<'_>, words: &[String]) -> bool {
    let text = format!(
        "{} {} {} {} {} {} {}",
        endpoint.hostname,
        endpoint.tags,
        endpoint.os,
        endpoint.os_version,
        endpoint.address,
        endpoint.id,
        endpoint.state.word(),
    )
    .to_lowercase();
    words.iter().all(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use tocsin_proto::console::v1::Endpoint;

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
        let first = [endpoint("a", offline), endpoint("b", online)];
        list.set(Ok(Fleet::of(&first).into()), 1);
        assert_eq!(list.selected().unwrap().id, "b");
        let conflict = endpoint("c", EndpointState::Conflict);
        list.set(Ok(Fleet::of(&[endpoint("b", online), conflict]).into()), 2);
        assert_eq!(list.row(0).unwrap().id, "c");
        assert_eq!(list.selected().unwrap().id, "b");
        list.set_filter("conflict".into());
        assert_eq!((list.len(), list.at()), (1, 0));
    }

    #[test]
    fn a_large_fleet_is_asked_for_more_seldom() {
        let mut list = Endpoints::default();
        assert_eq!(list.due_ms(0, true), Some(0));
        let fleet: Vec<_> = (0..5000)
            .map(|n| endpoint(&n.to_string(), EndpointState::Online))
            .collect();
        list.ask(7);
        list.set(Ok(Fleet::of(&fleet).into()), 1000);
        assert_eq!(list.due_ms(7, true), None, "nothing has changed");
        assert_eq!(list.due_ms(8, true), Some(6_000));
        assert_eq!(list.due_ms(8, false), Some(51_000));
        list.forget_told();
        assert_eq!(list.due_ms(7, true), Some(6_000));
        list.want();
        assert_eq!(list.due_ms(7, true), Some(1000));
    }

    #[test]
    fn a_failed_question_leaves_what_is_known() {
        let mut list = Endpoints::default();
        let one = [endpoint("a", EndpointState::Online)];
        list.set(Ok(Fleet::of(&one).into()), 1);
        list.set(Err("no answer".into()), 2);
        assert_eq!(list.len(), 1);
        assert_eq!(list.all.time_ms(), 1);
        assert_eq!(list.all.problem(), Some("no answer"));
    }
}
