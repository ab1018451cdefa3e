//! Uploads: admitted, acknowledged once committed, refused by name.

use std::time::{Duration, Instant};

use tocsin_proto::console::v1::RevokeEndpointRequest;
use tocsin_proto::telemetry::v1::Event;
use tonic::Code;

use crate::agent::{Agent, start};
use crate::search::{everything, sequences};
use crate::server::Server;

#[tokio::test]
async fn an_upload_without_a_session_is_refused() {
    let server = Server::start();
    let mut agent = Agent::silent(&server).await;
    let refused = agent.upload().await.acknowledged().await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("open one first"), "{refused}");
    agent.open().await;
    agent.commit(vec![agent.starts(1, 3)]).await;
}

#[tokio::test]
async fn what_is_acknowledged_is_stored_once_also_over_a_restart() {
    let mut server = Server::start();
    let agent = Agent::connect(&server).await;
    agent
        .commit(vec![agent.starts(1, 100), agent.starts(101, 200)])
        .await;
    // The acknowledgement may have been lost: sent again, it is acknowledged again.
    agent
        .commit(vec![agent.starts(101, 200), agent.starts(150, 210)])
        .await;
    assert!(server.stop());
    server.run();
    let found = everything(&server).await;
    assert_eq!(sequences(&found), (1..=210).rev().collect::<Vec<_>>());
    assert!(found.iter().all(|row| row.endpoint == agent.endpoint));
}

#[tokio::test]
async fn many_batches_in_flight_are_acknowledged_in_order() {
    let server = Server::start();
    let agent = Agent::connect(&server).await;
    let mut upload = agent.upload().await;
    for n in 0..40 {
        upload.send(agent.starts(n * 10 + 1, n * 10 + 10)).await;
    }
    upload.done();
    for n in 0..40 {
        assert_eq!(upload.acknowledged().await.unwrap(), Some(n * 10 + 10));
    }
    assert_eq!(upload.acknowledged().await.unwrap(), None, "the end");
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_stream_by_name_after_what_was_right() {
    let server = Server::start();
    let agent = Agent::connect(&server).await;
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
    let changed = |first: u64, last: u64| {
        let mut bad = agent.starts(5, 9);
        (bad.first_sequence, bad.last_sequence) = (first, last);
        bad
    };
    let mut doubled = agent.request(vec![start(5), start(5), start(6)]);
    doubled.last_sequence = 7;
    let mut foreign_run = agent.starts(5, 9);
    foreign_run.run_id = vec![1; 5];
    let mut bombed = agent.starts(5, 9);
    bombed.batch = bomb;
    let cases = [
        (changed(9, 5), "9 to 5"),
        (changed(5, u64::MAX), "not a range"),
        (changed(0, 9), "not a range"),
        (changed(5, 8), "holds sequence 9"),
        (changed(5, 10), "holds sequence 0 where 10 belongs"),
        (doubled, "holds sequence 5 where 6 belongs"),
        (foreign_run, "run_id has 5 bytes"),
        (bombed, "over its limits"),
    ];
    for (bad, why) in cases {
        let mut upload = agent.upload().await;
        upload.send(agent.starts(1, 4)).await;
        upload.send(bad).await;
        assert_eq!(upload.acknowledged().await.unwrap(), Some(4));
        let refused = upload.acknowledged().await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{why}");
        assert!(refused.message().contains(why), "{why}: {refused}");
    }
    let found = everything(&server).await;
    assert_eq!(
        sequences(&found),
        [4, 3, 2, 1],
        "nothing of it was stored, nothing twice"
    );
}

#[tokio::test]
async fn invalid_events_and_holes_are_gaps() {
    let server = Server::start();
    let agent = Agent::connect(&server).await;
    let nothing = Event {
        body: None,
        ..start(2)
    };
    let mixed = agent.request(vec![start(1), nothing, start(3)]);
    agent.commit(vec![mixed, agent.starts(10, 11)]).await;
    let found = everything(&server).await;
    assert_eq!(sequences(&found), [11, 10, 4, 3, 2, 1]);
    let gap = |sequence: u64| {
        let row = found.iter().find(|row| row.sequence == sequence).unwrap();
        let gap = row.gap.clone().unwrap();
        (
            gap.place,
            gap.reason,
            gap.lost,
            gap.first_sequence,
            gap.last_sequence,
        )
    };
    assert_eq!(gap(2), ("ingest".into(), "invalid".into(), Some(1), 2, 2));
    assert_eq!(gap(4), ("spool".into(), "damaged".into(), Some(6), 4, 9));
}

#[tokio::test]
async fn an_upload_ends_with_its_session() {
    let server = Server::start();
    let mut agent = Agent::connect(&server).await;
    let mut upload = agent.upload().await;
    upload.send(agent.starts(1, 2)).await;
    assert_eq!(upload.acknowledged().await.unwrap(), Some(2));
    agent.close();
    let ended = upload.acknowledged().await.unwrap_err();
    assert_eq!(ended.code(), Code::FailedPrecondition, "{ended}");
}

/// However much it sends: within a second of its revocation it is gone.
#[tokio::test]
async fn a_revoked_endpoint_is_cut_in_the_middle_of_its_uploads() {
    let server = Server::start();
    let agent = Agent::connect(&server).await;
    let mut upload = agent.upload().await;
    let flood = async {
        let mut count = 0;
        loop {
            let request = agent.starts(count * 500 + 1, count * 500 + 500);
            upload.send(request).await;
            match upload.acknowledged().await {
                Ok(Some(_)) => count += 1,
                Ok(None) | Err(_) => return (count, Instant::now()),
            }
        }
    };
    let revoke = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let request = RevokeEndpointRequest {
            id: agent.endpoint.clone(),
            reason: "lost".into(),
        };
        let mut console = server.admin().console().await;
        console.revoke_endpoint(request).await.unwrap();
        Instant::now()
    };
    let ((count, cut), revoked) = tokio::join!(flood, revoke);
    assert!(count > 0);
    assert!(cut <= revoked + Duration::from_secs(1));
}
