//! `tocsin audit`: who did what to what, and whether the log is whole.

use clap::Subcommand;
use tocsin_proto::console::v1::{AuditRow, AuditVerification, ListAuditRequest};

use super::Session;
use super::watch_list::Watch;
use crate::client::{Client, ClientError, Pages};
use crate::exit::{Exit, Failure};
use crate::output::Row;
use crate::output::page::Page;
use crate::output::style::Style;
use crate::output::table::{Cell, Column};
use crate::time;

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// All rows, oldest first.
    List(Watch),
    /// Follow the chain of hashes; exit code 1 where it is broken.
    Verify,
}

impl Audit {
    /// Does it.
    ///
    /// # Errors
    /// Every [`Failure`].
    pub(crate) async fn perform(self, mut session: Session) -> Result<Exit, Failure> {
        match self {
            Self::List(watch) if watch.is_on => {
                let mut log = Log::default();
                session.watch(async |client| log.read(client).await).await
            }
            Self::List(_) => session.list(ListAuditRequest::default()).await,
            Self::Verify => {
                let verification = session.client.verify_audit().await?;
                session.out.object(&verification, describe)?;
                Ok(match verification.intact {
                    true => Exit::Done,
                    false => Exit::Failed,
                })
            }
        }
    }
}

/// The log, read on where it ended: it only grows.
#[derive(Default)]
struct Log {
    /// Of the last page, which may have grown.
    token: String,
}

impl Log {
    async fn read(&mut self, client: &Client) -> Result<Vec<AuditRow>, ClientError> {
        let request = ListAuditRequest::default();
        let mut pages = Pages::from(client, request, self.token.clone());
        let mut rows = Vec::new();
        while let Some(page) = pages.next().await? {
            rows.extend(page);
            if !pages.token().is_empty() {
                pages.token().clone_into(&mut self.token);
            }
        }
        Ok(rows)
    }
}

fn describe(verification: &AuditVerification, page: &mut Page) {
    let rows = super::count(verification.rows, "row");
    if verification.intact {
        page.paragraph(&format!("intact: {rows}"), Style::Good);
    } else {
        let first = verification.first_bad_row;
        let said = format!("NOT INTACT: row {first} of {rows} does not follow from the one before");
        page.paragraph(&said, Style::Critical);
    }
    page.field("Detail", &verification.detail);
    page.field("Head hash", &verification.head_hash);
    page.paragraph(
        "Keep the head hash elsewhere: it shows when rows are cut from the end.",
        Style::Faint,
    );
}

impl Row for AuditRow {
    const PLURAL: &'static str = "audit rows";
    const COLUMNS: &'static [Column] = &[
        Column::number("ID"),
        Column::whole("TIME (UTC)"),
        Column::text("ACTOR", 8),
        Column::text("ACTION", 12),
        Column::text("TARGET", 8),
        Column::whole("DECISION"),
        Column::text("DETAIL", 10).optional(1),
    ];

    fn cells(&self) -> Vec<Cell> {
        let refused = match self.decision.as_str() {
            "allowed" => Style::Plain,
            _ => Style::Medium,
        };
        vec![
            self.id.as_str().into(),
            time::second(self.time_ms).into(),
            format!("{} {}", self.actor_kind, self.actor).into(),
            self.action.as_str().into(),
            self.target.as_str().into(),
            Cell::styled(self.decision.as_str(), refused),
            self.detail.as_str().into(),
        ]
    }
}
