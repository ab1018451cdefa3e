//! Work that runs beside the calls: each task is driven by a signal and a timer, takes no input that it could not find
//! again in the store, and may be ended at any point without harm.

pub(crate) mod accounts;
pub(crate) mod correlate;
pub(crate) mod feed;
pub(crate) mod retention;
pub(crate) mod rollout;

use tokio::task::JoinSet;

/// Running tasks.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    set: JoinSet<&'static str>,
}

impl Tasks {
    /// Starts one.
    pub(crate) fn spawn(
        &mut self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        self.set.spawn(async move {
            work.await;
            name
        });
    }

    /// Waits until all have ended. They end by themselves once the server is stopping and nobody holds what
    /// feeds them.
    pub(crate) async fn join(mut self) {
        while let Some(ended) = self.set.join_next().await {
            match ended {
                Ok(name) => tracing::debug!(name, "task has ended"),
                Err(error) => tracing::error!(%error, "task has failed"),
            }
        }
    }
}
