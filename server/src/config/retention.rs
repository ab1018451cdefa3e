//! `[retention]`: how long what is kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ConfigError, interval, size};

/// MFA events stay at least that long: the contract with scripts that import old records.
const MFA_EVENTS_AGE_MIN: Duration = Duration::from_secs(90 * 24 * 3600);

/// `[retention]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRetention {
    events_age: String,
    events_size: String,
    mfa_events_age: String,
    recordings_age: String,
    recordings_size: String,
}

/// How long what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RetentionConfig {
    /// Events of endpoints.
    pub(crate) events_age: Duration,
    /// Bytes of stored events; the oldest go first.
    pub(crate) events_size: u64,
    /// MFA events, counted from their import; at least 90 days.
    pub(crate) mfa_events_age: Duration,
    /// Recordings of terminals, counted from when those were opened.
    pub(crate) recordings_age: Duration,
    /// Bytes of recordings; where there are more, no terminal is opened.
    pub(crate) recordings_size: u64,
}

impl RawRetention {
    pub(super) fn mean(&self) -> Result<RetentionConfig, ConfigError> {
        let mfa_events_age = interval("retention.mfa_events_age", &self.mfa_events_age)?;
        if mfa_events_age < MFA_EVENTS_AGE_MIN {
            return Err(ConfigError::Value {
                key: "retention.mfa_events_age",
                value: self.mfa_events_age.clone(),
                expected: "at least 90d",
            });
        }
        Ok(RetentionConfig {
            events_age: interval("retention.events_age", &self.events_age)?,
            events_size: size("retention.events_size", &self.events_size)?,
            mfa_events_age,
            recordings_age: interval("retention.recordings_age", &self.recordings_age)?,
            recordings_size: size("retention.recordings_size", &self.recordings_size)?,
        })
    }
}
