//! Uploads: lease -> send -> acknowledgement -> commit, several batches in flight.
//!
//! A batch leaves the spool only when the server says that it is committed there. Whatever breaks, the leases are
//! taken back and the batches are sent again; the server drops what it has. Where it has other events under the numbers
//! of a batch, as after the return to a snapshot, those of this run end it, and those of an earlier run are handed to the
//! pipeline, which numbers them anew.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tocsin_proto::agent::v1::agent_service_client::AgentServiceClient;
use tocsin_proto::agent::v1::{UploadEventsRequest, UploadEventsResponse};
use tocsin_proto::id::{EventSequence, RunId};
use tocsin_proto::limits::UPLOAD_BATCHES_IN_FLIGHT_MAX;
use tocsin_spool::{Record, Span};
use tokio::sync::mpsc;
use tokio::time::Interval;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::connect::told;
use super::{Uplink, blocking};
use crate::health::Health;
use crate::outbox::{Epoch, LeaseError, Outbox};
use crate::queue::Queue;

/// How often what was acknowledged is made to survive a crash, at most.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// Why uploading ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    /// The server refused or the connection broke.
    #[error("upload events: {}", told(.0))]
    Status(Box<tonic::Status>),
    /// The server ended the stream.
    #[error("upload events: the server ended the stream")]
    Ended,
    /// The server acknowledged what was not sent.
    #[error("upload events: the server acknowledged events that were not sent")]
    Acknowledgement,
    /// Another copy of this machine has used the numbers of this run.
    #[error(
        "upload events: the server has other events with the numbers of this run, as after the return to a snapshot"
    )]
    Reused,
    /// Nothing can be leased.
    #[error("upload events")]
    Lease(#[from] LeaseError),
}

type Opening = dyn Future<Output = Result<Streaming<UploadEventsResponse>, tonic::Status>> + Send;

/// The server's half of the stream. It may answer only once there is something to answer to.
enum Replies {
    Opening(Pin<Box<Opening>>),
    Open(Box<Streaming<UploadEventsResponse>>),
}

impl Replies {
    /// The next acknowledgement. Nothing is lost when it is not waited for to the end.
    async fn next(&mut self) -> Result<UploadEventsResponse, UploadError> {
        if let Self::Opening(opening) = self {
            *self = Self::Open(Box::new(opening.await.map_err(UploadError::status)?));
        }
        match self {
            Self::Open(replies) => replies
                .message()
                .await
                .map_err(UploadError::status)?
                .ok_or(UploadError::Ended),
            Self::Opening(_) => Err(UploadError::Ended),
        }
    }
}

