//! Queue -> normalize -> batch -> spool, on one thread of its own: it may wait for the disk and for account names,
//! and nobody waits for it.
//!
//! A group of observations is gathered for a moment, made into batches, appended and synced once. Losses become gap
//! events here: those of the queue and the sensors at once, those of the spool when there is a server to tell.

mod renumber;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tocsin_proto::id::{BootId, RunId};
use tocsin_proto::limits::BATCH_EVENTS_MAX;
use tocsin_proto::telemetry::v1::event::Body;
use tocsin_spool::{LossReason, Record, Sequencer, Span, SpoolError};

use crate::account::AccountNames;
use crate::batch::{self, Batch, Unnumbered};
use crate::clock;
use crate::hash::Hasher;
use crate::health::{self, ConnectionState, Health};
use crate::memory;
use crate::normalize::{self, FlowUserNames, Looked, SpoolLoss, SpoolLossKind};
use crate::outbox::Outbox;
use crate::queue::Queue;
use crate::sensor::file::change::FileObservation;
use crate::sensor::network::flow::Flow;
use crate::sensor::process::Account;
use crate::sensor::session::SessionObservation;
use crate::sensor::{Observation, ProcessObservation};
use crate::text::chain;

/// How long a small group waits for the hashes of executables seen for the first time.
const HASHES_WAIT: Duration = Duration::from_millis(300);

/// After so many observations, and when they come more slowly again, free memory is given back.
const GIVE_BACK_AFTER: usize = 8 * BATCH_EVENTS_MAX;

/// The run before this one, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FormerRun {
    /// Its id.
    pub(crate) run: RunId,
    /// When it began, Unix milliseconds.
    pub(crate) start_ms: i64,
    /// When it was last known to run, Unix milliseconds.
    pub(crate) alive_ms: i64,
}

/// What the pipeline works with.
#[derive(Debug)]
pub(crate) struct Stages {
    /// Where observations come from.
    pub(crate) queue: Arc<Queue>,
    /// Where batches go.
    pub(crate) outbox: Arc<Outbox>,
    /// Where numbers go.
    pub(crate) health: Arc<Health>,
    /// Where hashes come from.
    pub(crate) hasher: Arc<Hasher>,
}

/// The pipeline.
#[derive(Debug)]
pub(crate) struct Pipeline {
    stages: Stages,
    boot: BootId,
    sequencer: Sequencer,
    names: AccountNames,
    times: Times,
    former: Option<FormerRun>,
    /// Events that had a sequence and did not get into the spool: at most one of a kind.
    unpushed: Vec<SpoolLoss>,
}

impl Pipeline {
    /// For this run.
    pub(crate) fn new(stages: Stages, run: RunId, boot: BootId, former: Option<FormerRun>) -> Self {
        Self {
            stages,
            boot,
            sequencer: Sequencer::new(run),
            names: AccountNames::default(),
            times: Times::default(),
            former,
            unpushed: Vec::new(),
        }
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let mut busy = 0_usize;
        while let Some(group) = self.stages.queue.gather() {
            let is_small = group.len() < BATCH_EVENTS_MAX;
            if is_small {
                self.stages.hasher.settle(HASHES_WAIT);
            }
            busy = busy.saturating_add(group.len());
            self.take(group);
            if is_small && busy >= GIVE_BACK_AFTER {
                memory::give_back();
                busy = 0;
            }
        }
        // What is still to be told, if anything, gets its last chance.
        self.take(Vec::new());
        self.stages.outbox.checkpoint();
    }

    fn take(&mut self, group: Vec<Observation>) {
        let now_ms = clock::now_ms();
        self.renumber(now_ms);
        let mut events = self.events_of(group);
        let told = self.add_spool_losses(&mut events, now_ms);
        if events.is_empty() {
            return;
        }
        if let Some(first) = events.first() {
            self.times.note(first.time_ms);
        }
        let batches = batch::divide(events, self.boot, &mut self.sequencer);
        if let Some(last) = batches.last() {
            self.times.assigned(last.span.last.0);
            self.stages.health.note_sequence(last.span.last.0);
        }
        let unpushed_told = std::mem::take(&mut self.unpushed);
        let complete = self.append(batches, now_ms);
        if complete {
            self.settle(&told);
        } else {
            // The events that told them may be among those that were not pushed now.
            for former in unpushed_told {
                self.note_unpushed(former);
            }
        }
    }

