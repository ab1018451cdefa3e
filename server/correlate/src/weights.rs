//! The tables of weights there were: an incident keeps the version that it was scored with.

use serde::{Deserialize, Serialize};

/// Which table of weights to score with.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum WeightsVersion {
    /// The first, without endpoints.
    #[serde(rename = "2026-11.1")]
    V2026_11_1,
    /// With provenance and what happened on endpoints.
    #[serde(rename = "2026-11.2")]
    V2026_11_2,
    /// Tuned on generated months: docs/detection.md.
    #[serde(rename = "2026-11.3")]
    V2026_11_3,
    /// With prompts that come by a timer.
    #[serde(rename = "2026-11.4")]
    V2026_11_4,
    /// Whether the person was at work elsewhere, or away; what somebody on their machine leaves.
    #[serde(rename = "2026-11.5")]
    V2026_11_5,
    /// Outages of a provider; machines that should have a name and have none; the person's own phone is on no endpoint.
    #[default]
    #[serde(rename = "2026-11.6")]
    V2026_11_6,
}

impl WeightsVersion {
    /// Its word, in JSON and on screens.
    pub fn word(self) -> &'static str {
        match self {
            Self::V2026_11_1 => "2026-11.1",
            Self::V2026_11_2 => "2026-11.2",
            Self::V2026_11_3 => "2026-11.3",
            Self::V2026_11_4 => "2026-11.4",
            Self::V2026_11_5 => "2026-11.5",
            Self::V2026_11_6 => "2026-11.6",
        }
    }
}
