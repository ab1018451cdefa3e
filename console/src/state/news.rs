//! How news change what is shown, and which questions a screen asks.

use super::endpoint::EndpointPage;
use super::incident::{AROUND_ENDPOINTS_MAX, IncidentPage};
use super::people::IdentityPage;
use super::way::{Place, Way};
use super::{COUNTED_MAX, State};
use crate::action::{Action, Change, Query, Slot, What};
use crate::event::{Event, Link, News, Reply};
use crate::output::style::Style;

/// Who answers and who is asking changes seldom: it is asked for again after this time.
const SERVER_OLD_MS: i64 = 60_000;

/// What has changed is asked for again no sooner than so long after the last time.
const AGAIN_AFTER_MS: i64 = 2_000;
const AGAIN_AFTER_LONG_MS: i64 = 10_000;

/// What was asked in vain is asked again after this time.
const RETRY_AFTER_MS: i64 = 15_000;

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
        let mut actions = self.leave(&left);
        match self.place().clone() {
            Place::Incident(id) if self.incident.id != id => {
                self.incident = IncidentPage::new(id);
            }
            Place::Endpoint(id) if self.endpoint.id != id => {
                self.endpoint = EndpointPage::new(id);
            }
            Place::Identity(id) if self.identity.id != id => {
                self.identity = IdentityPage::new(id);
            }
            _ => {}
        }
        actions.extend(self.refresh());
        actions
    }

    /// What was asked for a screen that is left is not awaited any more.
    fn leave(&mut self, left: &Place) -> Vec<Action> {
        let mut actions = Vec::new();
        let slots: &[Slot] = match left {
            Place::Incident(_) => {
                self.incident.incident.give_up();
                self.incident.give_up_around();
                actions.extend((0..AROUND_ENDPOINTS_MAX).map(|at| Action::Drop(Slot::Around(at))));
                &[Slot::Incident]
            }
            Place::Endpoint(_) => {
                self.endpoint.endpoint.give_up();
                self.endpoint.processes.give_up();
                self.endpoint.gaps.give_up();
                self.endpoint.files.give_up();
                &[Slot::Endpoint, Slot::Processes, Slot::Gaps, Slot::Files]
            }
            Place::Identities => {
                self.identities.all.give_up();
                self.unmapped.all.give_up();
                &[Slot::Identities, Slot::Unmapped]
            }
            Place::Identity(_) => {
                self.identity.identity.give_up();
                &[Slot::Identity]
            }
            Place::Overview => {
                if self.attempts.is_loading() {
                    self.counted.clear();
                }
                self.attempts.give_up();
                &[Slot::Attempts]
            }
            Place::Events => {
                self.events.older.give_up();
                self.events.newer.give_up();
                &[Slot::Events, Slot::Newer]
            }
            Place::Terminals => {
                self.terminals.all.give_up();
                &[Slot::Terminals]
            }
            Place::Audit => {
                self.audit.rows.all.give_up();
                self.audit.verified.give_up();
                &[Slot::Audit, Slot::VerifyAudit]
            }
            _ => &[],
        };
        actions.extend(slots.iter().copied().map(Action::Drop));
        actions
    }

    /// The question for the prompts that the overview counts.
    fn counted(&mut self) -> Option<Query> {
        let worst: Vec<_> = self.incidents.worst().take(COUNTED_MAX).cloned().collect();
        // The server tells of every change of an incident: what has not changed has the same prompts.
        let is_known = self.attempts.value().is_some() && self.attempts.problem().is_none();
        if worst.is_empty() || is_known && worst == self.counted {
            return None;
        }
        let ids = worst.iter().map(|incident| incident.id.clone()).collect();
        self.counted = worst;
        Some(Query::Attempts(ids))
    }

    /// Whether the overview counts prompts of other incidents than the worst now.
    fn counts_others(&self) -> bool {
        let is_known = self.attempts.value().is_some();
        is_known && !self.incidents.worst().take(COUNTED_MAX).eq(&self.counted)
    }

    /// What the overview has to count after news.
    fn recount(&mut self) -> Vec<Action> {
        let is_here = *self.place() == Place::Overview && !self.attempts.is_loading();
        let is_new = self.attempts.value().is_none() && self.attempts.problem().is_none();
        if !is_here || !is_new {
            return Vec::new();
        }
        self.incidents.settle();
        self.counted()
            .map(|query| self.ask(query))
            .into_iter()
            .collect()
    }

    /// Asks for the events that one comes near to.
    pub(super) fn more_events(&mut self) -> Vec<Action> {
        let is_up = matches!(self.link, Link::Up(_));
        let request = self.events.next_page(self.now_ms).filter(|_| is_up);
        let action = request.map(|request| self.ask(Query::Events(request)));
        action.into_iter().collect()
    }

    /// Asks for what is followed.
    pub(super) fn tail(&mut self) -> Vec<Action> {
        let is_up = matches!(self.link, Link::Up(_));
        match self.place() {
            Place::Events if is_up && self.events.follows() => self.newer_events(),
            _ => Vec::new(),
        }
    }

    /// Asks for the events that have come since.
    fn newer_events(&mut self) -> Vec<Action> {
        let is_up = matches!(self.link, Link::Up(_));
        let request = self.events.news(self.now_ms).filter(|_| is_up);
        let action = request.map(|request| self.ask(Query::Newer(request)));
        action.into_iter().collect()
    }

    /// Whether something that happens can change the screen: that some list has changed does not, until it was asked for.
    pub(crate) fn is_seen(&self, event: &Event) -> bool {
        let Event::News(News::Changes(new)) = event else {
            return true;
        };
        let old = &self.changes;
        old.endpoint_counts != new.endpoint_counts || old.endpoints != new.endpoints
    }

    /// Grows whenever something has changed that the screen shows.
    fn told_here(&self) -> u64 {
        let told = &self.changes;
        match self.place() {
            Place::Overview | Place::Feeds | Place::Incident(_) => told.feeds,
            Place::Endpoint(_) => told.endpoints.wrapping_add(told.events),
            // An account that nobody has is first seen in telemetry.
            Place::Identities if self.is_unmapped => told.identities.wrapping_add(told.events),
            Place::Identities | Place::Identity(_) => told.identities,
            Place::Events if self.events.follows() => told.events,
            Place::Terminals => told.terminals,
            Place::Audit => told.audit,
            Place::Events | Place::Endpoints | Place::Incidents | Place::Help => 0,
        }
    }

    /// When it is time to ask again for what is shown; none where nothing of it has changed, and while an answer is awaited.
    pub(crate) fn due_ms(&self) -> Option<i64> {
        if !matches!(self.link, Link::Up(_)) || self.is_waiting() {
            return None;
        }
        let (told, asked_ms) = self.asked;
        let patience = match self.place() {
            // Long lists, and what each batch of an endpoint changes.
            Place::Identities | Place::Endpoint(_) => AGAIN_AFTER_LONG_MS,
            _ => AGAIN_AFTER_MS,
        };
        let is_overview = *self.place() == Place::Overview;
        let is_behind = told != self.told_here() || is_overview && self.counts_others();
        let again = is_behind.then(|| asked_ms.saturating_add(patience));
        let has_fleet = is_overview || *self.place() == Place::Endpoints;
        let fleet = match has_fleet {
            true => self.fleet_due_ms(),
            false => None,
        };
        // Not at once after a question that was in vain.
        let fleet = fleet.map(|due| due.max(asked_ms.saturating_add(AGAIN_AFTER_MS)));
        let retry = self.retry_ms;
        again.into_iter().chain(fleet).chain(retry).min()
    }

    fn fleet_due_ms(&self) -> Option<i64> {
        let is_looked_at = *self.place() == Place::Endpoints;
        self.endpoints.due_ms(self.changes.endpoints, is_looked_at)
    }

    /// Asks whether the audit log is whole.
    pub(super) fn verify_audit(&mut self) -> Vec<Action> {
        match self.link {
            Link::Up(_) => vec![self.ask(Query::VerifyAudit)],
            _ => Vec::new(),
        }
    }

    /// Asks for all that the screen shows.
    pub(super) fn refresh(&mut self) -> Vec<Action> {
        if !matches!(self.link, Link::Up(_)) {
            return Vec::new();
        }
        self.asked = (self.told_here(), self.now_ms);
        self.retry_ms = None;
        let counted = match *self.place() == Place::Overview {
            true => self.counted(),
            false => None,
        };
        let queries = match self.place() {
            Place::Overview => {
                let mut queries = vec![Query::Feeds, Query::Endpoints];
                let age_ms = self.now_ms.saturating_sub(self.server.time_ms());
                let is_known = self.server.value().is_some() && self.server.problem().is_none();
                if age_ms >= SERVER_OLD_MS || !is_known {
                    queries.insert(0, Query::Server);
                }
                queries.extend(counted);
                queries
            }
            Place::Incident(id) => vec![Query::Incident(id.clone())],
            Place::Endpoints => vec![Query::Endpoints],
            Place::Endpoint(id) => vec![
                Query::Endpoint(id.clone()),
                Query::Processes(id.clone()),
                Query::Gaps(id.clone()),
                Query::Files(id.clone()),
            ],
            Place::Identities if self.is_unmapped => vec![Query::Unmapped],
            Place::Identities => vec![Query::Identities],
            Place::Identity(id) => vec![Query::Identity(id.clone())],
            Place::Events if self.events.newer.is_loading() => return self.more_events(),
            Place::Events => {
                let mut actions = self.more_events();
                actions.extend(self.newer_events());
                return actions;
            }
            Place::Feeds => vec![Query::Feeds],
            Place::Terminals => vec![Query::Terminals],
            Place::Audit if self.audit.rows.all.is_loading() => Vec::new(),
            Place::Audit => vec![Query::Audit(self.audit.token().to_owned())],
            Place::Incidents | Place::Help => Vec::new(),
        };
        let due_ms = self.fleet_due_ms();
        let is_due = due_ms.is_some_and(|due_ms| due_ms <= self.now_ms);
        let queries = queries
            .into_iter()
            .filter(|query| is_due || *query != Query::Endpoints);
        queries.map(|query| self.ask(query)).collect()
    }

    fn ask(&mut self, query: Query) -> Action {
        match query.slot() {
            Slot::Server => self.server.ask(),
            Slot::Feeds => self.feeds.all.ask(),
            Slot::Incident => self.incident.incident.ask(),
            Slot::Endpoints => self.endpoints.ask(self.changes.endpoints),
            Slot::Endpoint => self.endpoint.endpoint.ask(),
            Slot::Processes => self.endpoint.processes.ask(),
            Slot::Gaps => self.endpoint.gaps.ask(),
            Slot::Files => self.endpoint.files.ask(),
            Slot::Identities => self.identities.all.ask(),
            Slot::Unmapped => self.unmapped.all.ask(),
            Slot::Identity => self.identity.identity.ask(),
            Slot::Events => self.events.older.ask(),
            Slot::Newer => self.events.newer.ask(),
            Slot::Audit => self.audit.rows.all.ask(),
            Slot::VerifyAudit => self.audit.verified.ask(),
            Slot::Terminals => self.terminals.all.ask(),
            Slot::Attempts => self.attempts.ask(),
            Slot::Around(at) => self.incident.ask_around(at),
        }
        Action::Ask(query)
    }

    /// Takes up news.
    pub(super) fn news(&mut self, news: News) -> Vec<Action> {
        match news {
            News::Link(link) => return self.set_link(link),
            News::Changes(changes) => self.changes = changes,
            News::Incident(incident) => {
                let id = incident.id.clone();
                let is_here = *self.place() == Place::Incident(id.clone());
                let known = self.incidents.get(&id);
                let has_changed = known != Some(incident.as_ref());
                self.incidents.put(*incident, self.now_ms);
                if is_here && has_changed {
                    return vec![self.ask(Query::Incident(id))];
                }
                return self.recount();
            }
            News::Answer(query, Ok(reply)) => return self.answer(&query, reply),
            News::Answer(query, Err(problem)) => self.no_answer(&query, problem),
            News::Terminal(pane, news) => self.terminal_news(pane, news),
            News::Killed(result) => return self.killed(result),
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
            self.endpoints.forget_told();
            return Vec::new();
        }
        let mut actions = self.refresh();
        if !actions.contains(&Action::Ask(Query::Server)) {
            actions.push(self.ask(Query::Server));
        }
        actions
    }

    fn answer(&mut self, query: &Query, reply: Reply) -> Vec<Action> {
        let now_ms = self.now_ms;
        match (query, reply) {
            (_, Reply::Server(server)) => self.server.set(Ok(server), now_ms),
            (_, Reply::Feeds(feeds)) => self.feeds.set(Ok(feeds), now_ms),
            (_, Reply::Endpoints(endpoints)) => {
                self.endpoints.set(Ok(endpoints), now_ms);
                self.begin_search();
            }
            (Query::Incident(id), Reply::Incident(incident)) if *id == self.incident.id => {
                // It is part of another now: the list must not go on showing it by its former id.
                if incident.id != *id {
                    self.incidents.forget(id);
                }
                self.incident.set(Ok(*incident), now_ms);
                let around = self.incident.wanted_around();
                return around.into_iter().map(|query| self.ask(query)).collect();
            }
            (Query::Around(at, request), Reply::Events(rows)) => {
                self.incident
                    .set_around((*at, &request.endpoint), Ok(rows), now_ms);
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
            (Query::Files(id), Reply::Files(rows)) if *id == self.endpoint.id => {
                self.endpoint.files.set(Ok(rows), now_ms);
            }
            (_, Reply::Attempts(attempts)) => self.attempts.set(Ok(attempts), now_ms),
            (_, Reply::Identities(rows)) => {
                self.identities.set(Ok(rows), now_ms);
                self.begin_search();
            }
            (_, Reply::Unmapped(rows)) => self.unmapped.set(Ok(rows), now_ms),
            (Query::Identity(id), Reply::Identity(identity)) if *id == self.identity.id => {
                self.identity.identity.set(Ok(*identity), now_ms);
            }
            (Query::Events(_), Reply::Page(page)) => {
                self.events.put_older(Ok(page), now_ms);
                return self.more_events();
            }
            (Query::Newer(_), Reply::Page(page)) => self.events.put_newer(Ok(page), now_ms),
            (Query::Audit(token), Reply::Audit(rows, next)) => {
                let has_more = self.audit.put(token, (rows, next), now_ms);
                let next = Query::Audit(self.audit.token().to_owned());
                return has_more.then(|| self.ask(next)).into_iter().collect();
            }
            (_, Reply::Terminals(rows)) => self.terminals.set(Ok(rows), now_ms),
            (_, Reply::Verified(verified)) => self.audit.verified.set(Ok(*verified), now_ms),
            _ => {}
        }
        Vec::new()
    }

    fn no_answer(&mut self, query: &Query, problem: String) {
        let now_ms = self.now_ms;
        self.retry_ms = Some(now_ms.saturating_add(RETRY_AFTER_MS));
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
            Query::Files(id) if *id == self.endpoint.id => {
                self.endpoint.files.set(Err(problem), now_ms);
            }
            Query::Attempts(_) => self.attempts.set(Err(problem), now_ms),
            Query::Identities => self.identities.set(Err(problem), now_ms),
            Query::Unmapped => self.unmapped.set(Err(problem), now_ms),
            Query::Identity(id) if *id == self.identity.id => {
                self.identity.identity.set(Err(problem), now_ms);
            }
            Query::Events(_) => self.events.put_older(Err(problem), now_ms),
            Query::Newer(_) => self.events.put_newer(Err(problem), now_ms),
            Query::Audit(_) => self.audit.rows.all.set(Err(problem), now_ms),
            Query::Terminals => self.terminals.set(Err(problem), now_ms),
            Query::VerifyAudit => self.audit.verified.set(Err(problem), now_ms),
            Query::Around(at, request) => {
                self.incident
                    .set_around((*at, &request.endpoint), Err(problem), now_ms);
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
