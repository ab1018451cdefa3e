//! Public detection rules for MFA fatigue, as their authors wrote them, over one person's records.
//!
//! Sources: ER elastic/detection-rules, OCD okta/customer-detections, SSC splunk/security_content, CHR
//! chronicle/detection-rules, AZS Azure/Azure-Sentinel, SIG SigmaHQ/sigma, PA panther-labs/panther-analysis. Each is
//! for one provider's log; to their favour each is asked about every provider. Their known mistakes are kept. Left out
//! are those that need a score which only their vendor has, and those whose threshold is a parameter without a default.
//!
//! Alerts of one rule on one person within a day count as one.

mod list;
mod window;

use tocsin_correlate::{MfaEvent, MfaEventKind};
use tocsin_proto::id::MfaEventId;

pub(crate) use list::RULES;

/// A rule has fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alert {
    pub time_ms: i64,
    pub events: Vec<MfaEventId>,
}

/// A rule.
pub(crate) struct Rule {
    pub name: &'static str,
    /// Over one person's records in time order.
    pub alerts: fn(&[MfaEvent]) -> Vec<Alert>,
}

/// Alerts of a rule on a person within this time are one.
const ONE_MS: i64 = 86_400_000;

/// What an analyst would see of a rule: its alerts, those of a day together.
pub(crate) fn findings(rule: &Rule, events: &[MfaEvent]) -> Vec<Alert> {
    let mut found: Vec<Alert> = Vec::new();
    for alert in (rule.alerts)(events) {
        match found.last_mut() {
            Some(last) if alert.time_ms - last.time_ms < ONE_MS => last.events.extend(alert.events),
            _ => found.push(alert),
        }
    }
    found
}

/// Not approved, by whatever the provider calls it.
pub(crate) fn is_failure(kind: MfaEventKind) -> bool {
    kind.is_answer() && kind != MfaEventKind::Approved
}

pub(crate) fn is_unanswered(kind: MfaEventKind) -> bool {
    matches!(kind, MfaEventKind::Unanswered | MfaEventKind::Abandoned)
}

pub(crate) fn is_declined(kind: MfaEventKind) -> bool {
    matches!(kind, MfaEventKind::Denied | MfaEventKind::FraudReported)
}

pub(crate) fn is_success(kind: MfaEventKind) -> bool {
    matches!(kind, MfaEventKind::Approved | MfaEventKind::SessionStarted)
}

#[cfg(test)]
mod tests;
