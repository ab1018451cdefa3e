//! The values of what is selected: what one can look for among events, and what one can copy.

use tocsin_proto::console::v1::{
    Attempt, AuditRow, EventRow, Identity, Incident, IncidentSummary, ProcessRow, Terminal,
    Unmapped,
};

use super::filter::EventFilter;
use super::{Place, State};
use crate::state::endpoint::command_line;

/// How much before and after a moment counts as around it.
const AROUND_MS: i64 = 600_000;

/// Values that are offered.
const VALUES_MAX: usize = 24;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    /// What it is.
    pub(crate) what: String,
    /// The value, unclean.
    pub(crate) text: String,
    /// The events that have it; none where there can be none.
    pub(crate) find: Option<EventFilter>,
}

struct Values(Vec<Value>);

impl Values {
    /// A value, and where it is to be found.
    fn find(&mut self, what: &str, text: &str, find: EventFilter) {
        self.put(what, text, Some(find));
    }

    /// A value that is only there to be copied.
    fn copy(&mut self, what: &str, text: &str) {
        self.put(what, text, None);
    }

    fn put(&mut self, what: &str, text: &str, find: Option<EventFilter>) {
        let is_known = self.0.iter().any(|one| one.text == text);
        if text.is_empty() || is_known || self.0.len() >= VALUES_MAX {
            return;
        }
        self.0.push(Value {
            what: what.to_owned(),
            text: text.to_owned(),
            find,
        });
    }
}

impl State {
    /// The values of what is selected on the screen.
    pub(crate) fn values(&self) -> Vec<Value> {
        let mut values = Values(Vec::new());
        match self.place() {
            Place::Overview => {
                let incident = self.incidents.worst().nth(self.worst.at());
                values.copy("incident", incident.map_or("", |one| &one.id));
            }
            Place::Incidents => {
                if let Some(incident) = self.incidents.selected() {
                    of_summary(incident, &mut values);
                }
            }
            Place::Incident(_) => {
                if let Some(incident) = self.incident.incident.value() {
                    of_incident(incident, self.incident.attempt(), &mut values);
                }
            }
            Place::Endpoints => {
                if let Some(endpoint) = self.endpoints.selected() {
                    of_endpoint(endpoint.id, endpoint.hostname, &mut values);
                    values.copy("address", endpoint.address);
                }
            }
            Place::Endpoint(id) => {
                if let Some(process) = self.endpoint.selected() {
                    of_process(process, id, &mut values);
                }
                let endpoint = self.endpoint.endpoint.value();
                of_endpoint(id, endpoint.map_or("", |one| &one.hostname), &mut values);
            }
            Place::Identities if self.is_unmapped => {
                if let Some(row) = self.unmapped.selected() {
                    of_unmapped(row, &mut values);
                }
            }
            Place::Identities => {
                if let Some(identity) = self.identities.selected() {
                    of_identity(identity, &mut values);
                }
            }
            Place::Identity(_) => {
                if let Some(identity) = self.identity.identity.value() {
                    of_identity(identity, &mut values);
                }
            }
            Place::Events => {
                if let Some(event) = self.events.selected() {
                    of_event(&event, &mut values);
                }
            }
            Place::Feeds => {
                let feed = self.feeds.selected();
                values.copy("feed", feed.map_or("", |feed| &feed.id));
            }
            Place::Audit => {
                if let Some(row) = self.audit.rows.selected() {
                    of_audit(row, &mut values);
                }
            }
            Place::Terminals => {
                if let Some(terminal) = self.terminals.selected() {
                    of_terminal(terminal, &mut values);
                }
            }
            Place::Help => {}
        }
        values.0
    }
}

fn of_audit(row: &AuditRow, values: &mut Values) {
    values.copy("target", &row.target);
    values.copy("actor", &row.actor);
    values.copy("detail", &row.detail);
    values.copy("hash", &row.hash);
}

fn of_unmapped(row: &Unmapped, values: &mut Values) {
    of_endpoint(&row.endpoint, &row.hostname, values);
    values.copy("account", &row.user);
    values.copy("identity", &row.identity);
    for account in &row.accounts {
        values.copy("login", &account.login);
    }
    values.copy("next step", &row.next_step);
}

fn of_summary(incident: &IncidentSummary, values: &mut Values) {
    values.copy("incident", &incident.id);
    for account in incident.subject.iter().flat_map(|one| &one.accounts) {
        values.copy("login", &account.login);
    }
}

fn of_terminal(terminal: &Terminal, values: &mut Values) {
    of_endpoint(&terminal.endpoint, &terminal.hostname, values);
    values.copy("terminal", &terminal.id);
    values.copy("analyst", &terminal.analyst);
    values.copy("incident", &terminal.incident);
}

