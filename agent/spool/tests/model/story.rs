//! What a spool must do, as a model that remembers every event ever pushed and judges every answer.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tocsin_proto::id::{EventSequence, RunId};
use tocsin_spool::{LossReason, Record, Sequencer, Span, Spool, SpoolConfig, SpoolError};

use crate::disk::Disk;

/// One thing that happens to a spool.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Push {
        events: u64,
        bytes: usize,
    },
    Sync,
    Lease,
    /// The server acknowledges so many of the records in flight.
    Commit(usize),
    /// It acknowledges the run of the oldest in flight up to this much behind it, perhaps in the
    /// middle of a record.
    CommitAhead(u64),
    Rollback,
    Checkpoint,
    Settle,
    NewRun,
    /// The process ends and a new one opens the spool.
    Restart,
    /// The machine goes down.
    Crash(u64),
    /// It will go down in the middle of something.
    CrashAfter(usize, u64),
    Room(Option<usize>),
    FailSync,
}

pub(crate) const CONFIG: SpoolConfig = SpoolConfig {
    bytes_max: 5 << 10,
    segment_bytes: 1 << 10,
    in_flight_max: 3,
};

/// An event: which run, as counted by the model, and its sequence.
type Event = (usize, u64);

#[derive(Debug, Default, Clone)]
struct Facts {
    /// A sync that covers it went well.
    synced: bool,
    /// A sync that should have covered it failed: nothing is promised any more.
    in_doubt: bool,
    /// The machine went down before it was synced: it may be gone.
    at_risk: bool,
    /// Its push failed.
    refused: bool,
    /// And the machine went down since: a part of it, cut off but not for sure, may be back.
    remains: bool,
    /// The server has it, and this process was told.
    committed: bool,
    /// The server has it, and some process was told.
    ever_committed: bool,
    /// And the ledger was written since.
    committed_durably: bool,
    /// It was in a loss.
    lost: Option<LossReason>,
    /// This process was told that its loss is settled.
    settled: bool,
    ever_settled: bool,
    settled_durably: bool,
}

#[derive(Debug)]
pub(crate) struct Story {
    disk: Disk,
    spool: Option<Spool<Disk>>,
    runs: Vec<Sequencer>,
    events: BTreeMap<Event, Facts>,
    /// Every record ever pushed, in order.
    pushed: Vec<(Record, usize)>,
    by_first: HashMap<(RunId, u64), usize>,
    /// Records in flight, by their index.
    in_flight: Vec<usize>,
    /// Lowest index that the next lease may give.
    lease_from: usize,
    crash_seed: u64,
    /// A push met a sync that failed, which the next sync must tell.
    owes_failure: bool,
    pub(crate) seen: Seen,
}

/// How often what happened, to know that a test tests something.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) leased: usize,
    pub(crate) evicted: usize,
    pub(crate) damaged: usize,
    pub(crate) crashes: usize,
    pub(crate) disk_full: usize,
    pub(crate) vanished: usize,
}

impl Story {
    pub(crate) fn new() -> Self {
        let disk = Disk::default();
        let (spool, _) = Spool::open_in(disk.clone(), CONFIG).unwrap();
        let mut story = Self {
            disk,
            spool: Some(spool),
            runs: Vec::new(),
            events: BTreeMap::new(),
            pushed: Vec::new(),
            by_first: HashMap::new(),
            in_flight: Vec::new(),
            lease_from: 0,
            crash_seed: 0,
            owes_failure: false,
            seen: Seen::default(),
        };
        story.new_run();
        story
    }

    /// Everything happens, then all faults end and the server takes whatever is left.
    pub(crate) fn play(steps: &[Step]) -> Seen {
        let mut story = Self::new();
        for step in steps {
            story.step(step);
        }
        story.finish();
        story.seen
    }

    fn spool(&mut self) -> &mut Spool<Disk> {
        self.spool.as_mut().unwrap()
    }

