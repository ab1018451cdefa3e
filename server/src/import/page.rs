//! A page of a live feed: read as a file is, and stored so that its connection moves behind it with its last records.

use std::sync::Arc;

use tocsin_correlate::Provider;
use tocsin_proto::console::v1::ImportSummary;

use super::read::Reader;
use super::run::RECORDS_MAX;
use super::{Added, Portion, Record, add};
use crate::clock::now_ms;
use crate::feed::Format;
use crate::geo::Geo;
use crate::store::connection::Advance;
use crate::store::{StateStore, StoreError};

/// What a page holds.
#[derive(Debug)]
pub(crate) struct PageRecords {
    /// Those that became MFA events.
    pub(crate) records: Vec<Record>,
    /// SHA-256 of each that could not be read.
    pub(crate) malformed: Vec<[u8; 32]>,
    /// Why the last of them could not be read.
    pub(crate) malformed_reason: String,
    /// The counts, and what the records are; nothing of what was stored.
    pub(crate) summary: ImportSummary,
}

impl PageRecords {
    /// Reads a page's bytes, on a blocking thread.
    ///
    /// # Errors
    /// Where reading itself fails; records that cannot be read are counted.
    pub(crate) async fn read(format: Format, body: Vec<u8>) -> Result<Self, StoreError> {
        let now_ms = now_ms();
        let read = tokio::task::spawn_blocking(move || {
            let mut reader = Reader::new(format, now_ms);
            reader.push(&body);
            reader.finish();
            Self {
                records: reader.take(),
                summary: ImportSummary {
                    kinds: reader.kinds.rows(),
                    ..reader.summary
                },
                malformed: reader.refused,
                malformed_reason: reader.refused_reason,
            }
        });
        read.await.map_err(|_| StoreError::Damaged { what: "page" })
    }

    /// Newest of its MFA events, by the provider's clock.
    pub(crate) fn newest_ms(&self) -> Option<i64> {
        let events = self.records.iter().flat_map(|record| &record.events);
        events.map(|event| event.time_ms).max()
    }
}

/// By what a page came.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Whose records they are.
    pub(crate) provider: Provider,
    /// The connection's name.
    pub(crate) name: String,
    /// By what network and country are looked up.
    pub(crate) geo: Arc<Geo>,
}

/// Stores a page, some records in each transaction; the connection moves with the last, also where there are none.
///
/// # Errors
/// Where the store fails. What was stored before stays, the connection does not move, and the page is fetched again.
pub(crate) async fn store(
    state: &dyn StateStore,
    source: &Source,
    records: Vec<Record>,
    advance: Advance,
) -> Result<Added, StoreError> {
    let mut advance = Some(advance);
    let mut records = records.into_iter().peekable();
    let mut all = Added::default();
    while records.peek().is_some() || advance.is_some() {
        let part: Vec<Record> = records.by_ref().take(RECORDS_MAX).collect();
        let is_last = records.peek().is_none();
        let portion = Portion {
            provider: source.provider,
            kind: source.name.clone(),
            records: part,
            geo: Arc::clone(&source.geo),
            refused: None,
            advance: advance.take_if(|_| is_last),
            receive_time_ms: now_ms(),
        };
        let added = add(state, portion, |_| {}).await?;
        all.imported += added.imported;
        all.repeated += added.repeated;
    }
    Ok(all)
}
