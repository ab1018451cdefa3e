//! `tocsin audit`: who did what to what, and whether the log is whole.

use clap::Subcommand;
use tocsin_proto::console::v1::{AuditRow, AuditVerification, ListAuditRequest};

use super::Session;
use crate::exit::{Exit, Failure};
use crate::output::Row;
use crate::output::page::Page;
use crate::output::style::Style;
use crate::output::table::{Cell, Column};
use crate::time;

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// All rows, oldest first.
    List,
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
            Self::List => session.list(ListAuditRequest::default()).await,
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
