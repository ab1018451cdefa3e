//! Releases and rollouts.

use std::path::Path;

use tocsin_proto::console::v1::publish_releases_request::Message;
use tocsin_proto::console::v1::{
    CreateRolloutRequest, GetRolloutRequest, ListReleasesRequest, ListRolloutsRequest, PublishFile,
    PublishReleasesRequest, PublishReleasesResponse, Release, Rollout, SetRolloutStateRequest,
};
use tocsin_proto::limits::IMPORT_CHUNK_BYTES;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;

use super::{Client, ClientError, IMPORT_CHUNKS_WAITING_MAX};

impl Client {
    /// What is published.
    pub(crate) async fn releases(&self) -> Result<Vec<Release>, ClientError> {
        self.once("list releases", ListReleasesRequest {}, async |mut s, r| {
            s.list_releases(r).await
        })
        .await
        .map(|response| response.releases)
    }

    /// Publishes these files. One that cannot be read breaks the call off, and nothing is published then.
    pub(crate) async fn publish_releases(
        &self,
        folder: &Path,
        names: Vec<String>,
    ) -> Result<Result<PublishReleasesResponse, (String, std::io::Error)>, ClientError> {
        let (sender, receiver) = mpsc::channel(IMPORT_CHUNKS_WAITING_MAX);
        let mut service = self.service.clone();
        // No deadline: a fleet's archives may be large, and a dead server is found by keep-alive.
        let call = service.publish_releases(Request::new(ReceiverStream::new(receiver)));
        let mut call = std::pin::pin!(call);
        tokio::select! {
            biased;
            // The server's word counts more than whether all was sent.
            answer = &mut call => return self.published(answer),
            sent = send(folder, names, &sender) => if let Err(failed) = sent {
                // The sender lives until the call is dropped: the server must not take this for the end.
                return Ok(Err(failed));
            },
        }
        drop(sender);
        let answer = call.await;
        self.published(answer)
    }

    fn published<E>(
        &self,
        answer: Result<tonic::Response<PublishReleasesResponse>, tonic::Status>,
    ) -> Result<Result<PublishReleasesResponse, E>, ClientError> {
        answer
            .map(|response| Ok(response.into_inner()))
            .map_err(|status| self.failed("publish releases", &status))
    }

    /// Begins a rollout.
    pub(crate) async fn create_rollout(
        &self,
        request: CreateRolloutRequest,
    ) -> Result<Rollout, ClientError> {
        self.once("create a rollout", request, async |mut s, r| {
            s.create_rollout(r).await
        })
        .await
    }

    /// All rollouts, newest first.
    pub(crate) async fn rollouts(&self) -> Result<Vec<Rollout>, ClientError> {
        self.once("list rollouts", ListRolloutsRequest {}, async |mut s, r| {
            s.list_rollouts(r).await
        })
        .await
        .map(|response| response.rollouts)
    }

    /// One rollout with its endpoints.
    pub(crate) async fn rollout(&self, id: &str) -> Result<Rollout, ClientError> {
        let request = GetRolloutRequest { id: id.to_owned() };
        self.once(
            &format!("show rollout '{id}'"),
            request,
            async |mut s, r| s.get_rollout(r).await,
        )
        .await
    }

    /// Pauses, resumes or aborts one.
    pub(crate) async fn set_rollout_state(
        &self,
        request: SetRolloutStateRequest,
    ) -> Result<Rollout, ClientError> {
        self.once(
            &format!("change rollout '{}'", request.id),
            request,
            async |mut s, r| s.set_rollout_state(r).await,
        )
        .await
    }
}

async fn send(
    folder: &Path,
    names: Vec<String>,
    sender: &mpsc::Sender<PublishReleasesRequest>,
) -> Result<(), (String, std::io::Error)> {
    let say = async |message| {
        let message = Some(message);
        // A receiver that is gone means that the call has ended; it says why.
        sender
            .send(PublishReleasesRequest { message })
            .await
            .is_ok()
    };
    for name in names {
        let failed = |error| (name.clone(), error);
        let path = folder.join(&name);
        let mut file = tokio::fs::File::open(&path).await.map_err(failed)?;
        let bytes = file.metadata().await.map_err(failed)?.len();
        let head = PublishFile {
            name: name.clone(),
            bytes,
        };
        if !say(Message::File(head)).await {
            return Ok(());
        }
        loop {
            let mut chunk = Vec::with_capacity(IMPORT_CHUNK_BYTES);
            let mut piece = (&mut file).take(IMPORT_CHUNK_BYTES as u64);
            piece.read_to_end(&mut chunk).await.map_err(failed)?;
            if chunk.is_empty() {
                break;
            }
            if !say(Message::Data(chunk)).await {
                return Ok(());
            }
        }
    }
    Ok(())
}
