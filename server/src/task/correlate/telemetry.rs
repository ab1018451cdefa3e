//! What a linked endpoint's telemetry says about itself: when its agent was running, and what it lost.
//!
//! Only what lies near the person's MFA events counts, so that an endpoint which goes on reporting does not make the
//! person dirty all the time; its hash is kept with the person to tell whether it has changed.

use sha2::{Digest, Sha256};
use tocsin_correlate::fact::EndpointFacts;
use tocsin_correlate::{LinkedEndpoint, TelemetryGap, TimeSpan};
use tocsin_proto::batch;
use tocsin_proto::event::EventKind;
use tocsin_proto::id::{EndpointId, IdentityId};
use tocsin_proto::telemetry::v1::Gap;
use tocsin_proto::telemetry::v1::event::Body;

use crate::rpc::console::{place_word, reason_word};
use crate::store::telemetry::{BatchQuery, TelemetryStore};
use crate::store::{StateStore, StoreError};

/// How far around a person's MFA events telemetry counts.
const MARGIN_MS: i64 = 3_600_000;

/// Runs of one endpoint that are looked at, the newest.
const RUNS_MAX: u32 = 1_000;

/// Batches with gaps of one endpoint that are looked at, the first from the window's begin on: a gap may be told
/// long after it was.
const GAP_BATCHES_MAX: u32 = 200;

/// People that are looked at in one step.
const PAGE: u32 = 100;

/// The time around a person's MFA events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    from_ms: i64,
    until_ms: i64,
}

impl Window {
    /// Around events between these times.
    pub(super) fn of(min_ms: i64, max_ms: i64) -> Self {
        Self {
            from_ms: min_ms.saturating_sub(MARGIN_MS),
            until_ms: max_ms.saturating_add(MARGIN_MS),
        }
    }

    fn clip(self, from_ms: i64, until_ms: i64) -> TimeSpan {
        TimeSpan {
            from_ms: from_ms.max(self.from_ms),
            until_ms: until_ms.min(self.until_ms),
        }
    }
}

/// An endpoint, as its stored events show it within the window.
pub(super) async fn endpoint(
    store: &dyn TelemetryStore,
    id: EndpointId,
    hostname: String,
    window: Window,
) -> Result<LinkedEndpoint, StoreError> {
    let spans = store.run_spans(id, window.from_ms, window.until_ms, RUNS_MAX);
    let mut reporting: Vec<TimeSpan> = spans
        .await?
        .into_iter()
        .map(|(from, until)| window.clip(from, until))
        .collect();
    reporting.sort_unstable();
    Ok(LinkedEndpoint {
        id,
        hostname,
        sends_flows: false,
        reporting,
        gaps: gaps(store, id, window).await?,
        facts: EndpointFacts::default(),
    })
}

async fn gaps(
    store: &dyn TelemetryStore,
    id: EndpointId,
    window: Window,
) -> Result<Vec<TelemetryGap>, StoreError> {
    let query = BatchQuery {
        endpoint: Some(id),
        kinds: EventKind::Gap.bit(),
        since_time_ms: window.from_ms,
        until_time_ms: i64::MAX,
        number_max: i64::MAX,
        ascending: true,
    };
    let batches = store.list_batches(&query, None, GAP_BATCHES_MAX).await?;
    let mut gaps = Vec::new();
    for batch in &batches {
        for (_, payload) in store.payloads(&[batch.number]).await? {
            let Ok(content) = batch::unpack(&payload) else {
                continue;
            };
            gaps.extend(
                content
                    .events
                    .into_iter()
                    .filter_map(|event| match event.body {
                        Some(Body::Gap(gap)) => telemetry_gap(&gap, window),
                        _ => None,
                    }),
            );
        }
    }
    gaps.sort_unstable();
    gaps.dedup();
    Ok(gaps)
}

/// `None`: outside of the window.
fn telemetry_gap(gap: &Gap, window: Window) -> Option<TelemetryGap> {
    let span = TimeSpan {
        from_ms: gap.from_time_ms,
        until_ms: gap.until_time_ms,
    };
    let around = TimeSpan {
        from_ms: window.from_ms,
        until_ms: window.until_ms,
    };
    let count = match gap.lost {
        Some(1) => "1 event".to_owned(),
        Some(lost) => format!("{lost} events"),
        None => "events".to_owned(),
    };
    let reason = reason_word(gap.reason).replace('_', " ");
    span.overlaps(around).then(|| TelemetryGap {
        span: window.clip(span.from_ms, span.until_ms),
        what: format!("{count}, {} {reason}", place_word(gap.place)),
    })
}

/// Of all that was found.
pub(super) fn hash(endpoints: &[LinkedEndpoint]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for endpoint in endpoints {
        // Plain data without maps: its debug text is the same for the same content.
        hash.update(format!("{endpoint:?}\n"));
    }
    hash.finalize().into()
}

/// Marks those people dirty whose endpoints' telemetry says something else than when they were last correlated.
pub(super) async fn mark(
    state: &dyn StateStore,
    store: &dyn TelemetryStore,
) -> Result<(), StoreError> {
    let mut after: Option<IdentityId> = None;
    loop {
        let page = state.links_after(after, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some(last.identity);
        let mut dirty = Vec::new();
        for linked in &page {
            let window = Window::of(linked.event_times_ms.0, linked.event_times_ms.1);
            let mut endpoints = Vec::with_capacity(linked.endpoints.len());
            for id in &linked.endpoints {
                let hostname = match state.endpoint(*id).await {
                    Ok(endpoint) => endpoint.machine.hostname,
                    Err(StoreError::NotFound { .. }) => id.to_string(),
                    Err(error) => return Err(error),
                };
                endpoints.push(endpoint(store, *id, hostname, window).await?);
            }
            if linked.telemetry_sha256 != hash(&endpoints) {
                dirty.push(linked.identity);
            }
        }
        state.mark_dirty(&dirty).await?;
    }
}
