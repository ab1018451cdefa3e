//! Stored traces -> events with their ids, sorted.

use std::collections::BTreeMap;

use prost::Message;
use tocsin_correlate::TimeSpan;
use tocsin_correlate::fact::LeftOut;
use tocsin_proto::id::{BootId, EndpointId, EventId, EventSequence, RunId};
use tocsin_proto::telemetry::v1 as wire;
use tocsin_proto::telemetry::v1::event::Body;

use crate::store::telemetry::RunSpan;
use crate::store::trace::StoredTrace;

/// An event's body and where it is from.
#[derive(Debug, Clone)]
pub(super) struct Seen<T> {
    /// By the endpoint's clock.
    pub(super) time_ms: i64,
    pub(super) run: RunId,
    pub(super) boot: BootId,
    pub(super) id: EventId,
    pub(super) body: T,
}

/// Traces of an endpoint by kind, each in order of time.
#[derive(Debug, Default)]
pub(super) struct Traces {
    pub(super) processes: Vec<Seen<wire::Process>>,
    pub(super) networks: Vec<Seen<wire::Network>>,
    pub(super) sessions: Vec<Seen<wire::Session>>,
    pub(super) logins: Vec<Seen<wire::Login>>,
    pub(super) health: Vec<Seen<wire::Health>>,
    pub(super) gaps: Vec<Seen<wire::Gap>>,
    /// That could not be read.
    pub(super) damaged: u64,
}

impl Traces {
    pub(super) fn read(endpoint: EndpointId, stored: &[StoredTrace]) -> Self {
        let mut traces = Self::default();
        for trace in stored {
            match wire::Event::decode(trace.event.as_slice()) {
                Ok(event) => traces.add(endpoint, trace, event),
                Err(_) => traces.damaged = traces.damaged.saturating_add(1),
            }
        }
        sort(&mut traces.processes);
        sort(&mut traces.networks);
        sort(&mut traces.sessions);
        sort(&mut traces.logins);
        sort(&mut traces.health);
        sort(&mut traces.gaps);
        traces
    }

    fn add(&mut self, endpoint: EndpointId, trace: &StoredTrace, event: wire::Event) {
        let id = EventId {
            endpoint,
            run: trace.run,
            sequence: EventSequence(trace.sequence),
        };
        let at = (event.event_time_ms, trace, id);
        match event.body {
            Some(Body::Process(body)) => self.processes.push(seen(at, body)),
            Some(Body::Network(body)) => self.networks.push(seen(at, body)),
            Some(Body::Session(body)) => self.sessions.push(seen(at, body)),
            Some(Body::Login(body)) => self.logins.push(seen(at, body)),
            Some(Body::Health(body)) => self.health.push(seen(at, body)),
            Some(Body::Gap(body)) => self.gaps.push(seen(at, body)),
            // No class keeps files.
            Some(Body::File(_)) | None => self.damaged = self.damaged.saturating_add(1),
        }
    }

    /// That something could not be read.
    pub(super) fn left_out(&self, span: TimeSpan) -> Option<LeftOut> {
        (self.damaged > 0).then(|| LeftOut {
            what: "damaged events".to_owned(),
            span,
            count: Some(self.damaged),
        })
    }
}

fn seen<T>((time_ms, trace, id): (i64, &StoredTrace, EventId), body: T) -> Seen<T> {
    Seen {
        time_ms,
        run: trace.run,
        boot: trace.boot,
        id,
        body,
    }
}

fn sort<T>(seen: &mut [Seen<T>]) {
    seen.sort_unstable_by_key(|one| (one.time_ms, one.id));
}

/// Runs of an endpoint.
#[derive(Debug)]
pub(super) struct Runs {
    /// In order of time.
    spans: Vec<RunSpan>,
    by_id: BTreeMap<RunId, usize>,
}

impl Runs {
    pub(super) fn new(spans: &[RunSpan]) -> Self {
        let mut spans = spans.to_vec();
        spans.sort_unstable_by_key(|span| (span.from_ms, span.until_ms, span.run));
        let by_id = spans.iter().enumerate();
        Self {
            by_id: by_id.map(|(index, span)| (span.run, index)).collect(),
            spans,
        }
    }

    /// Time of a run's newest event.
    pub(super) fn end_ms(&self, run: RunId) -> Option<i64> {
        let index = self.by_id.get(&run)?;
        self.spans.get(*index).map(|span| span.until_ms)
    }

    /// The first run after this one that belongs to another boot: what the machine did before has ended.
    pub(super) fn next_boot(&self, run: RunId) -> Option<&RunSpan> {
        let index = *self.by_id.get(&run)?;
        let boot = self.spans.get(index)?.boot;
        let mut later = self.spans.iter().skip(index + 1);
        later.find(|span| span.boot != boot)
    }

    /// The run's last event before the machine's next boot: of this run, or of a later one of the same boot.
    pub(super) fn last_of_boot_ms(&self, run: RunId) -> Option<i64> {
        let index = *self.by_id.get(&run)?;
        let boot = self.spans.get(index)?.boot;
        let later = self.spans.iter().skip(index);
        let same = later.take_while(|span| span.boot == boot);
        same.map(|span| span.until_ms).max()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &RunSpan> {
        self.spans.iter()
    }
}
