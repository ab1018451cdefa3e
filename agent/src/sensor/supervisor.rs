//! Runs a chain of sensors, best first, on one thread: the first that this machine can run is kept running.
//!
//! One that fails, returns or panics is started again after a growing delay; what it may have missed meanwhile
//! becomes a gap, and each change of state a health event. One that is unavailable hands over to the next in
//! the chain for good. Nothing a sensor does ends the agent.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Counters, LossReason, Observation, Output, Sensor, SensorError, Stop};
use crate::backoff::Backoff;
use crate::clock;
use crate::health::{Health, SensorState};
use crate::queue::Queue;
use crate::text::{chain, cut_reason};

const RESTART_FIRST: Duration = if cfg!(test) {
    Duration::from_millis(1)
} else {
    Duration::from_secs(1)
};
const RESTART_CAP: Duration = Duration::from_secs(60);

/// A sensor that ran so long was well: the next failure is a first one.
const WELL_AFTER: Duration = Duration::from_secs(300);

/// A chain at work.
#[derive(Debug)]
pub(crate) struct Running {
    stop: Arc<Stop>,
    thread: JoinHandle<()>,
}

impl Running {
    /// Ends it and waits until what it had seen is in the queue.
    pub(crate) fn stop(self) {
        self.stop.stop();
        if self.thread.join().is_err() {
            tracing::error!("a sensor's supervisor panicked");
        }
    }
}

/// Starts a chain called `what` on its own thread.
pub(crate) fn start(
    what: &'static str,
    chain: Vec<Box<dyn Sensor>>,
    queue: &Arc<Queue>,
    health: &Arc<Health>,
) -> std::io::Result<Running> {
    let stop = Arc::new(Stop::default());
    let supervisor = Supervisor {
        queue: queue.clone(),
        health: health.clone(),
        stop: stop.clone(),
        down_since: Arc::default(),
    };
    let thread = std::thread::Builder::new()
        .name(format!("sensor-{what}"))
        .spawn(move || supervisor.run(chain))?;
    Ok(Running { stop, thread })
}

/// Where a sensor's state is kept and told.
#[derive(Debug, Clone)]
pub(crate) struct StatusHandle {
    name: &'static str,
    queue: Arc<Queue>,
    health: Arc<Health>,
    /// Since when nothing has been watching; of the whole chain.
    down_since: Arc<Mutex<Option<i64>>>,
}

impl StatusHandle {
    /// The source is open.
    pub(super) fn running(&self, detail: String) {
        self.set(SensorState::Running, detail);
    }

    fn set(&self, state: SensorState, detail: String) {
        if self.health.set_sensor(self.name, state, cut_reason(detail)) {
            let time_ms = clock::now_ms();
            self.queue
                .push(self.name, [Observation::SensorsChanged { time_ms }]);
        }
    }

    fn take_down_since(&self) -> Option<i64> {
        self.down_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn note_down(&self) {
        self.down_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(clock::now_ms);
    }
}

impl Output {
    /// Says that the source is open; `detail` names what it misses, empty where that is nothing.
    pub(crate) fn running(&self, detail: String) {
        if let Some(since_ms) = self.status.take_down_since() {
            self.lost(LossReason::SensorStopped, None, since_ms, clock::now_ms());
        }
        self.status.running(detail);
    }
}

#[cfg(test)]
impl Output {
    /// One that no supervisor made.
    pub(crate) fn for_test(component: &'static str, queue: Arc<Queue>) -> Self {
        let status = StatusHandle {
            name: component,
            queue: queue.clone(),
            health: Arc::default(),
            down_since: Arc::default(),
        };
        Self {
            component,
            queue,
            counters: Arc::default(),
            status,
        }
    }
}

struct Supervisor {
    queue: Arc<Queue>,
    health: Arc<Health>,
    stop: Arc<Stop>,
    down_since: Arc<Mutex<Option<i64>>>,
}

impl Supervisor {
    fn run(&self, chain: Vec<Box<dyn Sensor>>) {
        for mut sensor in chain {
            self.keep_running(sensor.as_mut());
            if self.stop.is_stopped() {
                return;
            }
        }
        tracing::error!("no sensor of the chain can run here");
    }

