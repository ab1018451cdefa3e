//! `tocsin identities import`: people and their accounts from a CSV file.

use std::path::Path;

use tocsin_proto::console::v1::{IdentitiesImported, ImportIdentitiesHeader};
use tocsin_proto::limits::TEXT_BYTES_MAX;

use super::Session;
use super::upload::{Source, cut_bytes, transfer};
use crate::client::{ClientError, import_channel};
use crate::exit::{Exit, Failure};
use crate::output::page::Page;
use crate::output::style::Style;
use crate::text;

/// Sends the file, and says what came of it.
///
/// # Errors
/// Every [`Failure`].
pub(super) async fn perform(
    connect: impl AsyncFnOnce() -> Result<Session, Failure>,
    file: &Path,
) -> Result<Exit, Failure> {
    let source = Source::open(file).await?;
    let mut session = connect().await?;
    let name = source.name.clone();
    let header = ImportIdentitiesHeader {
        file_name: cut_bytes(&name, TEXT_BYTES_MAX).to_owned(),
    };
    let (sender, receiver) = import_channel();
    let client = session.client.clone();
    let call = async {
        let mut answers = client.import_identities(header, receiver).await?;
        while let Some(answer) = answers.next().await? {
            if let Some(summary) = answer.summary {
                return Ok(summary);
            }
        }
        Err(ClientError::Nonsense {
            attempt: "import identities".to_owned(),
            what: "the server ended without a summary",
        })
    };
    let summary = transfer(source, sender, call).await?;
    for problem in &summary.problems {
        let reason = text::line(&problem.reason);
        crate::say(&format!("line {}: {reason}\n", problem.line));
    }
    session
        .out
        .object(&summary, |summary, page| describe(&name, summary, page))?;
    Ok(match summary.refused {
        0 => Exit::Done,
        _ => Exit::Partly,
    })
}

fn describe(name: &str, summary: &IdentitiesImported, page: &mut Page) {
    let read = match summary.rows {
        0 => format!("{name}: no rows"),
        rows => format!("{name}: {} read", super::count(rows, "row")),
    };
    page.paragraph(&read, Style::Heading);
    page.field("Changed", &summary.changed.to_string());
    page.field("Unchanged", &summary.unchanged.to_string());
    let style = match summary.refused {
        0 => Style::Plain,
        _ => Style::Medium,
    };
    page.field_styled("Refused", &summary.refused.to_string(), style);
    page.field("New people", &summary.identities_added.to_string());
    page.field("Links made", &summary.links_added.to_string());
    let incidents = format!(
        "{} opened, {} updated",
        summary.incidents_opened, summary.incidents_updated
    );
    page.field("Incidents", &incidents);
    page.field("SHA-256", &summary.file_sha256);
}
