//! The promises of the trust half, kept by SQLite, also when two processes have the file open.

use std::path::Path;

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tocsin_proto::agent::v1::Machine;
use tocsin_proto::console::v1::ClockSkew;
use tocsin_proto::id::{EndpointId, RunId};
use tocsin_proto::telemetry::v1::Health;
use tocsin_proto::token::key_pin;

use crate::audit::{AuditEntry, Verifier};
use crate::role::Role;
use crate::store::StoreError;
use crate::store::sqlite::SqliteState;
use crate::store::trust::{
    AnalystRow, CONFLICTS_MAX, ConflictRow, EnrollError, Enrollment, HelloFacts, Holder,
    PresenceChange, PresenceRow, Renewal, TokenRow, TrustStore,
};

mod endpoint;

const NOW: i64 = 1_800_000_000_000;

struct Fixture {
    folder: TempDir,
    state: SqliteState,
}

async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path()).await;
    Fixture { folder, state }
}

async fn open(folder: &Path) -> SqliteState {
    SqliteState::open(&folder.join("state.db")).await.unwrap()
}

fn entry() -> AuditEntry {
    AuditEntry::operator("test.act", "target", "detail")
}

async fn verify(state: &SqliteState) -> Verifier {
    let mut verifier = Verifier::new();
    for row in state.audit_rows(0, 10_000).await.unwrap() {
        verifier.take(&row);
    }
    verifier
}

fn token(uses_max: u32) -> TokenRow {
    TokenRow {
        id: [1; 8],
        secret_sha256: Sha256::digest([2; 24]).into(),
        uses_max,
        created_time_ms: NOW,
        expiry_time_ms: NOW + 1000,
        ring: "early".into(),
    }
}

fn enrollment(key: &str) -> Enrollment {
    Enrollment {
        token_id: [1; 8],
        secret_sha256: Sha256::digest([2; 24]).into(),
        endpoint: EndpointId::from_public_key(key.as_bytes()),
        key_pin: key_pin(key.as_bytes()),
        former: None,
        hostname: format!("host-{key}"),
        agent_version: "1".into(),
        address: ([127, 0, 0, 1], 1).into(),
        certificate_expiry_time_ms: NOW + 5000,
        time_ms: NOW,
    }
}

impl Fixture {
    /// Enrolls a key with a token that was made for many.
    async fn enroll(&self, key: &str) -> EndpointId {
        if self
            .state
            .key_holder(&key_pin(b"first"), NOW)
            .await
            .unwrap()
            .is_none()
        {
            self.state
                .create_token(&token(1000), &entry())
                .await
                .unwrap();
            self.state
                .enroll(&enrollment("first"), &entry())
                .await
                .unwrap();
        }
        let enrollment = enrollment(key);
        self.state.enroll(&enrollment, &entry()).await.unwrap();
        enrollment.endpoint
    }
}

