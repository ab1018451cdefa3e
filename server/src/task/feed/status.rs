//! What a live feed is doing, for whoever asks. Kept in memory: after a start all of it is found out again.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of an error that is kept.
const ERROR_BYTES_MAX: usize = 600;

/// What it is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It has not had an answer yet.
    Starting,
    /// It reads what has piled up.
    CatchingUp,
    /// It has all there is.
    Current,
    /// It waits because the provider's limit is reached.
    Waiting,
    /// It does not get its pages.
    Failing,
}

impl State {
    /// As it is told.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::CatchingUp => "catching_up",
            Self::Current => "current",
            Self::Waiting => "waiting",
            Self::Failing => "failing",
        }
    }
}

/// What it is doing, since when, and what went wrong last. Times are Unix milliseconds, 0 = never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    /// What it is doing.
    pub(crate) state: State,
    /// Since when.
    pub(crate) state_ms: i64,
    /// The last page that was stored.
    pub(crate) success_ms: i64,
    /// What went wrong last; stays when it is over.
    pub(crate) error: String,
    /// When.
    pub(crate) error_ms: i64,
    /// When it asks again, where it waits; 0 = it does not.
    pub(crate) next_try_ms: i64,
}

/// The status in its lock.
pub(super) fn of(status: &Mutex<Status>) -> MutexGuard<'_, Status> {
    // Plain values: they are whole, whoever panicked while holding them.
    status.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Status {
    /// Nothing is known yet but when its last page was stored.
    pub(super) fn new(success_ms: i64, now_ms: i64) -> Self {
        Self {
            state: State::Starting,
            state_ms: now_ms,
            success_ms,
            error: String::new(),
            error_ms: 0,
            next_try_ms: 0,
        }
    }

    /// It has stored a page.
    pub(super) fn succeed(&mut self, state: State, now_ms: i64, next_try_ms: i64) {
        self.enter(state, now_ms);
        self.success_ms = now_ms;
        self.next_try_ms = next_try_ms;
    }

    /// It has none. It tries again at `next_try_ms`; 0 = never.
    pub(super) fn fail(&mut self, error: String, now_ms: i64, next_try_ms: i64) {
        self.enter(State::Failing, now_ms);
        self.note(error, now_ms);
        self.next_try_ms = next_try_ms;
    }

    /// The provider's limit is reached.
    pub(super) fn wait(&mut self, error: String, now_ms: i64, next_try_ms: i64) {
        self.enter(State::Waiting, now_ms);
        self.note(error, now_ms);
        self.next_try_ms = next_try_ms;
    }

    /// Something went wrong that does not stop it.
    pub(super) fn note(&mut self, mut error: String, now_ms: i64) {
        let mut end = error.len().min(ERROR_BYTES_MAX);
        while !error.is_char_boundary(end) {
            end -= 1;
        }
        error.truncate(end);
        self.error = error;
        self.error_ms = now_ms;
    }

    fn enter(&mut self, state: State, now_ms: i64) {
        if self.state != state {
            self.state = state;
            self.state_ms = now_ms;
        }
    }
}
