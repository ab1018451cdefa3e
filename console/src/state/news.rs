//! How news change what is shown, and which questions a screen asks.

use super::State;
use super::endpoint::EndpointPage;
use super::incident::IncidentPage;
use super::way::{Place, Way};
use crate::action::{Action, Change, Query, Slot, What};
use crate::event::{Link, News, Reply};
use crate::output::style::Style;

impl State {
    /// Goes there.
    pub(super) fn go(&mut self, place: Place) -> Vec<Action> {
        self.step(|way| way.go(place))
    }

    /// Goes some way: what was asked for the screen that is left is dropped, what the new one needs is
    /// asked.
    pub(super) fn step(&mut self, step: impl FnOnce(&mut Way) -> bool) -> Vec<Action> {
        let left = self.place().clone();
        if !step(&mut self.way) {
            return Vec::new();
        }
        let mut actions = Vec::new();
        if matches!(left, Place::Incident(_)) {
            self.incident.incident.give_up();
            actions.push(Action::Drop(Slot::Incident));
        }
        if matches!(left, Place::Endpoint(_)) {
            self.endpoint.endpoint.give_up();
            self.endpoint.processes.give_up();
            self.endpoint.gaps.give_up();
            let slots = [Slot::Endpoint, Slot::Processes, Slot::Gaps];
            actions.extend(slots.map(Action::Drop));
        }
        match self.place().clone() {
            Place::Incident(id) if self.incident.id != id => {
                self.incident = IncidentPage::new(id);
            }
            Place::Endpoint(id) if self.endpoint.id != id => {
                self.endpoint = EndpointPage::new(id);
            }
            _ => {}
        }
        actions.extend(self.refresh());
        actions
    }

    /// Asks for all that the screen shows.
    pub(super) fn refresh(&mut self) -> Vec<Action> {
        if !matches!(self.link, Link::Up(_)) {
            return Vec::new();
        }
        let queries = match self.place() {
            Place::Overview => vec![Query::Server, Query::Feeds, Query::Endpoints],
            Place::Incident(id) => vec![Query::Incident(id.clone())],
            Place::Endpoints => vec![Query::Endpoints],
            Place::Endpoint(id) => vec![
                Query::Endpoint(id.clone()),
                Query::Processes(id.clone()),
                Query::Gaps(id.clone()),
            ],
            Place::Incidents | Place::Help => Vec::new(),
        };
        queries.into_iter().map(|query| self.ask(query)).collect()
    }

    fn ask(&mut self, query: Query) -> Action {
        match query.slot() {
            Slot::Server => self.server.ask(),
            Slot::Feeds => self.feeds.ask(),
            Slot::Incident => self.incident.incident.ask(),
            Slot::Endpoints => self.endpoints.all.ask(),
            Slot::Endpoint => self.endpoint.endpoint.ask(),
            Slot::Processes => self.endpoint.processes.ask(),
            Slot::Gaps => self.endpoint.gaps.ask(),
        }
        Action::Ask(query)
    }

    /// Takes up news.
    pub(super) fn news(&mut self, news: News) -> Vec<Action> {
        match news {
            News::Link(link) => return self.set_link(link),
            News::Incident(incident) => {
                let id = incident.id.clone();
                let is_here = *self.place() == Place::Incident(id.clone());
                let known = self.incidents.get(&id);
                let has_changed = known != Some(incident.as_ref());
                self.incidents.put(*incident, self.now_ms);
                if is_here && has_changed {
                    return vec![self.ask(Query::Incident(id))];
                }
            }
            News::Answer(query, Ok(reply)) => self.answer(&query, reply),
            News::Answer(query, Err(problem)) => self.no_answer(&query, problem),
            News::Changed(change, Ok(incident)) => {
                self.notice = Some((done(&change), Style::Good));
                let id = incident.id.clone();
                self.incidents.put(*incident, self.now_ms);
                if *self.place() == Place::Incident(id.clone()) {
                    return vec![self.ask(Query::Incident(id))];
                }
            }
            News::Changed(_, Err(problem)) => self.notice = Some((problem, Style::Critical)),
        }
        Vec::new()
    }

    fn set_link(&mut self, link: Link) -> Vec<Action> {
        if self.link == link {
            return Vec::new();
        }
        let was_up = matches!(self.link, Link::Up(_));
        let is_up = matches!(link, Link::Up(_));
        self.link = link;
        if was_up || is_up {
            self.link_time_ms = self.now_ms;
        }
        if !is_up {
            return Vec::new();
        }
        let mut actions = self.refresh();
        if *self.place() != Place::Overview {
            actions.push(self.ask(Query::Server));
        }
        actions
    }

    fn answer(&mut self, query: &Query, reply: Reply) {
        let now_ms = self.now_ms;
        match (query, reply) {
            (_, Reply::Server(server)) => self.server.set(Ok(server), now_ms),
            (_, Reply::Feeds(feeds)) => self.feeds.set(Ok(feeds), now_ms),
            (_, Reply::Endpoints(endpoints)) => self.endpoints.set(Ok(endpoints), now_ms),
            (Query::Incident(id), Reply::Incident(incident)) if *id == self.incident.id => {
                // It is part of another now: the list must not go on showing it by its former id.
                if incident.id != *id {
                    self.incidents.forget(id);
                }
                self.incident.set(Ok(*incident), now_ms);
            }
            (Query::Endpoint(id), Reply::Endpoint(endpoint)) if *id == self.endpoint.id => {
                self.endpoint.endpoint.set(Ok(*endpoint), now_ms);
            }
            (Query::Processes(id), Reply::Processes(rows)) if *id == self.endpoint.id => {
                self.endpoint.set_processes(Ok(rows), now_ms);
            }
            (Query::Gaps(id), Reply::Gaps(rows)) if *id == self.endpoint.id => {
                self.endpoint.gaps.set(Ok(rows), now_ms);
            }
            _ => {}
        }
    }

    fn no_answer(&mut self, query: &Query, problem: String) {
        let now_ms = self.now_ms;
        match query {
            Query::Server => self.server.set(Err(problem), now_ms),
            Query::Feeds => self.feeds.set(Err(problem), now_ms),
            Query::Endpoints => self.endpoints.set(Err(problem), now_ms),
            Query::Incident(id) if *id == self.incident.id => {
                self.incident.set(Err(problem), now_ms);
            }
            Query::Endpoint(id) if *id == self.endpoint.id => {
                self.endpoint.endpoint.set(Err(problem), now_ms);
            }
            Query::Processes(id) if *id == self.endpoint.id => {
                self.endpoint.set_processes(Err(problem), now_ms);
            }
            Query::Gaps(id) if *id == self.endpoint.id => {
                self.endpoint.gaps.set(Err(problem), now_ms);
            }
            _ => {}
        }
    }
}

fn done(change: &Change) -> String {
    match &change.what {
        What::Assignee(name) if name.is_empty() => "taken from whoever had it".to_owned(),
        What::Assignee(name) => format!("given to {}", crate::text::line(name)),
        What::State(_) => "state set".to_owned(),
        What::Verdict(_) => "verdict set".to_owned(),
        What::Note(_) => "note written".to_owned(),
    }
}
