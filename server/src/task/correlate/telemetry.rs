//! What a linked endpoint's telemetry says about itself: when its agent was running, and what it lost.
//!
//! Only what lies near the person's MFA events counts, so that an endpoint which goes on reporting does not make the
//! person dirty all the time; its hash is kept with the person to tell whether it has changed.
//!
//! What retention has removed is a gap, in days: nothing is known of it, and what a removed batch said it lost is not
//! taken for reported. So is what lies beyond the batches with gaps that are looked at.

use sha2::{Digest, Sha256};
use tocsin_correlate::fact::EndpointFacts;
use tocsin_correlate::{LinkedEndpoint, TelemetryGap, TimeSpan};
use tocsin_proto::batch;
use tocsin_proto::event::EventKind;
use tocsin_proto::id::{EndpointId, IdentityId};
use tocsin_proto::telemetry::v1::event::Body;
use tocsin_proto::telemetry::v1::{Event, Gap};

use crate::rpc::console::{place_word, reason_word};
use crate::store::telemetry::{BatchQuery, RunSpan, TelemetryStore};
use crate::store::{StateStore, StoreError};

/// How far around a person's MFA events telemetry counts.
const MARGIN_MS: i64 = 3_600_000;

/// Runs of one endpoint that are looked at, the newest.
const RUNS_MAX: u32 = 1_000;

/// Batches with gaps of one endpoint that are looked at, the first from the window's begin on: a gap may be told
/// long after it was.
const GAP_BATCHES_MAX: u32 = 200;

/// People that are looked at in one step.
const PAGE: u32 = 50;

/// Batches that are unpacked at once.
const UNPACKED_MAX: usize = 32;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Days of one endpoint that are named apart where their telemetry was removed; the newest runs' come first.
const REMOVED_DAYS_MAX: usize = 1_000;

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
    let spans = spans.await?;
    let mut reporting: Vec<TimeSpan> = spans
        .iter()
        .map(|span| window.clip(span.from_ms, span.until_ms))
        .collect();
    reporting.sort_unstable();
    let mut gaps = gaps(store, id, window).await?;
    gaps.extend(removed(&spans, window));
    gaps.sort_unstable();
    gaps.dedup();
    Ok(LinkedEndpoint {
        id,
        hostname,
        sends_flows: false,
        reporting,
        gaps,
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
    for some in batches.chunks(UNPACKED_MAX) {
        let numbers: Vec<i64> = some.iter().map(|batch| batch.number).collect();
        let payloads = store.payloads(&numbers).await?;
        let read = tokio::task::spawn_blocking(move || read_gaps(&payloads, window)).await;
        gaps.extend(read.map_err(|_| StoreError::Damaged {
            what: "event batch",
        })?);
    }
    if let Some(last) = batches.last()
        && batches.len() >= usize::try_from(GAP_BATCHES_MAX).unwrap_or(usize::MAX)
        && last.head.event_time_min_ms <= window.until_ms
    {
        gaps.push(TelemetryGap {
            span: window.clip(last.head.event_time_min_ms, window.until_ms),
            what: "more losses than are looked at".to_owned(),
        });
    }
    Ok(gaps)
}

fn read_gaps(payloads: &[(i64, Vec<u8>)], window: Window) -> Vec<TelemetryGap> {
    let contents = payloads
        .iter()
        .filter_map(|(_, payload)| batch::unpack(payload).ok());
    let gap = |event: Event| match event.body {
        Some(Body::Gap(gap)) => telemetry_gap(&gap, window),
        _ => None,
    };
    contents
        .flat_map(|content| content.events)
        .filter_map(gap)
        .collect()
}

/// What retention has removed of these runs. Each day is a gap of its own, and the end is taken to the full hour, so
/// that what is removed next changes little of it.
fn removed(spans: &[RunSpan], window: Window) -> Vec<TelemetryGap> {
    let mut gaps = Vec::new();
    for span in spans {
        let until_ms = match span.kept_from_ms {
            None => span.until_ms,
            Some(kept_ms) if kept_ms <= span.from_ms => continue,
            Some(kept_ms) => kept_ms
                .saturating_add(HOUR_MS - 1)
                .div_euclid(HOUR_MS)
                .saturating_mul(HOUR_MS)
                .min(span.until_ms),
        };
        let TimeSpan {
            mut from_ms,
            until_ms,
        } = window.clip(span.from_ms, until_ms);
        while from_ms <= until_ms {
            let next_ms = from_ms.div_euclid(DAY_MS).saturating_add(1);
            let next_ms = next_ms.saturating_mul(DAY_MS);
            let end_ms = if gaps.len() < REMOVED_DAYS_MAX {
                next_ms.saturating_sub(1).min(until_ms)
            } else {
                until_ms
            };
            gaps.push(TelemetryGap {
                span: TimeSpan {
                    from_ms,
                    until_ms: end_ms,
                },
                what: "telemetry of that time is no longer kept".to_owned(),
            });
            from_ms = end_ms.saturating_add(1);
        }
    }
    gaps
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

/// Looks at one page of people after `after`, and marks those dirty whose endpoints' telemetry says something else than
/// when they were last correlated. Answers the last of the page; `None` where there is nobody more.
pub(super) async fn mark(
    state: &dyn StateStore,
    store: &dyn TelemetryStore,
    after: Option<IdentityId>,
) -> Result<Option<IdentityId>, StoreError> {
    let page = state.links_after(after, PAGE).await?;
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
    Ok(page.last().map(|linked| linked.identity))
}
