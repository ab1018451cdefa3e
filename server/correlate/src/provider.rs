//! Identity providers, and what the engine must know of how each writes its log.

use serde::{Deserialize, Serialize};

/// An identity provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Okta, Classic and Identity Engine.
    Okta,
    /// Microsoft Entra ID.
    Entra,
    /// Cisco Duo.
    Duo,
    /// Google Workspace.
    Google,
    /// OneLogin.
    #[serde(rename = "onelogin")]
    OneLogin,
    /// Auth0.
    Auth0,
    /// JumpCloud.
    #[serde(rename = "jumpcloud")]
    JumpCloud,
    /// PingOne and PingID.
    Ping,
    /// Any other, by a mapping.
    Generic,
}

impl Provider {
    /// Every provider.
    pub const ALL: &'static [Self] = &[
        Self::Okta,
        Self::Entra,
        Self::Duo,
        Self::Google,
        Self::OneLogin,
        Self::Auth0,
        Self::JumpCloud,
        Self::Ping,
        Self::Generic,
    ];

    /// Its word, in JSON and on screens.
    pub fn word(self) -> &'static str {
        match self {
            Self::Okta => "okta",
            Self::Entra => "entra",
            Self::Duo => "duo",
            Self::Google => "google",
            Self::OneLogin => "onelogin",
            Self::Auth0 => "auth0",
            Self::JumpCloud => "jumpcloud",
            Self::Ping => "ping",
            Self::Generic => "generic",
        }
    }

    /// How people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Okta => "Okta",
            Self::Entra => "Entra ID",
            Self::Duo => "Duo",
            Self::Google => "Google Workspace",
            Self::OneLogin => "OneLogin",
            Self::Auth0 => "Auth0",
            Self::JumpCloud => "JumpCloud",
            Self::Ping => "Ping",
            Self::Generic => "another provider",
        }
    }

    /// Whether it writes one record an attempt, whatever came of it, under an id of its own: then two ids are
    /// two attempts, however near.
    pub(crate) fn writes_an_attempt_once(self) -> bool {
        self == Self::Duo
    }

    /// Whether it writes several records of one sign-in that have only the sign-in's id in common, and none
    /// when a prompt is sent.
    pub(crate) fn writes_a_sign_in_in_rows(self) -> bool {
        self == Self::Entra
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Factor;

    #[test]
    fn words_in_json_and_on_screens_are_the_same() {
        for provider in Provider::ALL {
            let json = serde_json::to_value(provider).unwrap();
            assert_eq!(json, provider.word());
        }
        let json = serde_json::to_value(Factor::External).unwrap();
        assert_eq!(json, Factor::External.word());
    }
}
