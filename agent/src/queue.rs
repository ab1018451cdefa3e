//! The bounded queue between sensors and the pipeline. It wakes the pipeline seldom: at the first
//! observation and at a full batch, not at each one; waking is what a storm of processes pays for.
//!
//! A full queue drops what is pushed and counts it, with the times; the pipeline makes a gap of it. Nothing
//! blocks a sensor.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tocsin_proto::limits::BATCH_EVENTS_MAX;

use crate::sensor::{Loss, LossPlace, LossReason, Observation};

/// Observations that may wait: some seconds of a storm while a slow disk syncs. One takes about 400 bytes.
const QUEUE_OBSERVATIONS_MAX: usize = 16 << 10;

/// Components whose drops are told apart; there are fewer sensors than that. What more would lose is told together.
const DROPPED_MAX: usize = 16;

/// Stands for the components beyond [`DROPPED_MAX`].
const OTHERS: &str = "others";

/// How long the first observation of a group may wait for others.
const GATHER: Duration = Duration::from_millis(200);

/// Who hands over an inventory waits while more than so many are waiting already, and at most so long.
const INVENTORY_MAX: usize = 2 * BATCH_EVENTS_MAX;
/// See [`INVENTORY_MAX`].
const ROOM_WAIT: Duration = Duration::from_secs(2);

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// What waited was taken.
    taken: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Observation>,
    /// One for each component that lost something, at most [`DROPPED_MAX`].
    dropped: Vec<Dropped>,
    closed: bool,
    /// There is something to do besides observations.
    nudged: bool,
    /// Length at which the pipeline wants to be woken; `None` while it works.
    wake_at: Option<usize>,
}

#[derive(Debug)]
struct Dropped {
    component: &'static str,
    count: u64,
    from_ms: i64,
    until_ms: i64,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No invariant of the state spans a panic, so what a panicking holder left is good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds observations of `component`. Returns how many were dropped.
    pub(crate) fn push(
        &self,
        component: &'static str,
        observations: impl IntoIterator<Item = Observation>,
    ) -> u64 {
        let mut state = self.lock();
        let mut dropped = 0;
        for observation in observations {
            if state.closed || state.waiting.len() >= QUEUE_OBSERVATIONS_MAX {
                dropped += 1;
                state.note_dropped(component, observation.time_ms());
            } else {
                state.waiting.push_back(observation);
            }
        }
        if state
            .wake_at
            .is_some_and(|level| state.waiting.len() >= level)
        {
            state.wake_at = None;
            drop(state);
            self.changed.notify_one();
        }
        dropped
    }

    /// Waits for observations and takes a group of them, an empty one after a nudge; `None` once the queue is
    /// closed and empty.
    pub(crate) fn gather(&self) -> Option<Vec<Observation>> {
        let mut state = self.lock();
        state.wake_at = Some(1);
        state = self
            .changed
            .wait_while(state, |state| {
                state.waiting.is_empty() && !state.closed && !state.nudged
            })
            .unwrap_or_else(PoisonError::into_inner);
        state.wake_at = Some(BATCH_EVENTS_MAX);
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, GATHER, |state| {
                state.waiting.len() < BATCH_EVENTS_MAX && !state.closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        state.wake_at = None;
        let dropped = std::mem::take(&mut state.dropped);
        let nudged = std::mem::take(&mut state.nudged);
        if state.waiting.is_empty() && dropped.is_empty() && !nudged {
            return None;
        }
        let mut group = Vec::from(std::mem::take(&mut state.waiting));
        drop(state);
        self.taken.notify_all();
        group.extend(dropped.into_iter().map(Observation::from));
        Some(group)
    }

    /// Waits until few observations wait, at most a moment.
    pub(crate) fn wait_for_room(&self) {
        let is_full = |state: &mut State| state.waiting.len() > INVENTORY_MAX && !state.closed;
        // The result says only whether the time ran out, and either is right.
        drop(
            self.taken
                .wait_timeout_while(self.lock(), ROOM_WAIT, is_full),
        );
    }

    /// Wakes the pipeline although nothing was seen.
    pub(crate) fn nudge(&self) {
        self.lock().nudged = true;
        self.changed.notify_all();
    }

    /// Takes nothing more; what waits can still be gathered.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
        self.taken.notify_all();
    }
}

impl State {
    fn note_dropped(&mut self, component: &'static str, time_ms: i64) {
        let name = |component| move |dropped: &&mut Dropped| dropped.component == component;
        let known = self.dropped.iter_mut().find(name(component)).is_some();
        let component = if known || self.dropped.len() < DROPPED_MAX - 1 {
            component
        } else {
            OTHERS
        };
        let Some(dropped) = self.dropped.iter_mut().find(name(component)) else {
            self.dropped.push(Dropped {
                component,
                count: 1,
                from_ms: time_ms,
                until_ms: time_ms,
            });
            return;
        };
        dropped.count += 1;
        dropped.from_ms = dropped.from_ms.min(time_ms);
        dropped.until_ms = dropped.until_ms.max(time_ms);
    }
}

