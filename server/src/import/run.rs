//! One import, from its first byte to its summary.

use std::sync::Arc;

use tocsin_proto::console::v1::ImportSummary;

use super::read::Reader;
use super::{FILE, Portion, Record, add};
use crate::clock::now_ms;
use crate::feed::Format;
use crate::geo::Geo;
use crate::store::case::RefusedRecords;
use crate::store::{StateStore, StoreError};
use crate::task::correlate::{Correlator, Tally};

/// Records in one transaction.
pub(super) const RECORDS_MAX: usize = 500;

/// Bytes of records in one transaction.
const RECORD_BYTES_MAX: usize = 8 << 20;

/// An import.
#[derive(Debug)]
pub(crate) struct Import {
    state: Arc<dyn StateStore>,
    correlator: Arc<Correlator>,
    tally: Arc<Tally>,
    format: Format,
    geo: Arc<Geo>,
    /// `None` while a blocking thread has it.
    reader: Option<Reader>,
    imported: u64,
    repeated: u64,
    /// Only reads and counts.
    is_dry: bool,
}

impl Import {
    /// Of a file of this provider; `is_dry` only reads and counts.
    pub(crate) fn new(
        state: Arc<dyn StateStore>,
        correlator: Arc<Correlator>,
        format: Format,
        is_dry: bool,
        geo: Arc<Geo>,
    ) -> Self {
        Self {
            tally: correlator.tally(),
            state,
            correlator,
            reader: Some(Reader::new(format.clone(), now_ms())),
            format,
            geo,
            imported: 0,
            repeated: 0,
            is_dry,
        }
    }

    /// Bytes and records read.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let reader = self.reader.as_ref();
        reader.map_or((0, 0), |reader| (reader.bytes_read, reader.summary.records))
    }

    /// Takes the next bytes, and stores what they complete.
    ///
    /// # Errors
    /// Where the store fails; what was stored before stays.
    pub(crate) async fn push(&mut self, chunk: Vec<u8>) -> Result<(), StoreError> {
        self.read(move |reader| reader.push(&chunk)).await?;
        let full = self.reader.as_ref().is_some_and(|reader| {
            reader.records.len() >= RECORDS_MAX || reader.record_bytes >= RECORD_BYTES_MAX
        });
        if full { self.store(None).await } else { Ok(()) }
    }

    /// Takes the end: stores the rest, correlates, and sums up.
    ///
    /// # Errors
    /// Where the store fails.
    pub(crate) async fn finish(mut self) -> Result<ImportSummary, StoreError> {
        self.read(Reader::finish).await?;
        let refused = self.reader.as_ref().and_then(|reader| {
            let count = reader.summary.malformed;
            (count > 0).then(|| RefusedRecords {
                file_sha256: reader.sha256(),
                count,
            })
        });
        self.store(refused).await?;
        if !self.is_dry {
            self.correlator.settle().await?;
        }
        let summary = self.reader.take().map(|reader| ImportSummary {
            kinds: reader.kinds.rows(),
            ..reader.summary
        });
        let (incidents_opened, incidents_updated) = self.tally.counts();
        Ok(ImportSummary {
            imported: self.imported,
            repeated: self.repeated,
            incidents_opened,
            incidents_updated,
            ..summary.unwrap_or_default()
        })
    }

    /// Runs on a blocking thread: a megabyte of JSON takes its time.
    async fn read(
        &mut self,
        work: impl FnOnce(&mut Reader) + Send + 'static,
    ) -> Result<(), StoreError> {
        let damaged = StoreError::Damaged {
            what: "file (reading it has failed)",
        };
        let Some(mut reader) = self.reader.take() else {
            return Err(damaged);
        };
        let done = tokio::task::spawn_blocking(move || {
            work(&mut reader);
            reader
        });
        self.reader = Some(done.await.map_err(|_| damaged)?);
        Ok(())
    }

    /// Stores what was read, some records in each transaction; with the last of them what was refused.
    async fn store(&mut self, mut refused: Option<RefusedRecords>) -> Result<(), StoreError> {
        let Some(reader) = &mut self.reader else {
            return Ok(());
        };
        let mut records = reader.take().into_iter().peekable();
        if self.is_dry {
            self.imported += records.len() as u64;
            return Ok(());
        }
        while records.peek().is_some() || refused.is_some() {
            let part: Vec<Record> = records.by_ref().take(RECORDS_MAX).collect();
            let is_last = records.peek().is_none();
            let portion = Portion {
                provider: self.format.provider(),
                kind: FILE.to_owned(),
                records: part,
                geo: Arc::clone(&self.geo),
                refused: refused.take_if(|_| is_last),
                advance: None,
                receive_time_ms: now_ms(),
            };
            let watch = |people| self.tally.watch(people);
            let added = add(self.state.as_ref(), portion, watch).await?;
            self.imported += added.imported;
            self.repeated += added.repeated;
        }
        Ok(())
    }
}

impl Drop for Import {
    /// What was stored before an import was broken off is correlated too.
    fn drop(&mut self) {
        self.correlator.wake();
    }
}
