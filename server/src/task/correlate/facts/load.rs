//! Reads what facts are made of.
//!
//! Bounds: of each class of an endpoint at most [`Class::traces_max`] traces, by its index; runs, public addresses and
//! clock skews at most as many as below and in `store/trust.rs`. A desk's two weeks are some thousand rows.

use sha2::{Digest, Sha256};
use tocsin_proto::id::{EndpointId, IdentityId};

use super::{Link, Source, Window};
use crate::people::LIKELY;
use crate::store::case::LinkRow;
use crate::store::telemetry::{RunSpan, TelemetryStore};
use crate::store::trace::{Class, TraceQuery};
use crate::store::trust::{ClockSkewRow, PublicAddressRow};
use crate::store::{StateStore, StoreError};

/// Runs of one endpoint that are looked at, the newest.
const RUNS_MAX: u32 = 1_000;

/// Whether nobody but the endpoint says that it has the person's account.
fn is_claimed(links: &[&LinkRow]) -> bool {
    links.iter().all(|link| link.confidence == LIKELY)
}

/// All that is read of an endpoint that a person is linked to; what lies around attempts is still to be said.
pub(in crate::task::correlate) async fn source(
    state: &dyn StateStore,
    telemetry: &dyn TelemetryStore,
    (identity, links): (IdentityId, &[LinkRow]),
    endpoint: EndpointId,
    window: Window,
) -> Result<Source, StoreError> {
    let (hostname, os) = match state.endpoint(endpoint).await {
        Ok(row) => (row.machine.hostname, row.machine.os),
        Err(StoreError::NotFound { .. }) => (endpoint.to_string(), String::new()),
        Err(error) => return Err(error),
    };
    let mut traces = Vec::new();
    for class in Class::ALL {
        traces.extend(telemetry.traces(&query(endpoint, class, window)).await?);
    }
    let linked = state.linked_to(endpoint).await?;
    let links: Vec<&LinkRow> = links
        .iter()
        .filter(|link| link.endpoint == endpoint)
        .collect();
    Ok(Source {
        endpoint,
        hostname,
        os,
        is_claimed: is_claimed(&links),
        links: links
            .iter()
            .map(|link| Link {
                user: link.user.clone(),
                uid: link.uid.clone(),
            })
            .collect(),
        has_others: linked.iter().any(|other| other.identity != identity),
        window,
        around: Vec::new(),
        clients: std::collections::BTreeSet::new(),
        first_event_ms: telemetry.first_event_ms(endpoint).await?,
        runs: runs(telemetry, endpoint, window).await?,
        classes: telemetry.trace_classes(endpoint).await?,
        traces,
        clock: clock(state, endpoint, window).await?,
        addresses: addresses(state, endpoint, window).await?,
        devices: state.devices(endpoint).await?,
    })
}

/// Flows from the look-back on. All others from their beginning: a session, a tool or a sensor's state may be older, and
/// whether something is new is asked of all that is known. A loss may be told long after it was.
fn query(endpoint: EndpointId, class: Class, window: Window) -> TraceQuery {
    let from_ms = match class {
        Class::SignIn | Class::Web => window.from_ms,
        _ => 0,
    };
    let until_ms = match class {
        Class::Gap => i64::MAX,
        _ => window.until_ms,
    };
    TraceQuery {
        endpoint,
        class,
        from_ms,
        until_ms,
        limit: class.traces_max(),
    }
}

async fn runs(
    telemetry: &dyn TelemetryStore,
    endpoint: EndpointId,
    window: Window,
) -> Result<Vec<RunSpan>, StoreError> {
    let runs = telemetry.run_spans(endpoint, 0, window.until_ms, RUNS_MAX);
    runs.await
}

async fn clock(
    state: &dyn StateStore,
    endpoint: EndpointId,
    window: Window,
) -> Result<Vec<ClockSkewRow>, StoreError> {
    let rows = state.clock_skew(endpoint, window.from_ms, window.until_ms);
    let mut rows = rows.await?;
    for row in &mut rows {
        row.until_ms = row.until_ms.min(window.until_ms);
    }
    Ok(rows)
}

async fn addresses(
    state: &dyn StateStore,
    endpoint: EndpointId,
    window: Window,
) -> Result<Vec<PublicAddressRow>, StoreError> {
    let rows = state.public_addresses(endpoint, window.from_ms, window.until_ms);
    let mut rows = rows.await?;
    for row in &mut rows {
        row.until_ms = row.until_ms.min(window.until_ms);
    }
    Ok(rows)
}

/// Of what an endpoint says beside its traces, within the window: when it was reporting, its clock and its addresses.
/// Those grow without an event of their own; new traces are told by news.
pub(in crate::task::correlate) async fn fingerprint(
    state: &dyn StateStore,
    telemetry: &dyn TelemetryStore,
    endpoints: &[EndpointId],
    window: Window,
) -> Result<[u8; 32], StoreError> {
    let mut hash = Sha256::new();
    for endpoint in endpoints {
        let hostname = match state.endpoint(*endpoint).await {
            Ok(row) => row.machine.hostname,
            Err(StoreError::NotFound { .. }) => String::new(),
            Err(error) => return Err(error),
        };
        let mut runs = runs(telemetry, *endpoint, window).await?;
        runs.retain(|run| run.until_ms >= window.from_ms);
        for run in &mut runs {
            run.until_ms = run.until_ms.min(window.until_ms);
        }
        let mut classes = telemetry.trace_classes(*endpoint).await?;
        for class in &mut classes {
            class.since_ms = class.since_ms.clamp(window.from_ms, window.until_ms);
        }
        let clock = clock(state, *endpoint, window).await?;
        let addresses = addresses(state, *endpoint, window).await?;
        // Plain data without maps: its debug text is the same for the same content.
        hash.update(format!("{endpoint} {hostname} {runs:?}\n"));
        hash.update(format!("{classes:?} {clock:?} {addresses:?}\n"));
    }
    Ok(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::CERTAIN;
    use crate::store::conformance::endpoint;

    #[test]
    fn one_link_that_somebody_made_is_enough() {
        let link = |confidence: &str| LinkRow {
            endpoint: endpoint(1),
            user: "dana".into(),
            uid: "1000".into(),
            source: "import".into(),
            confidence: confidence.into(),
            linked_by: "ana".into(),
            reason: String::new(),
            linked_time_ms: 1,
        };
        let (likely, certain) = (link(LIKELY), link(CERTAIN));
        assert!(is_claimed(&[&likely, &likely]));
        assert!(!is_claimed(&[&likely, &certain]));
        assert!(!is_claimed(&[&certain]));
    }
}
