//! The table: each figure beside what must be reached and what is aimed at.

use std::io::{self, Write};
use std::time::Duration;

use tocsin_tests::figures::{self, Line, decimal, figure, line, percentile, whole};

use crate::fleet::IdleFigures;
use crate::load::RoundFigures;
use crate::verify::Stored;

// What must be reached, and what is aimed at.
const INGEST_MUST: &str = "40000";
const INGEST_GOAL: &str = "100000";
const WIRE_BYTES_MUST: &str = "70";
const WIRE_BYTES_GOAL: &str = "45";
const STORED_BYTES_MUST: &str = "160";
const STORED_BYTES_GOAL: &str = "60";
const IDLE_KIB_MUST: &str = "80";
const IDLE_KIB_GOAL: &str = "50";

/// All that was measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    agents: usize,
    rate: u32,
    seconds: u32,
    pub(crate) idle: IdleFigures,
    pub(crate) rounds: Vec<RoundFigures>,
    pub(crate) stored: Stored,
    pub(crate) stored_bytes: u64,
}

impl Report {
    pub(crate) fn new(agents: usize, rate: u32, seconds: u32) -> Self {
        Self {
            agents,
            rate,
            seconds,
            ..Default::default()
        }
    }

    /// The median over the rounds.
    fn median(&self, figure: impl Fn(&RoundFigures) -> f64) -> f64 {
        let mut figures: Vec<f64> = self.rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or_default()
    }

    /// Prints the table on standard output.
    pub(crate) fn print(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "{} agents at {} events/s for {} s, {} round(s); {} idle streams",
            self.agents,
            self.rate,
            self.seconds,
            self.rounds.len(),
            self.idle.streams
        )?;
        let figures = self
            .ingest()
            .into_iter()
            .chain(self.bytes())
            .chain(self.idle());
        let counts = [
            line(
                "events lost, by sequence",
                self.stored.lost.to_string(),
                "0",
                "0",
            ),
            line(
                "events double, by sequence",
                self.stored.double.to_string(),
                "0",
                "0",
            ),
        ];
        figures::print(&mut out, figures.chain(counts))
    }

    fn events(&self) -> u64 {
        self.rounds.iter().map(|round| round.events).sum()
    }

    fn ingest(&self) -> Vec<Line> {
        let acknowledged = self.median(|r| per_second(r.events, r.took));
        let per_core = self.median(|r| per_second(r.events, r.server_cpu));
        let batch = self.median(|r| r.events as f64 / r.batches.max(1) as f64);
        let latency = |per_mille| self.median(|r| percentile(&r.latencies, per_mille));
        vec![
            figure("events acknowledged", self.events().to_string()),
            figure("events acknowledged a second", whole(acknowledged)),
            line(
                "durable ingest a core of server CPU, events/s",
                whole(per_core),
                INGEST_MUST,
                INGEST_GOAL,
            ),
            figure("events a batch", whole(batch)),
            figure("acknowledgement latency p50, ms", decimal(latency(500))),
            figure("acknowledgement latency p99, ms", decimal(latency(990))),
        ]
    }

    fn bytes(&self) -> Vec<Line> {
        let packed = self.median(|r| r.batch_bytes as f64 / r.events.max(1) as f64);
        let wire = self.median(|r| r.wire_bytes as f64 / r.events.max(1) as f64);
        let stored = self.stored_bytes as f64 / self.events().max(1) as f64;
        vec![
            figure("bytes an event as packed", decimal(packed)),
            line(
                "bytes an event on the wire, TLS and all",
                decimal(wire),
                WIRE_BYTES_MUST,
                WIRE_BYTES_GOAL,
            ),
            line(
                "bytes an event stored",
                // A short run may end before the database has grown by a page.
                match self.stored_bytes {
                    0 => "not measured".to_owned(),
                    _ => decimal(stored),
                },
                STORED_BYTES_MUST,
                STORED_BYTES_GOAL,
            ),
        ]
    }

    fn idle(&self) -> Vec<Line> {
        if self.idle.streams == 0 {
            return Vec::new();
        }
        vec![
            line(
                "memory an idle stream, KiB",
                decimal(self.idle.bytes_each / 1024.0),
                IDLE_KIB_MUST,
                IDLE_KIB_GOAL,
            ),
            figure(
                "server CPU to connect one, ms",
                format!("{:.2}", self.idle.connect_cpu_ms_each),
            ),
        ]
    }
}

fn per_second(events: u64, time: Duration) -> f64 {
    events as f64 / time.as_secs_f64().max(f64::EPSILON)
}
