//! Lists of incidents: their order, their pages, their filters, and how one is found.

use tocsin_proto::id::IncidentId;

use super::Engine;
use super::case::{change, filled, identity, row};
use crate::store::case::*;
use crate::store::{StateStore, StoreError};

/// Six incidents of one person, by severity and last event; the third is closed.
async fn listed(engine: &dyn Engine) -> std::sync::Arc<dyn StateStore> {
    let store = filled(engine).await;
    let mut open = change("dana", 0);
    let keys = [(3, 5), (5, 1), (3, 9), (3, 5), (1, 9), (5, 1)];
    for (number, (severity, last_ms)) in (0..).zip(keys) {
        let mut one = row(&format!("number {number}"), "dana", 0);
        one.engine.severity = severity;
        one.engine.last_event_time_ms = last_ms;
        one.analyst.state = if number == 2 { 5 } else { 1 };
        open.write.push(one);
    }
    store.apply(&[open]).await.unwrap();
    store
}

/// All pages of a listing.
async fn pages(store: &dyn StateStore, mut query: IncidentQuery) -> Vec<IncidentRow> {
    let mut found = Vec::new();
    loop {
        let page = store.incidents(&query).await.unwrap();
        let Some(last) = page.last() else {
            return found;
        };
        assert!(page.len() <= query.limit as usize);
        let engine = &last.engine;
        query.after = Some((engine.severity, engine.last_event_time_ms, last.id));
        found.extend(page);
    }
}

/// Pages follow each other without a hole or a repeat.
pub(crate) async fn incidents_are_listed_by_severity_then_time_in_pages(engine: &dyn Engine) {
    let store = listed(engine).await;
    for limit in [1, 2, 100] {
        let query = IncidentQuery {
            limit,
            ..IncidentQuery::default()
        };
        let found = pages(store.as_ref(), query).await;
        let keys: Vec<_> = found
            .iter()
            .map(|row| (-row.engine.severity, -row.engine.last_event_time_ms, row.id))
            .collect();
        assert_eq!(keys.len(), 6);
        assert!(keys.is_sorted(), "{keys:?}");
        assert!(found.iter().all(|row| row.engine.draft.is_empty()));
    }
}

/// Each filter narrows.
pub(crate) async fn filters_narrow_a_list_of_incidents(engine: &dyn Engine) {
    let store = listed(engine).await;
    let any = || IncidentQuery {
        limit: 10,
        ..IncidentQuery::default()
    };
    let of = |name| Some(identity(name));
    let cases = [
        (any(), 6),
        (
            IncidentQuery {
                severity_min: 3,
                ..any()
            },
            5,
        ),
        (
            IncidentQuery {
                states: vec![5, 4],
                ..any()
            },
            1,
        ),
        (
            IncidentQuery {
                identity: of("dana"),
                ..any()
            },
            6,
        ),
        (
            IncidentQuery {
                identity: of("eli"),
                ..any()
            },
            0,
        ),
        (
            IncidentQuery {
                assignee: Some("ana".into()),
                ..any()
            },
            0,
        ),
    ];
    for (query, expected) in cases {
        let found = pages(store.as_ref(), query.clone()).await;
        assert_eq!(found.len(), expected, "{query:?}");
    }
}

/// At least four characters that fit one incident find it.
pub(crate) async fn incidents_are_found_by_beginning_and_alias(engine: &dyn Engine) {
    let store = filled(engine).await;
    let ids = [[0xab; 16], [0xcd; 16]].map(IncidentId::from_bytes);
    let mut twin = [0xab; 16];
    twin[15] = 0;
    let mut open = change("dana", 0);
    for id in [ids[0], ids[1], IncidentId::from_bytes(twin)] {
        open.write.push(IncidentRow {
            id,
            ..row("", "dana", 0)
        });
    }
    store.apply(&[open]).await.unwrap();
    assert_eq!(store.find_incident("cdcd").await.unwrap(), ids[1]);
    assert_eq!(
        store.find_incident(&ids[0].to_string()).await.unwrap(),
        ids[0]
    );
    let unclear = store.find_incident("abab").await;
    assert!(matches!(unclear, Err(StoreError::Ambiguous { .. })));
    for text in ["cdc", "CDCD", "efef", "", "%", "cdcd'"] {
        let missing = store.find_incident(text).await;
        assert!(
            matches!(missing, Err(StoreError::NotFound { .. })),
            "{text}"
        );
    }
}
