//! From stored incidents to what consoles are told. The only place that knows both.

use tocsin_correlate::{
    AccountKey, AttemptDraft, AttemptResult, BeliefBand, Campaign, CampaignMember, Confidence,
    EvidenceDraft, IncidentDraft, Missing, MissingData, Provenance, ProvenanceVerdict, Stage,
};
use tocsin_proto::console::v1 as wire;
use tocsin_proto::id::{IncidentId, MfaEventId};
use tocsin_proto::json::Word;

use crate::incident::Summary;
use crate::rpc::console::connection;
use crate::store::StoreError;
use crate::store::case::{ActivityRow, FeedRow, IncidentRow, NoteRow};

/// What is known of an incident beside its row and draft.
pub(super) struct About {
    pub(super) aliases: Vec<IncidentId>,
    pub(super) notes: Vec<NoteRow>,
    pub(super) activity: Vec<ActivityRow>,
    pub(super) feeds: Vec<FeedRow>,
    pub(super) now_ms: i64,
}

/// A row of a list.
pub(super) fn summary(row: &IncidentRow) -> Result<wire::IncidentSummary, StoreError> {
    let summary: Summary = serde_json::from_slice(&row.engine.summary)
        .map_err(|_| StoreError::Damaged { what: "incident" })?;
    let (engine, analyst) = (&row.engine, &row.analyst);
    Ok(wire::IncidentSummary {
        id: row.id.to_string(),
        title: summary.title,
        severity: engine.severity,
        score: engine.score,
        state: analyst.state,
        subject: Some(wire::Subject {
            kind: subject_kind(row).into(),
            identity: match row.source.as_str() {
                "" => row.identity.to_string(),
                _ => String::new(),
            },
            display_name: summary.display_name,
            accounts: accounts(&summary.accounts),
        }),
        first_event_time_ms: engine.first_event_time_ms,
        last_event_time_ms: engine.last_event_time_ms,
        verdict: analyst.verdict,
        assignee: analyst.assignee.clone(),
        opened_time_ms: analyst.opened_time_ms,
        updated_time_ms: analyst.updated_time_ms,
        state_time_ms: analyst.state_time_ms,
    })
}

fn subject_kind(row: &IncidentRow) -> wire::SubjectKind {
    match row.source.as_str() {
        "" => wire::SubjectKind::Person,
        _ => wire::SubjectKind::Campaign,
    }
}

/// All of an incident.
pub(super) fn incident(
    row: &IncidentRow,
    draft: IncidentDraft,
    about: About,
) -> Result<wire::Incident, StoreError> {
    let summary = summary(row)?;
    let endpoint = |(id, hostname): (tocsin_proto::id::EndpointId, String)| wire::EndpointRef {
        id: id.to_string(),
        hostname,
    };
    let related = draft
        .related
        .into_iter()
        .map(|related| wire::RelatedIncident {
            id: related.id.to_string(),
            relation: related.relation,
        });
    let actions = draft
        .recommended_actions
        .into_iter()
        .map(|action| wire::RecommendedAction {
            action: action.action,
            text: action.text,
            reason: action.reason,
        });
    Ok(wire::Incident {
        id: summary.id,
        title: summary.title,
        severity: summary.severity,
        score: summary.score,
        state: summary.state,
        subject: summary.subject,
        first_event_time_ms: summary.first_event_time_ms,
        last_event_time_ms: summary.last_event_time_ms,
        verdict: summary.verdict,
        assignee: summary.assignee,
        opened_time_ms: summary.opened_time_ms,
        updated_time_ms: summary.updated_time_ms,
        state_time_ms: summary.state_time_ms,
        aliases: about.aliases.iter().map(ToString::to_string).collect(),
        belief: belief(draft.belief).into(),
        weights_version: draft.weights_version,
        attempts: draft.attempts.into_iter().map(attempt).collect(),
        stages: draft.stages.into_iter().map(stage).collect(),
        evidence: draft.evidence.into_iter().map(evidence).collect(),
        endpoints: draft.endpoints.into_iter().map(endpoint).collect(),
        gaps: draft.gaps.into_iter().map(missing).collect(),
        freshness: about
            .feeds
            .iter()
            .map(|feed| freshness(feed, about.now_ms))
            .collect(),
        recommended_actions: actions.collect(),
        related_incidents: related.collect(),
        notes: about.notes.into_iter().map(note).collect(),
        activity: about.activity.into_iter().map(activity).collect(),
        campaign: draft.campaign.map(campaign),
    })
}

fn campaign(campaign: Campaign) -> wire::Campaign {
    let member = |member: CampaignMember| wire::CampaignMember {
        identity: member.identity.to_string(),
        display_name: member.display_name,
        accounts: accounts(&member.accounts),
        incident: member.incident.map(|id| id.to_string()).unwrap_or_default(),
        first_event_time_ms: member.first_ms,
        attempts: u32::try_from(member.attempts).unwrap_or(u32::MAX),
        let_in: member.is_in,
    };
    wire::Campaign {
        source: campaign.source.to_string(),
        since_time_ms: campaign.since_ms,
        people: u32::try_from(campaign.people).unwrap_or(u32::MAX),
        members: campaign.members.into_iter().map(member).collect(),
    }
}

