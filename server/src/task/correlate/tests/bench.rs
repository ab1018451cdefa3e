//! A server's stores with a correlator over them, and the records of a made-up story.

use super::*;

pub(super) const DAY_MS: i64 = 86_400_000;
pub(super) const START_MS: i64 = 1_780_000_000_000;

/// A server's stores with a correlator over them.
pub(super) struct Bench {
    pub(super) dir: tempfile::TempDir,
    pub(super) state: Arc<dyn StateStore>,
    pub(super) telemetry: Arc<dyn TelemetryStore>,
    pub(super) correlator: Correlator,
}

impl Bench {
    pub(super) async fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap()).await
    }

    pub(super) async fn open(dir: tempfile::TempDir) -> Self {
        let state = SqliteState::open(&dir.path().join("state.db"))
            .await
            .unwrap();
        let telemetry = SqliteTelemetry::open(&dir.path().join("telemetry.db"))
            .await
            .unwrap();
        let state: Arc<dyn StateStore> = Arc::new(state);
        let telemetry: Arc<dyn TelemetryStore> = Arc::new(telemetry);
        let correlator = Correlator::new(
            state.clone(),
            telemetry.clone(),
            Arc::default(),
            Arc::default(),
        );
        Self {
            dir,
            state,
            telemetry,
            correlator,
        }
    }

    pub(super) async fn import(&self, events: &[MfaEvent]) {
        self.add(events, None).await;
        self.correlator.settle().await.unwrap();
    }

    /// Stores without correlating.
    pub(super) async fn add(&self, events: &[MfaEvent], tally: Option<&Tally>) {
        for part in events.chunks(13) {
            let record = |event: &MfaEvent| Record {
                raw: format!("{event:?}").into_bytes(),
                events: vec![event.clone()],
            };
            let portion = Portion {
                provider: Provider::Okta,
                records: part.iter().map(record).collect(),
                geo: Arc::default(),
                refused: None,
                kind: crate::import::FILE.to_owned(),
                advance: None,
                receive_time_ms: 1,
            };
            let watch = |people| {
                if let Some(tally) = tally {
                    tally.watch(people);
                }
            };
            add(self.state.as_ref(), portion, watch).await.unwrap();
        }
    }

    pub(super) async fn rows(&self) -> Vec<IncidentRow> {
        let query = IncidentQuery {
            limit: 1_000,
            ..IncidentQuery::default()
        };
        let mut rows = Vec::new();
        for row in self.state.incidents(&query).await.unwrap() {
            rows.push(self.state.incident(row.id).await.unwrap());
        }
        rows
    }

    /// Incidents but for what may depend on when Tocsin itself acted.
    pub(super) async fn seen(&self) -> Vec<(IncidentId, IdentityId, String, i32, String)> {
        let of = |row: IncidentRow| {
            let draft = serde_json::to_string(&unpack_draft(&row.engine.draft).unwrap()).unwrap();
            let summary = String::from_utf8(row.engine.summary).unwrap();
            (row.id, row.identity, draft, row.analyst.state, summary)
        };
        self.rows().await.into_iter().map(of).collect()
    }

    pub(super) async fn close(&self, row: &IncidentRow) {
        let analyst = move_to(&row.analyst, IncidentState::Closed, 5)
            .unwrap()
            .unwrap();
        let change = AnalystChange {
            id: row.id,
            version: row.version,
            analyst,
            activity: ActivityRow {
                time_ms: 5,
                actor: "ana".into(),
                what: "new -> closed".into(),
            },
            note: Some("called her".into()),
        };
        let entry = AuditEntry::operator("incidents.state", "", "");
        self.state.change_incident(&change, &entry).await.unwrap();
    }
}

pub(super) fn origin(is_home: bool) -> Origin {
    let (ip, country, asn) = if is_home {
        ("192.0.2.7", "PT", 64_500)
    } else {
        ("198.51.100.66", "RO", 64_999)
    };
    Origin {
        ip: Some(ip.parse().unwrap()),
        asn: Some(asn),
        place: Place {
            country: Some(country.into()),
            ..Place::default()
        },
        device_token: Some(format!("token-{is_home}")),
        user_agent: Some(format!("agent-{is_home}")),
        ..Origin::default()
    }
}

pub(super) fn event(who: &str, time_ms: i64, kind: MfaEventKind, is_home: bool) -> MfaEvent {
    MfaEvent {
        id: MfaEventId::derive(&[
            who.as_bytes(),
            &time_ms.to_be_bytes(),
            format!("{kind:?}").as_bytes(),
        ]),
        provider: Provider::Okta,
        time_ms,
        kind,
        account: AccountKey {
            provider: Provider::Okta,
            provider_id: format!("00u-{who}"),
            login: fold_login(&format!("{who}@Example.com")),
        },
        display_name: Some(format!("{who} the person")),
        actor: None,
        origin: origin(is_home),
        previous_ip: None,
        factor: None,
        application: None,
        flow: FlowIds::default(),
        novelty: Novelty::default(),
        risk: None,
        detail: None,
    }
}

/// Ordinary sign-ins on some days.
pub(super) fn ordinary(who: &str, days: i64) -> Vec<MfaEvent> {
    (0..days)
        .map(|day| {
            event(
                who,
                START_MS + day * DAY_MS + 9 * 3_600_000,
                MfaEventKind::SessionStarted,
                true,
            )
        })
        .collect()
}

/// Prompts that are refused, and perhaps one that is not.
pub(super) fn bombing(who: &str, from_ms: i64, count: i64, is_approved: bool) -> Vec<MfaEvent> {
    let mut events = Vec::new();
    for n in 0..count {
        let time_ms = from_ms + n * 120_000;
        events.push(event(who, time_ms, MfaEventKind::PromptSent, false));
        events.push(event(who, time_ms + 20_000, MfaEventKind::Denied, false));
    }
    if is_approved {
        let time_ms = from_ms + count * 120_000;
        events.push(event(who, time_ms, MfaEventKind::PromptSent, false));
        events.push(event(who, time_ms + 9_000, MfaEventKind::Approved, false));
        events.push(event(
            who,
            time_ms + 200_000,
            MfaEventKind::FactorEnrolled,
            false,
        ));
    }
    events
}

/// Three people: one bombed twice, one bombed and approving, one with a prompt that nobody answers, and another account
/// that turns two of them into one person late.
pub(super) fn story() -> Vec<MfaEvent> {
    let mut events = Vec::new();
    for who in ["dana", "eli", "fay"] {
        events.extend(ordinary(who, 8));
    }
    events.extend(bombing("dana", START_MS + 10 * DAY_MS, 6, false));
    events.extend(bombing("dana", START_MS + 30 * DAY_MS, 5, true));
    events.extend(bombing("eli", START_MS + 11 * DAY_MS, 9, true));
    events.extend(bombing("fay", START_MS + 12 * DAY_MS, 5, false));
    events.push(event(
        "fay",
        START_MS + 12 * DAY_MS + 700_000,
        MfaEventKind::PromptSent,
        false,
    ));
    let mut joining = event(
        "eli",
        START_MS + 31 * DAY_MS,
        MfaEventKind::SessionStarted,
        true,
    );
    joining.account.provider_id = "00u-dana".into();
    events.push(joining);
    events
}