    /// What was told lies in the spool and survives: it is counted, and not told again.
    fn settle(&self, told: &Told) {
        self.stages.health.count_dropped(told.events);
        self.stages.outbox.settle_rejected(told.rejected);
        if let Some(through) = told.through {
            self.stages.outbox.settle_losses(through);
        }
    }

    fn events_of(&mut self, group: Vec<Observation>) -> Vec<Unnumbered> {
        let mut events = Vec::with_capacity(group.len() + 2);
        let mut changed_ms = None;
        for observation in group {
            let time_ms = observation.time_ms();
            let body = match observation {
                Observation::Process(process) => self.process(&process),
                Observation::Session(seen) => match seen {
                    SessionObservation::Login(login) => normalize::login(&login),
                    SessionObservation::Session(session) => normalize::session(&session),
                    SessionObservation::Power(power) => normalize::power(power),
                },
                Observation::Flow(flow) => self.flow(&flow),
                Observation::File(file) => self.file(&file),
                Observation::Loss(loss) => {
                    self.stages.health.count_dropped(loss.lost.unwrap_or(0));
                    normalize::loss(&loss)
                }
                Observation::SensorsChanged { time_ms } => {
                    changed_ms = Some(time_ms);
                    continue;
                }
            };
            events.push(Unnumbered { time_ms, body });
        }
        if let Some(time_ms) = changed_ms {
            let health = normalize::health(&self.stages.health.report(), health::usage());
            events.push(Unnumbered {
                time_ms,
                body: Body::Health(health),
            });
        }
        events
    }

    fn flow(&mut self, flow: &Flow) -> Body {
        let mut name = |uid: Option<u32>| {
            uid.map(|uid| {
                self.names
                    .name(&Account::Uid(uid), Instant::now())
                    .to_owned()
            })
            .unwrap_or_default()
        };
        let names = FlowUserNames {
            socket: name(flow.uid),
            owner: name(flow.owner.as_ref().and_then(|owner| owner.uid)),
        };
        normalize::flow(flow, names)
    }

    fn file(&mut self, file: &FileObservation) -> Body {
        let uid = file.actor.as_ref().and_then(|actor| actor.uid);
        let name = uid.map(|uid| {
            let account = Account::Uid(uid);
            self.names.name(&account, Instant::now()).to_owned()
        });
        normalize::file(file, name.unwrap_or_default())
    }

    fn process(&mut self, process: &ProcessObservation) -> Body {
        let user_name = process
            .account
            .as_ref()
            .map(|account| self.names.name(account, Instant::now()).to_owned())
            .unwrap_or_default();
        let hash = process
            .image
            .file
            .and_then(|file| self.stages.hasher.hash(&file));
        normalize::process(process, Looked { user_name, hash })
    }

    /// Adds gap events for what the spool lost; gives back what is to be settled once they lie in the spool.
    fn add_spool_losses(&self, events: &mut Vec<Unnumbered>, now_ms: i64) -> Told {
        let mut told = Told::default();
        let mut gap = |loss: &SpoolLoss| {
            events.push(Unnumbered {
                time_ms: now_ms,
                body: normalize::spool_loss(loss),
            });
        };
        self.unpushed.iter().for_each(&mut gap);
        // Without a server the events that tell of losses would themselves be dropped.
        if self.stages.health.connection_state() != ConnectionState::Connected {
            return told;
        }
        for span in self.stages.outbox.rejected() {
            let (from_ms, until_ms) = self.times_of(Some(span), now_ms);
            told.rejected += 1;
            told.events += span.events();
            gap(&SpoolLoss {
                kind: SpoolLossKind::Rejected,
                span: Some(plain(span)),
                events: Some(span.events()),
                from_ms,
                until_ms,
            });
        }
        let losses = self.stages.outbox.losses();
        for loss in &losses {
            let (from_ms, until_ms) = self.times_of(loss.span, now_ms);
            told.through = Some(loss.number);
            told.events += loss.events.unwrap_or(0);
            gap(&SpoolLoss {
                kind: match loss.reason {
                    LossReason::Evicted => SpoolLossKind::Full,
                    LossReason::Damaged => SpoolLossKind::Damaged,
                },
                span: loss.span.map(plain),
                events: loss.events,
                from_ms,
                until_ms,
            });
        }
        told
    }

    /// When the events of a span happened, as well as it is known.
    fn times_of(&self, span: Option<Span>, now_ms: i64) -> (i64, i64) {
        let former = self.former.as_ref();
        match span {
            Some(span) if span.run == self.sequencer.run() => {
                self.times.of(span.first.0, span.last.0, now_ms)
            }
            Some(span) if former.is_some_and(|former| former.run == span.run) => {
                former.map_or((0, now_ms), |former| (former.start_ms, former.alive_ms))
            }
            Some(_) => (0, former.map_or(now_ms, |former| former.start_ms)),
            None => (0, now_ms),
        }
    }

