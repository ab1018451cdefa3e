//! Something that was asked for: what came last, when, whether it is being asked for now, and what went
//! wrong. What came last stays until something newer comes, so that a broken connection hides nothing.

/// What the server said last about something.
#[derive(Debug)]
pub(crate) struct Loaded<T> {
    value: Option<T>,
    time_ms: i64,
    is_loading: bool,
    problem: Option<String>,
}

impl<T> Default for Loaded<T> {
    fn default() -> Self {
        Self {
            value: None,
            time_ms: 0,
            is_loading: false,
            problem: None,
        }
    }
}

impl<T> Loaded<T> {
    /// What came last.
    pub(crate) fn value(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// What came last, which is not there any more.
    pub(crate) fn take(&mut self) -> Option<T> {
        self.value.take()
    }

    /// When it came; 0 where nothing has.
    pub(crate) fn time_ms(&self) -> i64 {
        self.time_ms
    }

    /// Whether an answer is awaited.
    pub(crate) fn is_loading(&self) -> bool {
        self.is_loading
    }

    /// Why the last question had no answer, clean.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// It was asked for.
    pub(crate) fn ask(&mut self) {
        self.is_loading = true;
    }

    /// It is not awaited any more.
    pub(crate) fn give_up(&mut self) {
        self.is_loading = false;
    }

    /// The answer.
    pub(crate) fn set(&mut self, answer: Result<T, String>, now_ms: i64) {
        self.is_loading = false;
        match answer {
            Ok(value) => {
                self.value = Some(value);
                self.time_ms = now_ms;
                self.problem = None;
            }
            Err(problem) => self.problem = Some(problem),
        }
    }
}
