//! `tocsin identities`: people, their accounts at providers, and their accounts on endpoints.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::path::PathBuf;

use clap::Subcommand;
use tocsin_proto::console::v1::{
    Coverage, Identity, LinkIdentityRequest, ListIdentitiesRequest, ListUnmappedRequest,
    LocalAccount, UnlinkIdentityRequest,
};

use super::habits::{self, HoursIn};
use super::watch_list::Watch;
use super::{Session, endpoints_devices, identities_import, identities_unmapped};
use crate::exit::{Exit, Failure};
use crate::output::Row;
use crate::output::page::Page;
use crate::output::style::Style;
use crate::output::table::{Cell, Column};
use crate::{text, time};

#[derive(Debug, Subcommand)]
pub(crate) enum Identities {
    /// All people.
    List {
        /// Instead: accounts of endpoints that somebody uses and that are nobody's, and people without an account on any
        /// endpoint.
        #[arg(long)]
        unmapped: bool,
        /// Instead: to whom accounts of endpoints may belong, and why. Nothing is linked until you link it.
        #[arg(long, conflicts_with_all = ["unmapped", "is_on"])]
        suggestions: bool,
        #[command(flatten)]
        watch: Watch,
    },
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
        /// Account name on it, or its uid or SID.
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
        /// Take the account over from whom it is linked to.
        #[arg(long = "move")]
        is_move: bool,
    },
    /// Say that an account on an endpoint is not this person's. No import links it again.
    Unlink {
        /// Id, or a login.
        id: String,
        /// The endpoint: id or hostname.
        #[arg(long, value_name = "ENDPOINT")]
        endpoint: String,
        /// Account name on it, or its uid or SID.
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
        /// Do not ask, also where a person is at the terminal.
        #[arg(short, long)]
        yes: bool,
    },
    /// Import people and their accounts from a CSV file in UTF-8.
    #[command(after_long_help = IMPORT_HELP)]
    Import {
        /// The file; - for standard input.
        file: PathBuf,
    },
}

/// Below `identities import --help`.
const IMPORT_HELP: &str = "\
The first line names the columns, in any order; an unknown one refuses the file:
  mail, upn          who it is: one of them must be there; both in one row are one person's
  sid                SID of the account
  sam_account_name   its name, with or without the domain
  uid                its uid on Unix
  privilege          yes or no: holds administrative rights; counts for the severity of incidents
  name               how the person is called
  endpoint           id or hostname: the row is about the account on this endpoint alone

A row with an endpoint links that account. A row without one is about every endpoint: where an account is or will be
seen with this SID, with this UPN or mail as its name, with this uid and name, or with this sam_account_name, it is
linked. Without sam_account_name, a uid counts with the name before the @.

An import adds and changes, and never removes; the same file again changes nothing. It takes no account from anybody,
and what an analyst linked or unlinked stays so. Rows that are not taken are named as `line N: reason`, and the exit
code is 2 then.";

impl Identities {
    /// Does it; connects when there is something to ask.
    ///
    /// # Errors
    /// Every [`Failure`].
    pub(crate) async fn perform(
        self,
        connect: impl AsyncFnOnce() -> Result<Session, Failure>,
    ) -> Result<Exit, Failure> {
        match self {
            Self::Import { file } => identities_import::perform(connect, &file).await,
            other => other.ask(connect().await?).await,
        }
    }

    async fn ask(self, mut session: Session) -> Result<Exit, Failure> {
        let identity = match self {
            Self::List {
                unmapped: true,
                watch,
                ..
            } => {
                let listing = ListUnmappedRequest::default();
                return session.list_or_watch(listing, watch).await;
            }
            Self::List {
                suggestions: true, ..
            } => return identities_unmapped::suggestions(session).await,
            Self::List { watch, .. } => {
                let listing = ListIdentitiesRequest::default();
                return session.list_or_watch(listing, watch).await;
            }
            Self::Import { .. } => return Ok(Exit::Usage),
            Self::Show { id } => session.client.identity(&id).await?,
            Self::Link {
                id,
                endpoint,
                user,
                reason,
                is_move,
            } => {
                let request = LinkIdentityRequest {
                    id,
                    endpoint,
                    user,
                    reason,
                    r#move: is_move,
                };
                let asked = request.clone();
                let identity = session.client.link_identity(request).await?;
                warn(&identity, &asked);
                identity
            }
            Self::Unlink {
                id,
                endpoint,
                user,
                reason,
                yes,
            } => {
                let request = UnlinkIdentityRequest {
                    id,
                    endpoint,
                    user,
                    reason,
                };
                if !yes && !is_confirmed(&request)? {
                    crate::say("nothing was changed\n");
                    return Ok(Exit::Failed);
                }
                session.client.unlink_identity(request).await?
            }
        };
        session.out.object(&identity, describe)?;
        Ok(Exit::Done)
    }
}

/// Says where an account was linked that no event has named.
fn warn(identity: &Identity, asked: &LinkIdentityRequest) {
    let is_asked = |one: &&LocalAccount| {
        (one.endpoint.starts_with(&asked.endpoint) || one.hostname == asked.endpoint)
            && (one.user == asked.user || one.uid == asked.user)
    };
    let linked = identity.local_accounts.iter().find(is_asked);
    if let Some(one) = linked.filter(|one| one.never_seen) {
        crate::say(&format!(
            "tocsin: warning: no event of {} has named '{}' so far: is it spelled right?\n",
            text::line(&one.hostname),
            text::line(&asked.user)
        ));
    }
}

/// Characters of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 64;

/// Asks a person at the terminal; where there is none, the command itself is the word.
fn is_confirmed(request: &UnlinkIdentityRequest) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(true);
    }
    crate::say(&format!(
        "unlink '{}' on {} from {}? [y/N] ",
        text::line(&request.user),
        text::line(&request.endpoint),
        text::line(&request.id)
    ));
    let mut answer = String::new();
    io::stdin()
        .lock()
        .take(ANSWER_BYTES_MAX)
        .read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn describe(identity: &Identity, page: &mut Page) {
    page.paragraph(name(identity), Style::Heading);
    page.field("Id", &identity.id);
    page.field("Former ids", &identity.aliases.join(", "));
    if identity.privileged {
        let by = match identity.privileged_by.is_empty() {
            true => "yes".to_owned(),
            false => format!("yes, by {}", identity.privileged_by.join(" and ")),
        };
        page.field_styled("Privileged", &by, Style::High);
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
            match account.never_seen {
                true => "never seen there".to_owned(),
                false => String::new(),
            },
        ];
        let name = format!("{} on {}", user(account), account.hostname);
        page.item("-", &with(&name, &about));
    }
    devices(identity, page);
    usual(identity, page);
    if let Some(coverage) = &identity.coverage {
        page.section("Coverage: of how many attempts it is known where they came from");
        page.paragraph(&told(coverage), Style::Plain);
        for step in &coverage.next_steps {
            page.item("-", &step.text);
        }
    }
}

fn usual(identity: &Identity, page: &mut Page) {
    page.section("Usual for this person, learned from their sign-ins");
    let hours = HoursIn {
        zone: "UTC",
        ahead_ms: 0,
    };
    for (name, said, style) in habits::lines(identity.usual.as_ref(), hours, time::minute) {
        page.field_styled(name, &said, style);
    }
}

/// What providers call the person's endpoints.
fn devices(identity: &Identity, page: &mut Page) {
    if !identity.devices.is_empty() {
        page.section("These endpoints at providers");
    }
    for device in &identity.devices {
        let said = format!("{}: {}", device.hostname, endpoints_devices::said(device));
        page.item("-", &said);
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
