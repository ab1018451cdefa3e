//! Rollouts: one at a time, written whole.

use tocsin_proto::console::v1::{RolloutMemberState, RolloutState};

use super::{Engine, endpoint};
use crate::audit::AuditEntry;
use crate::store::StoreError;
use crate::store::rollout::{MemberRow, RolloutRow};

fn rollout(id: &str, created_time_ms: i64) -> RolloutRow {
    RolloutRow {
        id: id.into(),
        version: "1.2.3".into(),
        state: RolloutState::Running,
        reason: String::new(),
        ring: 1,
        rings: vec!["2".into(), "tag:pilot".into(), "100%".into()],
        created_by: "dana".into(),
        created_time_ms,
    }
}

/// A rollout is kept as it was written, and only one has not ended.
pub(crate) async fn rollouts_are_kept_one_at_a_time(engine: &dyn Engine) {
    let store = engine.state().await;
    let entry = AuditEntry::server("rollouts.create", "a", "");
    let mut first = rollout("a", 1);
    store.add_rollout(&first, &entry).await.unwrap();
    let second = rollout("b", 2);
    let error = store.add_rollout(&second, &entry).await.unwrap_err();
    assert!(matches!(error, StoreError::State { .. }), "{error:?}");
    assert_eq!(store.audit_rows(0, 10).await.unwrap().len(), 1);

    let member = |number, state| MemberRow {
        endpoint: endpoint(number),
        ring: 1,
        state,
        detail: "why".into(),
        time_ms: 5,
    };
    let waiting = [
        member(1, RolloutMemberState::Waiting),
        member(2, RolloutMemberState::Waiting),
    ];
    store.write_rollout(&first, &waiting, None).await.unwrap();
    first.state = RolloutState::Aborted;
    first.reason = "enough".into();
    first.ring = 2;
    let failed = [member(2, RolloutMemberState::Failed)];
    store
        .write_rollout(&first, &failed, Some(&entry))
        .await
        .unwrap();
    store.add_rollout(&second, &entry).await.unwrap();

    let store = engine.state().await;
    assert_eq!(store.rollouts().await.unwrap(), [second, first]);
    let mut members = store.rollout_members("a").await.unwrap();
    members.sort_by_key(|member| member.state as i32);
    assert_eq!(members, [waiting[0].clone(), failed[0].clone()]);
    assert_eq!(store.audit_rows(0, 10).await.unwrap().len(), 3);
    let unknown = store.write_rollout(&rollout("c", 3), &[], None).await;
    assert!(matches!(unknown, Err(StoreError::NotFound { .. })));
}
