//! What of records is stored, on a store of SQLite.

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::feed::{Format, Parsed};
use crate::geo::tests::Files;
use crate::store::case::CaseStore;
use crate::store::sqlite::SqliteState;

#[test]
fn a_record_is_imported_once_any_of_its_events_is_new() {
    let new = [true, false, false, false, true, false];
    assert_eq!(records_with_news(&[1, 2, 3], &new), 2);
    assert_eq!(records_with_news(&[], &[]), 0);
}

/// A prompt that Duo logs: it tells the country where it knows it, and never the network.
fn record(factor: &str, country: &str) -> Record {
    let record = json!({
        "access_device": { "ip": "203.0.113.66", "location": { "country": country } },
        "email": "dana@example.com",
        "event_type": "authentication",
        "factor": factor,
        "reason": "user_mistake",
        "result": "denied",
        "timestamp": 1_773_281_411,
        "txid": "340a23e3-23f3-23c1-87dc-1491a23dfdbb",
        "user": { "key": "DU3KC77WJ06Y5HIV7XKQ", "name": "dana" },
    });
    let raw = record.to_string().into_bytes();
    let Ok(Parsed::Events(events, _)) = Format::Duo.parse(&raw) else {
        panic!("{record}");
    };
    Record { events, raw }
}

struct Bench {
    state: SqliteState,
    _folder: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        Self {
            state: SqliteState::open(&path).await.unwrap(),
            _folder: folder,
        }
    }

    /// Stores it; whether it was new, and where it comes from as it is stored.
    async fn add(&self, record: Record, geo: &Arc<Geo>) -> (bool, String) {
        let portion = Portion {
            provider: Provider::Duo,
            kind: FILE.to_owned(),
            records: vec![record],
            geo: Arc::clone(geo),
            refused: None,
            advance: None,
            receive_time_ms: 1,
        };
        let added = add(&self.state, portion, |_| {}).await.unwrap();
        let person = self.state.identities(None, 2).await.unwrap().remove(0);
        let mut events = self.state.mfa_events(person.id, 2).await.unwrap();
        assert_eq!(events.len(), 1, "one record, however often it comes");
        let event: MfaEvent = serde_json::from_slice(&events.remove(0)).unwrap();
        let asn = event.origin.asn.map(|asn| asn.to_string());
        let parts = [asn, event.origin.place.country];
        let place: Vec<String> = parts.into_iter().flatten().collect();
        (added.imported == 1, place.join(" "))
    }
}

#[tokio::test]
async fn what_was_looked_up_is_stored_and_changes_no_more() {
    let bench = Bench::new().await;
    let files = Files::new();
    let geo = Arc::new(files.open());
    let push = || record("duo_push", "unknown");
    assert_eq!(bench.add(push(), &geo).await, (true, "64500 PT".into()));
    files.renumber(64_501_999);
    for geo in [&geo, &Arc::default()] {
        let again = bench.add(push(), geo).await;
        assert_eq!(again, (false, "64500 PT".into()));
    }
    // The provider's fuller form comes with its own word, and is looked up anew.
    let fuller = bench.add(record("duo_push", "Romania"), &geo).await;
    assert_eq!(fuller, (false, "64501999 RO".into()));
    let thinner = bench.add(push(), &geo).await;
    assert_eq!(thinner, (false, "64501999 RO".into()));
}

#[tokio::test]
async fn a_record_from_before_there_was_a_file_stays_as_it_is() {
    let bench = Bench::new().await;
    let push = || record("duo_push", "unknown");
    let none = bench.add(push(), &Arc::default()).await;
    assert_eq!(none, (true, String::new()));
    let geo = Arc::new(Files::new().open());
    assert_eq!(bench.add(push(), &geo).await, (false, String::new()));
}