    /// Returns when the sensor is unavailable or it is time to end.
    fn keep_running(&self, sensor: &mut dyn Sensor) {
        let name = sensor.name();
        let counters = Arc::new(Counters::default());
        self.health.add_sensor(name, counters.clone());
        let status = StatusHandle {
            name,
            queue: self.queue.clone(),
            health: self.health.clone(),
            down_since: self.down_since.clone(),
        };
        let output = Output {
            component: name,
            queue: self.queue.clone(),
            counters,
            status: status.clone(),
        };
        let mut backoff = Backoff::new(RESTART_FIRST, RESTART_CAP);
        loop {
            status.set(SensorState::Starting, String::new());
            let started = Instant::now();
            let ended = catch_unwind(AssertUnwindSafe(|| sensor.run(&output, &self.stop)));
            if self.stop.is_stopped() {
                return;
            }
            let detail = match ended {
                Ok(Err(SensorError::Unavailable(reason))) => {
                    tracing::warn!(sensor = name, reason, "sensor is unavailable");
                    status.set(SensorState::Unavailable, reason);
                    return;
                }
                Ok(Err(error)) => chain(&error),
                Ok(Ok(())) => "it ended by itself".to_owned(),
                Err(panic) => format!("it panicked: {}", panic_text(panic.as_ref())),
            };
            status.note_down();
            if started.elapsed() > WELL_AFTER {
                backoff.reset();
            }
            let delay = backoff.next_delay(rand::random());
            tracing::error!(
                sensor = name,
                detail,
                retry_delay_ms = delay.as_millis(),
                "sensor failed"
            );
            self.health.count_restart(name);
            status.set(SensorState::Failed, detail);
            if self.stop.wait(delay) {
                return;
            }
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensor::LossPlace;

    /// Does what its script says, one step a start; then runs until it is stopped.
    struct Scripted {
        name: &'static str,
        steps: Vec<fn() -> Result<(), SensorError>>,
    }

    impl Sensor for Scripted {
        fn name(&self) -> &'static str {
            self.name
        }

        fn run(&mut self, output: &Output, stop: &Stop) -> Result<(), SensorError> {
            if !self.steps.is_empty() {
                return self.steps.remove(0)();
            }
            output.running(String::new());
            stop.wait(Duration::MAX);
            Ok(())
        }
    }

    fn run(chain: Vec<Box<dyn Sensor>>, last: &'static str) -> (Arc<Health>, Vec<Observation>) {
        let (queue, health) = (Arc::new(Queue::default()), Arc::new(Health::default()));
        let running = start("test", chain, &queue, &health).unwrap();
        let mut seen = Vec::new();
        while health.sensor_state(last) != Some(SensorState::Running) {
            seen.extend(queue.gather().unwrap());
        }
        running.stop();
        queue.close();
        seen.extend(std::iter::from_fn(|| queue.gather()).flatten());
        (health, seen)
    }

    #[test]
    fn one_that_panics_is_started_again_and_leaves_a_gap() {
        let steps: Vec<fn() -> Result<(), SensorError>> = vec![|| panic!("on purpose")];
        let (health, seen) = run(vec![Box::new(Scripted { name: "a", steps })], "a");
        let report = health.report();
        assert_eq!(report.sensors.len(), 1);
        assert_eq!(report.sensors[0].restarts, 1);
        let gaps: Vec<&Loss> = seen
            .iter()
            .filter_map(|observation| match observation {
                Observation::Loss(loss) => Some(loss.as_ref()),
                _ => None,
            })
            .collect();
        assert_eq!(gaps.len(), 1);
        assert_eq!(gaps[0].reason, LossReason::SensorStopped);
        assert_eq!(gaps[0].place, LossPlace::Sensor);
    }

    #[test]
    fn one_that_is_unavailable_hands_over_to_the_next() {
        let steps: Vec<fn() -> Result<(), SensorError>> =
            vec![|| Err(SensorError::Unavailable("needs root".into()))];
        let chain: Vec<Box<dyn Sensor>> = vec![
            Box::new(Scripted { name: "a", steps }),
            Box::new(Scripted {
                name: "b",
                steps: Vec::new(),
            }),
        ];
        let (health, seen) = run(chain, "b");
        assert_eq!(health.sensor_state("a"), Some(SensorState::Unavailable));
        assert_eq!(health.report().sensors[0].detail, "needs root");
        assert!(
            !seen.iter().any(|seen| matches!(seen, Observation::Loss(_))),
            "nothing was watched before, so nothing was lost"
        );
    }

    use crate::sensor::Loss;
}
