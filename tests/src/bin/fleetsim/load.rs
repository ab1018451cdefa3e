//! The load: every busy agent makes events at its rate, packs them as the agent does and sends them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tocsin_proto::agent::v1::UploadEventsResponse;
use tocsin_proto::limits::{BATCH_EVENTS_MAX, UPLOAD_BATCHES_IN_FLIGHT_MAX};
use tocsin_tests::endpoint::{self, Enrolled, now_ms};
use tocsin_tests::meter::Meter;
use tocsin_tests::rpc::WireCount;
use tocsin_tests::workload::Workload;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tonic::Streaming;

use crate::Options;

/// The agent packs what it has after this time, or when a batch is full.
const FLUSH: Duration = Duration::from_millis(200);

/// What one agent sent and had acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) endpoint: String,
    pub(crate) run: String,
    pub(crate) last_sequence: u64,
}

/// Figures of one round.
#[derive(Debug, Clone, Default)]
pub(crate) struct RoundFigures {
    pub(crate) events: u64,
    pub(crate) batches: u64,
    pub(crate) took: Duration,
    pub(crate) server_cpu: Duration,
    pub(crate) wire_bytes: u64,
    pub(crate) batch_bytes: u64,
    /// Of every batch, sorted.
    pub(crate) latencies: Vec<Duration>,
}

#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) figures: RoundFigures,
    pub(crate) sent: Vec<Sent>,
}

/// What one agent did.
#[derive(Debug)]
struct Done {
    sent: Sent,
    batch_bytes: u64,
    latencies: Vec<Duration>,
}

/// Runs all agents to their end.
pub(crate) async fn run(
    address: &str,
    endpoints: &[Enrolled],
    options: &Options,
    meter: &Meter,
) -> Result<Round> {
    let count = Arc::new(WireCount::default());
    let mut sessions = Vec::with_capacity(endpoints.len());
    for endpoint in endpoints {
        let run_id = endpoint::fresh_run();
        let session = endpoint.session(address, run_id, &count).await?;
        sessions.push((endpoint.id.clone(), run_id, session));
    }
    let (begin, cpu, wire) = (Instant::now(), meter.cpu()?, count.sent());
    let mut tasks = JoinSet::new();
    for (seed, (id, run_id, session)) in (1_u64..).zip(sessions) {
        let workload = Workload::new(run_id, seed, now_ms());
        tasks.spawn(agent(
            id,
            workload,
            session,
            (options.rate, options.seconds),
        ));
    }
    let mut figures = RoundFigures::default();
    let mut sent = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let done = done??;
        figures.events += done.sent.last_sequence;
        figures.batches += done.latencies.len() as u64;
        figures.batch_bytes += done.batch_bytes;
        figures.latencies.extend(done.latencies);
        sent.push(done.sent);
    }
    figures.took = begin.elapsed();
    figures.server_cpu = meter.cpu()?.saturating_sub(cpu);
    figures.wire_bytes = count.sent().saturating_sub(wire);
    figures.latencies.sort();
    Ok(Round { figures, sent })
}

/// Makes `rate` events a second for `seconds`, however late the server lets it, and waits for every
/// acknowledgement.
async fn agent(
    id: String,
    mut workload: Workload,
    session: endpoint::Session,
    (rate, seconds): (u32, u32),
) -> Result<Done> {
    let run_id = workload.run_id();
    let (out, acknowledged) = session.upload().await?.split();
    let slots = Arc::new(Semaphore::new(UPLOAD_BATCHES_IN_FLIGHT_MAX));
    let (sent_times, times) = mpsc::channel(UPLOAD_BATCHES_IN_FLIGHT_MAX);
    let total = u64::from(rate) * u64::from(seconds);

    let receiver = tokio::spawn(acknowledged_through(
        total,
        acknowledged,
        times,
        slots.clone(),
    ));

    let mut batch_bytes = 0;
    let mut clock = tokio::time::interval(FLUSH);
    let begin = Instant::now();
    while workload.sequence() < total {
        clock.tick().await;
        let due = begin.elapsed().as_millis() * u128::from(rate) / 1000;
        let due = u64::try_from(due)?.min(total);
        while workload.sequence() < due {
            let count = (due - workload.sequence()).min(BATCH_EVENTS_MAX as u64);
            let upload = workload.upload(usize::try_from(count)?, now_ms())?;
            batch_bytes += upload.batch.len() as u64;
            slots.clone().acquire_owned().await?.forget();
            sent_times
                .send((upload.last_sequence, Instant::now()))
                .await?;
            out.send(upload)
                .await
                .context("the server takes no more batches")?;
        }
    }
    let latencies = receiver.await??;
    ensure!(workload.sequence() == total, "every event was made");
    Ok(Done {
        sent: Sent {
            endpoint: id,
            run: tocsin_proto::id::RunId::from_bytes(run_id).to_string(),
            last_sequence: total,
        },
        batch_bytes,
        latencies,
    })
}

/// Waits until all up to `total` is acknowledged; each acknowledged batch frees its slot. How long each took.
async fn acknowledged_through(
    total: u64,
    mut acknowledged: Streaming<UploadEventsResponse>,
    mut times: mpsc::Receiver<(u64, Instant)>,
    slots: Arc<Semaphore>,
) -> Result<Vec<Duration>> {
    let mut waiting: VecDeque<(u64, Instant)> = VecDeque::new();
    let mut latencies = Vec::new();
    let mut last = 0;
    while last < total {
        let response = acknowledged.message().await?;
        last = response
            .context("the server ended the upload")?
            .last_sequence;
        while let Ok(sent) = times.try_recv() {
            waiting.push_back(sent);
        }
        while let Some((_, time)) = waiting.pop_front_if(|(sequence, _)| *sequence <= last) {
            latencies.push(time.elapsed());
            slots.add_permits(1);
        }
    }
    Ok(latencies)
}
