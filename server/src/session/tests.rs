//! Admission, conflicts, clock and presence, without a network.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tocsin_proto::agent::v1::session_response::Message;
use tocsin_proto::agent::v1::{Hello, SessionResponse, Welcome};
use tocsin_proto::capability;
use tocsin_proto::id::EndpointId;
use tocsin_proto::telemetry::v1::Health;
use tocsin_proto::token::key_pin;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::audit::AuditEntry;
use crate::network::NetworkConfig;
use crate::store::sqlite::SqliteState;
use crate::store::trust::{Enrollment, TokenRow};

/// Long enough for anything that does happen.
const PATIENT: Duration = Duration::from_secs(20);

struct Fixture {
    _folder: TempDir,
    store: SqliteState,
    registry: Arc<Registry>,
    endpoint: EndpointId,
}

async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteState::open(&folder.path().join("state.db"))
        .await
        .unwrap();
    let entry = AuditEntry::operator("test.act", "", "");
    let token = TokenRow {
        id: [1; 8],
        secret_sha256: [2; 32],
        uses_max: 1,
        created_time_ms: 0,
        expiry_time_ms: i64::MAX,
        ring: String::new(),
    };
    store.create_token(&token, &entry).await.unwrap();
    let endpoint = EndpointId::from_public_key(b"key");
    let enrollment = Enrollment {
        token_id: token.id,
        secret_sha256: token.secret_sha256,
        endpoint,
        key_pin: key_pin(b"key"),
        former: None,
        hostname: "first".into(),
        agent_version: String::new(),
        address: ([127, 0, 0, 1], 1).into(),
        certificate_expiry_time_ms: 0,
        time_ms: 0,
    };
    store.enroll(&enrollment, &entry).await.unwrap();
    Fixture {
        _folder: folder,
        store,
        registry: Arc::default(),
        endpoint,
    }
}

/// An agent as the registry sees it.
struct Agent {
    peer: Peer,
    inbox: mpsc::Receiver<SessionResponse>,
    session: Result<Arc<Session>, AdmitError>,
}

impl Fixture {
    async fn connect(&self, connection: u64, run: u8, timeout: Duration) -> Agent {
        self.connect_knowing(connection, run, timeout, (None, 0))
            .await
    }

    /// Connects an agent that says how much of its run it has sent, where so much of it is committed.
    async fn connect_knowing(
        &self,
        connection: u64,
        run: u8,
        timeout: Duration,
        (sent_sequence, committed): (Option<u64>, u64),
    ) -> Agent {
        let (outbox, inbox) = mpsc::channel(OUTBOX_MAX);
        let peer = Peer {
            connection,
            address: ([127, 0, 0, 1], 1).into(),
            key: None,
            cut: CancellationToken::new(),
        };
        let hello = Hello {
            run_id: vec![run; 16],
            boot_id: vec![0; 16],
            capability: capability::CURRENT,
            sent_sequence,
            ..Default::default()
        };
        let applicant = Applicant {
            peer: peer.clone(),
            endpoint: self.endpoint,
            hello: CheckedHello::try_from(hello).unwrap(),
            committed,
            outbox,
            welcome: Welcome::default(),
            public_addresses: NetworkConfig::default().public([203, 0, 113, 7].into()),
            time_ms: 1000,
        };
        let session = self.registry.admit(applicant, timeout, &self.store).await;
        Agent {
            peer,
            inbox,
            session,
        }
    }
}

impl Agent {
    fn session(&self) -> &Arc<Session> {
        self.session.as_ref().unwrap()
    }

    async fn next(&mut self) -> Message {
        let next = tokio::time::timeout(PATIENT, self.inbox.recv()).await;
        next.unwrap().unwrap().message.unwrap()
    }

    /// Answers probes for as long as there are any.
    async fn answer(&mut self) {
        while let Some(message) = self.inbox.recv().await {
            if let Some(Message::ClockProbe(probe)) = message.message {
                self.session().clock_reply(probe.probe_id, 5000);
            }
        }
    }
}

#[tokio::test]
async fn welcome_comes_first_and_admits_its_own_connection_only() {
    let fixture = fixture().await;
    let mut agent = fixture.connect(1, 1, PATIENT).await;
    agent.session().probe(1000);
    assert!(matches!(agent.next().await, Message::Welcome(_)));
    assert!(matches!(agent.next().await, Message::ClockProbe(_)));
    let admission = fixture.registry.admitted(&agent.peer).unwrap();
    assert_eq!(admission.endpoint, fixture.endpoint);
    let stranger = Peer {
        connection: 2,
        ..agent.peer.clone()
    };
    assert!(fixture.registry.admitted(&stranger).is_none());
    fixture.registry.close(agent.session());
    assert!(admission.ended.is_cancelled());
    assert!(fixture.registry.admitted(&agent.peer).is_none());
    assert!(fixture.registry.live(fixture.endpoint).is_none());
}