    /// Packs and appends; true where everything lies in the spool and survives a crash.
    fn append(&mut self, batches: Vec<Batch>, now_ms: i64) -> bool {
        let mut records = Vec::with_capacity(batches.len());
        let mut failed = Vec::new();
        for batch in batches {
            match tocsin_proto::batch::pack(&batch.content) {
                Ok(payload) => records.push(Record {
                    span: batch.span,
                    payload,
                }),
                Err(error) => failed.push((batch.span, SpoolLossKind::Unwritten, chain(&error))),
            }
        }
        let appended = self.stages.outbox.append(&records);
        let complete = failed.is_empty() && appended.is_complete();
        let refused = appended.refused.iter();
        failed.extend(refused.map(|(span, error)| (*span, kind(error), chain(error))));
        for (span, kind, error) in &failed {
            tracing::error!(events = span.events(), error, "events are lost");
            self.stages.health.count_dropped(span.events());
            let (from_ms, until_ms) = self.times.of(span.first.0, span.last.0, now_ms);
            self.note_unpushed(SpoolLoss {
                kind: *kind,
                span: Some(plain(*span)),
                events: Some(span.events()),
                from_ms,
                until_ms,
            });
        }
        complete
    }

    /// Sequences only rise and a failing disk fails them all, so that what is lost is one stretch, or nearly.
    fn note_unpushed(&mut self, loss: SpoolLoss) {
        let mut known = self.unpushed.iter_mut();
        let Some(known) = known.find(|known| known.kind == loss.kind) else {
            self.unpushed.push(loss);
            return;
        };
        known.events = known
            .events
            .zip(loss.events)
            .map(|(one, other)| one + other);
        known.span = known
            .span
            .zip(loss.span)
            .map(|(one, other)| (one.0, one.1.min(other.1), one.2.max(other.2)));
        known.from_ms = known.from_ms.min(loss.from_ms);
        known.until_ms = known.until_ms.max(loss.until_ms);
    }
}

/// Whether a larger spool, or disk, would have taken it.
fn kind(error: &SpoolError) -> SpoolLossKind {
    match error {
        SpoolError::DiskFull { .. } | SpoolError::InFlight => SpoolLossKind::Full,
        _ => SpoolLossKind::Unwritten,
    }
}

/// Losses of the spool that became gap events, to be settled once those lie in the spool.
#[derive(Debug, Default)]
struct Told {
    /// Up to this number of [`Outbox::losses`].
    through: Option<u64>,
    /// So many of [`Outbox::rejected`].
    rejected: usize,
    /// Lost events that they tell of.
    events: u64,
}

fn plain(span: Span) -> ([u8; 16], u64, u64) {
    (*span.run.as_bytes(), span.first.0, span.last.0)
}

/// Marks of the times of this run: at most one for [`Times::SPACING_MS`]; when there are too many, every other one
/// is forgotten.
#[derive(Debug, Default)]
struct Times {
    /// Sequence, and the time of the event that got it; both rise.
    marks: VecDeque<(u64, i64)>,
    last_sequence: u64,
}

impl Times {
    const MARKS_MAX: usize = 4096;
    const SPACING_MS: i64 = 1000;

    /// The next event happened then.
    fn note(&mut self, time_ms: i64) {
        if self
            .marks
            .back()
            .is_some_and(|(_, last_ms)| time_ms < last_ms.saturating_add(Self::SPACING_MS))
        {
            return;
        }
        if self.marks.len() >= Self::MARKS_MAX {
            let mut keep = false;
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.marks.push_back((self.last_sequence + 1, time_ms));
    }

    /// Events up to this one have their sequences.
    fn assigned(&mut self, last_sequence: u64) {
        self.last_sequence = last_sequence;
    }

    /// A stretch that covers the events' times, as far as marks are there.
    fn of(&self, first: u64, last: u64, now_ms: i64) -> (i64, i64) {
        let before = self
            .marks
            .iter()
            .rev()
            .find(|(sequence, _)| *sequence <= first);
        let after = self.marks.iter().find(|(sequence, _)| *sequence > last);
        let from_ms = before.or(self.marks.front()).map_or(now_ms, |(_, ms)| *ms);
        (from_ms, after.map_or(now_ms, |(_, ms)| *ms).max(from_ms))
    }
}

#[cfg(test)]
mod tests;
