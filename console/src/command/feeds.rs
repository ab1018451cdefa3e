//! `tocsin feeds`: connections to identity providers, and imports of their files.
//!
//! An import reads the file on this side, piece by piece, no faster than the server takes it. It ends
//! when every record is committed and correlated. Where reading fails in the middle the call is broken
//! off, so that the server does not take what it has for the whole.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use tocsin_proto::console::v1::{
    Feed, ImportFeedResponse, ImportHeader, ImportKind, ImportSummary,
};
use tocsin_proto::limits::{MAPPING_BYTES_MAX, TEXT_BYTES_MAX};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use super::Session;
use super::feeds_live::{self, Add};
use super::upload::{Source, cut_bytes, transfer};
use super::watch_list::Watch;
use crate::client::{Client, ClientError, import_channel};
use crate::exit::{Exit, Failure};
use crate::output::Row;
use crate::output::page::Page;
use crate::output::style::Style;
use crate::output::table::{Cell, Column};
use crate::{text, time};

#[derive(Debug, Subcommand)]
pub(crate) enum Feeds {
    /// All feeds.
    List(Watch),
    /// Import a provider's file: a JSON array, JSON lines, or what its API returned.
    ///
    /// Records that were imported before are counted, not stored again. Each malformed one is named as
    /// `line N: reason`, and the exit code is 2 then.
    Import {
        /// The file; - for standard input.
        file: PathBuf,
        /// Whose records they are: okta, entra, duo, google, onelogin, auth0, jumpcloud, ping, generic.
        #[arg(long, value_name = "PROVIDER")]
        provider: String,
        /// With generic: the file that says where a record's values stand.
        #[arg(long, value_name = "FILE")]
        mapping: Option<PathBuf>,
        /// Store nothing: only tell what the records are, and why some are refused.
        #[arg(long)]
        dry_run: bool,
    },
    /// Make a live feed: the server asks the provider for its records from now on.
    ///
    /// The secret is sealed by the server and shown to nobody. How the feed is: tocsin feeds status.
    Add(Add),
    /// Ask a live feed's provider for its newest records; nothing is stored. Exit code 1 where it refuses.
    Test {
        /// Its name.
        name: String,
    },
    /// How live feeds are: what each is doing, how far it is behind, its last error and next try.
    Status {
        /// One alone.
        name: Option<String>,
    },
    /// End a live feed and forget its secret. Its records stay.
    Remove {
        /// Its name.
        name: String,
    },
}

impl Feeds {
    /// Does it; connects when there is something to send.
    ///
    /// # Errors
    /// Every [`Failure`].
    pub(crate) async fn perform(
        self,
        connect: impl AsyncFnOnce() -> Result<Session, Failure>,
    ) -> Result<Exit, Failure> {
        match self {
            Self::List(watch) => {
                let mut session = connect().await?;
                if watch.is_on {
                    return session.watch(Client::feeds).await;
                }
                let feeds = session.client.feeds().await?;
                let mut rows = session.out.rows();
                rows.write(&feeds)?;
                rows.finish()?;
                Ok(Exit::Done)
            }
            Self::Import {
                file,
                provider,
                mapping,
                dry_run,
            } => {
                let source = Source::open(&file).await?;
                let header = ImportHeader {
                    provider,
                    file_name: cut_bytes(&source.name, TEXT_BYTES_MAX).to_owned(),
                    mapping: match mapping {
                        Some(path) => read_mapping(&path).await?,
                        None => Vec::new(),
                    },
                    dry_run,
                };
                import(connect().await?, source, header).await
            }
            Self::Add(add) => {
                let request = add.request().await?;
                feeds_live::add(connect().await?, request).await
            }
            Self::Test { name } => feeds_live::test(connect().await?, name).await,
            Self::Status { name } => feeds_live::status(connect().await?, name).await,
            Self::Remove { name } => feeds_live::remove(connect().await?, name).await,
        }
    }
}

/// A mapping file, no longer than the server takes by more than a byte: then it says so.
async fn read_mapping(path: &Path) -> Result<Vec<u8>, Failure> {
    let failure = |source| Failure::Input {
        file: text::path(path),
        source,
    };
    let file = tokio::fs::File::open(path).await.map_err(failure)?;
    let mut bytes = Vec::new();
    let mut piece = file.take(MAPPING_BYTES_MAX as u64 + 1);
    piece.read_to_end(&mut bytes).await.map_err(failure)?;
    Ok(bytes)
}

async fn import(
    mut session: Session,
    source: Source,
    header: ImportHeader,
) -> Result<Exit, Failure> {
    let (name, is_dry) = (source.name.clone(), header.dry_run);
    let mut progress = Progress::new(source.bytes);
    let (sender, receiver) = import_channel();
    let call = receive(&session.client, header, receiver, &mut progress);
    let result = transfer(source, sender, call).await;
    progress.clear();
    let summary = result?;
    for problem in &summary.problems {
        let reason = text::line(&problem.reason);
        crate::say(&format!("line {}: {reason}\n", problem.line));
    }
    let unnamed = summary
        .malformed
        .saturating_sub(summary.problems.len() as u64);
    if unnamed > 0 {
        crate::say(&format!("and {unnamed} more malformed\n"));
    }
    session.out.object(&summary, |summary, page| {
        describe(&name, summary, page, is_dry);
    })?;
    Ok(match summary.malformed {
        0 => Exit::Done,
        _ => Exit::Partly,
    })
}

