//! What the system's session manager says, whoever that is.

use super::table::SessionFacts;

/// News of the session manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ManagerNews {
    /// It is there, and these are the sessions.
    Connected(Vec<(String, SessionFacts)>),
    /// A session as it is now.
    Session {
        /// The manager's name for it.
        id: String,
        /// How it is.
        facts: Box<SessionFacts>,
        /// It has just begun.
        fresh: bool,
    },
    /// A session ended.
    Removed(String),
    /// The machine is about to sleep, or has woken.
    Sleep(bool),
    /// It is gone.
    Gone,
}

/// A session manager that can be waited for.
#[cfg(unix)]
pub(crate) trait SessionManager {
    /// Readable while there is news.
    fn descriptor(&self) -> std::os::fd::BorrowedFd<'_>;

    /// The news since the last call.
    fn take(&mut self) -> Vec<ManagerNews>;
}
