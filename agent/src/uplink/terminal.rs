//! The calls of terminals: each a stream of its own on the session's connection, so that neither the session nor the
//! uploads wait for what a terminal prints.
//!
//! This carries messages and knows nothing of what they mean. A call that ends, for whatever reason, ends the terminal;
//! the session's end ends all of its calls.

use std::sync::Arc;
use std::time::Duration;

use tocsin_proto::agent::v1::{OpenTerminal, StartUpdate, TerminalResponse};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Status, Streaming};

use super::release::Repository;
use super::{ANSWER_TIMEOUT, Client};
use crate::command::terminal::Link;
use crate::command::{Command, Commands};

/// Messages that wait either way. What they hold is bounded by the terminal's windows.
const MESSAGES_MAX: usize = 8;

/// Calls at once, of terminals that are open and such that are just being refused.
const CALLS_MAX: usize = 24;

/// How long the server may take to end a call after the report.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The calls of one session. Dropped, they end.
#[derive(Debug)]
pub(super) struct Calls {
    client: Client,
    commands: Arc<Commands>,
    running: Arc<Semaphore>,
    lost: CancellationToken,
    _ends: DropGuard,
}

impl Calls {
    pub(super) fn new(client: Client, commands: Arc<Commands>) -> Self {
        let lost = CancellationToken::new();
        Self {
            client,
            commands,
            running: Arc::new(Semaphore::new(CALLS_MAX)),
            _ends: lost.clone().drop_guard(),
            lost,
        }
    }

    /// Begins an update; it ends with the session, and what came by then is kept.
    pub(super) fn update(&self, update: StartUpdate) {
        let Ok(permit) = self.running.clone().try_acquire_owned() else {
            tracing::warn!("the server asked for too much at once: an update is not begun");
            return;
        };
        let (source, commands) = (Repository(self.client.clone()), self.commands.clone());
        let lost = self.lost.clone();
        tokio::spawn(async move {
            let command = Command::StartUpdate(update, Arc::new(source));
            commands.perform(command, lost).await;
            drop(permit);
        });
    }

    /// Opens what the server asked for. It goes on by itself, also beyond the session, until what was begun is ended.
    pub(super) fn terminal(&self, open: OpenTerminal) {
        let Ok(permit) = self.running.clone().try_acquire_owned() else {
            tracing::warn!("the server asked for too many terminals at once: one is not opened");
            return;
        };
        let (client, commands) = (self.client.clone(), self.commands.clone());
        let lost = self.lost.clone();
        tokio::spawn(async move {
            match call(client, &lost).await {
                Ok((link, pump)) => {
                    let pumping = tokio::spawn(pump);
                    let command = Command::OpenTerminal(open, link);
                    commands.perform(command, lost).await;
                    // The call is kept until the server has ended it: dropped before, it would take the report along.
                    let mut pumping = pumping;
                    if timeout(LAST_WORDS, &mut pumping).await.is_err() {
                        pumping.abort();
                    }
                }
                Err(status) => {
                    let error = super::connect::told(&status);
                    tracing::warn!(error, "a terminal that the server asked for was not opened");
                }
            }
            drop(permit);
        });
    }
}

/// Begins a call: a link, and what has to run for messages to come down it.
async fn call(
    mut client: Client,
    lost: &CancellationToken,
) -> Result<(Link, impl Future<Output = ()> + use<>), Status> {
    let (up, outgoing) = mpsc::channel(MESSAGES_MAX);
    let (down, incoming) = mpsc::channel(MESSAGES_MAX);
    let calling = client.terminal(ReceiverStream::new(outgoing));
    let messages = tokio::select! {
        answered = timeout(ANSWER_TIMEOUT, calling) => answered
            .map_err(|_| Status::deadline_exceeded("the server does not answer"))??
            .into_inner(),
        () = lost.cancelled() => return Err(Status::cancelled("the session has ended")),
    };
    let link = Link { up, down: incoming };
    Ok((link, pump(messages, down)))
}

/// Brings messages down until either side ends.
async fn pump(mut messages: Streaming<TerminalResponse>, down: mpsc::Sender<TerminalResponse>) {
    loop {
        match messages.message().await {
            Ok(Some(message)) => {
                if down.send(message).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(status) => {
                tracing::debug!(
                    error = super::connect::told(&status),
                    "a terminal's call broke"
                );
                return;
            }
        }
    }
}
