//! Keeps known which accounts endpoints' events have named ([`crate::people::sight`]), and links those that an import
//! has claimed.
//!
//! ```text
//! batches after the last one seen -> unpack (blocking thread) -> sightings by endpoint -> one transaction with the mark
//! ```
//!
//! It looks by itself every few seconds, and when somebody is about to read what it keeps. A crash in between looks at
//! some batches again, which changes nothing. Where retention was faster, what was removed is not seen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tocsin_proto::batch;
use tocsin_proto::event::EventKind;
use tocsin_proto::id::EndpointId;
use tocsin_proto::telemetry::v1::Event;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::correlate::Correlator;
use crate::people::sight::sightings;
use crate::rpc::status::chain;
use crate::store::people::Sighting;
use crate::store::telemetry::TelemetryStore;
use crate::store::{StateStore, StoreError};

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(5);

/// Looking takes at most one part in so many of the time.
const LOOK_SHARE: u32 = 4;

/// Batches whose accounts share a transaction: 32 MiB of events at most.
const PORTION: u32 = 16;

/// How long somebody who is about to read waits for what has come; beyond it the answer may lack the newest.
const WAIT_MAX: Duration = Duration::from_secs(3);

/// Looks through telemetry for accounts.
#[derive(Debug)]
pub(crate) struct Accounts {
    state: Arc<dyn StateStore>,
    telemetry: Arc<dyn TelemetryStore>,
    correlator: Arc<Correlator>,
    /// Only one looks at a time.
    turn: tokio::sync::Mutex<()>,
}

impl Accounts {
    /// Over these stores; the correlator is told of links.
    pub(crate) fn new(
        state: Arc<dyn StateStore>,
        telemetry: Arc<dyn TelemetryStore>,
        correlator: Arc<Correlator>,
    ) -> Self {
        Self {
            state,
            telemetry,
            correlator,
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// Works until the server stops.
    pub(crate) async fn run(self: Arc<Self>, stopping: CancellationToken) {
        let mut wait = INTERVAL;
        loop {
            if stopping
                .run_until_cancelled(tokio::time::sleep(wait))
                .await
                .is_none()
            {
                return;
            }
            let began = Instant::now();
            match stopping.run_until_cancelled(self.catch_up()).await {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    tracing::error!(
                        error = chain(&error),
                        "looking for accounts has stopped until the next time"
                    );
                }
                None => return,
            }
            wait = INTERVAL.max(began.elapsed() * LOOK_SHARE);
        }
    }

    /// Sees all that has come so far, or what can be seen of it in [`WAIT_MAX`].
    ///
    /// # Errors
    /// Where a store fails.
    pub(crate) async fn settle(&self) -> Result<(), StoreError> {
        tokio::time::timeout(WAIT_MAX, self.catch_up())
            .await
            .unwrap_or(Ok(()))
    }

    async fn catch_up(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let last = self.telemetry.last_number().await?;
        // Of a store that was restored from an older copy, or whose newest batches were removed, the numbers begin anew.
        let mut through = self.state.seen_through().await?.min(last);
        let kinds = EventKind::Process.bit() | EventKind::Login.bit() | EventKind::Session.bit();
        while through < last {
            let portion = self
                .telemetry
                .payloads_after(through, kinds, PORTION)
                .await?;
            through = match portion.last() {
                Some((number, _, _)) if portion.len() >= PORTION as usize => *number,
                _ => last,
            };
            let read = tokio::task::spawn_blocking(move || read(&portion)).await;
            let seen = read.map_err(|_| StoreError::Damaged {
                what: "event batch",
            })?;
            if self.state.see(&seen, through).await? > 0 {
                self.correlator.wake();
            }
        }
        Ok(())
    }
}

/// What packed batches say, by endpoint. One that cannot be read says nothing.
fn read(portion: &[(i64, EndpointId, Vec<u8>)]) -> Vec<(EndpointId, Vec<Sighting>)> {
    let mut events: BTreeMap<EndpointId, Vec<Event>> = BTreeMap::new();
    for (_, endpoint, payload) in portion {
        if let Ok(content) = batch::unpack(payload) {
            events.entry(*endpoint).or_default().extend(content.events);
        }
    }
    events
        .iter()
        .map(|(endpoint, events)| (*endpoint, sightings(events)))
        .collect()
}
