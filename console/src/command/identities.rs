//! `tocsin identities`: people, their accounts at providers, and their accounts on endpoints.

use clap::Subcommand;
use tocsin_proto::console::v1::{
    Coverage, Identity, LinkIdentityRequest, ListIdentitiesRequest, LocalAccount,
};

use super::Session;
use crate::exit::{Exit, Failure};
use crate::output::Row;
use crate::output::page::Page;
use crate::output::style::Style;
use crate::output::table::{Cell, Column};
use crate::time;

#[derive(Debug, Subcommand)]
pub(crate) enum Identities {
    /// All people.
    List,
    /// One person.
    Show {
        /// Id, or a login.
        id: String,
    },
    /// Say that an account on an endpoint is this person's.
    Link {
        /// Id, or a login.
        id: String,
        /// The endpoint: id or hostname.
        #[arg(long, value_name = "ENDPOINT")]
        endpoint: String,
        /// Account name on it, or its uid.
        #[arg(long, value_name = "USER")]
        user: String,
        /// Why, for whoever reads it later.
        #[arg(
            long,
            value_name = "TEXT",
            default_value = "",
            hide_default_value = true
        )]
        reason: String,
    },
}

impl Identities {
    /// Does it.
    ///
    /// # Errors
    /// Every [`Failure`].
    pub(crate) async fn perform(self, mut session: Session) -> Result<Exit, Failure> {
        let identity = match self {
            Self::List => return session.list(ListIdentitiesRequest::default()).await,
            Self::Show { id } => session.client.identity(&id).await?,
            Self::Link {
                id,
                endpoint,
                user,
                reason,
            } => {
                let request = LinkIdentityRequest {
                    id,
                    endpoint,
                    user,
                    reason,
                };
                session.client.link_identity(request).await?
            }
        };
        session.out.object(&identity, describe)?;
        Ok(Exit::Done)
    }
}

fn describe(identity: &Identity, page: &mut Page) {
    page.paragraph(name(identity), Style::Heading);
    page.field("Id", &identity.id);
    page.field("Former ids", &identity.aliases.join(", "));
    if identity.privileged {
        page.field_styled("Privileged", "yes", Style::High);
    }
    page.field("First event", &time::second(identity.first_event_time_ms));
    page.field("Last event", &time::second(identity.last_event_time_ms));
    page.field("MFA events", &identity.mfa_events.to_string());
    page.section("Accounts at providers");
    for account in &identity.accounts {
        let about = [
            labelled("id", &account.provider_id),
            account.confidence.clone(),
            labelled("from", &account.source),
        ];
        let name = format!("{} {}", account.provider, account.login);
        page.item("-", &with(&name, &about));
    }
    page.section("Accounts on endpoints");
    if identity.local_accounts.is_empty() {
        let cure = format!(
            "none: until one is linked, nothing can be said about where this person's sign-ins started. \
             tocsin identities link {} --endpoint ENDPOINT --user USER",
            super::short(&identity.id)
        );
        page.paragraph(&cure, Style::Medium);
    }
    for account in &identity.local_accounts {
        let mut linked = labelled("linked by", &account.linked_by);
        if account.linked_time_ms != 0 {
            linked += &format!(" {}", time::minute(account.linked_time_ms));
        }
        let uid = match account.user.is_empty() {
            true => String::new(),
            false => labelled("uid", &account.uid),
        };
        let about = [
            uid,
            account.confidence.clone(),
            labelled("from", &account.source),
            linked,
        ];
        let name = format!("{} on {}", user(account), account.hostname);
        page.item("-", &with(&name, &about));
    }
    if let Some(coverage) = &identity.coverage {
        page.section("Coverage: of how many attempts it is known where they came from");
        page.paragraph(&told(coverage), Style::Plain);
        for step in &coverage.next_steps {
            page.item("-", &step.text);
        }
    }
}

/// How far provenance reaches, in one line.
pub(crate) fn told(coverage: &Coverage) -> String {
    format!(
        "{} % of {}: {} here, {} elsewhere, {} unknown",
        coverage.told_percent,
        coverage.attempts,
        coverage.here,
        coverage.elsewhere,
        coverage.unknown
    )
}

