//! `tocsin feeds`: connections to identity providers, and imports of their files.
//!
//! An import reads the file on this side, piece by piece, no faster than the server takes it. It ends
//! when every record is committed and correlated. Where reading fails in the middle the call is broken
//! off, so that the server does not take what it has for the whole.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use tocsin_proto::console::v1::{Feed, ImportFeedResponse, ImportHeader, ImportSummary};
use tocsin_proto::limits::{IMPORT_CHUNK_BYTES, MAPPING_BYTES_MAX, TEXT_BYTES_MAX};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc;

use super::Session;
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
    List,
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
            Self::List => {
                let mut session = connect().await?;
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
            } => {
                let source = Source::open(&file).await?;
                let header = ImportHeader {
                    provider,
                    file_name: cut_bytes(&source.name, TEXT_BYTES_MAX).to_owned(),
                    mapping: match mapping {
                        Some(path) => read_mapping(&path).await?,
                        None => Vec::new(),
                    },
                };
                import(connect().await?, source, header).await
            }
        }
    }
}

/// The file that is imported.
struct Source {
    /// Its name, clean.
    name: String,
    reader: Box<dyn AsyncRead + Send + Unpin>,
    /// Its size, where it has one.
    bytes: Option<u64>,
}

impl Source {
    async fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self {
                name: "standard input".to_owned(),
                reader: Box::new(tokio::io::stdin()),
                bytes: None,
            });
        }
        let failure = |source| Failure::Input {
            file: text::path(path),
            source,
        };
        let file = tokio::fs::File::open(path).await.map_err(failure)?;
        let metadata = file.metadata().await.map_err(failure)?;
        if metadata.is_dir() {
            return Err(failure(io::ErrorKind::IsADirectory.into()));
        }
        let name = path.file_name().unwrap_or(path.as_os_str());
        Ok(Self {
            name: text::path(Path::new(name)),
            reader: Box::new(file),
            bytes: metadata.is_file().then_some(metadata.len()),
        })
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
    let name = source.name.clone();
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
    session
        .out
        .object(&summary, |summary, page| describe(&name, summary, page))?;
    Ok(match summary.malformed {
        0 => Exit::Done,
        _ => Exit::Partly,
    })
}

/// Sends the file while the server answers; ends as soon as either fails.
async fn transfer<T>(
    source: Source,
    sender: mpsc::Sender<Vec<u8>>,
    call: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, Failure> {
    let file = source.name.clone();
    let mut call = std::pin::pin!(call);
    tokio::select! {
        // The server's word counts more than whether all was sent.
        biased;
        result = &mut call => return Ok(result?),
        sent = send(source, sender) => {
            // On failure the sender is still alive here, and outlives the call.
            if let Err((source, sender)) = sent {
                let failed = Err(Failure::Input { file, source });
                return Held { call, sender }.give_up(failed);
            }
        }
    }
    Ok(call.await?)
}

/// A call that must end before its sender does.
struct Held<C> {
    call: C,
    sender: mpsc::Sender<Vec<u8>>,
}

impl<C> Held<C> {
    fn give_up<T>(self, result: T) -> T {
        drop(self.call);
        drop(self.sender);
        result
    }
}

/// Reads the file piece by piece. On failure the sender comes back: dropping it would mean the end of
/// the file.
async fn send(
    mut source: Source,
    sender: mpsc::Sender<Vec<u8>>,
) -> Result<(), (io::Error, mpsc::Sender<Vec<u8>>)> {
    loop {
        let mut chunk = Vec::with_capacity(IMPORT_CHUNK_BYTES);
        let mut piece = (&mut source.reader).take(IMPORT_CHUNK_BYTES as u64);
        if let Err(error) = piece.read_to_end(&mut chunk).await {
            return Err((error, sender));
        }
        // A receiver that is gone means that the call has ended; it says why.
        if chunk.is_empty() || sender.send(chunk).await.is_err() {
            return Ok(());
        }
    }
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

/// The longest beginning of so many bytes.
fn cut_bytes(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max))
        .unwrap_or(text)
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

fn describe(name: &str, summary: &ImportSummary, page: &mut Page) {
    let read = match summary.records {
        0 => format!("{name}: no records"),
        records => format!("{name}: {} read", super::count(records, "record")),
    };
    page.paragraph(&read, Style::Heading);
    for (label, n) in [
        ("Imported", summary.imported),
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
    let incidents = format!(
        "{} opened, {} updated",
        summary.incidents_opened, summary.incidents_updated
    );
    page.field("Incidents", &incidents);
}

impl Row for Feed {
    const PLURAL: &'static str = "feeds";
    const COLUMNS: &'static [Column] = &[
        Column::text("ID", 8),
        Column::text("PROVIDER", 8),
        Column::whole("KIND"),
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
            self.mfa_events.to_string().into(),
            self.malformed.to_string().into(),
            time::second(self.last_event_time_ms).into(),
            time::second(self.last_receive_time_ms).into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;

    use super::*;

    /// Gives so many bytes, then an error.
    struct Failing(usize);

    impl AsyncRead for Failing {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if self.0 == 0 {
                return Poll::Ready(Err(io::Error::other("disk on fire")));
            }
            let some = self.0.min(buf.remaining());
            buf.put_slice(&vec![b'x'; some]);
            self.0 -= some;
            Poll::Ready(Ok(()))
        }
    }

    fn source(reader: impl AsyncRead + Send + Unpin + 'static) -> Source {
        Source {
            name: "x.json".into(),
            reader: Box::new(reader),
            bytes: None,
        }
    }

    #[tokio::test]
    async fn a_file_goes_in_pieces_of_bounded_size() {
        let (sender, mut receiver) = import_channel();
        let content = vec![7; IMPORT_CHUNK_BYTES * 2 + 1];
        let reader = io::Cursor::new(content.clone());
        let sent = tokio::spawn(send(source(reader), sender));
        let mut all = Vec::new();
        while let Some(chunk) = receiver.recv().await {
            assert!(!chunk.is_empty() && chunk.len() <= IMPORT_CHUNK_BYTES);
            all.extend(chunk);
        }
        assert!(sent.await.unwrap().is_ok());
        assert_eq!(all, content);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_to_its_end_is_not_taken_for_whole() {
        let (sender, mut receiver) = import_channel();
        // Stands for the call: it would see the end of the file if there were one.
        let call = async {
            while receiver.recv().await.is_some() {}
            Ok("taken for whole")
        };
        let failure = transfer(source(Failing(10)), sender, call)
            .await
            .unwrap_err();
        assert!(matches!(failure, Failure::Input { .. }));
        assert_eq!(crate::exit::chain(&failure), "read x.json: disk on fire");
    }

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

    #[test]
    fn a_name_is_cut_between_characters() {
        assert_eq!(cut_bytes("aé", 2), "a");
        assert_eq!(cut_bytes("aé", 3), "aé");
    }
}