async fn receive(
    client: &Client,
    header: ImportHeader,
    chunks: mpsc::Receiver<Vec<u8>>,
    progress: &mut Progress,
) -> Result<ImportSummary, ClientError> {
    let mut answers = client.import_feed(header, chunks).await?;
    while let Some(answer) = answers.next().await? {
        match answer.summary {
            Some(summary) => return Ok(summary),
            None => progress.show(&answer),
        }
    }
    Err(ClientError::Nonsense {
        attempt: "import a feed".to_owned(),
        what: "the server ended without a summary",
    })
}

/// A line on standard error that is written over again and again, where somebody watches.
struct Progress {
    is_watched: bool,
    bytes: Option<u64>,
    /// Columns of the line that stands there.
    columns: usize,
}

impl Progress {
    fn new(bytes: Option<u64>) -> Self {
        Self {
            is_watched: io::stderr().is_terminal(),
            bytes,
            columns: 0,
        }
    }

    fn show(&mut self, answer: &ImportFeedResponse) {
        if self.is_watched {
            let line = progress_line(answer, self.bytes);
            self.replace(&line);
        }
    }

    fn clear(&mut self) {
        if self.columns > 0 {
            self.replace("");
            crate::say("\r");
        }
    }

    fn replace(&mut self, line: &str) {
        let rest = " ".repeat(self.columns.saturating_sub(line.len()));
        crate::say(&format!("\r{line}{rest}"));
        self.columns = line.len();
    }
}

fn progress_line(answer: &ImportFeedResponse, bytes: Option<u64>) -> String {
    let read = super::bytes(answer.bytes_read);
    let records = super::count(answer.records_read, "record");
    match bytes {
        Some(all) => {
            let all = super::bytes(all);
            format!("{read} of {all}, {records}")
        }
        None => format!("{read}, {records}"),
    }
}

pub(super) const KINDS: &[Column] = &[
    Column::number("RECORDS"),
    Column::whole("OUTCOME"),
    Column::text("KIND OR REASON", 20),
];

fn describe(name: &str, summary: &ImportSummary, page: &mut Page, is_dry: bool) {
    let read = match summary.records {
        0 => format!("{name}: no records"),
        records => format!("{name}: {} read", super::count(records, "record")),
    };
    page.paragraph(&read, Style::Heading);
    for (label, n) in [
        (if is_dry { "Usable" } else { "Imported" }, summary.imported),
        ("Repeated", summary.repeated),
        ("Unused", summary.unused),
    ] {
        page.field(label, &n.to_string());
    }
    let style = match summary.malformed {
        0 => Style::Plain,
        _ => Style::Medium,
    };
    page.field_styled("Malformed", &summary.malformed.to_string(), style);
    if summary.blank_lines > 0 {
        page.field("Blank lines", &summary.blank_lines.to_string());
    }
    if is_dry {
        page.field("Stored", "nothing: a dry run");
    } else {
        let incidents = format!(
            "{} opened, {} updated",
            summary.incidents_opened, summary.incidents_updated
        );
        page.field("Incidents", &incidents);
    }
    if is_dry && !summary.kinds.is_empty() {
        page.section("Kinds");
        page.table(KINDS, summary.kinds.iter().map(kind_row).collect());
    }
}

pub(super) fn kind_row(kind: &ImportKind) -> Vec<Cell> {
    vec![
        kind.records.to_string().into(),
        kind.outcome.as_str().into(),
        kind.what.as_str().into(),
    ]
}

impl Row for Feed {
    const PLURAL: &'static str = "feeds";
    const COLUMNS: &'static [Column] = &[
        Column::text("ID", 8),
        Column::text("PROVIDER", 8),
        Column::whole("KIND"),
        Column::whole("STATE").optional(3),
        Column::number("MFA EVENTS"),
        Column::number("MALFORMED").optional(1),
        Column::whole("NEWEST RECORD (UTC)"),
        Column::whole("LAST RECEIVED (UTC)").optional(2),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            self.id.as_str().into(),
            self.provider.as_str().into(),
            self.kind.as_str().into(),
            Cell::styled(self.state.as_str(), feeds_live::state_style(self)),
            self.mfa_events.to_string().into(),
            self.malformed.to_string().into(),
            time::second(self.last_event_time_ms).into(),
            time::second(self.last_receive_time_ms).into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_in_bytes_and_records() {
        let answer = ImportFeedResponse {
            bytes_read: 1 << 20,
            records_read: 1,
            summary: None,
        };
        assert_eq!(progress_line(&answer, None), "1.0 MiB, 1 record");
        assert_eq!(
            progress_line(&answer, Some(3 << 20)),
            "1.0 MiB of 3.0 MiB, 1 record"
        );
    }
}
