//! Live feeds at work: a bounded task a connection, and what each is doing.
//!
//! ```text
//! connection -> feed (pure) + HTTP -> page -> read -> stored with its cursor -> correlate
//!                  ^-- waits: the provider's limit, a failure's back-off, the interval of a quiet log
//! ```
//!
//! One page at a time is in memory for each connection. A connection that fails tries again for as long as it exists, ever
//! more slowly, and says why it fails; it holds no other up. A task may be ended at any point: the cursor in the store is
//! behind the last page of which every record is stored.

mod run;
mod status;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tocsin_proto::console::v1::TestFeedResponse;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::run::{Fetcher, Runner, StepError};
pub(crate) use self::status::Status;
use crate::clock::now_ms;
use crate::feed::live::{Connection, FetchError, Settings};
use crate::feed::{Format, FormatError};
use crate::geo::Geo;
use crate::http::{Client, HttpError};
use crate::import::page::{PageRecords, Source};
use crate::rpc::status::chain;
use crate::seal::{self, SealError, Secret};
use crate::store::connection::ConnectionRow;
use crate::store::{StateStore, StoreError};
use crate::task::correlate::Correlator;

/// A test is given up after this time: the caller waits for half a minute.
const TEST_TIMEOUT: Duration = Duration::from_secs(25);

/// Tests at once; more are refused.
const TESTS_MAX: usize = 2;

/// Why a connection cannot be made to work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    /// An unknown provider.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// One whose records come by files only.
    #[error("there is no live feed of {0}: import its files")]
    NotLive(String),
    /// What is stored of it cannot be read.
    #[error("the settings of the live feed are not readable: remove it and add it anew")]
    Damaged,
    /// Its secret cannot be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Its address, authorities or proxy cannot be used.
    #[error(transparent)]
    Http(#[from] HttpError),
}