#[tokio::test]
async fn a_second_run_is_refused_while_the_first_answers() {
    let fixture = fixture().await;
    let mut first = fixture.connect(1, 1, PATIENT).await;
    let second = tokio::select! {
        second = fixture.connect(2, 2, PATIENT) => second,
        () = first.answer() => unreachable!("the first session stays open"),
    };
    assert!(matches!(second.session, Err(AdmitError::Conflict)));
    assert!(!first.session().ended().is_cancelled());
    assert!(fixture.registry.admitted(&second.peer).is_none());
    let stored = fixture.store.endpoint(fixture.endpoint).await.unwrap();
    assert_eq!(stored.conflicts.len(), 1);
    assert_eq!(stored.conflicts[0].run.as_bytes(), &[2; 16]);
}

#[tokio::test]
async fn a_first_run_that_is_silent_gives_way() {
    let fixture = fixture().await;
    let first = fixture.connect(1, 1, PATIENT).await;
    let second = fixture.connect(2, 2, Duration::from_millis(50)).await;
    assert!(second.session.is_ok());
    assert!(first.peer.cut.is_cancelled(), "its connection is cut");
    assert!(first.session().ended().is_cancelled());
    assert!(
        fixture
            .store
            .endpoint(fixture.endpoint)
            .await
            .unwrap()
            .conflicts
            .is_empty()
    );
    fixture.registry.close(first.session());
    assert!(
        fixture.registry.admitted(&second.peer).is_some(),
        "the old end does not end the new"
    );
}

#[tokio::test]
async fn a_first_run_that_ends_while_it_is_asked_gives_way_at_once() {
    let fixture = fixture().await;
    let mut first = fixture.connect(1, 1, PATIENT).await;
    assert!(matches!(first.next().await, Message::Welcome(_)));
    let leave = async {
        assert!(matches!(first.next().await, Message::ClockProbe(_)));
        fixture.registry.close(first.session());
    };
    let (second, ()) = tokio::join!(fixture.connect(2, 2, Duration::MAX), leave);
    assert!(second.session.is_ok());
}

#[tokio::test]
async fn the_same_run_twice_is_a_conflict_too() {
    let fixture = fixture().await;
    let mut first = fixture.connect(1, 1, PATIENT).await;
    let second = tokio::select! {
        // However much it has sent: who is there comes first.
        second = fixture.connect_knowing(2, 1, PATIENT, (Some(1), 9)) => second,
        () = first.answer() => unreachable!("the first session stays open"),
    };
    assert!(matches!(second.session, Err(AdmitError::Conflict)));
    assert!(!first.session().ended().is_cancelled());
    assert!(fixture.registry.admitted(&first.peer).is_some());
    let stored = fixture.store.endpoint(fixture.endpoint).await.unwrap();
    assert_eq!(stored.conflicts.len(), 1);
    assert_eq!(stored.conflicts[0].run.as_bytes(), &[1; 16]);
}

#[tokio::test]
async fn the_same_run_comes_back_after_its_network_was_cut() {
    let fixture = fixture().await;
    let first = fixture.connect(1, 1, PATIENT).await;
    let moment = Duration::from_millis(50);
    let second = fixture.connect_knowing(2, 1, moment, (Some(9), 9)).await;
    assert!(second.session.is_ok());
    assert!(first.peer.cut.is_cancelled() && first.session().ended().is_cancelled());
    assert!(fixture.registry.admitted(&first.peer).is_none());
    let stored = fixture.store.endpoint(fixture.endpoint).await.unwrap();
    assert!(stored.conflicts.is_empty());
}

#[tokio::test]
async fn a_second_session_of_one_connection_replaces_the_first_unasked() {
    let fixture = fixture().await;
    let first = fixture.connect(1, 1, PATIENT).await;
    let second = fixture.connect(1, 1, Duration::MAX).await;
    assert!(second.session.is_ok());
    assert!(first.session().ended().is_cancelled());
}

