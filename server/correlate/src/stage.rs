//! How far an attack has come, with the ATT&CK technique of each stage.
//!
//! The version of ATT&CK is kept beside each id, because ids move between versions.

use serde::{Deserialize, Serialize};

/// The version that the ids below are of.
pub const ATTACK_VERSION: &str = "18";

/// Stages in the order in which an attack goes through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageName {
    /// Somebody who is not the person has the password.
    CredentialKnown,
    /// Prompts are being sent.
    Prompting,
    /// A sign-in succeeded.
    Approved,
    /// How the account can be signed in to was changed.
    FactorChanged,
    /// A session went on from somewhere else.
    SessionMoved,
    /// An endpoint was reached.
    EndpointReached,
    /// Other accounts or machines were reached.
    Spread,
}

impl StageName {
    /// Its word, in JSON and on screens.
    pub fn word(self) -> &'static str {
        match self {
            Self::CredentialKnown => "credential_known",
            Self::Prompting => "prompting",
            Self::Approved => "approved",
            Self::FactorChanged => "factor_changed",
            Self::SessionMoved => "session_moved",
            Self::EndpointReached => "endpoint_reached",
            Self::Spread => "spread",
        }
    }

    /// Its technique: valid cloud accounts, MFA request generation, device registration, web session
    /// cookie, remote desktop software, remote services.
    pub fn technique(self) -> &'static str {
        match self {
            Self::CredentialKnown | Self::Approved => "T1078.004",
            Self::Prompting => "T1621",
            Self::FactorChanged => "T1098.005",
            Self::SessionMoved => "T1550.004",
            Self::EndpointReached => "T1219.002",
            Self::Spread => "T1021",
        }
    }
}

/// A stage that was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Which.
    pub name: StageName,
    /// ATT&CK technique id.
    pub technique: String,
    /// Version of ATT&CK that the id is of.
    pub attack_version: String,
    /// Time of the first event that shows it.
    pub first_event_time_ms: i64,
}

impl Stage {
    /// A stage first shown at that time.
    pub(crate) fn new(name: StageName, first_event_time_ms: i64) -> Self {
        Self {
            name,
            technique: name.technique().to_owned(),
            attack_version: ATTACK_VERSION.to_owned(),
            first_event_time_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_what_json_says() {
        for name in [
            StageName::CredentialKnown,
            StageName::Prompting,
            StageName::Approved,
            StageName::FactorChanged,
            StageName::SessionMoved,
            StageName::EndpointReached,
            StageName::Spread,
        ] {
            assert_eq!(serde_json::to_value(name).unwrap(), name.word());
            assert!(name.technique().starts_with('T'));
        }
    }
}
