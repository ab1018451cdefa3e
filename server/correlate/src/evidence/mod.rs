//! Evidence: one reason in an incident, for or against, that points at stored events.
//!
//! A kind is a file: its weight, family, basis and base rate stand beside its code. Weights are log-odds
//! in hundredths, as integers, so that no rounding depends on a machine or an order:
//!
//! ```text
//! belief = prior + sum over families of  clamp( saturate(weights for) + saturate(weights against) )
//! saturate(w1 >= w2 >= w3 ...) = w1 + w2/2 + w3/4 + ...
//! ```
//!
//! Within a family pieces are not independent of each other, so each further one counts half, and the
//! family is capped; between families they are taken as independent.

mod app_upgrade;
mod approval_after_prompts;
mod approval_unusual_place;
mod client_loop;
mod factor_change;
mod fixed_intervals;
mod help_desk_reset;
mod locked_at_prompt;
mod mixed_factors;
mod new_login_source;
mod own_device_there;
mod owner_returned;
mod password_pending;
mod person_active_elsewhere;
mod phishing_blocked;
mod privilege_granted;
mod prompting_burst;
mod prompting_long;
mod prompting_slow;
mod provenance_elsewhere;
mod provenance_here;
mod provider_outage;
mod refused_then_changed;
mod remote_support_tool;
mod reported_risk;
mod retry_succeeded;
mod rotating_sources;
mod scripted_client;
mod session_after_revocation;
mod session_moved;
mod spray_before;
mod unusual_hour;
mod unusual_origin;
mod user_report;
mod usual_hour;
mod usual_origin;

use serde::{Deserialize, Serialize};
use tocsin_proto::id::{EventId, MfaEventId};

use crate::case::Case;

/// Every kind, in the order of their names.
pub(crate) const KINDS: &[&dyn Evidence] = &[
    &app_upgrade::AppUpgrade,
    &approval_after_prompts::ApprovalAfterPrompts,
    &approval_unusual_place::ApprovalUnusualPlace,
    &client_loop::ClientLoop,
    &factor_change::FactorChange,
    &fixed_intervals::FixedIntervals,
    &help_desk_reset::HelpDeskReset,
    &locked_at_prompt::LockedAtPrompt,
    &mixed_factors::MixedFactors,
    &new_login_source::NewLoginSource,
    &own_device_there::OwnDeviceThere,
    &owner_returned::OwnerReturned,
    &password_pending::PasswordPending,
    &person_active_elsewhere::PersonActiveElsewhere,
    &phishing_blocked::PhishingBlocked,
    &privilege_granted::PrivilegeGranted,
    &prompting_burst::PromptingBurst,
    &prompting_long::PromptingLong,
    &prompting_slow::PromptingSlow,
    &provenance_elsewhere::ProvenanceElsewhere,
    &provenance_here::ProvenanceHere,
    &provider_outage::ProviderOutage,
    &refused_then_changed::RefusedThenChanged,
    &remote_support_tool::RemoteSupportTool,
    &reported_risk::ReportedRisk,
    &retry_succeeded::RetrySucceeded,
    &rotating_sources::RotatingSources,
    &scripted_client::ScriptedClient,
    &session_after_revocation::SessionAfterRevocation,
    &session_moved::SessionMoved,
    &spray_before::SprayBefore,
    &unusual_hour::UnusualHour,
    &unusual_origin::UnusualOrigin,
    &user_report::UserReport,
    &usual_hour::UsualHour,
    &usual_origin::UsualOrigin,
];

/// Events that one piece of evidence points at; where there are more, the first and the last.
const EVENT_IDS_MAX: usize = 200;

/// Log-odds that an episode is an attack before anything is known of it but that something suspicious
/// opened it. Judged: in the one fleet with published figures 6.2 of 1000 authentications are ignored
/// and 0.05 reported as fraud, so of a hundred openings a handful are attacks at most. About 1 in 20.
pub(crate) const PRIOR: Weight = Weight(-300);

/// Log-odds in hundredths.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Weight(pub i32);

impl Weight {
    /// As a number with two decimals.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

/// Evidence that is not independent of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// How many prompts, how fast, when.
    Prompts,
    /// Where they came from.
    Origin,
    /// Whether the person was at their machine.
    Presence,
    /// What the person or their authenticator said.
    Reports,
    /// What came of it.
    Consequences,
    /// What happened on the person's endpoints.
    Endpoint,
}

impl Family {
    /// Every family.
    pub const ALL: &'static [Self] = &[
        Self::Prompts,
        Self::Origin,
        Self::Presence,
        Self::Reports,
        Self::Consequences,
        Self::Endpoint,
    ];

    /// Its word, in JSON and on screens.
    pub fn word(self) -> &'static str {
        match self {
            Self::Prompts => "prompts",
            Self::Origin => "origin",
            Self::Presence => "presence",
            Self::Reports => "reports",
            Self::Consequences => "consequences",
            Self::Endpoint => "endpoint",
        }
    }

    /// The least and the most that it can move the belief.
    fn caps(self) -> (i32, i32) {
        match self {
            Self::Prompts | Self::Reports | Self::Consequences => (-200, 450),
            Self::Origin | Self::Presence | Self::Endpoint => (-300, 300),
        }
    }
}

