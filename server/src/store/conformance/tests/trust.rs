//! Where endpoints were on the Internet, and how their clocks stood: the same story for every engine.

use tocsin_proto::console::v1::ClockSkew;
use tocsin_proto::id::EndpointId;
use tocsin_proto::token::key_pin;

use super::{Engine, endpoint, run};
use crate::audit::AuditEntry;
use crate::network::{PublicAddress, Source};
use crate::store::StateStore;
use crate::store::trust::*;

const MINUTE: i64 = 60_000;

/// Enrolls endpoints 1 and 2.
async fn enrolled(engine: &dyn Engine) -> std::sync::Arc<dyn StateStore> {
    let store = engine.state().await;
    let entry = AuditEntry::operator("test.act", "", "");
    let token = TokenRow {
        id: [1; 8],
        secret_sha256: [2; 32],
        uses_max: 2,
        created_time_ms: 0,
        expiry_time_ms: i64::MAX,
        ring: String::new(),
    };
    store.create_token(&token, &entry).await.unwrap();
    for number in [1, 2] {
        let enrollment = Enrollment {
            token_id: token.id,
            secret_sha256: token.secret_sha256,
            endpoint: endpoint(number),
            key_pin: key_pin(&[number]),
            former: None,
            hostname: String::new(),
            agent_version: String::new(),
            address: ([127, 0, 0, 1], 1).into(),
            certificate_expiry_time_ms: 0,
            time_ms: 0,
        };
        store.enroll(&enrollment, &entry).await.unwrap();
    }
    store
}

fn address(text: &str, source: Source) -> PublicAddress {
    PublicAddress {
        network: text.parse().unwrap(),
        source,
        site: String::new(),
        shared: false,
    }
}

fn seen(number: u8, text: &str, (from_ms, until_ms): (i64, i64)) -> PresenceChange {
    PresenceChange {
        endpoint: endpoint(number),
        presence: PresenceRow {
            run: run(number),
            address: text.to_owned(),
            connected_time_ms: from_ms,
            seen_time_ms: until_ms,
            ended: false,
        },
        hello: None,
        public_addresses: vec![address(text, Source::Peer)],
        clock_skew: None,
        health: None,
    }
}

async fn addresses(store: &dyn StateStore, number: u8) -> Vec<(String, i64, i64, bool)> {
    let rows = store.public_addresses(endpoint(number), 0, i64::MAX).await;
    let rows = rows.unwrap().into_iter();
    rows.map(|row| {
        let address = row.address;
        (
            address.network.to_string(),
            row.from_ms,
            row.until_ms,
            address.shared,
        )
    })
    .collect()
}

/// An interval grows with its session, goes on over a short break, and ends over a long one.
pub(crate) async fn an_address_holds_as_long_as_it_is_seen(engine: &dyn Engine) {
    let store = enrolled(engine).await;
    let changes = [
        seen(1, "203.0.113.7", (0, MINUTE)),
        seen(1, "203.0.113.7", (0, 2 * MINUTE)),
        seen(1, "203.0.113.7", (6 * MINUTE, 7 * MINUTE)),
        seen(1, "2001:db8::7", (7 * MINUTE, 8 * MINUTE)),
        seen(1, "203.0.113.7", (20 * MINUTE, 21 * MINUTE)),
    ];
    store.write_presence(&changes).await.unwrap();
    let store = engine.state().await;
    let expected = [
        ("203.0.113.7".to_owned(), 0, 7 * MINUTE, false),
        ("2001:db8::7".to_owned(), 7 * MINUTE, 8 * MINUTE, false),
        ("203.0.113.7".to_owned(), 20 * MINUTE, 21 * MINUTE, false),
    ];
    assert_eq!(addresses(store.as_ref(), 1).await, expected);
    let between = |from, until| store.public_addresses(endpoint(1), from, until);
    assert!(between(9 * MINUTE, 19 * MINUTE).await.unwrap().is_empty());
    assert_eq!(between(7 * MINUTE, 20 * MINUTE).await.unwrap().len(), 3);
}