#[tokio::test]
async fn two_processes_append_to_one_chain() {
    let fixture = fixture().await;
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let state = open(fixture.folder.path()).await;
        writers.spawn(async move {
            for _ in 0..25 {
                state.append_audit(&entry()).await.unwrap();
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    let verifier = verify(&fixture.state).await;
    assert_eq!((verifier.rows(), verifier.bad()), (100, None));
}

#[tokio::test]
async fn the_database_itself_refuses_to_change_the_log() {
    let fixture = fixture().await;
    fixture.state.append_audit(&entry()).await.unwrap();
    for change in ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"] {
        let result = sqlx::query(change).execute(&fixture.state.0.writer).await;
        let error = result.unwrap_err().to_string();
        assert!(error.contains("append-only"), "{error}");
    }
}

#[tokio::test]
async fn a_log_changed_behind_its_back_is_found() {
    let fixture = fixture().await;
    for _ in 0..5 {
        fixture.state.append_audit(&entry()).await.unwrap();
    }
    for (change, row) in [
        ("UPDATE audit SET detail = 'nothing' WHERE number = 4", 4),
        ("UPDATE audit SET hash = x'00' WHERE number = 3", 3),
        ("DELETE FROM audit WHERE number = 2", 2),
    ] {
        sqlx::query("DROP TRIGGER IF EXISTS audit_is_not_updated")
            .execute(&fixture.state.0.writer)
            .await
            .unwrap();
        sqlx::query("DROP TRIGGER IF EXISTS audit_is_not_deleted")
            .execute(&fixture.state.0.writer)
            .await
            .unwrap();
        sqlx::query(change)
            .execute(&fixture.state.0.writer)
            .await
            .unwrap();
        let bad = verify(&fixture.state).await.bad().map(|(row, _)| row);
        assert_eq!(bad, Some(row), "{change}");
    }
}

#[tokio::test]
async fn a_token_enrolls_as_many_as_it_says_however_many_try_at_once() {
    let fixture = fixture().await;
    fixture
        .state
        .create_token(&token(3), &entry())
        .await
        .unwrap();
    let mut attempts = tokio::task::JoinSet::new();
    for key in 0..12 {
        let state = open(fixture.folder.path()).await;
        attempts.spawn(async move { state.enroll(&enrollment(&key.to_string()), &entry()).await });
    }
    let (mut enrolled, mut used_up) = (0, 0);
    while let Some(result) = attempts.join_next().await {
        match result.unwrap() {
            Ok(()) => enrolled += 1,
            Err(EnrollError::TokenUsedUp) => used_up += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((enrolled, used_up), (3, 9));
    let stored = fixture.state.endpoints(None, 100).await.unwrap();
    assert_eq!(stored.len(), 3);
    assert!(stored.iter().all(|row| row.ring == "early"));
    assert_eq!(
        verify(&fixture.state).await.rows(),
        4,
        "token and three enrollments"
    );
}

#[tokio::test]
async fn a_wrong_or_ended_token_enrolls_nobody() {
    let fixture = fixture().await;
    fixture
        .state
        .create_token(&token(1), &entry())
        .await
        .unwrap();
    let check = async |change: fn(&mut Enrollment)| {
        let mut enrollment = enrollment("a");
        change(&mut enrollment);
        fixture
            .state
            .enroll(&enrollment, &entry())
            .await
            .unwrap_err()
    };
    assert!(matches!(
        check(|e| e.token_id = [9; 8]).await,
        EnrollError::TokenUnknown
    ));
    assert!(matches!(
        check(|e| e.secret_sha256 = [9; 32]).await,
        EnrollError::TokenUnknown
    ));
    assert!(matches!(
        check(|e| e.time_ms = NOW + 1000).await,
        EnrollError::TokenExpired
    ));
    assert!(fixture.state.endpoints(None, 10).await.unwrap().is_empty());
    assert!(
        fixture
            .state
            .enroll(&enrollment("a"), &entry())
            .await
            .is_ok(),
        "not used up by them"
    );
}

#[tokio::test]
async fn the_secret_of_a_token_is_not_stored() {
    let fixture = fixture().await;
    fixture
        .state
        .create_token(&token(1), &entry())
        .await
        .unwrap();
    fixture.state.close().await;
    for file in std::fs::read_dir(fixture.folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(24).any(|window| window == [2; 24]));
    }
}

#[tokio::test]
async fn a_revoked_key_stays_revoked() {
    let fixture = fixture().await;
    let id = fixture.enroll("a").await;
    fixture.state.revoke_endpoint(id, &entry()).await.unwrap();
    let holder = fixture
        .state
        .key_holder(&key_pin(b"a"), NOW)
        .await
        .unwrap()
        .unwrap();
    assert!(holder.revoked);
    assert_ne!(fixture.state.endpoint(id).await.unwrap().revoked_time_ms, 0);
    let again = fixture.state.enroll(&enrollment("a"), &entry()).await;
    assert!(matches!(again, Err(EnrollError::KeyRefused)));
    let revoked = fixture.state.revocations_after(0).await.unwrap();
    assert_eq!(revoked.len(), 1);
    assert_eq!(revoked[0].1, key_pin(b"a"));
    assert!(
        fixture
            .state
            .revocations_after(revoked[0].0)
            .await
            .unwrap()
            .is_empty()
    );
    fixture.state.revoke_endpoint(id, &entry()).await.unwrap();
    assert_eq!(
        fixture.state.revocations_after(0).await.unwrap().len(),
        1,
        "once is enough"
    );
}

#[tokio::test]
async fn a_renewed_key_replaces_the_former_one_after_a_while() {
    let fixture = fixture().await;
    let id = fixture.enroll("a").await;
    let renewal = Renewal {
        key_pin: key_pin(b"b"),
        certificate_expiry_time_ms: NOW + 9000,
        retire_time_ms: NOW + 100,
    };
    fixture
        .state
        .renew_endpoint(id, &renewal, &entry())
        .await
        .unwrap();
    let holder = async |key: &[u8], time| {
        let holder = fixture.state.key_holder(&key_pin(key), time).await.unwrap();
        holder.map(|holder| holder.who)
    };
    assert_eq!(holder(b"a", NOW + 99).await, Some(Holder::Endpoint(id)));
    assert_eq!(holder(b"a", NOW + 100).await, None);
    assert_eq!(holder(b"b", NOW + 100).await, Some(Holder::Endpoint(id)));
    let again = Renewal {
        key_pin: key_pin(b"a"),
        ..renewal
    };
    let result = fixture.state.renew_endpoint(id, &again, &entry()).await;
    assert!(
        matches!(result, Err(EnrollError::KeyRefused)),
        "a replaced key does not come back"
    );
    let other = fixture.enroll("c").await;
    let taken = Renewal {
        key_pin: key_pin(b"b"),
        ..again
    };
    let result = fixture.state.renew_endpoint(other, &taken, &entry()).await;
    assert!(
        matches!(result, Err(EnrollError::KeyRefused)),
        "somebody else's key"
    );
}

#[tokio::test]
async fn enrolling_anew_with_a_new_key_ends_the_conflict_of_the_former() {
    let fixture = fixture().await;
    let id = fixture.enroll("a").await;
    let conflict = ConflictRow {
        time_ms: NOW,
        run: RunId::from_random([1; 16]),
        hostname: "clone".into(),
        address: "127.0.0.1".into(),
    };
    fixture.state.add_conflict(id, &conflict).await.unwrap();
    assert_eq!(
        fixture.state.endpoint(id).await.unwrap().conflicts,
        [conflict]
    );
    let same_key = Enrollment {
        former: Some(id),
        ..enrollment("a")
    };
    fixture.state.enroll(&same_key, &entry()).await.unwrap();
    assert_eq!(
        fixture.state.endpoint(id).await.unwrap().conflicts.len(),
        1,
        "still two of them"
    );
    let new_key = Enrollment {
        former: Some(id),
        ..enrollment("b")
    };
    fixture.state.enroll(&new_key, &entry()).await.unwrap();
    assert!(
        fixture
            .state
            .endpoint(id)
            .await
            .unwrap()
            .conflicts
            .is_empty()
    );
}

#[tokio::test]
async fn only_the_newest_conflicts_are_kept() {
    let fixture = fixture().await;
    let id = fixture.enroll("a").await;
    for number in 0..40_u8 {
        let conflict = ConflictRow {
            time_ms: NOW + i64::from(number),
            run: RunId::from_random([number; 16]),
            hostname: String::new(),
            address: String::new(),
        };
        fixture.state.add_conflict(id, &conflict).await.unwrap();
    }
    let conflicts = fixture.state.endpoint(id).await.unwrap().conflicts;
    assert_eq!(conflicts.len(), usize::try_from(CONFLICTS_MAX).unwrap());
    assert_eq!(conflicts[0].time_ms, NOW + 39);
}

#[tokio::test]
async fn an_analysts_name_and_key_are_used_once() {
    let fixture = fixture().await;
    let row = |key: u8| AnalystRow {
        name: "dana".into(),
        role: Role::Responder,
        key_pin: [key; 32],
        added_time_ms: NOW,
        certificate_expiry_time_ms: NOW + 1,
        revoked_time_ms: 0,
    };
    fixture.state.add_analyst(&row(1), &entry()).await.unwrap();
    let again = fixture.state.add_analyst(&row(2), &entry()).await;
    assert!(matches!(again, Err(StoreError::State { .. })));
    fixture
        .state
        .renew_analyst("dana", &[3; 32], NOW + 2, &entry())
        .await
        .unwrap();
    assert_eq!(fixture.state.key_holder(&[1; 32], NOW).await.unwrap(), None);
    let holder = fixture
        .state
        .key_holder(&[3; 32], NOW)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        holder.who,
        Holder::Analyst {
            name: "dana".into(),
            role: Role::Responder
        }
    );
    fixture
        .state
        .revoke_analyst("dana", &entry())
        .await
        .unwrap();
    assert!(
        fixture
            .state
            .key_holder(&[3; 32], NOW)
            .await
            .unwrap()
            .unwrap()
            .revoked
    );
    let pins: Vec<_> = fixture.state.revocations_after(0).await.unwrap();
    assert_eq!(
        pins.iter().map(|(_, pin)| pin[0]).collect::<Vec<_>>(),
        [1, 3]
    );
    for result in [
        fixture.state.revoke_analyst("dana", &entry()).await,
        fixture
            .state
            .renew_analyst("dana", &[4; 32], NOW, &entry())
            .await,
        fixture.state.add_analyst(&row(5), &entry()).await,
    ] {
        assert!(matches!(result, Err(StoreError::State { .. })));
    }
    let unknown = fixture.state.revoke_analyst("eve", &entry()).await;
    assert!(matches!(unknown, Err(StoreError::NotFound { .. })));
    assert_eq!(
        verify(&fixture.state).await.rows(),
        3,
        "what was not done has no row"
    );
}
