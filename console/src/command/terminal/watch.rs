//! `tocsin terminal watch`: what one prints, made safe, until it ends or Ctrl-C.

use std::io::Write as _;

use tocsin_proto::console::v1::TerminalNews;
use tocsin_proto::console::v1::terminal_news::Message as News;

use super::ending;
use super::local::{Local, told_to_end};
use crate::client::{Client, Messages};
use crate::exit::{Exit, Failure};
use crate::text::stream::{Filter, Form};

/// Watches it.
pub(super) async fn watch(client: &Client, id: &str) -> Result<Exit, Failure> {
    let mut news = client.watch_terminal(id).await?;
    let shown = Local::now().shown;
    let mut filter = Filter::new(if shown { Form::Screen } else { Form::Plain });
    let watched = tokio::select! {
        watched = follow(&mut news, &mut filter) => watched,
        () = told_to_end() => Ok(None),
    };
    let mut out = std::io::stdout().lock();
    out.write_all(filter.restore().as_bytes())?;
    out.flush()?;
    if let Some(said) = watched? {
        crate::say(&format!("\ntocsin: {}\n", crate::text::line(&said)));
    }
    Ok(Exit::Done)
}

/// Shows everything until the end; what is said about that.
async fn follow(
    news: &mut Messages<TerminalNews>,
    filter: &mut Filter,
) -> Result<Option<String>, Failure> {
    while let Some(TerminalNews { message }) = news.next().await? {
        match message {
            Some(News::Opened(row)) => {
                let said = format!(
                    "terminal {} of {} at {}, {} columns, {} rows; Ctrl-C ends watching",
                    row.id, row.analyst, row.hostname, row.columns, row.rows
                );
                crate::say(&format!("tocsin: {}\n", crate::text::line(&said)));
            }
            Some(News::Output(bytes)) => {
                let mut out = std::io::stdout().lock();
                out.write_all(&filter.pass(&bytes))?;
                out.flush()?;
            }
            Some(News::SkippedBytes(bytes)) => {
                crate::say(&format!("\r\ntocsin: {bytes} bytes were missed here\r\n"));
            }
            Some(News::Ended(row)) => return Ok(Some(ending(&row))),
            Some(News::Size(_) | News::InputCredit(_)) | None => {}
        }
    }
    Ok(Some("the server ended the stream".to_owned()))
}
