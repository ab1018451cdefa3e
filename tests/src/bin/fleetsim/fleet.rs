//! The fleet: enrolled once, some of it idle.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tocsin_tests::endpoint::{self, Enrolled, Session};
use tocsin_tests::meter::Meter;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Handshakes at once: below what the server takes, so that none is turned away.
const HANDSHAKES_MAX: usize = 64;

/// How long the server is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(2);

/// What idle agents cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct IdleFigures {
    pub(crate) streams: usize,
    pub(crate) bytes_each: f64,
    pub(crate) connect_cpu_ms_each: f64,
}

/// Enrols `count` endpoints.
pub(crate) async fn enroll(address: &str, token: &str, count: usize) -> Result<Vec<Enrolled>> {
    let (address, token) = (address.to_owned(), token.to_owned());
    many(count, move |number| {
        let (address, token) = (address.clone(), token.clone());
        async move { endpoint::enroll(&address, &token, &format!("simulated-{number}")).await }
    })
    .await
    .context("enroll the fleet")
}

/// Opens a session for each and measures what they cost the server; then lets them go.
pub(crate) async fn keep_idle(
    address: &str,
    endpoints: &[Enrolled],
    meter: &Meter,
) -> Result<IdleFigures> {
    if endpoints.is_empty() {
        return Ok(IdleFigures::default());
    }
    tokio::time::sleep(SETTLE).await;
    let (bytes, cpu) = (meter.resident_bytes()?, meter.cpu()?);
    let shared: Arc<[Enrolled]> = endpoints.into();
    let address = address.to_owned();
    let sessions: Vec<Session> = many(endpoints.len(), move |number| {
        let (address, shared) = (address.clone(), shared.clone());
        async move {
            let endpoint = shared.get(number).context("an endpoint for each number")?;
            endpoint
                .session(&address, endpoint::fresh_run(), &Arc::default())
                .await
        }
    })
    .await
    .context("open idle sessions")?;
    let connect_cpu = meter.cpu()?.saturating_sub(cpu);
    tokio::time::sleep(SETTLE).await;
    let grown = meter.resident_bytes()?.saturating_sub(bytes);
    let streams = sessions.len();
    drop(sessions);
    // The server's work to close them is not to count as the load's.
    tokio::time::sleep(SETTLE).await;
    Ok(IdleFigures {
        streams,
        bytes_each: grown as f64 / streams as f64,
        connect_cpu_ms_each: connect_cpu.as_secs_f64() * 1000.0 / streams as f64,
    })
}

/// Does `make` for 0, 1, ... at most [`HANDSHAKES_MAX`] at once; the first failure ends it.
async fn many<T, F>(count: usize, make: impl Fn(usize) -> F) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let slot = slots.clone().acquire_owned().await?;
        let task = make(number);
        tasks.spawn(async move {
            let made = task.await;
            drop(slot);
            made
        });
    }
    let mut all = Vec::with_capacity(count);
    while let Some(made) = tasks.join_next().await {
        all.push(made??);
    }
    Ok(all)
}
