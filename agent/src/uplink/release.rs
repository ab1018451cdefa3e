//! Files of the server's repository of releases, over the session's connection: each a call of its own, so that neither
//! the session nor the uploads wait for it. What comes is not looked at here.

use tocsin_proto::agent::v1::{ReadReleaseRequest, ReadReleaseResponse};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tough::Bytes;

use super::{ANSWER_TIMEOUT, Client};
use crate::command::update::source::{Pieces, Source, SourceError};

/// Pieces that wait to be written.
const PIECES_MAX: usize = 4;

/// The server as a source of releases.
#[derive(Debug)]
pub(super) struct Repository(pub(super) Client);

#[tough::async_trait]
impl Source for Repository {
    async fn read(&self, name: &str, offset: u64) -> Result<Pieces, SourceError> {
        let request = ReadReleaseRequest {
            name: name.to_owned(),
            offset,
        };
        let mut client = self.0.clone();
        let answered = timeout(ANSWER_TIMEOUT, client.read_release(request)).await;
        let answered = answered
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("the server does not answer")));
        let messages = answered.map_err(|status| told(name, &status))?.into_inner();
        let (pieces, incoming) = mpsc::channel(PIECES_MAX);
        tokio::spawn(bring(messages, pieces, name.to_owned()));
        Ok(Box::pin(ReceiverStream::new(incoming)))
    }
}

async fn bring(
    mut messages: Streaming<ReadReleaseResponse>,
    pieces: mpsc::Sender<Result<Bytes, SourceError>>,
    name: String,
) {
    while let Some(message) = messages.next().await {
        let is_last = message.is_err();
        let piece = message
            .map(|message| Bytes::from(message.data))
            .map_err(|status| told(&name, &status));
        if pieces.send(piece).await.is_err() || is_last {
            return;
        }
    }
}

fn told(name: &str, status: &Status) -> SourceError {
    let name = name.to_owned();
    match status.code() {
        Code::NotFound => SourceError::Missing { name },
        _ => SourceError::Broken {
            name,
            reason: super::connect::told(status).to_string(),
        },
    }
}