fn accounts(accounts: &[AccountKey]) -> Vec<wire::Account> {
    let account = |account: &AccountKey| wire::Account {
        provider: account.provider.word().to_owned(),
        // A login that was redacted or never told: the provider's id says at least which account it is.
        login: match account.login.as_str() {
            "" => account.provider_id.clone(),
            login => login.to_owned(),
        },
    };
    let mut accounts: Vec<wire::Account> = accounts.iter().map(account).collect();
    accounts.sort_by(|a, b| (&a.provider, &a.login).cmp(&(&b.provider, &b.login)));
    accounts.dedup();
    accounts
}

fn ids(ids: &[MfaEventId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

fn attempt(draft: AttemptDraft) -> wire::Attempt {
    wire::Attempt {
        id: draft.id.to_string(),
        time_ms: draft.time_ms,
        provider: draft.provider.word().to_owned(),
        result: result(draft.result).into(),
        source_ip: draft.source_ip.map(|ip| ip.to_string()).unwrap_or_default(),
        application: draft.application.unwrap_or_default(),
        provenance: Some(provenance(draft.provenance)),
        factor: draft
            .factor
            .map(|factor| factor.word().to_owned())
            .unwrap_or_default(),
        source_place: draft.source_place,
        user_agent: draft.user_agent.unwrap_or_default(),
        result_time_ms: draft.result_time_ms.unwrap_or_default(),
        event_ids: ids(&draft.event_ids),
        identity: draft.whose.map(|id| id.to_string()).unwrap_or_default(),
    }
}

fn result(result: AttemptResult) -> wire::AttemptResult {
    match result {
        AttemptResult::Prompted => wire::AttemptResult::Prompted,
        AttemptResult::Approved => wire::AttemptResult::Approved,
        AttemptResult::Denied => wire::AttemptResult::Denied,
        AttemptResult::Unanswered => wire::AttemptResult::Unanswered,
        AttemptResult::Abandoned => wire::AttemptResult::Abandoned,
        AttemptResult::FraudReported => wire::AttemptResult::FraudReported,
        AttemptResult::WrongNumber => wire::AttemptResult::WrongNumber,
        AttemptResult::Error => wire::AttemptResult::Error,
    }
}

fn provenance(provenance: Provenance) -> wire::Provenance {
    let verdict = match provenance.verdict {
        ProvenanceVerdict::Here => wire::ProvenanceVerdict::Here,
        ProvenanceVerdict::Elsewhere => wire::ProvenanceVerdict::Elsewhere,
        ProvenanceVerdict::Unknown => wire::ProvenanceVerdict::Unknown,
    };
    let confidence = match provenance.confidence {
        Confidence::None => wire::Confidence::None,
        Confidence::Weak => wire::Confidence::Weak,
        Confidence::Medium => wire::Confidence::Medium,
        Confidence::Strong => wire::Confidence::Strong,
    };
    wire::Provenance {
        verdict: verdict.into(),
        confidence: confidence.into(),
        endpoint: provenance
            .endpoint
            .map(|id| id.to_string())
            .unwrap_or_default(),
        reasons: provenance.reasons,
        missing: provenance.missing.into_iter().map(lack).collect(),
        event_ids: provenance
            .event_ids
            .iter()
            .map(ToString::to_string)
            .collect(),
    }
}

fn lack(missing: Missing) -> wire::ProvenanceMissing {
    // A value without content: its JSON is its word.
    let word = serde_json::to_value(missing.what).unwrap_or_default();
    wire::ProvenanceMissing {
        what: word.as_str().unwrap_or_default().to_owned(),
        endpoint: missing
            .endpoint
            .map(|id| id.to_string())
            .unwrap_or_default(),
    }
}

fn belief(belief: BeliefBand) -> wire::BeliefBand {
    match belief {
        BeliefBand::Unlikely => wire::BeliefBand::Unlikely,
        BeliefBand::Possible => wire::BeliefBand::Possible,
        BeliefBand::Likely => wire::BeliefBand::Likely,
        BeliefBand::VeryLikely => wire::BeliefBand::VeryLikely,
    }
}

fn stage(stage: Stage) -> wire::Stage {
    wire::Stage {
        name: stage.name.word().to_owned(),
        technique: stage.technique,
        first_event_time_ms: stage.first_event_time_ms,
        attack_version: stage.attack_version,
    }
}

fn evidence(draft: EvidenceDraft) -> wire::Evidence {
    wire::Evidence {
        kind: draft.kind,
        family: draft.family.word().to_owned(),
        weight: draft.weight.as_f64(),
        basis: wire::Basis::from_word(&draft.basis)
            .unwrap_or_default()
            .into(),
        summary: draft.summary,
        event_ids: ids(&draft.event_ids)
            .into_iter()
            .chain(draft.endpoint_event_ids.iter().map(ToString::to_string))
            .collect(),
        basis_detail: draft.basis_detail,
    }
}

fn missing(missing: MissingData) -> wire::MissingData {
    wire::MissingData {
        what: missing.what,
        from_time_ms: missing.from_ms.unwrap_or_default(),
        until_time_ms: missing.until_ms.unwrap_or_default(),
    }
}

/// How far a feed is behind.
fn freshness(feed: &FeedRow, now_ms: i64) -> wire::Freshness {
    wire::Freshness {
        feed: connection::feed_id(feed),
        behind_ms: connection::behind_ms(feed, now_ms),
    }
}

fn note(note: NoteRow) -> wire::Note {
    wire::Note {
        id: note.number.to_string(),
        time_ms: note.time_ms,
        author: note.author,
        text: note.text,
    }
}

fn activity(activity: ActivityRow) -> wire::Activity {
    wire::Activity {
        time_ms: activity.time_ms,
        actor: activity.actor,
        what: activity.what,
    }
}