impl From<Dropped> for Observation {
    fn from(dropped: Dropped) -> Self {
        Self::Loss(Box::new(Loss {
            place: LossPlace::Queue,
            reason: LossReason::Overflow,
            component: dropped.component,
            lost: Some(dropped.count),
            from_ms: dropped.from_ms,
            until_ms: dropped.until_ms,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(time_ms: i64) -> Observation {
        Observation::SensorsChanged { time_ms }
    }

    #[test]
    fn what_is_pushed_comes_out_in_order() {
        let queue = Queue::default();
        queue.push("test", (0..5).map(changed));
        let group = queue.gather().unwrap();
        let times: Vec<i64> = group.iter().map(Observation::time_ms).collect();
        assert_eq!(times, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn an_inventory_of_any_size_goes_through() {
        let queue = std::sync::Arc::new(Queue::default());
        let other = queue.clone();
        let parts = i64::try_from(4 * QUEUE_OBSERVATIONS_MAX / BATCH_EVENTS_MAX).unwrap();
        let sensor = std::thread::spawn(move || {
            let one = i64::try_from(BATCH_EVENTS_MAX).unwrap();
            for _part in 0..parts {
                assert_eq!(other.push("test", (0..one).map(changed)), 0);
                other.wait_for_room();
            }
            other.close();
        });
        let mut taken = 0;
        while let Some(group) = queue.gather() {
            assert!(group.len() <= INVENTORY_MAX + BATCH_EVENTS_MAX);
            taken += group.len();
        }
        sensor.join().unwrap();
        assert_eq!(taken, 4 * QUEUE_OBSERVATIONS_MAX);
    }

    #[test]
    fn a_full_queue_counts_what_it_drops_and_says_so_once() {
        let queue = Queue::default();
        let more = 7;
        let pushed = i64::try_from(QUEUE_OBSERVATIONS_MAX).unwrap() + more;
        assert_eq!(queue.push("test", (0..pushed).map(changed)), 7);
        let group = queue.gather().unwrap();
        assert_eq!(group.len(), QUEUE_OBSERVATIONS_MAX + 1);
        let Some(Observation::Loss(loss)) = group.last() else {
            panic!("the loss is the last of the group");
        };
        assert_eq!(loss.lost, Some(7));
        assert_eq!((loss.from_ms, loss.until_ms), (pushed - more, pushed - 1));
        assert_eq!(queue.push("test", [changed(1)]), 0);
        assert_eq!(queue.gather().unwrap().len(), 1);
    }

    #[test]
    fn drops_are_told_apart_by_component_within_a_bound() {
        const NAMES: [&str; 20] = [
            "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q",
            "r", "s", "t",
        ];
        let queue = Queue::default();
        let full = i64::try_from(QUEUE_OBSERVATIONS_MAX).unwrap();
        queue.push("a", (0..full).map(changed));
        for (time_ms, name) in (1..).zip(NAMES) {
            queue.push(name, [changed(time_ms)]);
        }
        queue.push("b", [changed(50)]);
        let group = queue.gather().unwrap();
        let told: Vec<_> = group[QUEUE_OBSERVATIONS_MAX..]
            .iter()
            .map(|observation| match observation {
                Observation::Loss(loss) => (loss.component, loss.lost, loss.from_ms, loss.until_ms),
                _ => panic!("losses are the last of the group"),
            })
            .collect();
        assert_eq!(told.len(), DROPPED_MAX);
        assert_eq!(
            told[..3],
            [
                ("a", Some(1), 1, 1),
                ("b", Some(2), 2, 50),
                ("c", Some(1), 3, 3)
            ]
        );
        assert_eq!(told[DROPPED_MAX - 1], (OTHERS, Some(5), 16, 20));
    }

    #[test]
    fn a_closed_queue_gives_what_it_holds_and_then_ends() {
        let queue = Queue::default();
        queue.push("test", [changed(1)]);
        queue.close();
        assert_eq!(queue.gather().unwrap().len(), 1);
        assert!(queue.gather().is_none());
        assert_eq!(queue.push("test", [changed(2)]), 1);
    }

    #[test]
    fn a_nudge_gives_an_empty_group_once() {
        let queue = Queue::default();
        queue.nudge();
        assert_eq!(queue.gather().unwrap().len(), 0);
        queue.close();
        assert!(queue.gather().is_none());
    }

    #[test]
    fn a_waiting_pipeline_is_woken() {
        let queue = std::sync::Arc::new(Queue::default());
        let reader = std::thread::spawn({
            let queue = queue.clone();
            move || queue.gather().map(|group| group.len())
        });
        queue.push("test", [changed(1)]);
        assert_eq!(reader.join().unwrap(), Some(1));
    }
}
