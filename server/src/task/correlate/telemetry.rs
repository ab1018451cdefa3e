//! Who is to be correlated again because of their endpoints' telemetry.
//!
//! Two ways, both bounded by the time that the caller gives them:
//!
//! - *News*: every commit of telemetry notes its endpoint and the times of its events. People are dirty whose window of
//!   look-back and attempts overlaps them; an endpoint that goes on reporting makes nobody dirty whose attempts are over.
//! - *Fingerprints*: run spans, clocks and public addresses grow without an event of their own. Page by page they are
//!   compared with what they were when the person was last correlated.

use tocsin_proto::id::IdentityId;

use super::facts::{self, Window};
use crate::store::telemetry::TelemetryStore;
use crate::store::{StateStore, StoreError};

/// People that are looked at in one step.
const PAGE: u32 = 50;

/// Endpoints with news that are looked at in one step.
const NEWS: u32 = 256;

/// Marks those dirty whom news of some endpoints concern, and takes the news away. Answers whether there may be more.
pub(super) async fn mark_news(
    state: &dyn StateStore,
    store: &dyn TelemetryStore,
) -> Result<bool, StoreError> {
    let news = store.news(NEWS).await?;
    let mut dirty = Vec::new();
    for one in &news {
        for linked in state.linked_to(one.endpoint).await? {
            let window = Window::of(linked.event_times_ms.0, linked.event_times_ms.1);
            if one.from_ms <= window.until_ms && window.from_ms <= one.until_ms {
                dirty.push(linked.identity);
            }
        }
    }
    // In this order: what is forgotten without being marked would be lost by a crash.
    state.mark_dirty(&dirty).await?;
    store.forget_news(&news).await?;
    Ok(news.len() >= usize::try_from(NEWS).unwrap_or(usize::MAX))
}

/// Looks at one page of people after `after`, and marks those dirty whose endpoints say something else than when they
/// were last correlated. Answers the last of the page; `None` where there is nobody more.
pub(super) async fn mark(
    state: &dyn StateStore,
    store: &dyn TelemetryStore,
    after: Option<IdentityId>,
) -> Result<Option<IdentityId>, StoreError> {
    let page = state.links_after(after, PAGE).await?;
    let mut dirty = Vec::new();
    for linked in &page {
        let window = Window::of(linked.event_times_ms.0, linked.event_times_ms.1);
        let now = facts::fingerprint(state, store, &linked.endpoints, window).await?;
        if linked.telemetry_sha256 != now {
            dirty.push(linked.identity);
        }
    }
    state.mark_dirty(&dirty).await?;
    Ok(page.last().map(|linked| linked.identity))
}
