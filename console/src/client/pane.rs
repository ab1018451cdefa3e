//! The terminal pane's side of the network: a task for the terminal that is open in it, or watched.
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
use crate::action::{PaneId, ToTerminal};
use crate::event::{News, PaneNews};

const NOT_CONNECTED: &str = "not connected";

/// Keys and the like that wait for the task.
pub(super) const KEYS_MAX: usize = 256;

/// Bytes of input that wait for credit; what is typed beyond is dropped, as a terminal does that is not read.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// Keeps one terminal until its end. When `keys` is closed it is closed.
pub(super) async fn keep(
    client: Option<Client>,
    header: TerminalHeader,
    keys: mpsc::Receiver<ToTerminal>,
    screen: Screen,
) {
    let ended = match client {
        Some(client) => run(&client, header, keys, &screen).await,
        None => {
            return screen
                .tell(PaneNews::Failed(NOT_CONNECTED.to_owned()))
                .await;
        }
    };
    if let Err(error) = ended {
        screen.tell(PaneNews::Failed(problem(&error))).await;
    }
}

/// Watches somebody's terminal until its end, or until `keys` is closed or says so.
pub(super) async fn watch(
    client: Option<Client>,
    id: String,
    mut keys: mpsc::Receiver<ToTerminal>,
    screen: Screen,
) {
    let Some(client) = client else {
        return screen
            .tell(PaneNews::Failed(NOT_CONNECTED.to_owned()))
            .await;
    };
    let left = async {
        // Nothing else is for a terminal that is somebody else's.
        while !matches!(keys.recv().await, None | Some(ToTerminal::Close)) {}
    };
    tokio::select! {
        watched = follow(&client, &id, &screen) => if let Err(error) = watched {
            screen.tell(PaneNews::Failed(problem(&error))).await;
        },
        () = left => {}
    }
}

async fn follow(client: &Client, id: &str, screen: &Screen) -> Result<(), ClientError> {
    let mut messages = client.watch_terminal(id).await?;
    while let Some(message) = messages.next().await? {
        let Some(message) = message.message else {
            continue;
        };
        let is_end = matches!(message, TerminalNews::Ended(_));
        let news = match message {
            TerminalNews::Opened(row) => PaneNews::Opened(Box::new(row)),
            TerminalNews::Output(bytes) => PaneNews::Output(bytes),
            TerminalNews::SkippedBytes(bytes) => PaneNews::Missed(bytes),
            TerminalNews::Size(size) => PaneNews::Size(size.columns, size.rows),
            TerminalNews::Ended(row) => PaneNews::Ended(Box::new(row)),
            TerminalNews::InputCredit(_) => continue,
        };
        screen.tell(news).await;
        if is_end {
            return Ok(());
        }
    }
    Err(ClientError::Nonsense {
        attempt: "watch a terminal".to_owned(),
        what: "the server ended it and says nothing of it",
    })
}

/// The pane that the news are for.
pub(super) struct Screen {
    pub(super) pane: PaneId,
    pub(super) news: mpsc::Sender<News>,
}

impl Screen {
    async fn tell(&self, news: PaneNews) {
        tell(&self.news, News::Terminal(self.pane, news)).await;
    }
}

async fn run(
    client: &Client,
    header: TerminalHeader,
    mut keys: mpsc::Receiver<ToTerminal>,
    screen: &Screen,
) -> Result<(), ClientError> {
    let mut call = client.open_terminal(header).await?;
    let (mut credit, mut written, mut waiting) = (TERMINAL_INPUT_WINDOW_BYTES, 0, Vec::new());
    let mut is_held = true;
    loop {
        tokio::select! {
            said = call.next() => match said? {
                Some(TerminalNews::Opened(row)) => {
                    screen.tell(PaneNews::Opened(Box::new(row))).await;
                }
                Some(TerminalNews::Output(bytes)) => {
                    written += u32::try_from(bytes.len()).unwrap_or(0);
                    screen.tell(PaneNews::Output(bytes)).await;
                }
                Some(TerminalNews::InputCredit(bytes)) => {
                    credit = bytes.saturating_add(credit).min(TERMINAL_INPUT_WINDOW_BYTES);
                }
                Some(TerminalNews::Ended(row)) => {
                    screen.tell(PaneNews::Ended(Box::new(row))).await;
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