/// What connections work with.
#[derive(Debug)]
pub(crate) struct Parts {
    /// Where records and cursors are kept.
    pub(crate) state: Arc<dyn StateStore>,
    /// Woken by new records.
    pub(crate) correlator: Arc<Correlator>,
    /// Looks up where addresses lie.
    pub(crate) geo: Arc<Geo>,
    /// The key of secrets.
    pub(crate) key: PathBuf,
    /// Cancelled when the server stops.
    pub(crate) stopping: CancellationToken,
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Feeds {
    parts: Arc<Parts>,
    running: Mutex<BTreeMap<i64, Running>>,
    tasks: TaskTracker,
    tests: tokio::sync::Semaphore,
}

/// A connection at work.
#[derive(Debug)]
struct Running {
    stop: CancellationToken,
    status: Arc<Mutex<Status>>,
}

/// What a secret is bound to when it is sealed: all that says where it goes.
pub(crate) fn bound_to(name: &str, provider: &str, settings: &[u8]) -> Vec<u8> {
    let mut bound = b"tocsin live feed 1".to_vec();
    for part in [name.as_bytes(), provider.as_bytes(), settings] {
        bound.extend((part.len() as u64).to_be_bytes());
        bound.extend(part);
    }
    bound
}

impl Feeds {
    /// None at work yet.
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
            running: Mutex::default(),
            tasks: TaskTracker::new(),
            tests: tokio::sync::Semaphore::new(TESTS_MAX),
        }
    }

    /// Starts every connection that is stored, and returns when the server is stopping and all have ended.
    pub(crate) async fn run(self: Arc<Self>) {
        match self.parts.state.connections().await {
            Ok(rows) => rows.into_iter().for_each(|row| self.start(row)),
            Err(error) => {
                tracing::error!(error = chain(&error), "live feeds were not started");
            }
        }
        self.parts.stopping.cancelled().await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Starts one.
    pub(crate) fn start(&self, row: ConnectionRow) {
        let stop = self.parts.stopping.child_token();
        let status = Arc::new(Mutex::new(Status::new(row.page_time_ms, now_ms())));
        let running = Running {
            stop: stop.clone(),
            status: Arc::clone(&status),
        };
        self.running().insert(row.no, running);
        let name = row.name.clone();
        match fetcher(&self.parts.key, &row) {
            Ok(fetcher) => {
                let runner = Runner::new(Arc::clone(&self.parts), row, fetcher, status);
                self.tasks.spawn(async move {
                    stop.run_until_cancelled(runner.run()).await;
                    tracing::debug!(name, "a live feed has ended");
                });
            }
            Err(error) => {
                let error = chain(&error);
                tracing::error!(name, error, "a live feed cannot be started");
                status::of(&status).fail(error, now_ms(), 0);
            }
        }
    }

    /// Ends one that is removed.
    pub(crate) fn stop(&self, no: i64) {
        if let Some(running) = self.running().remove(&no) {
            running.stop.cancel();
        }
    }

    /// What a connection is doing; `None` where it is not known here.
    pub(crate) fn status(&self, no: i64) -> Option<Status> {
        let running = self.running();
        let one = running.get(&no)?;
        Some(status::of(&one.status).clone())
    }

    /// Asks the provider for its newest records, and says what they are. Nothing is stored, and the connection goes on as
    /// it was.
    ///
    /// # Errors
    /// Where reading itself fails. That the provider refuses is an answer.
    pub(crate) async fn test(&self, row: &ConnectionRow) -> Result<TestFeedResponse, StoreError> {
        let begun_ms = now_ms();
        let mut answer = TestFeedResponse {
            name: row.name.clone(),
            ..TestFeedResponse::default()
        };
        let Ok(_turn) = self.tests.try_acquire() else {
            return Err(StoreError::State {
                what: "live feed",
                id: row.name.clone(),
                why: "is not tested: other tests run, try again",
            });
        };
        let look = tokio::time::timeout(TEST_TIMEOUT, look(&self.parts.key, row)).await;
        answer.took_ms = now_ms().saturating_sub(begun_ms).max(0).unsigned_abs();
        let page = match look {
            Ok(Ok(page)) => page,
            Ok(Err((error, advice))) => {
                answer.error = error;
                advice.clone_into(&mut answer.advice);
                return Ok(answer);
            }
            Err(_elapsed) => {
                answer.error = format!("no answer in {} seconds", TEST_TIMEOUT.as_secs());
                NETWORK.clone_into(&mut answer.advice);
                return Ok(answer);
            }
        };
        answer.ok = true;
        answer.records = page.summary.records;
        answer.used = page.records.len() as u64;
        answer.unused = page.summary.unused;
        answer.malformed = page.summary.malformed;
        answer.newest_event_time_ms = page.newest_ms().unwrap_or_default();
        answer.advice = advice(&answer).to_owned();
        answer.kinds = page.summary.kinds;
        Ok(answer)
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<i64, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const NETWORK: &str = "look at the way there: the name, a firewall, a proxy (HTTPS_PROXY of the server's own environment), \
                       and whether a proxy's authority is needed (--ca-file)";

/// What is odd about a page that was read.
fn advice(answer: &TestFeedResponse) -> &'static str {
    match answer {
        TestFeedResponse { records: 0, .. } => {
            "the provider let it read, and its log has no record of the last days: is it the right organization?"
        }
        TestFeedResponse { used: 0, .. } => {
            "none of its newest records is about a sign-in: the secret may have the right to other records only"
        }
        _ => "",
    }
}

/// The newest records; why not, and what to do.
async fn look(
    key: &std::path::Path,
    row: &ConnectionRow,
) -> Result<PageRecords, (String, &'static str)> {
    let mut fetcher = fetcher(key, row).map_err(|error| (chain(&error), ""))?;
    let cursor = fetcher.feed.newest(now_ms());
    match fetcher.page(&cursor).await {
        Ok(Some(page)) => {
            let read = PageRecords::read(fetcher.format.clone(), page.body).await;
            read.map_err(|error| (chain(&error), ""))
        }
        Ok(None) => Err(("it is too early to ask".to_owned(), "try again")),
        Err(error) => {
            let advice = match &error {
                StepError::Http(HttpError::Connect { .. } | HttpError::Silent { .. }) => NETWORK,
                StepError::Fetch(FetchError::Limited { .. } | FetchError::Unavailable { .. }) => {
                    "try again later"
                }
                _ => "",
            };
            Err((fetcher.say(&error), advice))
        }
    }
}

/// Makes a connection ready to ask.
fn fetcher(key: &std::path::Path, row: &ConnectionRow) -> Result<Fetcher, ConnectionError> {
    let bound = bound_to(&row.name, &row.provider, &row.settings);
    let secret = seal::open(key, &row.secret, &bound)?;
    let settings: Settings =
        serde_json::from_slice(&row.settings).map_err(|_| ConnectionError::Damaged)?;
    fetcher_of(&row.provider, settings, secret)
}

/// The same from its parts: what `feeds add` tries before it stores anything.
pub(crate) fn fetcher_of(
    provider: &str,
    settings: Settings,
    secret: Secret,
) -> Result<Fetcher, ConnectionError> {
    let format = Format::of(provider, b"")?;
    let http = Client::new(&settings.ca_pem)?;
    let connection = Connection {
        settings,
        secret: secret.clone(),
    };
    let feed = format.live(connection);
    let feed = feed.ok_or_else(|| ConnectionError::NotLive(provider.to_owned()))?;
    Ok(Fetcher {
        format,
        feed,
        http,
        secret,
    })
}

/// By what pages of a connection are stored.
fn source(parts: &Parts, row: &ConnectionRow, format: &Format) -> Source {
    Source {
        provider: format.provider(),
        name: row.name.clone(),
        geo: Arc::clone(&parts.geo),
    }
}
