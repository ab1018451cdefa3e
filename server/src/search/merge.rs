//! Puts events in order that come batch by batch, in bounded memory. Pure.
//!
//! Batches come sorted by the end at which the answer begins: newest first by their newest event, or oldest first
//! by their oldest. So everything before the next batch's end is complete and may go. Batches overlap, and many
//! endpoints' batches overlap all the time, so what waits could grow without bound. Where it gets too much,
//! the half that comes last is let go; the walk goes on only for what comes before it, and then starts again there (a
//! "round"). Every event is given out once: each round begins behind the last one that was given out.

use std::cmp::Ordering;

use super::decode::Found;
use crate::store::telemetry::BatchHead;

/// What waits to be given out.
#[derive(Debug)]
pub(super) struct Merge {
    ascending: bool,
    /// How many may still be given out; `None` = any number.
    left: Option<usize>,
    bytes_max: usize,
    held: Vec<Found>,
    held_bytes: usize,
    /// The last one given out.
    given: Option<Found>,
    /// The first one that was let go in this round: it and all after it wait for the next.
    let_go: Option<Found>,
}

impl Merge {
    /// Nothing yet. `limit` 0 = no limit.
    pub(super) fn new(ascending: bool, limit: u64, bytes_max: usize) -> Self {
        Self {
            ascending,
            left: (limit != 0).then(|| usize::try_from(limit).unwrap_or(usize::MAX)),
            bytes_max,
            held: Vec::new(),
            held_bytes: 0,
            given: None,
            let_go: None,
        }
    }

    /// The end by which a batch is sorted.
    pub(super) fn sort_time(&self, head: &BatchHead) -> i64 {
        if self.ascending {
            head.event_time_min_ms
        } else {
            head.event_time_max_ms
        }
    }

    /// Enough was given out.
    pub(super) fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    /// Starts a walk.
    pub(super) fn begin_round(&mut self) {
        self.let_go = None;
    }

    /// Where the next walk starts; `None` where nothing was let go in this one.
    pub(super) fn next_round(&self) -> Option<i64> {
        if self.is_done() {
            return None;
        }
        // Behind the last one given out; before anything was, from the first one that was let go.
        let from = self.given.as_ref().or(self.let_go.as_ref());
        self.let_go
            .as_ref()
            .and(from)
            .map(|found| found.event_time_ms)
    }

    /// Takes matching events of a batch, in any order.
    pub(super) fn add(&mut self, found: Vec<Found>) {
        for found in found {
            let is_given = self
                .given
                .as_ref()
                .is_some_and(|last| self.cmp(&found, last).is_le());
            let is_late = self
                .let_go
                .as_ref()
                .is_some_and(|first| self.cmp(&found, first).is_ge());
            if !is_given && !is_late {
                self.held_bytes += found.weight();
                self.held.push(found);
            }
        }
        let over_limit = self.left.is_some_and(|left| self.held.len() / 2 > left);
        if over_limit || self.held_bytes > self.bytes_max {
            self.shrink();
        }
    }

    /// Lets go of what comes last, until half of the room is free or the limit is reached.
    fn shrink(&mut self) {
        self.sort();
        let mut keep = self.held.len();
        if let Some(left) = self.left {
            keep = keep.min(left);
        }
        let (mut at, mut bytes) = (0, 0);
        while at < keep {
            bytes += self.held.get(at).map_or(0, Found::weight);
            // One is always kept, so that a round gives out at least one.
            if at > 0 && bytes > self.bytes_max / 2 && self.held_bytes > self.bytes_max {
                break;
            }
            at += 1;
        }
        self.let_go = self.held.get(at).cloned().or(self.let_go.take());
        self.held.truncate(at);
        self.held_bytes = self.held.iter().map(Found::weight).sum();
    }

    /// Whether batches from this end on can only hold what was let go.
    pub(super) fn needs_nothing_from(&self, time_ms: i64) -> bool {
        self.let_go.as_ref().is_some_and(|first| {
            if self.ascending {
                time_ms > first.event_time_ms
            } else {
                time_ms < first.event_time_ms
            }
        })
    }

    /// Gives out what comes before the time, or all, in order.
    pub(super) fn take_ready(&mut self, before_time_ms: Option<i64>) -> Vec<Found> {
        let ascending = self.ascending;
        let is_ready = |found: &mut Found| match before_time_ms {
            None => true,
            Some(time_ms) if ascending => found.event_time_ms < time_ms,
            Some(time_ms) => found.event_time_ms > time_ms,
        };
        let mut ready: Vec<Found> = self.held.extract_if(.., is_ready).collect();
        self.held_bytes -= ready.iter().map(Found::weight).sum::<usize>();
        ready.sort_unstable_by(|a, b| if ascending { a.order(b) } else { b.order(a) });
        if let Some(left) = &mut self.left {
            ready.truncate(*left);
            *left -= ready.len();
        }
        if let Some(last) = ready.last() {
            self.given = Some(last.clone());
        }
        ready
    }

    fn sort(&mut self) {
        let ascending = self.ascending;
        self.held
            .sort_unstable_by(|a, b| if ascending { a.order(b) } else { b.order(a) });
    }

    /// Which one comes first in the answer.
    fn cmp(&self, a: &Found, b: &Found) -> Ordering {
        if self.ascending {
            a.order(b)
        } else {
            b.order(a)
        }
    }
}
