//! The conformance suite on SQLite.

use std::sync::Arc;

use proptest::prelude::*;

use super::{SqliteState, SqliteTelemetry};
use crate::audit::{AuditEntry, Verifier};
use crate::store::conformance::{self as suite, Engine};
use crate::store::telemetry::{Appended, TelemetryStore};
use crate::store::trust::TrustStore;
use crate::store::{StateStore, StoreError};

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

    async fn state(&self) -> Arc<dyn StateStore> {
        let path = self.0.path().join("state.db");
        Arc::new(SqliteState::open(&path).await.unwrap())
    }
}

macro_rules! conform {
    ($suite:path: $($name:ident,)+) => {
        $(#[tokio::test]
        async fn $name() {
            use $suite as suite;
            suite::$name(&Sqlite::new()).await;
        })+
    };
}

conform! {
    crate::store::conformance:
    what_is_committed_survives_and_is_not_taken_twice,
    an_overlap_is_cut_off,
    a_run_goes_on_under_the_next_endpoint,
    other_events_with_the_same_numbers_are_told,
    a_hole_is_a_gap_until_its_endpoint_names_it,
    runs_are_apart,
    listings_are_complete_and_sorted,
    listings_by_kind_leave_out_other_batches,
    an_event_is_found_by_its_id,
    retention_takes_the_oldest_and_keeps_the_marks,
    the_heaviest_loses_its_own,
    one_process_table_is_kept_for_an_endpoint,
}

conform! {
    crate::store::conformance::case:
    a_record_is_stored_and_counted_once,
    the_fuller_form_of_a_record_stays,
    what_was_looked_up_makes_no_record_fuller,
    refused_records_of_a_file_count_once,
    people_who_turn_out_to_be_one_become_one,
    what_was_resolved_from_older_people_is_refused,
    a_mark_goes_only_with_what_is_at_least_as_new,
    whoever_waits_for_a_provider_is_marked_when_it_gets_there,
    a_change_made_from_an_older_version_is_refused,
    what_an_incident_had_goes_to_its_successor,
    links_mark_and_are_bounded_to_one_row_each,
    old_records_go_and_their_incidents_are_frozen,
}

conform! {
    crate::store::conformance::listing:
    incidents_are_listed_by_severity_then_time_in_pages,
    filters_narrow_a_list_of_incidents,
    incidents_are_found_by_beginning_and_alias,
}

conform! {
    crate::store::conformance::campaign:
    a_source_is_dirty_when_something_else_is_seen,
    a_sources_mark_goes_only_with_what_is_at_least_as_new,
    members_of_a_campaign_are_dirty_and_listed_with_it,
    nobody_is_in_no_list_of_people,
    sightings_follow_their_person,
    sightings_outlive_the_first_members_events,
}

conform! {
    crate::store::conformance::people:
    an_account_is_one_persons,
    what_was_unlinked_is_not_imported_again,
    claims_link_what_is_seen_before_and_after,
    imported_facts_follow_their_person,
}

conform! {
    crate::store::conformance::lineage:
    links_follow_a_machine_that_is_enrolled_anew,
    what_was_unlinked_stays_so_when_enrolled_anew,
}

conform! {
    crate::store::conformance::device:
    a_device_id_is_one_endpoints,
    what_was_unbound_is_not_imported_again,
    device_ids_are_bounded,
    device_ids_follow_a_machine_that_is_enrolled_anew,
}

conform! {
    crate::store::conformance::trace:
    traces_are_found_by_class_and_time,
    traces_come_once_and_outlive_their_batch,
    the_trace_of_a_hole_goes_with_it,
    old_traces_go_and_their_class_says_so,
    traces_of_a_class_are_bounded,
    news_are_told_until_they_are_forgotten,
}

conform! {
    crate::store::conformance::rollout:
    rollouts_are_kept_one_at_a_time,
}

conform! {
    crate::store::conformance::trust:
    an_address_holds_as_long_as_it_is_seen,
    an_address_of_several_at_one_time_is_shared,
    addresses_and_skews_are_bounded_and_go,
    a_clock_is_known_by_intervals,
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

/// Whatever made the memory of a mark wrong (a commit that failed and took effect, say): the file is asked again.
#[tokio::test]
async fn a_wrong_memory_of_a_mark_fails_one_append_and_no_more() {
    let engine = Sqlite::new();
    let (one, other) = (engine.telemetry().await, engine.telemetry().await);
    one.append(&[suite::batch(1, 5)]).await.unwrap();
    other.append(&[suite::batch(6, 10)]).await.unwrap();
    let refused = one.append(&[suite::batch(11, 15)]).await;
    assert!(refused.is_err(), "{refused:?}");
    let stored = one.append(&[suite::batch(11, 15)]).await.unwrap();
    assert_eq!(stored, [Appended::Stored]);
    let repeated = one.append(&[suite::batch(6, 10)]).await.unwrap();
    assert_eq!(repeated, [Appended::Repeated]);
}

/// SQLite is told that its file may not grow, which is what a full disk is to it.
async fn fill(file: &super::Database) {
    sqlx::query("PRAGMA max_page_count = 1")
        .execute(&file.writer)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_full_disk_stores_nothing_and_is_got_over() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteTelemetry::open(&dir.path().join("telemetry.db"))
        .await
        .unwrap();
    store.append(&[suite::batch(1, 5)]).await.unwrap();
    let mut large = suite::batch(6, 10);
    large.payload.resize(1 << 20, 7);
    fill(&store.file).await;
    let refused = store.append(std::slice::from_ref(&large)).await;
    assert!(
        matches!(refused, Err(StoreError::Full { .. })),
        "{refused:?}"
    );
    let stored = store.append(&[large, suite::batch(11, 12)]).await.unwrap();
    assert_eq!(stored, [Appended::Stored, Appended::Stored]);
}

#[tokio::test]
async fn an_audit_log_on_a_full_disk_refuses_and_goes_on_later() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteState::open(&dir.path().join("state.db"))
        .await
        .unwrap();
    let large = "x".repeat(2048);
    let entry = AuditEntry::operator("token.create", &large, &large);
    fill(&store.0).await;
    let mut written = 0;
    while store.append_audit(&entry).await.is_ok() {
        written += 1;
        assert!(written < 1000, "the file has grown");
    }
    store.append_audit(&entry).await.unwrap();
    let mut verifier = Verifier::new();
    for row in store.audit_rows(0, 1000).await.unwrap() {
        verifier.take(&row);
    }
    assert_eq!((verifier.rows(), verifier.bad()), (written + 1, None));
}