fn of_incident(incident: &Incident, attempt: Option<&Attempt>, values: &mut Values) {
    let (first, last) = (incident.first_event_time_ms, incident.last_event_time_ms);
    if let Some(attempt) = attempt {
        for endpoint in &incident.endpoints {
            let what = "around this attempt on";
            let find = EventFilter::default().on(&endpoint.id);
            let find = find.around(attempt.time_ms, attempt.time_ms, AROUND_MS);
            values.find(what, &endpoint.hostname, find);
        }
        let ip = &attempt.source_ip;
        values.find("source address", ip, EventFilter::of_text(ip));
        values.copy("user agent", &attempt.user_agent);
        values.copy("attempt", &attempt.id);
    }
    for endpoint in &incident.endpoints {
        let find = EventFilter::default().on(&endpoint.id);
        let find = find.around(first, last, AROUND_MS);
        values.find("in the incident's time on", &endpoint.id, find);
    }
    for account in incident.subject.iter().flat_map(|one| &one.accounts) {
        let local = account.login.split('@').next().unwrap_or_default();
        let find = EventFilter {
            user: local.to_owned(),
            ..EventFilter::default()
        };
        let find = find.around(first, last, AROUND_MS);
        values.find("local account called", local, find);
        values.copy("login", &account.login);
    }
    let events = incident.evidence.iter().flat_map(|one| &one.event_ids);
    for id in events {
        // ENDPOINT.RUN.SEQUENCE; the others are the provider's.
        match id.split('.').count() == 3 {
            true => values.find("event of the evidence", id, EventFilter::of_text(id)),
            false => values.copy("MFA event of the evidence", id),
        }
    }
    values.copy("incident", &incident.id);
}

fn of_endpoint(id: &str, hostname: &str, values: &mut Values) {
    values.find("endpoint", hostname, EventFilter::default().on(id));
    values.find("endpoint's id", id, EventFilter::default().on(id));
}

fn of_process(process: &ProcessRow, endpoint: &str, values: &mut Values) {
    let name = process.executable.rsplit('/').next().unwrap_or_default();
    values.find("name, everywhere", name, EventFilter::of_text(name));
    let path = &process.executable;
    let find = EventFilter::of_text(path).on(endpoint);
    values.find("executable, here", path, find);
    let hash = &process.executable_sha256;
    values.find("SHA-256, everywhere", hash, EventFilter::of_text(hash));
    let argument = process.argv.iter().skip(1).max_by_key(|one| one.len());
    let argument = argument.map_or("", String::as_str);
    values.find(
        "argument, everywhere",
        argument,
        EventFilter::of_text(argument),
    );
    of_user(&process.user, endpoint, values);
    values.copy("command line", &command_line(process));
    values.copy("process id", &process.pid.to_string());
}

fn of_user(user: &str, endpoint: &str, values: &mut Values) {
    let find = EventFilter {
        user: user.to_owned(),
        ..EventFilter::default()
    };
    values.find("account, here", user, find.on(endpoint));
}

fn of_identity(identity: &Identity, values: &mut Values) {
    for account in &identity.local_accounts {
        let find = EventFilter {
            user: account.user.clone(),
            ..EventFilter::default()
        };
        let text = format!("{}@{}", account.user, account.hostname);
        values.find("account on endpoint", &text, find.on(&account.endpoint));
    }
    for account in &identity.accounts {
        values.copy("login", &account.login);
    }
    values.copy("identity", &identity.id);
}

fn of_event(event: &EventRow, values: &mut Values) {
    let around = EventFilter::default().on(&event.endpoint).around(
        event.event_time_ms,
        event.event_time_ms,
        AROUND_MS,
    );
    values.find("10 min around it on", &event.endpoint, around);
    if let Some(process) = &event.process {
        let path = &process.executable;
        let name = path.rsplit('/').next().unwrap_or_default();
        values.find("name, everywhere", name, EventFilter::of_text(name));
        values.find("executable, everywhere", path, EventFilter::of_text(path));
        let hash = &process.executable_sha256;
        values.find("SHA-256, everywhere", hash, EventFilter::of_text(hash));
        let argument = process.argv.iter().skip(1).max_by_key(|one| one.len());
        let argument = argument.map_or("", String::as_str);
        values.find(
            "argument, everywhere",
            argument,
            EventFilter::of_text(argument),
        );
        of_user(&process.user, &event.endpoint, values);
        if let Some(parent) = &process.parent {
            let path = &parent.executable;
            values.find("parent's executable, here", path, {
                EventFilter::of_text(path).on(&event.endpoint)
            });
        }
        values.copy("command line", &process.argv.join(" "));
    }
    let kind = EventFilter {
        kind: event.kind.clone(),
        ..EventFilter::default()
    };
    values.find("kind, here", &event.kind, kind.on(&event.endpoint));
    values.copy("event", &event.id);
}