    fn new_run(&mut self) {
        let number = u8::try_from(self.runs.len() + 1).unwrap();
        self.runs
            .push(Sequencer::new(RunId::from_bytes([number; 16])));
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Push { events, bytes } => self.push(events, bytes),
            Step::Sync => self.sync(),
            Step::Lease => drop(self.lease()),
            Step::Commit(count) => self.commit(count),
            Step::CommitAhead(events) => self.commit_ahead(events),
            Step::Rollback => self.rollback(),
            Step::Checkpoint => self.checkpoint(),
            Step::Settle => self.settle(),
            Step::NewRun => self.new_run(),
            Step::Restart => self.restart(),
            Step::Crash(seed) => self.crash(seed),
            Step::CrashAfter(changes, seed) => {
                self.crash_seed = seed;
                self.disk.die_after(changes);
            }
            Step::Room(room) => self.disk.set_room(room),
            Step::FailSync => self.disk.fail_syncs(1),
        }
        if self.disk.is_dead() {
            self.crash(self.crash_seed);
        }
    }

    fn events_of(run: usize, span: Span) -> impl Iterator<Item = Event> {
        (span.first.0..=span.last.0).map(move |sequence| (run, sequence))
    }

    fn facts(&mut self, run: usize, span: Span) -> Vec<&mut Facts> {
        let range = (run, span.first.0)..=(run, span.last.0);
        self.events
            .range_mut(range)
            .map(|(_, facts)| facts)
            .collect()
    }

    fn push(&mut self, events: u64, bytes: usize) {
        let run = self.runs.len() - 1;
        let sequencer = self.runs.last_mut().unwrap();
        let first = sequencer.assign();
        let last = (1..events)
            .map(|_| sequencer.assign())
            .last()
            .unwrap_or(first);
        let span = Span {
            run: sequencer.run(),
            first,
            last,
        };
        let payload = (0..bytes)
            .map(|at| (first.0 as usize * 31 + at) as u8)
            .collect();
        let record = Record { span, payload };
        for event in Self::events_of(run, span) {
            self.events.insert(event, Facts::default());
        }
        let failed_before = self.disk.failed_syncs();
        let result = self.spool().push(&record);
        if self.disk.failed_syncs() > failed_before {
            self.doubt_unsynced();
            self.owes_failure |= result.is_ok();
        }
        self.by_first
            .insert((span.run, span.first.0), self.pushed.len());
        self.pushed.push((record, run));
        match result {
            Ok(()) => {
                assert!(
                    self.disk.bytes(".segment") as u64 <= CONFIG.bytes_max,
                    "over the limit"
                );
            }
            Err(error) => {
                // A machine that dies in a write may have done it nevertheless.
                let dead = self.disk.is_dead();
                self.seen.disk_full += usize::from(matches!(error, SpoolError::DiskFull { .. }));
                for facts in self.facts(run, span) {
                    (facts.refused, facts.at_risk) = (!dead, dead);
                }
            }
        }
    }

    fn sync(&mut self) {
        if self.spool().sync().is_err() {
            self.owes_failure = false;
            return self.doubt_unsynced();
        }
        assert!(!self.owes_failure, "a failed sync was not told");
        for facts in self.events.values_mut() {
            facts.synced |= !facts.in_doubt && !facts.at_risk && !facts.refused;
        }
    }

    fn doubt_unsynced(&mut self) {
        for facts in self.events.values_mut().filter(|facts| !facts.synced) {
            facts.in_doubt = true;
        }
    }

    fn lease(&mut self) -> Option<usize> {
        let full = self.in_flight.len() >= CONFIG.in_flight_max;
        let leased = self.spool().lease();
        if self.disk.is_dead() {
            return None;
        }
        self.note_losses();
        let Ok(leased) = leased else { return None };
        let upto = match &leased {
            Some(record) => {
                assert!(!full, "more in flight than allowed");
                let key = (record.span.run, record.span.first.0);
                let index = *self
                    .by_first
                    .get(&key)
                    .expect("a record that was never pushed");
                assert_eq!(record, &self.pushed[index].0, "not what was pushed");
                assert!(index >= self.lease_from, "out of order");
                index
            }
            // With something in flight it may only be waiting.
            None if !self.in_flight.is_empty() => return None,
            None => self.pushed.len(),
        };
        for index in self.lease_from..upto {
            let (record, run) = self.pushed[index].clone();
            let mut vanished = 0;
            for facts in self.facts(run, record.span) {
                let gone = facts.ever_committed || facts.lost.is_some();
                let excused = gone || facts.at_risk || facts.refused;
                assert!(excused, "{:?} was skipped: {facts:?}", record.span);
                vanished += usize::from(facts.at_risk && facts.lost.is_none());
            }
            self.seen.vanished += vanished;
        }
        self.lease_from = self.lease_from.max(upto);
        leased.as_ref()?;
        let (record, run) = self.pushed[upto].clone();
        let all_known = self
            .facts(run, record.span)
            .iter()
            .all(|facts| facts.committed);
        assert!(
            !all_known,
            "{:?} was committed in this process",
            record.span
        );
        for facts in self.facts(run, record.span) {
            assert!(!facts.refused, "{:?} was refused", record.span);
            assert!(
                facts.lost.is_none() || facts.ever_committed,
                "a lost event came back"
            );
        }
        let durably = self
            .facts(run, record.span)
            .iter()
            .all(|facts| facts.committed_durably);
        assert!(
            !durably,
            "{:?} was committed, and the ledger written",
            record.span
        );
        self.seen.leased += 1;
        self.lease_from = upto + 1;
        self.in_flight.push(upto);
        Some(upto)
    }

    fn note_commit(&mut self, run: usize, through: u64) {
        for (_, facts) in self.events.range_mut((run, 0)..=(run, through)) {
            (facts.committed, facts.ever_committed) = (true, true);
        }
        let pushed = &self.pushed;
        self.in_flight.retain(|index| {
            let (record, of) = &pushed[*index];
            *of != run || record.span.last.0 > through
        });
    }

    fn commit(&mut self, count: usize) {
        let indexes: Vec<usize> = self.in_flight.iter().take(count).copied().collect();
        for index in indexes {
            let (record, run) = self.pushed[index].clone();
            self.spool().commit(record.span.run, record.span.last);
            self.note_commit(run, record.span.last.0);
        }
    }

    fn commit_ahead(&mut self, events: u64) {
        // What was lost before the server said that it had it was rightly lost.
        self.note_losses();
        let Some(index) = self.in_flight.first() else {
            return;
        };
        let (record, run) = self.pushed[*index].clone();
        let through = record.span.first.0 + events;
        self.spool().commit(record.span.run, EventSequence(through));
        self.note_commit(run, through);
    }

    fn rollback(&mut self) {
        self.spool().rollback();
        if let Some(oldest) = self.in_flight.first() {
            self.lease_from = *oldest;
        }
        self.in_flight.clear();
    }

    fn checkpoint(&mut self) {
        if self.spool().checkpoint().is_err() {
            return;
        }
        for facts in self.events.values_mut() {
            facts.committed_durably |= facts.committed;
            facts.settled_durably |= facts.settled;
        }
    }

    /// Reads the losses and holds each of them against what is known.
    fn note_losses(&mut self) {
        let losses = self.spool().losses().to_vec();
        let mut told = BTreeSet::new();
        for loss in &losses {
            let Some(span) = loss.span else {
                assert_eq!(loss.reason, LossReason::Damaged);
                let any = self
                    .events
                    .values()
                    .any(|facts| facts.at_risk || facts.in_doubt || facts.remains);
                assert!(any, "damage of unknown extent, and everything was safe");
                continue;
            };
            assert_eq!(loss.events, Some(span.events()));
            let run = usize::from(span.run.as_bytes()[0]) - 1;
            let mut news = 0;
            for event in Self::events_of(run, span) {
                assert!(told.insert(event), "{event:?} is in two losses");
                let facts = self
                    .events
                    .get_mut(&event)
                    .expect("a loss of what was never pushed");
                // What is inferred from its neighbors may include what was settled long ago.
                let again = facts.settled_durably && loss.reason == LossReason::Evicted;
                assert!(!again, "{event:?} was settled, and the ledger written");
                match loss.reason {
                    LossReason::Evicted => {
                        assert!(!facts.refused, "{event:?} was not in the spool");
                        assert!(
                            !facts.committed || facts.lost.is_some(),
                            "{event:?} is delivered"
                        );
                    }
                    LossReason::Damaged => {
                        // A hole between two records may be what was delivered, or told before.
                        let gone = facts.ever_committed || facts.lost.is_some() || facts.refused;
                        let safe = !facts.at_risk && !facts.in_doubt && !gone;
                        assert!(!safe, "{event:?} was safe: {facts:?}");
                    }
                }
                news += usize::from(facts.lost.replace(loss.reason).is_none());
            }
            match loss.reason {
                LossReason::Evicted => self.seen.evicted += news,
                LossReason::Damaged => self.seen.damaged += news,
            }
        }
        for (event, facts) in &self.events {
            let untold = facts.lost == Some(LossReason::Evicted) && !facts.ever_settled;
            assert!(
                !untold || told.contains(event),
                "the loss of {event:?} was forgotten"
            );
        }
    }

    fn settle(&mut self) {
        self.note_losses();
        if let Some(last) = self.spool().losses().last().copied() {
            self.spool().settle_losses(last.number);
        }
        for facts in self
            .events
            .values_mut()
            .filter(|facts| facts.lost.is_some())
        {
            (facts.settled, facts.ever_settled) = (true, true);
        }
    }

    /// What a process knew is gone; what was only told to it may be asked again.
    fn forget_process(&mut self) {
        self.spool = None;
        self.in_flight.clear();
        (self.lease_from, self.owes_failure) = (0, false);
        for facts in self.events.values_mut() {
            facts.committed = facts.committed_durably;
            facts.settled = facts.settled_durably;
        }
    }

    fn restart(&mut self) {
        self.forget_process();
        let failed_before = self.disk.failed_syncs();
        match Spool::open_in(self.disk.clone(), CONFIG) {
            Ok((spool, _)) => self.spool = Some(spool),
            Err(error) => {
                assert!(self.disk.is_dead(), "{error}");
                return;
            }
        }
        if self.disk.failed_syncs() > failed_before {
            self.doubt_unsynced();
        }
        self.new_run();
        self.note_losses();
    }

    fn crash(&mut self, seed: u64) {
        self.seen.crashes += 1;
        for facts in self.events.values_mut() {
            facts.at_risk |= !facts.synced && !facts.refused;
            facts.remains |= facts.refused;
        }
        self.forget_process();
        self.disk.crash(seed);
        self.restart();
    }

    fn finish(&mut self) {
        self.disk.heal();
        self.restart();
        loop {
            while self.lease().is_some() {}
            if self.in_flight.is_empty() {
                break;
            }
            self.commit(CONFIG.in_flight_max);
        }
        self.note_losses();
        for (event, facts) in &self.events {
            let gone = facts.ever_committed || facts.lost.is_some() || facts.refused;
            assert!(gone || facts.at_risk, "{event:?} is nowhere: {facts:?}");
        }
        assert_eq!(self.spool().stats().events, 0);
        self.settle();
        self.checkpoint();
        self.restart();
        assert_eq!(
            self.spool().lease().unwrap(),
            None,
            "sent again after the ledger was written"
        );
        assert_eq!(self.spool().losses(), []);
    }
}
