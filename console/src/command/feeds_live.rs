//! `tocsin feeds add|test|status|remove`: live feeds.
//!
//! A secret comes from a file or from standard input, never from the command line, where others on this machine could read
//! it. It is sent to the server once, which seals it; no answer ever holds it.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use tocsin_proto::console::v1::{
    AddFeedRequest, Feed, RemoveFeedRequest, TestFeedRequest, TestFeedResponse,
};
use tocsin_proto::limits::{FEED_CA_BYTES_MAX, FEED_SECRET_BYTES_MAX};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::Session;
use super::feeds::{KINDS, kind_row};
use crate::exit::{Exit, Failure};
use crate::output::Row;
use crate::output::page::Page;
use crate::output::style::Style;
use crate::output::table::{Cell, Column};
use crate::time::Moment;
use crate::{text, time};

/// Beyond this a live feed's lag is worth a look.
const BEHIND_MS: u64 = 15 * 60 * 1000;

/// What a live feed is made from.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Whose records: okta.
    #[arg(long, value_name = "PROVIDER")]
    provider: String,
    /// Where the provider's interface is, without a path: https://NAME.okta.com.
    #[arg(long, value_name = "URL", default_value = "")]
    url: String,
    /// File with the secret; - for standard input. Okta: an API token of a read-only administrator.
    #[arg(long, value_name = "FILE")]
    secret_file: PathBuf,
    /// Its name, where the provider's word is not enough: a-z, 0-9, - and _.
    #[arg(long, default_value = "")]
    name: String,
    /// Authorities to trust instead of the server's system's, PEM: for a proxy that opens TLS.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// How old the oldest records may be that it begins with: 30d, 12h, or a date.
    #[arg(long, value_name = "WHEN", default_value = "30d")]
    since: Moment,
}

impl Add {
    /// The request, with what its files hold.
    pub(super) async fn request(self) -> Result<AddFeedRequest, Failure> {
        let now = jiff::Timestamp::now();
        let history_ms = now
            .as_millisecond()
            .saturating_sub(self.since.first_ms(now));
        let ca_pem = match &self.ca_file {
            Some(path) => {
                let bytes = read_file(path, FEED_CA_BYTES_MAX).await?;
                String::from_utf8_lossy(&bytes).into_owned()
            }
            None => String::new(),
        };
        Ok(AddFeedRequest {
            provider: self.provider,
            name: self.name,
            url: self.url,
            secret: read_secret(&self.secret_file).await?,
            ca_pem,
            history_ms: u64::try_from(history_ms).unwrap_or_default().max(1),
            ..AddFeedRequest::default()
        })
    }
}

/// Makes one.
pub(super) async fn add(mut session: Session, request: AddFeedRequest) -> Result<Exit, Failure> {
    let feed = session.client.add_feed(request).await?;
    session.out.object(&feed, |feed, page| {
        let said = format!("{} was added and has begun", feed.name);
        page.paragraph(&said, Style::Plain);
        page.field("Test it", &format!("tocsin feeds test {}", feed.name));
        page.field("Follow it", "tocsin feeds status");
    })?;
    Ok(Exit::Done)
}

/// Asks the provider for its newest records.
pub(super) async fn test(mut session: Session, name: String) -> Result<Exit, Failure> {
    let answer = session.client.test_feed(TestFeedRequest { name }).await?;
    session.out.object(&answer, describe)?;
    Ok(match answer.ok {
        true => Exit::Done,
        false => Exit::Failed,
    })
}

/// Ends one.
pub(super) async fn remove(mut session: Session, name: String) -> Result<Exit, Failure> {
    let request = RemoveFeedRequest { name };
    let answer = session.client.remove_feed(request).await?;
    session.out.object(&answer, |answer, page| {
        let said = format!(
            "{} was removed, and its secret with it; its records stay",
            answer.name
        );
        page.paragraph(&said, Style::Plain);
    })?;
    Ok(Exit::Done)
}

/// How the live ones are; all of them, or one.
pub(super) async fn status(mut session: Session, name: Option<String>) -> Result<Exit, Failure> {
    let feeds = session.client.feeds().await?;
    let wanted = |feed: &Feed| {
        let is_one = name.as_ref().is_none_or(|name| *name == feed.name);
        feed.kind == "live" && is_one && (feed.state != "removed" || name.is_some())
    };
    let live: Vec<Live> = feeds.into_iter().filter(wanted).map(Live).collect();
    if let Some(name) = name.filter(|_| live.is_empty()) {
        let name = text::line(&name);
        return Err(Failure::Usage(format!("there is no live feed '{name}'")));
    }
    let mut rows = session.out.rows();
    rows.write(&live)?;
    rows.finish()?;
    Ok(Exit::Done)
}

/// A live feed as `status` shows it; in JSON it is the same row as in `list`.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Live(Feed);

