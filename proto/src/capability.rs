//! One integer that says what a program can do. Behaviour branches on it, never on a version text.
//!
//! It goes both ways in the first messages of a session. A step is never removed from the list, and a
//! new one gets a line here, the date it was released on, and a test in `tests/golden.rs`.
//!
//! | step | date | what it adds |
//! |---|---|---|
//! | 1 | 2026-11-24 | enrolment, sessions, clock probes, uploads; process, login, session, network, gap and health events |
//! | 2 | 2026-11-24 | file events |
//! | 3 | 2026-11-24 | remote terminals |
//! | 4 | 2026-11-24 | releases: updates, their reports, reading the signed repository |

/// What this build can do.
pub const CURRENT: u32 = 4;

/// The first step with remote terminals.
pub const TERMINAL: u32 = 3;

/// The first step with releases.
pub const RELEASE: u32 = 4;

/// The oldest agent that this server still speaks with. Older ones are told so by
/// `Refused { reason: CAPABILITY }`, which every agent understands.
pub const OLDEST_AGENT: u32 = 1;