#[tokio::test]
async fn a_run_of_which_more_is_committed_than_was_sent_is_refused() {
    let fixture = fixture().await;
    let older = fixture.connect_knowing(1, 1, PATIENT, (Some(4), 5)).await;
    assert!(matches!(older.session, Err(AdmitError::Reused)));
    assert!(fixture.registry.admitted(&older.peer).is_none());
    for (sent_sequence, committed) in [(Some(5), 5), (Some(6), 5), (None, 5), (Some(0), 0)] {
        let knowing = (sent_sequence, committed);
        let agent = fixture.connect_knowing(2, 1, PATIENT, knowing).await;
        assert!(agent.session.is_ok(), "{knowing:?}");
    }
    let stored = fixture.store.endpoint(fixture.endpoint).await.unwrap();
    assert!(
        stored.conflicts.is_empty(),
        "one machine alone can be mended"
    );
}

#[tokio::test]
async fn a_third_waits_while_the_second_is_being_judged() {
    let fixture = fixture().await;
    let mut first = fixture.connect(1, 1, PATIENT).await;
    assert!(matches!(first.next().await, Message::Welcome(_)));
    let third = async {
        assert!(matches!(first.next().await, Message::ClockProbe(_)));
        let third = fixture.connect(3, 3, PATIENT).await;
        fixture.registry.close(first.session());
        third
    };
    let (second, third) = tokio::join!(fixture.connect(2, 2, PATIENT), third);
    assert!(second.session.is_ok());
    assert!(matches!(third.session, Err(AdmitError::Busy)));
}

#[tokio::test]
async fn only_replies_to_open_probes_count() {
    let fixture = fixture().await;
    let mut agent = fixture.connect(1, 1, PATIENT).await;
    agent.session().clock_reply(1, 5000);
    agent.session().clock_reply(77, 5000);
    let live = || fixture.registry.live(fixture.endpoint).unwrap();
    assert_eq!(live().clock_skew, None);
    agent.session().probe(1000);
    agent.next().await;
    let Message::ClockProbe(probe) = agent.next().await else {
        panic!("a probe follows the welcome");
    };
    agent.session().clock_reply(probe.probe_id, 61_000);
    let skew = live().clock_skew.unwrap();
    assert_eq!(skew.max_ms, 60_001);
    assert!(skew.min_ms <= 60_000 && skew.min_ms > 50_000, "{skew:?}");
    agent.session().clock_reply(probe.probe_id, 0);
    assert_eq!(
        live().clock_skew.unwrap(),
        skew,
        "a second reply to it is none"
    );
}

#[tokio::test]
async fn an_agent_that_reads_nothing_fills_only_its_queue() {
    let fixture = fixture().await;
    let mut agent = fixture.connect(1, 1, PATIENT).await;
    for _ in 0..100 {
        agent.session().probe(1000);
    }
    let mut waiting = 0;
    while agent.inbox.try_recv().is_ok() {
        waiting += 1;
    }
    assert_eq!(waiting, OUTBOX_MAX);
}

/// What a store is told.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<PresenceChange>>);

impl Told {
    fn take(&self, changes: Vec<PresenceChange>) -> Vec<PresenceChange> {
        let mut told = self.0.lock().unwrap();
        told.extend(changes.iter().cloned());
        changes
    }
}

#[tokio::test]
async fn the_store_learns_of_beginning_and_end_and_once_a_minute() {
    let fixture = fixture().await;
    let told = Told::default();
    let agent = fixture.connect(1, 1, PATIENT).await;
    let changes = |now| told.take(fixture.registry.changes(now));
    let first = changes(2000);
    assert_eq!(first.len(), 1);
    assert!(first[0].hello.is_some() && !first[0].presence.ended);
    assert!(changes(61_999).is_empty(), "nothing is due");
    agent.session().heartbeat(Health::default(), 50_000);
    let minute = changes(62_000);
    assert_eq!(minute.len(), 1);
    assert_eq!(minute[0].presence.seen_time_ms, 50_000);
    assert!(minute[0].hello.is_none() && minute[0].health.is_some());
    fixture.registry.close(agent.session());
    let last = changes(63_000);
    assert_eq!(last.len(), 1);
    assert!(last[0].presence.ended);
    assert!(changes(200_000).is_empty());
    let told = told.0.into_inner().unwrap();
    fixture.store.write_presence(&told).await.unwrap();
    let rows = fixture
        .store
        .presence(fixture.endpoint, 0, i64::MAX, 10)
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].ended);
}

#[tokio::test]
async fn an_endpoint_that_connects_all_the_time_is_told_to_wait() {
    let fixture = fixture().await;
    for _session in 0..SESSIONS_PER_MINUTE_MAX {
        let agent = fixture.connect(1, 1, PATIENT).await;
        assert!(agent.session.is_ok());
    }
    let agent = fixture.connect(1000, 1, PATIENT).await;
    assert!(matches!(agent.session, Err(AdmitError::TooOften)));
}
