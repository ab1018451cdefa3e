//! Endpoints as people see them: found, tagged, listed, present.

use super::*;

#[tokio::test]
async fn an_endpoint_is_found_by_what_people_say() {
    let fixture = fixture().await;
    let id = fixture.enroll("a").await;
    let state = &fixture.state;
    let text = id.to_string();
    assert_eq!(state.find_endpoint(&text).await.unwrap(), id);
    assert_eq!(state.find_endpoint(&text[..8]).await.unwrap(), id);
    assert_eq!(state.find_endpoint("host-a").await.unwrap(), id);
    for unknown in ["", &text[..3], "host-z", "HOST-A", "00000000"] {
        let result = state.find_endpoint(unknown).await;
        assert!(
            matches!(result, Err(StoreError::NotFound { .. })),
            "{unknown}"
        );
    }
    let twin = Enrollment {
        hostname: "host-a".into(),
        ..enrollment("b")
    };
    state.enroll(&twin, &entry()).await.unwrap();
    let result = state.find_endpoint("host-a").await;
    assert!(matches!(result, Err(StoreError::Ambiguous { .. })));
    state
        .revoke_endpoint(twin.endpoint, &entry())
        .await
        .unwrap();
    assert_eq!(
        state.find_endpoint("host-a").await.unwrap(),
        id,
        "the other one is revoked"
    );
}

#[tokio::test]
async fn tags_are_a_set_with_a_limit() {
    let fixture = fixture().await;
    let id = fixture.enroll("a").await;
    let tags = |words: &[&str]| {
        words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    let state = &fixture.state;
    state
        .tag_endpoint(id, &tags(&["web", "db", "web"]), &[], &entry())
        .await
        .unwrap();
    state
        .tag_endpoint(id, &tags(&["new"]), &tags(&["db", "none"]), &entry())
        .await
        .unwrap();
    assert_eq!(state.endpoint(id).await.unwrap().tags, ["new", "web"]);
    let many: Vec<_> = (0..64).map(|n| n.to_string()).collect();
    let result = state.tag_endpoint(id, &many, &[], &entry()).await;
    assert!(matches!(result, Err(StoreError::State { .. })));
    assert_eq!(
        state.endpoint(id).await.unwrap().tags,
        ["new", "web"],
        "nothing of it was done"
    );
    let nobody = EndpointId::from_public_key(b"nobody");
    assert!(
        state
            .tag_endpoint(nobody, &[], &[], &entry())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn endpoints_come_in_pages() {
    let fixture = fixture().await;
    for key in 0..7 {
        fixture.enroll(&key.to_string()).await;
    }
    let mut ids = Vec::new();
    loop {
        let page = fixture
            .state
            .endpoints(ids.last().copied(), 3)
            .await
            .unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 3);
        ids.extend(page.iter().map(|row| row.id));
    }
    assert_eq!(ids.len(), 8);
    assert!(ids.is_sorted());
}

fn change(endpoint: EndpointId, connected: i64, seen: i64) -> PresenceChange {
    PresenceChange {
        endpoint,
        presence: PresenceRow {
            run: RunId::from_random([7; 16]),
            address: "10.0.0.9".into(),
            connected_time_ms: connected,
            seen_time_ms: seen,
            ended: false,
        },
        hello: None,
        public_addresses: Vec::new(),
        clock_skew: None,
        health: None,
    }
}

#[tokio::test]
async fn presence_grows_and_ends_and_never_shrinks() {
    let fixture = fixture().await;
    let state = &fixture.state;
    let id = fixture.enroll("a").await;
    state.write_presence(&[change(id, 100, 150)]).await.unwrap();
    let mut later = change(id, 100, 300);
    later.presence.ended = true;
    state
        .write_presence(&[later, change(id, 500, 600)])
        .await
        .unwrap();
    state.write_presence(&[change(id, 100, 200)]).await.unwrap();
    let rows = state.presence(id, 0, 1000, 10).await.unwrap();
    let spans: Vec<_> = rows
        .iter()
        .map(|row| (row.connected_time_ms, row.seen_time_ms, row.ended))
        .collect();
    assert_eq!(spans, [(100, 300, true), (500, 600, false)]);
    assert_eq!(state.presence(id, 301, 499, 10).await.unwrap(), []);
    assert_eq!(state.presence(id, 300, 499, 10).await.unwrap().len(), 1);
    state.end_presence().await.unwrap();
    let rows = state.presence(id, 0, 1000, 10).await.unwrap();
    assert!(rows.iter().all(|row| row.ended));
    assert_eq!(state.remove_presence(301, 10).await.unwrap(), 1);
    assert_eq!(state.remove_presence(301, 10).await.unwrap(), 0);
    let rows = state.presence(id, 0, 1000, 10).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(state.endpoint(id).await.unwrap().last_seen_time_ms, 600);
}

#[tokio::test]
async fn what_an_agent_said_is_there_after_a_restart() {
    let fixture = fixture().await;
    let id = fixture.enroll("a").await;
    let skew = ClockSkew {
        min_ms: -2,
        max_ms: 3,
        measured_time_ms: 140,
    };
    let health = Health {
        spool_events: 9,
        ..Default::default()
    };
    let mut change = change(id, 100, 150);
    change.hello = Some(HelloFacts {
        machine: Machine {
            hostname: "new-name".into(),
            os: "linux".into(),
            ..Default::default()
        },
        agent_version: "2".into(),
        capability: 1,
    });
    change.clock_skew = Some(skew);
    change.health = Some((145, health.clone()));
    fixture.state.write_presence(&[change]).await.unwrap();
    fixture.state.close().await;
    let row = open(fixture.folder.path())
        .await
        .endpoint(id)
        .await
        .unwrap();
    assert_eq!(
        (row.machine.hostname.as_str(), row.machine.os.as_str()),
        ("new-name", "linux")
    );
    assert_eq!((row.agent_version.as_str(), row.capability), ("2", 1));
    assert_eq!(row.clock_skew, Some(skew));
    assert_eq!(row.health, Some((145, health)));
    assert_eq!(row.address, "10.0.0.9");
    assert_eq!(row.run, Some(RunId::from_random([7; 16])));
}

#[tokio::test]
async fn a_copy_is_complete_and_does_not_overwrite() {
    let fixture = fixture().await;
    let id = fixture.enroll("a").await;
    let copy = fixture.folder.path().join("copy.db");
    fixture.state.copy_to(&copy).await.unwrap();
    assert!(fixture.state.copy_to(&copy).await.is_err());
    let copied = SqliteState::open_existing(&copy).await.unwrap();
    assert_eq!(copied.endpoint(id).await.unwrap().id, id);
    assert_eq!(copied.check().await.unwrap(), None);
    assert!(
        SqliteState::open_existing(&fixture.folder.path().join("none.db"))
            .await
            .is_err()
    );
}
