//! Records of an identity provider in: read from a file's bytes, resolved to people, stored, correlated.
//!
//! ```text
//! pieces of the file -> split, parse (blocking thread) -> RECORDS_MAX at a time: network and country that the
//!                       provider left out, people, one transaction
//!                    -> at the end: correlate -> summary
//! ```
//!
//! Every record is counted once: imported, repeated, unused or malformed. What was committed stays where an import is
//! broken off; the same file again repeats it and goes on. Pages of live feeds take the same way ([`page`]), so that a
//! record becomes the same events however it comes.

mod kinds;
pub(crate) mod page;
pub(crate) mod people;
mod read;
mod run;

use std::collections::BTreeSet;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tocsin_correlate::{MfaEvent, MfaEventKind, Provider};
use tocsin_proto::id::IdentityId;

pub(crate) use run::Import;

use crate::geo::{Geo, Lookup};
use crate::store::case::{AccountRow, CaseError, MfaBatch, NewMfaEvent, RefusedRecords};
use crate::store::connection::Advance;
use crate::store::{StateStore, StoreError};

/// Kind of the feed that imported files are.
pub(crate) const FILE: &str = "file";

/// zstd level of kept records.
const LEVEL: i32 = 3;

/// Times that people are resolved anew because another import changed them meanwhile.
pub(crate) const TRIES: u32 = 8;

/// A record that was understood.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// What it says, one event or more.
    pub(crate) events: Vec<MfaEvent>,
    /// As the provider wrote it.
    pub(crate) raw: Vec<u8>,
}

/// What became of some records.
#[derive(Debug, Default)]
pub(crate) struct Added {
    /// New ones.
    pub(crate) imported: u64,
    /// Those that were stored before.
    pub(crate) repeated: u64,
}

/// Records that are stored together.
#[derive(Debug)]
pub(crate) struct Portion {
    /// Whose records they are.
    pub(crate) provider: Provider,
    /// [`FILE`], or the name of the connection that they came by.
    pub(crate) kind: String,
    /// Each names an account.
    pub(crate) records: Vec<Record>,
    /// By what network and country are looked up where the records do not say.
    pub(crate) geo: Arc<Geo>,
    /// With the last portion of a file: what of it could not be read.
    pub(crate) refused: Option<RefusedRecords>,
    /// With the last portion of a page: how far its connection has come.
    pub(crate) advance: Option<Advance>,
    /// Now.
    pub(crate) receive_time_ms: i64,
}

/// Stores a portion in one transaction, with the people it belongs to; `watch` is told them before it is committed.
///
/// # Errors
/// Where the store fails; nothing was stored then.
pub(crate) async fn add(
    state: &dyn StateStore,
    portion: Portion,
    watch: impl Fn(BTreeSet<IdentityId>) + Send,
) -> Result<Added, StoreError> {
    let records = portion.records;
    let accounts: BTreeSet<AccountRow> = records
        .iter()
        .flat_map(|record| &record.events)
        .map(|event| people::row(&event.account))
        .collect();
    let counts: Vec<usize> = records.iter().map(|record| record.events.len()).collect();
    let keys = people::keys(&accounts);
    let packed = tokio::task::spawn_blocking(move || pack(records, &portion.geo.current())).await;
    let events = packed.unwrap_or(Err(StoreError::Damaged { what: "record" }))?;
    let mut batch = MfaBatch {
        provider: portion.provider.word().to_owned(),
        kind: portion.kind,
        receive_time_ms: portion.receive_time_ms,
        events,
        groups: Vec::new(),
        refused: portion.refused,
        advance: portion.advance,
    };
    for _ in 0..TRIES {
        batch.groups = people::groups(&state.groups(&keys).await?, &accounts);
        watch(batch.groups.iter().map(|group| group.id).collect());
        match state.add_mfa_events(&batch).await {
            Ok(new) => {
                let imported = records_with_news(&counts, &new);
                return Ok(Added {
                    imported,
                    repeated: counts.len() as u64 - imported,
                });
            }
            Err(CaseError::Changed) => {}
            Err(CaseError::Store(error)) => return Err(error),
        }
    }
    Err(StoreError::State {
        what: "feed",
        id: batch.provider,
        why: "is imported by others at the same time: try again",
    })
}

/// Records of which at least one event is new. `counts` says how many events each has.
fn records_with_news(counts: &[usize], new: &[bool]) -> u64 {
    let mut rest = new;
    let mut imported = 0;
    for count in counts {
        let (own, after) = rest.split_at_checked(*count).unwrap_or((rest, &[]));
        imported += u64::from(own.contains(&true));
        rest = after;
    }
    imported
}

/// Records as they are stored: an event a row, each with the whole record, and with what the provider left out of where
/// it came from.
fn pack(records: Vec<Record>, lookup: &Lookup) -> Result<Vec<NewMfaEvent>, StoreError> {
    let damaged = || StoreError::Damaged { what: "record" };
    let mut packer = zstd::bulk::Compressor::new(LEVEL).map_err(|_| damaged())?;
    let mut packed = Vec::with_capacity(records.len());
    let json = |event: &MfaEvent| serde_json::to_vec(event).map_err(|_| damaged());
    for record in records {
        let raw = packer.compress(&record.raw).map_err(|_| damaged())?;
        let raw_sha256 = Sha256::digest(&record.raw).into();
        for mut event in record.events {
            let mut stored = json(&event)?;
            let mut said = None;
            if lookup.fill(&mut event.origin) {
                said = Some(std::mem::replace(&mut stored, json(&event)?));
            }
            packed.push(NewMfaEvent {
                id: event.id,
                account: people::row(&event.account),
                event_time_ms: event.time_ms,
                is_approval: event.kind == MfaEventKind::Approved,
                event: stored,
                said,
                raw: raw.clone(),
                raw_sha256,
            });
        }
    }
    Ok(packed)
}

#[cfg(test)]
mod tests;