impl Row for Live {
    const PLURAL: &'static str = "live feeds";
    const COLUMNS: &'static [Column] = &[
        Column::text("NAME", 4),
        Column::text("PROVIDER", 8).optional(4),
        Column::whole("STATE"),
        Column::whole("BEHIND"),
        Column::whole("NEWEST RECORD (UTC)").optional(2),
        Column::number("MFA EVENTS").optional(3),
        Column::number("MALFORMED").optional(1),
        Column::whole("NEXT TRY (UTC)").optional(5),
        Column::text("LAST ERROR", 16),
    ];

    fn cells(&self) -> Vec<Cell> {
        let feed = &self.0;
        let is_wrong = matches!(feed.state.as_str(), "failing" | "waiting");
        let error = match (is_wrong, feed.malformed_reason.as_str()) {
            (true, _) => feed.last_error.clone(),
            (false, "") => String::new(),
            (false, reason) => format!("malformed: a record {reason}"),
        };
        let next = match is_wrong {
            true => time::second(feed.next_try_time_ms),
            false => String::new(),
        };
        vec![
            feed.name.as_str().into(),
            feed.provider.as_str().into(),
            Cell::styled(feed.state.as_str(), state_style(feed)),
            behind(feed).as_str().into(),
            time::second(feed.last_event_time_ms).into(),
            feed.mfa_events.to_string().into(),
            feed.malformed.to_string().into(),
            next.into(),
            error.as_str().into(),
        ]
    }
}

/// How bad a live feed's state is.
pub(crate) fn state_style(feed: &Feed) -> Style {
    match feed.state.as_str() {
        "failing" => Style::High,
        _ if feed.behind_ms > BEHIND_MS => Style::Medium,
        "waiting" => Style::Medium,
        "current" => Style::Good,
        _ => Style::Plain,
    }
}

/// How far it is behind, roughly.
pub(crate) fn behind(feed: &Feed) -> String {
    let seconds = feed.behind_ms / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn describe(answer: &TestFeedResponse, page: &mut Page) {
    let (said, style) = match answer.ok {
        true => (
            format!("{}: the provider answers", answer.name),
            Style::Good,
        ),
        false => (format!("{}: {}", answer.name, answer.error), Style::High),
    };
    page.paragraph(&said, style);
    if answer.ok {
        page.field("Newest records", &answer.records.to_string());
        page.field("Used", &answer.used.to_string());
        page.field("Unused", &answer.unused.to_string());
        page.field("Malformed", &answer.malformed.to_string());
        let newest = match answer.newest_event_time_ms {
            0 => "none".to_owned(),
            time_ms => format!("{} UTC", time::second(time_ms)),
        };
        page.field("Newest", &newest);
        page.field("Stored", "nothing: a test");
    }
    page.field("Took", &format!("{} ms", answer.took_ms));
    if !answer.advice.is_empty() {
        page.field("Advice", &answer.advice);
    }
    if !answer.kinds.is_empty() {
        page.section("Kinds");
        page.table(KINDS, answer.kinds.iter().map(kind_row).collect());
    }
}

/// A secret, without the line break that files end with.
async fn read_secret(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = if path == Path::new("-") {
        if std::io::stdin().is_terminal() {
            let said = "--secret-file -: standard input is a terminal, which would show the secret";
            return Err(Failure::Usage(said.to_owned()));
        }
        read(tokio::io::stdin(), path, FEED_SECRET_BYTES_MAX).await?
    } else {
        read_file(path, FEED_SECRET_BYTES_MAX).await?
    };
    while bytes.last().is_some_and(u8::is_ascii_whitespace) {
        bytes.pop();
    }
    Ok(bytes)
}

async fn read_file(path: &Path, most: usize) -> Result<Vec<u8>, Failure> {
    let file = tokio::fs::File::open(path).await;
    let file = file.map_err(|source| Failure::Input {
        file: text::path(path),
        source,
    })?;
    read(file, path, most).await
}

/// All of it; a byte more than the server takes, where there is more, so that the server says so.
async fn read(from: impl AsyncRead + Unpin, path: &Path, most: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = from.take(most as u64 + 1).read_to_end(&mut bytes).await;
    read.map_err(|source| Failure::Input {
        file: text::path(path),
        source,
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_behind_is_said_roughly() {
        let said = |behind_ms| {
            behind(&Feed {
                behind_ms,
                ..Feed::default()
            })
        };
        assert_eq!(said(0), "0 s");
        assert_eq!(said(59_999), "59 s");
        assert_eq!(said(60_000), "1 min");
        assert_eq!(said(47 * 3_600_000), "47 h");
        assert_eq!(said(48 * 3_600_000), "2 days");
    }

    #[tokio::test]
    async fn a_secret_loses_its_line_break_and_nothing_else() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), " 00to ken\r\n").unwrap();
        assert_eq!(read_secret(file.path()).await.unwrap(), b" 00to ken");
    }
}
