//! `tocsin identities`: people, their accounts at providers, and their accounts on endpoints.

use clap::Subcommand;
use tocsin_proto::console::v1::{Identity, LinkIdentityRequest, ListIdentitiesRequest};

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
        let said = format!(
            "{} {} (id {}; {}, from {})",
            account.provider,
            account.login,
            account.provider_id,
            account.confidence,
            account.source
        );
        page.item("-", &said);
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
        let mut said = format!("{} on {}", account.user, account.hostname);
        if !account.uid.is_empty() {
            said += &format!(" (uid {})", account.uid);
        }
        said += &format!("; {}, from {}", account.confidence, account.source);
        if !account.linked_by.is_empty() {
            let when = time::minute(account.linked_time_ms);
            said += &format!("; linked by {} {when}", account.linked_by);
        }
        page.item("-", &said);
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
        let locals = locals.map(|account| format!("{}@{}", account.user, account.hostname));
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