/// Several endpoints behind one address at one time share it; after one another they do not.
pub(crate) async fn an_address_of_several_at_one_time_is_shared(engine: &dyn Engine) {
    let store = enrolled(engine).await;
    let changes = [
        seen(1, "203.0.113.7", (0, 10 * MINUTE)),
        seen(1, "203.0.113.8", (0, 10 * MINUTE)),
        seen(2, "203.0.113.7", (10 * MINUTE, 12 * MINUTE)),
        seen(2, "203.0.113.8", (11 * MINUTE, 12 * MINUTE)),
    ];
    store.write_presence(&changes).await.unwrap();
    let shared: Vec<bool> = addresses(store.as_ref(), 1)
        .await
        .iter()
        .map(|row| row.3)
        .collect();
    assert_eq!(shared, [true, false]);
    assert!(addresses(store.as_ref(), 2).await[0].3);
}

/// Of one endpoint only so many are kept, the newest; old ones go with old presence.
pub(crate) async fn addresses_and_skews_are_bounded_and_go(engine: &dyn Engine) {
    let store = enrolled(engine).await;
    let mut changes = Vec::new();
    for n in 0..i64::from(PUBLIC_ADDRESSES_MAX) + 3 {
        let mut change = seen(1, "203.0.113.7", (n * 10 * MINUTE, n * 10 * MINUTE));
        change.presence.ended = true;
        changes.push(change);
    }
    for n in 0..i64::from(CLOCK_SKEWS_MAX) + 3 {
        let mut change = seen(2, "203.0.113.9", (0, 0));
        change.clock_skew = Some(skew(n * 60 * MINUTE, 0, 1));
        changes.push(change);
    }
    store.write_presence(&changes).await.unwrap();
    let rows = addresses(store.as_ref(), 1).await;
    assert_eq!(
        (rows.len(), rows[0].1),
        (PUBLIC_ADDRESSES_MAX as usize, 30 * MINUTE)
    );
    let skews = skews(store.as_ref(), 2).await;
    assert_eq!(
        (skews.len(), skews[0].from_ms),
        (CLOCK_SKEWS_MAX as usize, 180 * MINUTE)
    );
    while store.remove_presence(i64::MAX, 100).await.unwrap() == 100 {}
    assert!(addresses(store.as_ref(), 1).await.is_empty());
    assert!(self::skews(store.as_ref(), 2).await.is_empty());
}

fn skew(measured_time_ms: i64, min_ms: i64, max_ms: i64) -> ClockSkew {
    ClockSkew {
        min_ms,
        max_ms,
        measured_time_ms,
    }
}

async fn skews(store: &dyn StateStore, number: u8) -> Vec<ClockSkewRow> {
    let id: EndpointId = endpoint(number);
    store.clock_skew(id, 0, i64::MAX).await.unwrap()
}

/// Measurements that agree are one interval that holds them all; a clock that was set, or was not looked at for long,
/// begins another.
pub(crate) async fn a_clock_is_known_by_intervals(engine: &dyn Engine) {
    let store = enrolled(engine).await;
    let measured = [
        skew(MINUTE, -5, 5),
        skew(2 * MINUTE, 0, 9),
        skew(3 * MINUTE, 60_000, 60_010),
        skew(4 * MINUTE, 59_990, 60_020),
        skew(30 * MINUTE, 59_990, 60_020),
    ];
    let changes: Vec<_> = measured
        .into_iter()
        .map(|skew| PresenceChange {
            clock_skew: Some(skew),
            ..seen(1, "203.0.113.7", (0, 0))
        })
        .collect();
    store.write_presence(&changes).await.unwrap();
    let row = |from_ms, until_ms, min_ms, max_ms| ClockSkewRow {
        from_ms,
        until_ms,
        min_ms,
        max_ms,
    };
    let expected = [
        row(MINUTE, 2 * MINUTE, -5, 9),
        row(3 * MINUTE, 4 * MINUTE, 59_990, 60_020),
        row(30 * MINUTE, 30 * MINUTE, 59_990, 60_020),
    ];
    let store = engine.state().await;
    assert_eq!(skews(store.as_ref(), 1).await, expected);
    let some = store.clock_skew(endpoint(1), 2 * MINUTE, 3 * MINUTE).await;
    assert_eq!(some.unwrap(), expected[..2]);
    let newest = store.endpoint(endpoint(1)).await.unwrap().clock_skew;
    assert_eq!(newest.unwrap().measured_time_ms, 30 * MINUTE);
}
