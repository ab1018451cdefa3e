//! One connection, page by page.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::status::{self, State, Status};
use super::{Parts, source};
use crate::clock::{millis, now_ms};
use crate::feed::Format;
use crate::feed::live::{FetchError, MfaFeed, Page};
use crate::http::{Client, HttpError};
use crate::import::page::{self, PageRecords, Source};
use crate::rpc::status::chain;
use crate::seal::Secret;
use crate::store::StoreError;
use crate::store::connection::{Advance, ConnectionRow};

/// First and longest wait after a failure.
const BACK_OFF_MS: (u64, u64) = (1_000, 5 * 60 * 1000);

/// The same where somebody has to act: asking often helps nobody, and may lock an account out.
const REFUSED_MS: (u64, u64) = (60 * 1000, 15 * 60 * 1000);

/// Records that are newer than this are the present: whoever reads them has nothing to catch up with.
const PRESENT_MS: i64 = 2 * 60 * 1000;

/// Where the cursor is lost, records are read again from so long before the newest known one: providers store some late.
const AGAIN_MS: i64 = 24 * 60 * 60 * 1000;

/// Asks a provider for pages.
#[derive(Debug)]
pub(crate) struct Fetcher {
    pub(super) format: Format,
    pub(super) feed: Box<dyn MfaFeed>,
    pub(super) http: Client,
    pub(super) secret: Secret,
}

/// Why a page was not fetched or not stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// An answer that is no page.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It was not stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fetcher {
    /// The page that begins there; `None` where it is too early for it.
    pub(super) async fn page(&mut self, cursor: &str) -> Result<Option<Page>, StepError> {
        if let Some(ask) = self.feed.sign_in(now_ms()) {
            let reply = self.http.send(&ask).await?;
            self.feed.signed_in(&reply, now_ms())?;
        }
        let asked_ms = now_ms();
        let Some(ask) = self.feed.ask(cursor, asked_ms) else {
            return Ok(None);
        };
        let reply = self.http.send(&ask).await?;
        Ok(Some(self.feed.page(cursor, reply, asked_ms)?))
    }

    /// An error and its causes as one line. Where the provider's words hold the secret, it is taken out.
    pub(super) fn say(&self, error: &StepError) -> String {
        let text = chain(error);
        match self.secret.text() {
            "" => text,
            secret => text.replace(secret, "(the secret)"),
        }
    }
}

/// A connection's task.
#[derive(Debug)]
pub(super) struct Runner {
    parts: Arc<Parts>,
    row: ConnectionRow,
    source: Source,
    fetcher: Fetcher,
    status: Arc<Mutex<Status>>,
    since_ms: i64,
    cursor: String,
    /// Failures since the last page.
    failures: u32,
}

/// What a page was.
struct Stored {
    state: State,
    wait: Duration,
}

impl Runner {
    pub(super) fn new(
        parts: Arc<Parts>,
        row: ConnectionRow,
        fetcher: Fetcher,
        status: Arc<Mutex<Status>>,
    ) -> Self {
        let settings: Option<crate::feed::live::Settings> =
            serde_json::from_slice(&row.settings).ok();
        Self {
            source: source(&parts, &row, &fetcher.format),
            cursor: row.cursor.clone(),
            since_ms: settings.map_or(row.added_time_ms, |settings| settings.since_ms),
            parts,
            row,
            fetcher,
            status,
            failures: 0,
        }
    }

