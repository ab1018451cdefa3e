//! What correlating a person or a source anew does to the incidents that are stored of them. Pure.
//!
//! - The same drafts again change nothing.
//! - An incident that has another id now, or is part of another one, goes on under the new id: what analysts said, notes
//!   and activity follow, and the former id stays as an alias.
//! - New events after it was resolved or closed make it new again.
//! - One that later records explain is removed; one that an analyst has worked on stays, frozen.
//! - A frozen one, whose events retention has removed, stays as it is.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tocsin_correlate::{AccountKey, IncidentDraft, successors};
use tocsin_proto::console::v1::IncidentState;
use tocsin_proto::id::{IdentityId, IncidentId, MfaEventId};
use tocsin_proto::json::Word;

use super::{TOCSIN, is_done, merged};
use crate::store::StoreError;
use crate::store::case::{ActivityRow, AnalystState, EngineState, IncidentRow};

/// Bytes of a stored draft, unpacked.
const DRAFT_BYTES_MAX: usize = 64 << 20;

/// zstd level for drafts: they are written seldom.
const LEVEL: i32 = 6;

/// A stored incident with what its draft says of its events.
#[derive(Debug)]
pub(crate) struct Stored {
    /// As stored.
    pub(crate) row: IncidentRow,
    /// Every event of it.
    pub(crate) event_ids: Vec<MfaEventId>,
}

/// What happened to an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It is new.
    Opened,
    /// It has changed.
    Updated,
    /// It is no more, or is another one now.
    Removed,
}

/// What is to be written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// New and changed ones.
    pub(crate) write: Vec<IncidentRow>,
    /// Those that are no more, with their successors.
    pub(crate) remove: Vec<(IncidentId, Option<IncidentId>)>,
    /// What happened.
    pub(crate) activity: Vec<(IncidentId, ActivityRow)>,
    /// The same in short.
    pub(crate) effects: Vec<(IncidentId, Effect)>,
}

/// What a list shows of an incident beside its columns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// One line.
    pub(crate) title: String,
    /// How to call the person.
    pub(crate) display_name: String,
    /// The person's accounts.
    pub(crate) accounts: Vec<AccountKey>,
}

/// Whose incidents are planned.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    /// The person; of a campaign nobody.
    pub(crate) identity: IdentityId,
    /// The source that a campaign is about; empty for a person.
    pub(crate) source: String,
}

/// Compares what is stored of a person, or about a source, with all that follows now.
pub(crate) fn plan(
    owner: &Owner,
    stored: &[Stored],
    drafts: &[IncidentDraft],
    now_ms: i64,
) -> Result<Plan, StoreError> {
    let live = stored.iter().filter(|stored| !stored.row.is_frozen);
    let former = live.map(|stored| (stored.row.id, stored.event_ids.as_slice()));
    let successors = successors(former, drafts);
    let mut plan = Plan::default();
    for draft in drafts {
        let before: Vec<&Stored> = stored
            .iter()
            .filter(|stored| {
                let id = stored.row.id;
                id == draft.id || successors.get(&id).copied().flatten() == Some(draft.id)
            })
            .collect();
        if before.is_empty() {
            plan.open(owner, draft, now_ms)?;
        } else {
            plan.update(owner, draft, &before, now_ms)?;
        }
    }
    for stored in stored {
        if successors.get(&stored.row.id) == Some(&None) {
            plan.explain(&stored.row, now_ms);
        }
    }
    Ok(plan)
}

impl Plan {
    fn open(
        &mut self,
        owner: &Owner,
        draft: &IncidentDraft,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.write.push(IncidentRow {
            id: draft.id,
            identity: owner.identity,
            source: owner.source.clone(),
            engine: engine_state(draft)?,
            analyst: AnalystState {
                state: IncidentState::New.into(),
                opened_time_ms: now_ms,
                updated_time_ms: now_ms,
                state_time_ms: now_ms,
                ..AnalystState::default()
            },
            is_frozen: false,
            version: 0,
        });
        let what = format!("opened with {}", events(draft.event_ids.len()));
        self.happened(draft.id, now_ms, what);
        self.effects.push((draft.id, Effect::Opened));
        Ok(())
    }