impl UploadError {
    fn status(status: tonic::Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// One upload stream.
pub(super) struct Upload {
    outbox: Arc<Outbox>,
    queue: Arc<Queue>,
    health: Arc<Health>,
    run: RunId,
    /// The last sequence of this run that was sent over any connection.
    sent: Arc<AtomicU64>,
    /// Shown with each lease: one that outlives this stream takes nothing.
    epoch: Epoch,
    sender: mpsc::Sender<UploadEventsRequest>,
    replies: Replies,
    /// Sent and not acknowledged, in order.
    in_flight: Vec<Span>,
    /// Something was acknowledged since the last checkpoint.
    unsaved: bool,
}

impl Upload {
    /// Begins the stream; leases of a former one are taken back.
    pub(super) async fn begin(mut client: AgentServiceClient<Channel>, uplink: &Uplink) -> Self {
        let epoch = blocking(&uplink.outbox, Outbox::rollback).await;
        let (sender, requests) = mpsc::channel(UPLOAD_BATCHES_IN_FLIGHT_MAX);
        let opening = async move {
            let opened = client.upload_events(ReceiverStream::new(requests)).await;
            opened.map(tonic::Response::into_inner)
        };
        Self {
            outbox: uplink.outbox.clone(),
            queue: uplink.queue.clone(),
            health: uplink.health.clone(),
            run: uplink.run,
            sent: uplink.sent.clone(),
            epoch,
            sender,
            replies: Replies::Opening(Box::pin(opening)),
            in_flight: Vec::new(),
            unsaved: false,
        }
    }

    /// Uploads until something breaks.
    pub(super) async fn run(mut self) -> Result<std::convert::Infallible, UploadError> {
        let mut checkpoint = tokio::time::interval(CHECKPOINT_INTERVAL);
        checkpoint.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let step = self.step(&mut checkpoint).await;
            if let Err(UploadError::Status(status)) = &step
                && status.code() == tonic::Code::InvalidArgument
                && let Some(suspect) = self.in_flight.first().copied()
                && blocking(&self.outbox, move |outbox| outbox.reject(suspect)).await
            {
                tracing::error!(
                    events = suspect.events(),
                    reason = told(status),
                    "the server keeps refusing these events; they are given up"
                );
            }
            step?;
        }
    }

    async fn step(&mut self, checkpoint: &mut Interval) -> Result<(), UploadError> {
        self.send_all().await?;
        tokio::select! {
            reply = self.replies.next() => self.acknowledged(&reply?).await?,
            () = self.outbox.appended() => {}
            _ = checkpoint.tick(), if self.unsaved => {
                self.unsaved = false;
                blocking(&self.outbox, Outbox::checkpoint).await;
            }
        }
        Ok(())
    }

    /// Sends what may be sent.
    async fn send_all(&mut self) -> Result<(), UploadError> {
        let epoch = self.epoch;
        while self.in_flight.len() < UPLOAD_BATCHES_IN_FLIGHT_MAX {
            let leased = blocking(&self.outbox, move |outbox| outbox.lease(epoch));
            let Some(record) = leased.await? else {
                break;
            };
            let span = record.span;
            // Before anybody can have it: the server may never know of more than this says.
            if span.run == self.run {
                self.sent.fetch_max(span.last.0, Ordering::Relaxed);
            }
            // There is room for as many as may be in flight: this does not wait for the server.
            let sent = self.sender.send(request(record)).await;
            if sent.is_err() {
                // The reply tells why.
                break;
            }
            self.in_flight.push(span);
        }
        Ok(())
    }

    async fn acknowledged(&mut self, reply: &UploadEventsResponse) -> Result<(), UploadError> {
        let run = RunId::from_wire(&reply.run_id).ok_or(UploadError::Acknowledgement)?;
        if reply.renumber {
            return self.renumber(run, reply.last_sequence).await;
        }
        let events = settle(&mut self.in_flight, run, reply.last_sequence)
            .ok_or(UploadError::Acknowledgement)?;
        if events == 0 {
            return Ok(());
        }
        let through = EventSequence(reply.last_sequence);
        blocking(&self.outbox, move |outbox| outbox.commit(run, through)).await;
        let current = (run == self.run).then_some(reply.last_sequence);
        self.health.note_acknowledged(events, current);
        self.unsaved = true;
        Ok(())
    }

    /// The server has other events under the numbers of this record.
    async fn renumber(&mut self, run: RunId, last: u64) -> Result<(), UploadError> {
        let is_it = |span: &Span| span.run == run && span.last.0 == last;
        let at = self.in_flight.iter().position(is_it);
        let span = at.map(|at| self.in_flight.remove(at));
        let span = span.ok_or(UploadError::Acknowledgement)?;
        if run == self.run {
            return Err(UploadError::Reused);
        }
        blocking(&self.outbox, move |outbox| outbox.renumber(span)).await;
        self.queue.nudge();
        Ok(())
    }
}

fn request(record: Record) -> UploadEventsRequest {
    UploadEventsRequest {
        run_id: record.span.run.as_bytes().to_vec(),
        first_sequence: record.span.first.0,
        last_sequence: record.span.last.0,
        batch: record.payload,
    }
}

/// Takes out what an acknowledgement covers and gives back how many events that are; `None` where it speaks of what
/// was never sent.
fn settle(in_flight: &mut Vec<Span>, run: RunId, through: u64) -> Option<u64> {
    let newest = in_flight
        .iter()
        .filter(|span| span.run == run)
        .map(|span| span.last.0)
        .max();
    // The server may acknowledge again what it acknowledged before, then nothing of the run may be in flight.
    if newest.is_some_and(|newest| through > newest) {
        return None;
    }
    let mut events = 0;
    in_flight.retain(|span| {
        let settled = span.run == run && span.last.0 <= through;
        if settled {
            events += span.events();
        }
        !settled
    });
    Some(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(byte: u8) -> RunId {
        RunId::from_random([byte; 16])
    }

    fn span(of: u8, first: u64, last: u64) -> Span {
        Span {
            run: run(of),
            first: EventSequence(first),
            last: EventSequence(last),
        }
    }

    fn spans() -> Vec<Span> {
        vec![
            span(1, 1, 10),
            span(1, 11, 15),
            span(2, 1, 3),
            span(2, 4, 9),
        ]
    }

    #[test]
    fn one_acknowledgement_settles_all_before_it_of_its_run() {
        let mut in_flight = spans();
        assert_eq!(settle(&mut in_flight, run(1), 15), Some(15));
        assert_eq!(in_flight, [span(2, 1, 3), span(2, 4, 9)]);
        assert_eq!(settle(&mut in_flight, run(2), 3), Some(3));
        assert_eq!(in_flight, [span(2, 4, 9)]);
    }

    #[test]
    fn a_repeated_or_partial_acknowledgement_settles_nothing_more() {
        let mut in_flight = spans();
        assert_eq!(settle(&mut in_flight, run(1), 12), Some(10));
        assert_eq!(settle(&mut in_flight, run(1), 12), Some(0));
        assert_eq!(
            settle(&mut in_flight, run(3), 99),
            Some(0),
            "of an earlier stream"
        );
    }

    #[test]
    fn what_was_not_sent_cannot_be_acknowledged() {
        let mut in_flight = spans();
        assert_eq!(settle(&mut in_flight, run(1), 16), None);
        assert_eq!(in_flight, spans());
    }
}
