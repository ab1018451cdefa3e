//! One task that commits: many endpoints' batches in one transaction, each sender answered when it is on disk.
//!
//! While one transaction is synced, the next group gathers in the channel, so the busier the server, the fewer
//! syncs a batch costs. A group that fails is tried again batch by batch: what is wrong with one endpoint's batch
//! holds up no other.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::store::StoreError;
use crate::store::telemetry::{Appended, NewBatch, TelemetryStore, weight};

/// Batches that may wait. What waits in memory is bounded by [`WAITING_BYTES_MAX`] as well.
const WAITING_MAX: usize = 1024;

/// Bytes of batches between being received and being committed, over all endpoints.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// Unit in which those bytes are counted.
const PERMIT_BYTES: usize = 1 << 10;

/// Batches in one transaction: enough that its fixed costs vanish, few enough that it stays short.
const GROUP_MAX: usize = 256;

/// Bytes in one transaction.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// How long the first batch of a group waits for others.
const LINGER: Duration = Duration::from_millis(2);

/// Why a batch was not committed. It may be sent again.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CommitError {
    /// The store failed.
    #[error("commit a batch")]
    Store(#[source] Arc<StoreError>),
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

/// What a sender waits for.
pub(crate) type Reply = oneshot::Receiver<Result<Appended, CommitError>>;

struct Job {
    batch: NewBatch,
    reply: oneshot::Sender<Result<Appended, CommitError>>,
    _memory: Option<OwnedSemaphorePermit>,
}

/// Hands batches to the task.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Job>,
    memory: Arc<Semaphore>,
}

impl Writer {
    /// The handle, and the task's work: it ends when the last handle is gone and everything is answered.
    pub(crate) fn new(store: Arc<dyn TelemetryStore>) -> (Self, impl Future<Output = ()> + Send) {
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        let memory = Arc::new(Semaphore::new(WAITING_BYTES_MAX / PERMIT_BYTES));
        (Self { jobs, memory }, write(store, waiting))
    }

    /// Queues a batch, waiting while too much waits already. Batches queued by one caller one after the other are
    /// committed in that order.
    ///
    /// # Errors
    /// [`CommitError::Stopping`].
    pub(crate) async fn queue(&self, batch: NewBatch) -> Result<Reply, CommitError> {
        let permits = weight(&batch).div_ceil(PERMIT_BYTES);
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let memory = Arc::clone(&self.memory).acquire_many_owned(permits).await;
        let (reply, receiver) = oneshot::channel();
        let job = Job {
            batch,
            reply,
            _memory: memory.ok(),
        };
        match self.jobs.send(job).await {
            Ok(()) => Ok(receiver),
            Err(_) => Err(CommitError::Stopping),
        }
    }
}

async fn write(store: Arc<dyn TelemetryStore>, mut waiting: mpsc::Receiver<Job>) {
    while let Some(first) = waiting.recv().await {
        let group = gather(first, &mut waiting).await;
        commit(store.as_ref(), group).await;
    }
}

/// The first batch and those that come within the linger, up to the limits.
async fn gather(first: Job, waiting: &mut mpsc::Receiver<Job>) -> Vec<Job> {
    let until = Instant::now() + LINGER;
    let mut bytes = weight(&first.batch);
    let mut group = vec![first];
    while group.len() < GROUP_MAX && bytes < GROUP_BYTES_MAX {
        match timeout_at(until, waiting.recv()).await {
            Ok(Some(job)) => {
                bytes += weight(&job.batch);
                group.push(job);
            }
            Ok(None) | Err(_) => break,
        }
    }
    group
}

async fn commit(store: &dyn TelemetryStore, group: Vec<Job>) {
    let (batches, jobs): (Vec<_>, Vec<_>) = group
        .into_iter()
        .map(|job| (job.batch, (job.reply, job._memory)))
        .unzip();
    let results = match store.append(&batches).await {
        Ok(results) => results.into_iter().map(Ok).collect(),
        Err(error) if batches.len() == 1 => vec![Err(failed(error))],
        Err(_) => one_by_one(store, &batches).await,
    };
    for ((reply, _memory), result) in jobs.into_iter().zip(results) {
        // A sender that is gone asks again when it is back: the batch is a repeat then.
        let _gone = reply.send(result);
    }
}

async fn one_by_one(
    store: &dyn TelemetryStore,
    batches: &[NewBatch],
) -> Vec<Result<Appended, CommitError>> {
    let mut results = Vec::with_capacity(batches.len());
    for batch in batches {
        let result = match store.append(std::slice::from_ref(batch)).await {
            Ok(appended) => appended.first().copied().ok_or(CommitError::Stopping),
            Err(error) => Err(failed(error)),
        };
        results.push(result);
    }
    results
}

fn failed(error: StoreError) -> CommitError {
    CommitError::Store(Arc::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{batch, batch_of, endpoint, event, run};
    use crate::store::sqlite::SqliteTelemetry;

    async fn store() -> (tempfile::TempDir, Arc<dyn TelemetryStore>) {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteTelemetry::open(&dir.path().join("telemetry.db"))
            .await
            .unwrap();
        (dir, Arc::new(store))
    }

    #[tokio::test]
    async fn everything_queued_is_answered_before_the_task_ends() {
        let (_dir, store) = store().await;
        let (writer, work) = Writer::new(store.clone());
        let task = tokio::spawn(work);
        let mut replies = Vec::new();
        for n in 0..300 {
            replies.push(writer.queue(batch(n * 2 + 1, n * 2 + 2)).await.unwrap());
        }
        drop(writer);
        task.await.unwrap();
        for reply in replies {
            assert_eq!(reply.await.unwrap().unwrap(), Appended::Stored);
        }
        let latest = store.latest_run(endpoint(1)).await.unwrap().unwrap();
        assert_eq!(latest.committed_through, 600);
    }

    #[tokio::test]
    async fn one_endpoints_bad_batch_holds_up_no_other() {
        let (_dir, store) = store().await;
        store.append(&[batch(1, 4)]).await.unwrap();
        // It overlaps what is stored, and its bytes are not what its columns say.
        let mut bad = batch(3, 6);
        bad.payload = vec![0; 16];
        let good = batch_of(endpoint(2), run(2), vec![event(1, 1)]);
        let (writer, work) = Writer::new(store);
        let replies = [
            writer.queue(bad).await.unwrap(),
            writer.queue(good).await.unwrap(),
        ];
        drop(writer);
        work.await;
        let [bad, good] = replies;
        assert!(bad.await.unwrap().is_err());
        assert_eq!(good.await.unwrap().unwrap(), Appended::Stored);
    }

    #[tokio::test]
    async fn after_its_end_nothing_is_queued() {
        let (_dir, store) = store().await;
        let (writer, work) = Writer::new(store);
        drop(work);
        let refused = writer.queue(batch(1, 1)).await;
        assert!(matches!(refused, Err(CommitError::Stopping)));
    }
}
