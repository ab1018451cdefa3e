//! The terminal pane's side of the network: a task for the one that is open.
//!
//! What the endpoint prints goes through the channel of news, which is bounded; credit goes back when the screens have
//! taken it. What is typed waits here for credit, within a bound.

use tocsin_proto::console::v1::open_terminal_request::Message as Said;
use tocsin_proto::console::v1::terminal_news::Message as TerminalNews;
use tocsin_proto::console::v1::{TerminalClose, TerminalHeader, TerminalSize};
use tocsin_proto::limits::{
    TERMINAL_CHUNK_BYTES_MAX, TERMINAL_INPUT_WINDOW_BYTES, TERMINAL_OUTPUT_WINDOW_BYTES,
};
use tokio::sync::mpsc;

use super::task::{problem, tell};
use super::{Client, ClientError, TerminalCall};
use crate::action::ToTerminal;
use crate::event::{News, PaneNews};

/// Keys and the like that wait for the task.
pub(super) const KEYS_MAX: usize = 256;

/// Bytes of input that wait for credit; what is typed beyond is dropped, as a terminal does that is not read.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// Keeps one terminal until its end. When `keys` is closed it is closed.
pub(super) async fn keep(
    client: Option<Client>,
    header: TerminalHeader,
    keys: mpsc::Receiver<ToTerminal>,
    news: mpsc::Sender<News>,
) {
    let ended = match client {
        Some(client) => run(&client, header, keys, &news)
            .await
            .map_err(|error| problem(&error)),
        None => Err("not connected".to_owned()),
    };
    if let Err(why) = ended {
        tell(&news, News::Terminal(PaneNews::Failed(why))).await;
    }
}

async fn run(
    client: &Client,
    header: TerminalHeader,
    mut keys: mpsc::Receiver<ToTerminal>,
    news: &mpsc::Sender<News>,
) -> Result<(), ClientError> {
    let mut call = client.open_terminal(header).await?;
    let (mut credit, mut written, mut waiting) = (TERMINAL_INPUT_WINDOW_BYTES, 0, Vec::new());
    let mut is_held = true;
    loop {
        tokio::select! {
            said = call.next() => match said? {
                Some(TerminalNews::Opened(row)) => {
                    tell(news, News::Terminal(PaneNews::Opened(Box::new(row)))).await;
                }
                Some(TerminalNews::Output(bytes)) => {
                    written += u32::try_from(bytes.len()).unwrap_or(0);
                    tell(news, News::Terminal(PaneNews::Output(bytes))).await;
                }
                Some(TerminalNews::InputCredit(bytes)) => {
                    credit = bytes.saturating_add(credit).min(TERMINAL_INPUT_WINDOW_BYTES);
                }
                Some(TerminalNews::Ended(row)) => {
                    tell(news, News::Terminal(PaneNews::Ended(Box::new(row)))).await;
                    return Ok(());
                }
                Some(TerminalNews::SkippedBytes(_) | TerminalNews::Size(_)) => {}
                None => return Err(ClientError::Nonsense {
                    attempt: "keep a terminal".to_owned(),
                    what: "the server ended it and says nothing of it",
                }),
            },
            key = keys.recv(), if is_held => match key {
                Some(ToTerminal::Input(bytes)) => {
                    if waiting.len() + bytes.len() <= WAITING_BYTES_MAX {
                        waiting.extend(bytes);
                    }
                }
                Some(ToTerminal::Size(columns, rows)) => {
                    let (columns, rows) = (columns.into(), rows.into());
                    call.say(Said::Size(TerminalSize { columns, rows })).await;
                }
                Some(ToTerminal::Close) => call.say(Said::Close(TerminalClose {})).await,
                None => {
                    is_held = false;
                    call.say(Said::Close(TerminalClose {})).await;
                }
            },
        }
        send(&call, &mut waiting, &mut credit).await;
        if written >= TERMINAL_OUTPUT_WINDOW_BYTES / 4 {
            call.say(Said::OutputCredit(std::mem::take(&mut written)))
                .await;
        }
    }
}

/// Sends as much of what waits as there is credit for.
async fn send(call: &TerminalCall, waiting: &mut Vec<u8>, credit: &mut u32) {
    while !waiting.is_empty() && *credit > 0 {
        let may = usize::try_from(*credit).unwrap_or(usize::MAX);
        let count = waiting.len().min(may).min(TERMINAL_CHUNK_BYTES_MAX);
        let rest = waiting.split_off(count);
        let piece = std::mem::replace(waiting, rest);
        *credit = credit.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
        call.say(Said::Input(piece)).await;
    }
}
