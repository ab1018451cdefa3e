//! The conformance suite on SQLite.

use std::sync::Arc;

use proptest::prelude::*;

use super::SqliteTelemetry;
use crate::store::conformance::{self as suite, Engine};
use crate::store::telemetry::TelemetryStore;

struct Sqlite(tempfile::TempDir);

impl Sqlite {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

#[async_trait::async_trait]
impl Engine for Sqlite {
    async fn telemetry(&self) -> Arc<dyn TelemetryStore> {
        let path = self.0.path().join("telemetry.db");
        Arc::new(SqliteTelemetry::open(&path).await.unwrap())
    }
}

macro_rules! conform {
    ($($name:ident,)+) => {
        $(#[tokio::test]
        async fn $name() {
            suite::$name(&Sqlite::new()).await;
        })+
    };
}

conform! {
    what_is_committed_survives_and_is_not_taken_twice,
    an_overlap_is_cut_off,
    a_hole_is_a_gap_until_its_endpoint_names_it,
    runs_are_apart,
    listings_are_complete_and_sorted,
    listings_by_kind_leave_out_other_batches,
    an_event_is_found_by_its_id,
    retention_takes_the_oldest_and_keeps_the_marks,
    one_process_table_is_kept_for_an_endpoint,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn each_sequence_is_stored_once_or_named_by_a_gap(
        ranges in prop::collection::vec((1..40_u64, 0..12_u64), 1..16),
        group in 1..5_usize,
    ) {
        let ranges: Vec<_> = ranges.into_iter().map(|(first, more)| (first, first + more)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let engine = Sqlite::new();
        let test = suite::each_sequence_is_stored_once_or_named_by_a_gap(&engine, &ranges, group);
        runtime.block_on(test);
    }
}
