//! One import, from its first byte to its summary.

use std::sync::Arc;

use tocsin_correlate::Provider;
use tocsin_proto::console::v1::ImportSummary;

use super::read::Reader;
use super::{Portion, Record, add};
use crate::clock::now_ms;
use crate::store::{StateStore, StoreError};
use crate::task::correlate::{Correlator, Tally};

/// Records in one transaction.
const RECORDS_MAX: usize = 500;

/// Bytes of records in one transaction.
const RECORD_BYTES_MAX: usize = 8 << 20;

/// An import.
#[derive(Debug)]
pub(crate) struct Import {
    state: Arc<dyn StateStore>,
    correlator: Arc<Correlator>,
    tally: Arc<Tally>,
    provider: Provider,
    /// `None` while a blocking thread has it.
    reader: Option<Reader>,
    imported: u64,
    repeated: u64,
    /// Malformed records that are counted in the store.
    told: u64,
}

impl Import {
    /// Of a file of this provider.
    pub(crate) fn new(
        state: Arc<dyn StateStore>,
        correlator: Arc<Correlator>,
        provider: Provider,
    ) -> Self {
        Self {
            tally: correlator.tally(),
            state,
            correlator,
            provider,
            reader: Some(Reader::new(provider)),
            imported: 0,
            repeated: 0,
            told: 0,
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
        if full { self.store().await } else { Ok(()) }
    }

    /// Takes the end: stores the rest, correlates, and sums up.
    ///
    /// # Errors
    /// Where the store fails.
    pub(crate) async fn finish(mut self) -> Result<ImportSummary, StoreError> {
        self.read(Reader::finish).await?;
        self.store().await?;
        self.correlator.settle().await?;
        let summary = self.reader.take().map(|reader| reader.summary);
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

    /// Stores what was read, some records in each transaction.
    async fn store(&mut self) -> Result<(), StoreError> {
        let Some(reader) = &mut self.reader else {
            return Ok(());
        };
        let mut records = reader.take().into_iter();
        let malformed = reader.summary.malformed;
        loop {
            let part: Vec<Record> = records.by_ref().take(RECORDS_MAX).collect();
            let new_malformed = malformed - self.told;
            if part.is_empty() && new_malformed == 0 {
                return Ok(());
            }
            let portion = Portion {
                provider: self.provider,
                records: part,
                malformed: new_malformed,
                receive_time_ms: now_ms(),
            };
            let watch = |people| self.tally.watch(people);
            let added = add(self.state.as_ref(), portion, watch).await?;
            self.told = malformed;
            self.imported += added.imported;
            self.repeated += added.repeated;
        }
    }
}

impl Drop for Import {
    /// What was stored before an import was broken off is correlated too.
    fn drop(&mut self) {
        self.correlator.wake();
    }
}