/// A value with its label; nothing where there is none.
fn labelled(label: &str, value: &str) -> String {
    match value {
        "" => String::new(),
        value => format!("{label} {value}"),
    }
}

/// A name and what is known about it.
fn with(name: &str, about: &[String]) -> String {
    let known: Vec<_> = about.iter().map(|part| part.trim()).collect();
    let known: Vec<_> = known.into_iter().filter(|part| !part.is_empty()).collect();
    match known.is_empty() {
        true => name.to_owned(),
        false => format!("{name} ({})", known.join(", ")),
    }
}

/// What an account is called; a link may know its number only.
pub(crate) fn user(account: &LocalAccount) -> String {
    match account.user.as_str() {
        "" => labelled("uid", &account.uid),
        name => name.to_owned(),
    }
}

fn name(identity: &Identity) -> &str {
    let login = || identity.accounts.first().map(|account| &*account.login);
    match identity.display_name.as_str() {
        "" => login().unwrap_or(&identity.id),
        name => name,
    }
}

impl Row for Identity {
    const PLURAL: &'static str = "identities";
    const COLUMNS: &'static [Column] = &[
        Column::id("ID"),
        Column::text("NAME", 10),
        Column::text("ACCOUNTS", 16),
        Column::text("ON ENDPOINTS", 12),
        Column::whole("PRIVILEGED").optional(2),
        Column::number("MFA EVENTS").optional(3),
        Column::whole("LAST EVENT (UTC)").optional(1),
    ];

    fn cells(&self) -> Vec<Cell> {
        let accounts = self.accounts.iter();
        let accounts = accounts.map(|account| format!("{} {}", account.provider, account.login));
        let locals = self.local_accounts.iter();
        let locals = locals.map(|account| format!("{}@{}", user(account), account.hostname));
        vec![
            self.id.as_str().into(),
            name(self).into(),
            accounts.collect::<Vec<_>>().join(", ").into(),
            locals.collect::<Vec<_>>().join(", ").into(),
            match self.privileged {
                true => Cell::styled("yes", Style::High),
                false => Cell::default(),
            },
            self.mfa_events.to_string().into(),
            time::minute(self.last_event_time_ms).into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use tocsin_proto::console::v1::IdentityAccount;

    use super::*;

    fn page(identity: &Identity) -> String {
        let mut page = Page::new(Some(100), false);
        describe(identity, &mut page);
        page.finish()
    }

    #[test]
    fn a_person_without_endpoints_is_told_how_to_get_one() {
        let identity = Identity {
            id: "12345678-0000".into(),
            accounts: vec![IdentityAccount {
                provider: "okta".into(),
                login: "dana@example.com".into(),
                ..IdentityAccount::default()
            }],
            ..Identity::default()
        };
        let page = page(&identity);
        assert!(page.starts_with("dana@example.com\n"), "{page}");
        assert!(page.contains("  - okta dana@example.com\n"), "{page}");
        assert!(page.contains("identities link 12345678"), "{page}");
    }

    #[test]
    fn a_link_says_whose_it_is_and_how_sure() {
        let identity = Identity {
            local_accounts: vec![LocalAccount {
                hostname: "lab-7\x1b".into(),
                user: "dana".into(),
                uid: "1000".into(),
                source: "analyst".into(),
                confidence: "certain".into(),
                linked_by: "kim".into(),
                ..LocalAccount::default()
            }],
            ..Identity::default()
        };
        let said = "  - dana on lab-7\\x1b (uid 1000, certain, from analyst, linked by kim)\n";
        assert!(page(&identity).contains(said), "{}", page(&identity));
    }

    #[test]
    fn a_link_by_number_alone_shows_the_number() {
        let identity = Identity {
            local_accounts: vec![LocalAccount {
                hostname: "lab-7".into(),
                uid: "0".into(),
                ..LocalAccount::default()
            }],
            ..Identity::default()
        };
        let page = page(&identity);
        assert!(page.contains("  - uid 0 on lab-7\n"), "{page}");
        let row = format!("{:?}", identity.cells());
        assert!(row.contains("\"uid 0@lab-7\""), "{row}");
    }
}
