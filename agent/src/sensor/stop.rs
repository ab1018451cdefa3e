//! How a sensor's thread is told to end: a flag that can be waited for, and that can wake a thread which waits
//! for something else.

use std::fmt;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

type Waker = Box<dyn Fn() + Send>;

#[derive(Default)]
struct State {
    stopped: bool,
    wakers: Vec<Waker>,
}

/// The flag.
#[derive(Default)]
pub(crate) struct Stop {
    state: Mutex<State>,
    changed: Condvar,
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").finish_non_exhaustive()
    }
}

impl Stop {
    /// Tells everybody to end.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.stopped = true;
        for wake in state.wakers.drain(..) {
            wake();
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Whether to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stopped
    }

    /// Waits at most so long; true where it is time to end.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, _) = self
            .changed
            .wait_timeout_while(state, timeout, |state| !state.stopped)
            .unwrap_or_else(PoisonError::into_inner);
        state.stopped
    }

    /// Calls `wake` when it is time to end, at once where it already is. Replaces an earlier one: a sensor
    /// that is started again brings a new one.
    pub(crate) fn wake_by(&self, wake: impl Fn() + Send + 'static) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.stopped {
            wake();
            return;
        }
        state.wakers.clear();
        state.wakers.push(Box::new(wake));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn the_latest_waker_is_called_once() {
        let stop = Stop::default();
        let calls = Arc::new(AtomicU32::new(0));
        for add in [100, 1] {
            let calls = calls.clone();
            stop.wake_by(move || {
                calls.fetch_add(add, Ordering::Relaxed);
            });
        }
        assert!(!stop.is_stopped());
        stop.stop();
        stop.stop();
        assert!(stop.is_stopped() && stop.wait(Duration::MAX));
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn one_that_comes_too_late_is_called_at_once() {
        let stop = Stop::default();
        stop.stop();
        let called = Arc::new(AtomicU32::new(0));
        stop.wake_by({
            let called = called.clone();
            move || {
                called.fetch_add(1, Ordering::Relaxed);
            }
        });
        assert_eq!(called.load(Ordering::Relaxed), 1);
    }
}
