//! Puts a fleet and its events behind the lists, by the real protocol.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tocsin_proto::limits::BATCH_EVENTS_MAX;
use tocsin_proto::token::EnrollmentToken;
use tocsin_tests::endpoint::{self, Enrolled, now_ms};
use tocsin_tests::okta::{Engine, Log, Origin, Person, lines};
use tocsin_tests::sandbox::Sandbox;
use tocsin_tests::server::Server;
use tocsin_tests::workload::Workload;
use tokio::task::JoinSet;

/// Enrolments at once: as many as the server works on.
const ENROLLING: usize = 8;

/// A connection without a certificate is given up before the server closes it.
const CONNECTION_LIFE: Duration = Duration::from_secs(40);

/// Endpoints that send the events.
const SENDERS: usize = 20;

/// How often progress is told.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Enrols the endpoints and stores the events.
pub(crate) async fn fill(server: &Server<'_>, endpoints: usize, events: u64) -> Result<()> {
    let address = server.address().to_string();
    let token: EnrollmentToken = server.token(u32::try_from(endpoints)?)?.parse()?;
    let (next, token) = (Arc::new(AtomicUsize::new(0)), Arc::new(token));
    let mut tasks = JoinSet::new();
    for _worker in 0..ENROLLING {
        let (address, token, next) = (address.clone(), token.clone(), next.clone());
        tasks.spawn(async move { enroll(&address, &token, &next, endpoints).await });
    }
    let mut senders = Vec::new();
    while let Some(enrolled) = tasks.join_next().await {
        senders.extend(enrolled??);
    }
    senders.truncate(SENDERS);
    let each = events / u64::try_from(senders.len())?;
    let mut tasks = JoinSet::new();
    for (seed, sender) in (1_u64..).zip(senders) {
        let address = address.clone();
        tasks.spawn(async move { send(&address, &sender, seed, each).await });
    }
    while let Some(sent) = tasks.join_next().await {
        sent??;
    }
    Ok(())
}

/// One worker's endpoints; the first few of them.
async fn enroll(
    address: &str,
    token: &EnrollmentToken,
    next: &AtomicUsize,
    count: usize,
) -> Result<Vec<Enrolled>> {
    let mut first = Vec::new();
    let mut told = Instant::now();
    loop {
        let channel = endpoint::enrolling(address, token).await?;
        let connected = Instant::now();
        while connected.elapsed() < CONNECTION_LIFE {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(first);
            }
            if number.is_multiple_of(ENROLLING) && told.elapsed() > TOLD_EVERY {
                told = Instant::now();
                writeln!(std::io::stderr(), "enrolled {number} of {count} endpoints")?;
            }
            let hostname = format!("laptop-{number:06}");
            let enrolled = endpoint::enroll_over(channel.clone(), token, &hostname).await?;
            if first.len() < SENDERS {
                first.push(enrolled);
            }
        }
    }
}

async fn send(address: &str, sender: &Enrolled, seed: u64, count: u64) -> Result<()> {
    let run = endpoint::fresh_run();
    let session = sender.session(address, run, &Arc::default()).await?;
    let mut upload = session.upload().await?;
    // The past day, as evenly as the batches are.
    let (begin_ms, span_ms) = (now_ms() - 24 * 3_600_000, 24 * 3_600_000 - 60_000);
    let mut workload = Workload::new(run, seed, begin_ms);
    while workload.sequence() < count {
        let left = usize::try_from(count - workload.sequence())?;
        let done = i64::try_from(workload.sequence() * 1000 / count)?;
        let time_ms = begin_ms + span_ms * done / 1000;
        let batch = workload.upload(left.min(BATCH_EVENTS_MAX), time_ms)?;
        upload.commit(batch).await?;
    }
    Ok(())
}

/// Imports a record of an attack on the person of this number; their login.
pub(crate) fn incident(server: &Server<'_>, sandbox: &Sandbox, number: usize) -> Result<String> {
    let login = format!("person{number}@example.com");
    let person = Person::new(&login, &format!("Person {number}"));
    let mut log = Log::new(Engine::Identity, &login);
    log.fatigue(&person, &Origin::hoster(66), now_ms() - 60_000);
    let file = sandbox.file(&format!("okta-{number}.jsonl"), lines(&log.records()))?;
    let done = server.admin().import_okta(&file)?;
    done.succeeded(&["feeds", "import"])
        .context("import an attack")?;
    Ok(login)
}