    /// Works until it is cut off, or until the connection is removed.
    pub(super) async fn run(mut self) {
        loop {
            let wait = match self.step().await {
                Ok(stored) => self.succeeded(&stored),
                // Removed: there is nothing to store pages for.
                Err(StepError::Store(StoreError::NotFound { .. })) => return,
                Err(error) => self.failed(&error).await,
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Fetches a page and stores it.
    async fn step(&mut self) -> Result<Stored, StepError> {
        let interval = self.fetcher.feed.interval();
        if self.cursor.is_empty() {
            self.cursor = self.fetcher.feed.begin(self.since_ms, now_ms());
        }
        let Some(page) = self.fetcher.page(&self.cursor).await? else {
            return Ok(Stored {
                state: State::Current,
                wait: interval,
            });
        };
        let Some(next) = page.next else {
            return Err(StepError::Fetch(FetchError::Broken {
                what: "does not say where the next page is",
            }));
        };
        let read = PageRecords::read(self.fetcher.format.clone(), page.body).await?;
        let newest_ms = read.newest_ms();
        let advance = Advance {
            connection: self.row.no,
            cursor: next.clone(),
            complete_until_ms: page.complete_until_ms,
            malformed: read.malformed,
            malformed_reason: read.malformed_reason,
        };
        let state = self.parts.state.as_ref();
        let added = page::store(state, &self.source, read.records, advance).await?;
        self.cursor = next;
        if added.imported > 0 {
            self.parts.correlator.wake();
        }
        let behind_ms = newest_ms.map_or(0, |newest_ms| now_ms().saturating_sub(newest_ms));
        let is_behind = page.has_more && behind_ms > PRESENT_MS;
        let pause = if page.has_more {
            Duration::ZERO
        } else {
            interval
        };
        Ok(Stored {
            state: match is_behind {
                true => State::CatchingUp,
                false => State::Current,
            },
            wait: page.wait.unwrap_or_default().max(pause),
        })
    }

    fn succeeded(&mut self, stored: &Stored) -> Duration {
        if self.failures > 0 {
            tracing::info!(name = self.row.name, "a live feed gets its pages again");
        }
        self.failures = 0;
        let now_ms = now_ms();
        let next_ms = now_ms.saturating_add(millis(stored.wait));
        status::of(&self.status).succeed(stored.state, now_ms, next_ms);
        stored.wait
    }

    /// Notes a failure; how long to wait.
    async fn failed(&mut self, error: &StepError) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let text = self.fetcher.say(error);
        let now_ms = now_ms();
        let wait = match error {
            StepError::Fetch(FetchError::Limited { wait }) => *wait + jitter(*wait / 10),
            StepError::Fetch(FetchError::Refused { .. }) => back_off(self.failures, REFUSED_MS),
            // What can be tried at once is tried at once, once.
            StepError::Fetch(FetchError::CursorLost) if self.failures == 1 => {
                self.begin_again(now_ms).await;
                Duration::ZERO
            }
            _ => back_off(self.failures, BACK_OFF_MS),
        };
        if self.failures == 1 {
            tracing::warn!(
                name = self.row.name,
                error = text,
                "a live feed did not get its page"
            );
        }
        let next_ms = now_ms.saturating_add(millis(wait));
        let mut status = status::of(&self.status);
        match error {
            StepError::Fetch(FetchError::Limited { .. }) => status.wait(text, now_ms, next_ms),
            _ if wait.is_zero() => status.note(text, now_ms),
            _ => status.fail(text, now_ms, next_ms),
        }
        wait
    }

    /// Begins before the newest record that is known: what comes again is recognised, nothing is left out.
    async fn begin_again(&mut self, now_ms: i64) {
        let feeds = self.parts.state.feeds().await.unwrap_or_default();
        let own = feeds
            .into_iter()
            .find(|feed| feed.kind == self.row.name && feed.provider == self.row.provider);
        let newest_ms = own.map_or(0, |feed| feed.event_time_max_ms);
        let from_ms = newest_ms.saturating_sub(AGAIN_MS).max(self.since_ms);
        tracing::warn!(
            name = self.row.name,
            from_ms,
            "a live feed's place was lost; it reads again"
        );
        self.cursor = self.fetcher.feed.begin(from_ms, now_ms);
    }
}

/// Doubles with every failure up to the longest, and is any time between half of that and all of it.
fn back_off(failures: u32, (first_ms, longest_ms): (u64, u64)) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    let full_ms = first_ms.saturating_mul(1 << doublings).min(longest_ms);
    Duration::from_millis(full_ms / 2) + jitter(Duration::from_millis(full_ms / 2))
}

/// Any time up to this one.
fn jitter(longest: Duration) -> Duration {
    longest.mul_f64(rand::random::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_tried_again_ever_more_slowly_and_never_in_step() {
        let waits: Vec<Duration> = (1..40).map(|n| back_off(n, BACK_OFF_MS)).collect();
        for (n, wait) in (0_u32..).zip(&waits) {
            let full_ms = (1_000_u64 << n.min(20)).min(300_000);
            let all = Duration::from_millis(full_ms);
            assert!(*wait >= all / 2 && *wait <= all, "{n}: {wait:?}");
        }
        let same = (0..8)
            .map(|_| back_off(9, BACK_OFF_MS))
            .collect::<std::collections::BTreeSet<_>>();
        assert!(same.len() > 1);
    }
}