    /// `before`: the stored ones that this draft is now.
    fn update(
        &mut self,
        owner: &Owner,
        draft: &IncidentDraft,
        before: &[&Stored],
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let engine = engine_state(draft)?;
        if let [only] = before
            && only.row.id == draft.id
            && only.row.engine.draft_sha256 == engine.draft_sha256
            && !only.row.is_frozen
        {
            return Ok(());
        }
        let states: Vec<&AnalystState> = before.iter().map(|stored| &stored.row.analyst).collect();
        let Some(mut analyst) = merged(&states) else {
            return Ok(());
        };
        analyst.updated_time_ms = now_ms;
        for former in before
            .iter()
            .map(|stored| stored.row.id)
            .filter(|id| *id != draft.id)
        {
            self.remove.push((former, Some(draft.id)));
            self.effects.push((former, Effect::Removed));
            self.happened(draft.id, now_ms, format!("goes on from incident {former}"));
        }
        let known: BTreeSet<MfaEventId> = before
            .iter()
            .flat_map(|stored| stored.event_ids.iter().copied())
            .collect();
        let new = draft
            .event_ids
            .iter()
            .filter(|id| !known.contains(id))
            .count();
        if new > 0 && is_done(analyst.state) {
            let was = IncidentState::try_from(analyst.state)
                .unwrap_or_default()
                .word();
            analyst.state = IncidentState::New.into();
            analyst.state_time_ms = now_ms;
            self.happened(
                draft.id,
                now_ms,
                format!("reopened: it was {was}, and {} came", events(new)),
            );
        } else if new > 0 {
            self.happened(draft.id, now_ms, format!("grew by {}", events(new)));
        }
        self.write.push(IncidentRow {
            id: draft.id,
            identity: owner.identity,
            source: owner.source.clone(),
            engine,
            analyst,
            is_frozen: false,
            version: 0,
        });
        self.effects.push((draft.id, Effect::Updated));
        Ok(())
    }

    /// No draft has its events any more.
    fn explain(&mut self, row: &IncidentRow, now_ms: i64) {
        if !row.analyst.is_touched {
            self.remove.push((row.id, None));
            self.effects.push((row.id, Effect::Removed));
            return;
        }
        let mut frozen = row.clone();
        frozen.is_frozen = true;
        frozen.analyst.updated_time_ms = now_ms;
        self.write.push(frozen);
        let what = "kept as it is: later records explain it, but it was worked on";
        self.happened(row.id, now_ms, what.to_owned());
        self.effects.push((row.id, Effect::Updated));
    }

    fn happened(&mut self, id: IncidentId, time_ms: i64, what: String) {
        let activity = ActivityRow {
            time_ms,
            actor: TOCSIN.to_owned(),
            what,
        };
        self.activity.push((id, activity));
    }
}

fn events(count: usize) -> String {
    match count {
        1 => "1 event".to_owned(),
        count => format!("{count} events"),
    }
}

fn engine_state(draft: &IncidentDraft) -> Result<EngineState, StoreError> {
    let damaged = |_| StoreError::Damaged { what: "incident" };
    let json = serde_json::to_vec(draft).map_err(damaged)?;
    let summary = Summary {
        title: draft.title.clone(),
        display_name: draft.display_name.clone(),
        accounts: draft.accounts.clone(),
    };
    Ok(EngineState {
        severity: severity(draft),
        score: draft.score,
        first_event_time_ms: draft.first_event_time_ms,
        last_event_time_ms: draft.last_event_time_ms,
        summary: serde_json::to_vec(&summary).map_err(damaged)?,
        draft_sha256: Sha256::digest(&json).into(),
        draft: pack_draft(&json)?,
    })
}

fn severity(draft: &IncidentDraft) -> i32 {
    use tocsin_proto::console::v1::Severity;
    Severity::from_word(draft.severity.word())
        .unwrap_or_default()
        .into()
}

/// Packs a draft's JSON.
pub(crate) fn pack_draft(json: &[u8]) -> Result<Vec<u8>, StoreError> {
    zstd::bulk::compress(json, LEVEL).map_err(|_| StoreError::Damaged { what: "incident" })
}

/// A stored draft.
pub(crate) fn unpack_draft(packed: &[u8]) -> Result<IncidentDraft, StoreError> {
    let damaged = || StoreError::Damaged { what: "incident" };
    let size = zstd::zstd_safe::get_frame_content_size(packed)
        .ok()
        .flatten();
    let size = size.and_then(|size| usize::try_from(size).ok());
    let size = size
        .filter(|size| *size <= DRAFT_BYTES_MAX)
        .ok_or_else(damaged)?;
    let json = zstd::bulk::decompress(packed, size).map_err(|_| damaged())?;
    serde_json::from_slice(&json).map_err(|_| damaged())
}

/// Reads a stored incident for a plan.
impl Stored {
    /// With its draft unpacked.
    pub(crate) fn new(row: IncidentRow) -> Result<Self, StoreError> {
        let event_ids = unpack_draft(&row.engine.draft)?.event_ids;
        Ok(Self { row, event_ids })
    }
}

/// What became of each, the last effect for each id: an incident that was opened and updated is opened.
pub(crate) fn tally(effects: &[(IncidentId, Effect)], into: &mut BTreeMap<IncidentId, Effect>) {
    for (id, effect) in effects {
        match (into.get(id), effect) {
            (Some(Effect::Opened), Effect::Updated) => {}
            (Some(Effect::Opened), Effect::Removed) => {
                into.remove(id);
            }
            _ => {
                into.insert(*id, *effect);
            }
        }
    }
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