/// What is fixed about a kind.
#[derive(Debug)]
pub(crate) struct Spec {
    pub kind: &'static str,
    pub family: Family,
    /// Why it weighs what it does. All weights are judged so far; one that is measured would say n and
    /// source here instead.
    pub why: &'static str,
    /// How often harmless episodes show it.
    pub base_rate: &'static str,
}

/// A kind of evidence. Reads the case and nothing else.
pub(crate) trait Evidence: Sync {
    fn spec(&self) -> &'static Spec;

    /// What it finds, or nothing.
    fn look(&self, case: &Case<'_, '_>) -> Option<Finding>;

    /// The endpoints' events that a finding rests on, for kinds that look at endpoints.
    fn endpoint_events(&self, _case: &Case<'_, '_>) -> Vec<EventId> {
        Vec::new()
    }
}

/// What a kind found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub weight: Weight,
    pub summary: String,
    pub event_ids: Vec<MfaEventId>,
}

/// A finding with its kind.
#[derive(Debug)]
pub(crate) struct Piece {
    pub spec: &'static Spec,
    pub finding: Finding,
    pub endpoint_events: Vec<EventId>,
}

/// Asks every kind; strongest first.
pub(crate) fn collect(case: &Case<'_, '_>) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = KINDS
        .iter()
        .filter_map(|kind| {
            let mut finding = kind.look(case)?;
            bound(&mut finding.event_ids);
            let mut endpoint_events = kind.endpoint_events(case);
            endpoint_events.sort_unstable();
            endpoint_events.dedup();
            endpoint_events.truncate(EVENT_IDS_MAX);
            Some(Piece {
                spec: kind.spec(),
                finding,
                endpoint_events,
            })
        })
        .collect();
    pieces.sort_by_key(|piece| {
        (
            core::cmp::Reverse(piece.finding.weight.0.abs()),
            piece.spec.kind,
        )
    });
    pieces
}

fn bound(ids: &mut Vec<MfaEventId>) {
    let over = ids.len().saturating_sub(EVENT_IDS_MAX);
    if over > 0 {
        let from = EVENT_IDS_MAX / 2;
        ids.drain(from..from + over);
    }
}

/// Prior and families together.
pub(crate) fn belief(pieces: &[Piece]) -> Weight {
    let families = Family::ALL.iter().map(|family| {
        let weights = pieces
            .iter()
            .filter(|piece| piece.spec.family == *family)
            .map(|piece| piece.finding.weight.0);
        let (speaks_for, against): (Vec<i32>, Vec<i32>) = weights.partition(|weight| *weight >= 0);
        let (least, most) = family.caps();
        (saturate(speaks_for) + saturate(against)).clamp(least, most)
    });
    Weight(PRIOR.0 + families.sum::<i32>())
}

/// The strongest counts whole, each further one half of the one before.
fn saturate(mut weights: Vec<i32>) -> i32 {
    weights.sort_by_key(|weight| core::cmp::Reverse(weight.abs()));
    let mut divisor = 1;
    let mut sum: i32 = 0;
    for weight in weights.iter().take(8) {
        sum += weight / divisor;
        divisor *= 2;
    }
    sum
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::story::Story;

    /// What a kind finds in the last episode of a story.
    pub(crate) fn find(kind: &dyn Evidence, story: Story) -> Option<Finding> {
        story.with_case(|case| kind.look(case))
    }

    /// Its weight, 0 where it finds nothing.
    pub(crate) fn weigh(kind: &dyn Evidence, story: Story) -> i32 {
        find(kind, story).map_or(0, |finding| finding.weight.0)
    }

    #[test]
    fn kinds_are_named_once_and_in_order() {
        let names: Vec<_> = KINDS.iter().map(|kind| kind.spec().kind).collect();
        let unique: BTreeSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
        assert!(names.is_sorted());
    }

    #[test]
    fn every_kind_says_where_its_weight_comes_from() {
        for kind in KINDS {
            let spec = kind.spec();
            assert!(
                spec.why.len() > 20 && spec.base_rate.len() > 10,
                "{}",
                spec.kind
            );
        }
    }

    #[test]
    fn further_pieces_of_a_family_count_half() {
        assert_eq!(saturate(vec![100, 200, 40]), 200 + 50 + 10);
        assert_eq!(saturate(vec![-40, -200]), -220);
        assert_eq!(saturate(vec![]), 0);
    }

    #[test]
    fn a_family_cannot_move_belief_beyond_its_cap() {
        let piece = |weight| Piece {
            spec: prompting_burst::PromptingBurst.spec(),
            finding: Finding {
                weight: Weight(weight),
                summary: String::new(),
                event_ids: vec![],
            },
            endpoint_events: vec![],
        };
        let pieces: Vec<_> = (0..8).map(|_| piece(400)).collect();
        assert_eq!(belief(&pieces), Weight(PRIOR.0 + 450));
    }

    #[test]
    fn event_ids_are_bounded() {
        let id = |n: u32| MfaEventId::derive(&[&n.to_be_bytes()]);
        let mut ids: Vec<_> = (0..1000).map(id).collect();
        bound(&mut ids);
        assert_eq!(ids.len(), EVENT_IDS_MAX);
        assert_eq!((ids.first(), ids.last()), (Some(&id(0)), Some(&id(999))));
    }
}
