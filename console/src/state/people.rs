//! Identities, feeds, audit rows and terminals as lists; one identity.

use tocsin_proto::console::v1::{
    AuditRow, AuditVerification, Feed, Identity, IncidentSummary, Terminal, Unmapped,
};

use super::Place;
use super::cursor::Cursor;
use super::incidents::Incidents;
use super::list::{List, Listed};
use super::loaded::Loaded;

impl Listed for Identity {
    fn id(&self) -> &str {
        &self.id
    }

    fn words(&self) -> String {
        let accounts = self.accounts.iter();
        let accounts: Vec<_> = accounts
            .map(|one| format!("{} {}", one.provider, one.login))
            .collect();
        let locals = self.local_accounts.iter();
        let locals: Vec<_> = locals
            .map(|one| format!("{}@{}", crate::command::identities::user(one), one.hostname))
            .collect();
        let (accounts, locals) = (accounts.join(" "), locals.join(" "));
        format!("{} {accounts} {locals} {}", self.display_name, self.id)
    }
}

impl Listed for Feed {
    fn id(&self) -> &str {
        &self.id
    }

    fn words(&self) -> String {
        format!("{} {} {}", self.provider, self.kind, self.id)
    }
}

impl Listed for AuditRow {
    fn id(&self) -> &str {
        &self.id
    }

    fn words(&self) -> String {
        format!(
            "{} {} {} {} {} {}",
            self.actor_kind, self.actor, self.action, self.target, self.detail, self.decision
        )
    }
}

impl Listed for Terminal {
    fn id(&self) -> &str {
        &self.id
    }

    fn words(&self) -> String {
        format!(
            "{} {} {} {} {} {} {}",
            self.hostname,
            self.analyst,
            self.user,
            self.reason,
            self.id,
            self.endpoint,
            self.incident
        )
    }
}

impl Listed for Unmapped {
    fn id(&self) -> &str {
        &self.id
    }

    fn words(&self) -> String {
        let logins: Vec<_> = self.accounts.iter().map(|one| one.login.as_str()).collect();
        format!(
            "{}@{} {} {} {} {}",
            self.user,
            self.hostname,
            self.display_name,
            logins.join(" "),
            self.next_step,
            self.id
        )
    }
}

/// Where what is not mapped is to be seen.
pub(super) fn of_unmapped(row: &Unmapped) -> Place {
    match row.identity.as_str() {
        "" => Place::Endpoint(row.endpoint.clone()),
        id => Place::Identity(id.to_owned()),
    }
}

/// A person as people call them, unclean.
pub(crate) fn name(identity: &Identity) -> &str {
    match identity.display_name.as_str() {
        "" => identity
            .accounts
            .first()
            .map_or(&*identity.id, |account| &account.login),
        name => name,
    }
}

/// The page of one identity.
#[derive(Debug, Default)]
pub(crate) struct IdentityPage {
    /// Its id, as it was asked for.
    pub(crate) id: String,
    /// What the server says.
    pub(crate) identity: Loaded<Identity>,
    /// First line that is shown.
    pub(crate) scroll: Cursor,
}

impl IdentityPage {
    /// Of this identity.
    pub(crate) fn new(id: String) -> Self {
        Self {
            id,
            ..Self::default()
        }
    }

    /// The person's incidents among these, the newest first.
    pub(crate) fn incidents<'a>(&self, all: &'a Incidents) -> Vec<&'a IncidentSummary> {
        let id = self.identity.value().map_or(&*self.id, |one| &one.id);
        let mut found: Vec<_> = all
            .iter()
            .filter(|incident| {
                let subject = incident.subject.as_ref();
                subject.is_some_and(|subject| subject.identity == id)
            })
            .collect();
        found.sort_by(|a, b| (b.last_event_time_ms, &b.id).cmp(&(a.last_event_time_ms, &a.id)));
        found
    }
}

/// The audit log: its rows, the newest first, and whether it is whole.
#[derive(Debug)]
pub(crate) struct Audit {
    /// The rows.
    pub(crate) rows: List<AuditRow>,
    /// Whether it is whole.
    pub(crate) verified: Loaded<AuditVerification>,
    /// Token of the last page that was asked for, and how many rows came before it.
    last_page: (String, usize),
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            rows: List::reversed(),
            verified: Loaded::default(),
            last_page: (String::new(), 0),
        }
    }
}

impl Audit {
    /// Where to go on: the last page again, since it may have grown.
    pub(crate) fn token(&self) -> &str {
        &self.last_page.0
    }

    /// A page; whether there is another.
    pub(crate) fn put(
        &mut self,
        token: &str,
        (rows, next): (Vec<AuditRow>, String),
        now_ms: i64,
    ) -> bool {
        if token != self.last_page.0 {
            return false;
        }
        let known = self.last_page.1;
        self.rows.append(known, rows, now_ms);
        let is_full = self.rows.total() >= super::list::ROWS_MAX;
        if next.is_empty() || next == token || is_full {
            return false;
        }
        self.last_page = (next, self.rows.total());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(n: u32) -> AuditRow {
        AuditRow {
            id: n.to_string(),
            ..AuditRow::default()
        }
    }

    #[test]
    fn the_audit_log_goes_on_where_it_ended() {
        let mut audit = Audit::default();
        assert!(audit.put("", (vec![row(1), row(2)], "2".into()), 1));
        assert!(!audit.put("2", (vec![row(3)], String::new()), 1));
        assert_eq!(audit.token(), "2");
        assert!(!audit.put("2", (vec![row(3), row(4)], String::new()), 2));
        assert_eq!(audit.rows.total(), 4);
        assert_eq!(audit.rows.row(0).unwrap().id, "4");
        assert!(
            !audit.put("", (vec![row(9)], "9".into()), 3),
            "not asked for"
        );
        assert_eq!(audit.rows.total(), 4);
    }
}
