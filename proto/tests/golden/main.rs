//! Bytes and texts written by released versions still mean what they meant.
//!
//! Every file under `golden/v1/` was written once and is never written again: a change that makes one of
//! these tests fail breaks programs that are installed. A new message gets a new file:
//! `TOCSIN_GOLDEN_ADD=1 cargo test -p tocsin-proto --test golden` writes those that are missing.

use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use prost::Message;
use tocsin_proto::agent::v1 as agent;
use tocsin_proto::batch;
use tocsin_proto::console::v1 as console;
use tocsin_proto::id::{
    BootId, EndpointId, EventId, EventSequence, IdentityId, IncidentId, MfaEventId, ProcessKey,
    RunId,
};
use tocsin_proto::profile::Profile;
use tocsin_proto::token::EnrollmentToken;

mod telemetry_sample;
mod terminal_sample;

use telemetry_sample::{event_batch, file, health, login, network, session};

const TIME_MS: i64 = 1_795_500_000_123;

/// What the file holds. A missing one is written where the environment asks for it.
fn golden(name: &str, today: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/v1")
        .join(name);
    if !path.exists() && std::env::var_os("TOCSIN_GOLDEN_ADD").is_some() {
        let _exists = fs::create_dir_all(path.parent().unwrap_or(&path));
        let _shown_below = fs::write(&path, today);
    }
    let bytes = fs::read(&path).unwrap_or_default();
    assert!(
        !bytes.is_empty(),
        "{} is missing: TOCSIN_GOLDEN_ADD=1 adds it",
        path.display()
    );
    bytes
}

/// The golden bytes of a message decode to `expected`.
fn check<M: Message + Default + PartialEq + Debug>(name: &str, expected: &M) {
    let bytes = golden(name, &expected.encode_to_vec());
    assert_eq!(M::decode(bytes.as_slice()).as_ref(), Ok(expected), "{name}");
}

/// The golden text is what is written today.
fn check_text(name: &str, today: &str) {
    assert_eq!(
        String::from_utf8_lossy(&golden(name, today.as_bytes())),
        today
    );
}

fn machine() -> agent::Machine {
    agent::Machine {
        hostname: "dana-laptop".into(),
        os: "linux".into(),
        os_version: "Debian GNU/Linux 12".into(),
        kernel_version: "6.18.44".into(),
        architecture: "x86_64".into(),
        cpu_count: 8,
        memory_bytes: 16 << 30,
        boot_time_ms: TIME_MS - 86_400_000,
        time_zone: "Europe/Berlin".into(),
        addresses: vec!["192.0.2.7".into(), "2001:db8::7".into()],
    }
}

#[test]
fn capability_1_a_batch_unpacks_to_its_events() {
    let packed = batch::pack(&event_batch()).expect("a small batch");
    let committed = golden("event_batch.zst", &packed);
    assert_eq!(
        batch::unpack(&committed).expect("the golden batch"),
        event_batch()
    );
}

#[test]
fn capability_1_logins_sessions_and_flows_decode() {
    check("login.bin", &login());
    check("session.bin", &session());
    check("network.bin", &network());
}

#[test]
fn capability_2_files_decode() {
    check("file.bin", &file());
}

#[test]
fn capability_1_enrolment_decodes() {
    check(
        "enroll_request.bin",
        &agent::EnrollRequest {
            token_id: vec![2; 8],
            token_secret: vec![3; 24],
            certificate_request: vec![0x30, 0x82, 1],
            hostname: "dana-laptop".into(),
            agent_version: "0.1.0".into(),
        },
    );
    check(
        "enroll_response.bin",
        &agent::EnrollResponse {
            endpoint_id: EndpointId::from_public_key(b"key").to_string(),
            certificate: vec![0x30, 1],
            ca_certificate: vec![0x30, 2],
        },
    );
    check(
        "renew_certificate_request.bin",
        &agent::RenewCertificateRequest {
            certificate_request: vec![0x30, 3],
        },
    );
    check(
        "renew_certificate_response.bin",
        &agent::RenewCertificateResponse {
            certificate: vec![0x30, 4],
            ca_certificate: vec![0x30, 5],
        },
    );
}

#[test]
fn capability_1_what_an_agent_says_in_a_session_decodes() {
    use agent::session_request::Message as M;
    let check = |name, message| {
        check(
            name,
            &agent::SessionRequest {
                message: Some(message),
            },
        );
    };
    check(
        "session_hello.bin",
        M::Hello(agent::Hello {
            run_id: vec![1; 16],
            boot_id: vec![0xab; 16],
            capability: 1,
            agent_version: "0.1.0".into(),
            start_time_ms: TIME_MS,
            machine: Some(machine()),
            sent_sequence: None,
        }),
    );
    check(
        "session_hello_sent.bin",
        M::Hello(agent::Hello {
            run_id: vec![1; 16],
            boot_id: vec![0xab; 16],
            capability: 1,
            agent_version: "0.1.0".into(),
            start_time_ms: TIME_MS,
            machine: None,
            sent_sequence: Some(0),
        }),
    );
    check(
        "session_clock_reply.bin",
        M::ClockReply(agent::ClockReply {
            probe_id: 77,
            agent_time_ms: TIME_MS,
        }),
    );
    check(
        "session_heartbeat.bin",
        M::Heartbeat(agent::Heartbeat {
            health: Some(health()),
        }),
    );
}

#[test]
fn capability_1_what_a_server_says_in_a_session_decodes() {
    use agent::session_response::Message as M;
    let check = |name, message| {
        check(
            name,
            &agent::SessionResponse {
                message: Some(message),
            },
        );
    };
    check(
        "session_welcome.bin",
        M::Welcome(agent::Welcome {
            capability: 1,
            server_version: "0.1.0".into(),
            endpoint_id: EndpointId::from_public_key(b"key").to_string(),
            heartbeat_interval_ms: 15_000,
        }),
    );
    check(
        "session_refused.bin",
        M::Refused(agent::Refused {
            reason: agent::RefusedReason::Conflict.into(),
            detail: "enroll one of them anew".into(),
            retry_delay_ms: 60_000,
        }),
    );
    check(
        "session_refused_run_reused.bin",
        M::Refused(agent::Refused {
            reason: agent::RefusedReason::RunReused.into(),
            detail: "begin a new run".into(),
            retry_delay_ms: 0,
        }),
    );
    check(
        "session_clock_probe.bin",
        M::ClockProbe(agent::ClockProbe { probe_id: 77 }),
    );
}

#[test]
fn capability_4_releases_decode() {
    use agent::session_request::Message as Up;
    use agent::session_response::Message as Down;
    let start = agent::StartUpdate {
        version: "1.2.3".into(),
        delay_ms_max: 5000,
    };
    let message = Some(Down::StartUpdate(start));
    check(
        "session_start_update.bin",
        &agent::SessionResponse { message },
    );
    let report = agent::UpdateReport {
        version: "1.2.3".into(),
        state: agent::UpdateState::Returned.into(),
        detail: "it ended with exit status: 3, 3 times".into(),
        running_version: "1.2.2".into(),
    };
    let message = Some(Up::UpdateReport(report));
    check(
        "session_update_report.bin",
        &agent::SessionRequest { message },
    );
    let request = agent::ReadReleaseRequest {
        name: "timestamp.json".into(),
        offset: 7,
    };
    check("read_release_request.bin", &request);
    let data = vec![1, 2, 3];
    check(
        "read_release_response.bin",
        &agent::ReadReleaseResponse { data },
    );
}

#[test]
fn capability_3_terminals_decode() {
    use agent::terminal_request::Message as Up;
    use agent::terminal_response::Message as Down;
    check("open_terminal.bin", &terminal_sample::open());
    check(
        "session_open_terminal.bin",
        &agent::SessionResponse {
            message: Some(agent::session_response::Message::OpenTerminal(
                terminal_sample::open(),
            )),
        },
    );
    let started = agent::TerminalStarted {
        terminal_id: vec![9; 16],
        user: "root".into(),
        uid: "0".into(),
        shell: "/bin/bash".into(),
        pid: 41,
    };
    let refused = agent::TerminalRefused {
        terminal_id: vec![9; 16],
        reason: "off".into(),
    };
    for (name, message) in [
        ("started", Up::Started(started)),
        ("refused", Up::Refused(refused)),
        ("output", Up::Output(b"out".to_vec())),
        ("input_credit", Up::InputCredit(5)),
        ("input_taken", Up::InputTaken(terminal_sample::taken())),
        ("report", Up::Report(terminal_sample::report())),
    ] {
        let message = Some(message);
        let request = agent::TerminalRequest { message };
        check(&format!("terminal_{name}.bin"), &request);
    }
    let size = agent::TerminalSize {
        columns: 80,
        rows: 24,
    };
    for (name, message) in [
        ("input", Down::Input(b"in".to_vec())),
        ("output_credit", Down::OutputCredit(6)),
        ("size", Down::Size(size)),
        ("input_end", Down::InputEnd(agent::TerminalInputEnd {})),
        ("end", Down::End(agent::TerminalEndRequest {})),
    ] {
        let message = Some(message);
        let response = agent::TerminalResponse { message };
        check(&format!("terminal_{name}.bin"), &response);
    }
}

#[test]
fn a_terminals_published_json_fields_stay() {
    let today = serde_json::to_string_pretty(&terminal_sample::terminal()).expect("JSON");
    check_text("terminal.json", &today);
    let today = serde_json::to_string_pretty(&terminal_sample::recording()).expect("JSON");
    check_text("recording.json", &today);
}

#[test]
fn capability_1_uploads_decode() {
    check(
        "upload_events_request.bin",
        &agent::UploadEventsRequest {
            run_id: vec![1; 16],
            first_sequence: 1,
            last_sequence: 3,
            batch: vec![0x28, 0xb5, 0x2f, 0xfd],
        },
    );
    check(
        "upload_events_response.bin",
        &agent::UploadEventsResponse {
            run_id: vec![1; 16],
            last_sequence: 3,
            renumber: false,
        },
    );
    check(
        "upload_events_response_renumber.bin",
        &agent::UploadEventsResponse {
            run_id: vec![1; 16],
            last_sequence: 3,
            renumber: true,
        },
    );
}

#[test]
fn a_token_reads_as_it_did() {
    let token = |update_root| EnrollmentToken {
        ca_pin: [1; 32],
        id: [2; 8],
        secret: [3; 24],
        update_root,
    };
    for (name, token) in [
        ("token.txt", token(None)),
        ("token_update_root.txt", token(Some([4; 32]))),
    ] {
        check_text(name, &format!("{token}\n"));
        let text = golden(name, b"");
        assert_eq!(
            String::from_utf8_lossy(&text).parse::<EnrollmentToken>(),
            Ok(token)
        );
    }
}

#[test]
fn a_profile_reads_as_it_did() {
    let profile = Profile {
        version: 1,
        name: "admin".into(),
        role: "admin".into(),
        servers: vec!["tocsin.example:7443".into(), "[2001:db8::1]:7443".into()],
        ca_certificate: "-----BEGIN CERTIFICATE-----\nY2E=\n-----END CERTIFICATE-----\n".into(),
        certificate: "-----BEGIN CERTIFICATE-----\nbGVhZg==\n-----END CERTIFICATE-----\n".into(),
        private_key: "-----BEGIN PRIVATE KEY-----\na2V5\n-----END PRIVATE KEY-----\n".into(),
    };
    let today = profile.to_toml().expect("a profile has a text");
    let text = golden("admin.profile", today.as_bytes());
    assert_eq!(
        Profile::from_toml(&String::from_utf8_lossy(&text)).expect("the golden profile"),
        profile
    );
}

#[test]
fn ids_are_made_as_they_were() {
    let event = EventId {
        endpoint: EndpointId::from_public_key(b"key"),
        run: RunId::from_random([7; 16]),
        sequence: EventSequence(42),
    };
    let key = ProcessKey {
        boot: BootId::from_bytes([0xab; 16]),
        pid: 4242,
        start_ticks: 99,
    };
    let parts: [&[u8]; 2] = [b"okta", b"0001"];
    let lines = [
        event.to_string(),
        key.to_string(),
        IdentityId::derive(&parts).to_string(),
        IncidentId::derive(&parts).to_string(),
        MfaEventId::derive(&parts).to_string(),
    ];
    check_text("ids.txt", &(lines.join("\n") + "\n"));
}

#[test]
fn a_published_json_field_stays() {
    // New fields may come; those of the golden text have the same names and values.
    let today = serde_json::to_value(incident()).expect("JSON");
    let text = serde_json::to_vec_pretty(&today).expect("JSON");
    let golden = serde_json::from_slice(&golden("incident.json", &text)).expect("golden JSON");
    still_there("", &golden, &today);
}

fn still_there(path: &str, golden: &serde_json::Value, today: &serde_json::Value) {
    use serde_json::Value::{Array, Object};
    match (golden, today) {
        (Object(golden), Object(today)) => {
            for (name, value) in golden {
                let path = format!("{path}.{name}");
                assert!(today.contains_key(name), "{path} is gone");
                still_there(&path, value, &today[name]);
            }
        }
        (Array(golden), Array(today)) => {
            assert_eq!(golden.len(), today.len(), "{path}");
            for (golden, today) in golden.iter().zip(today) {
                still_there(path, golden, today);
            }
        }
        (golden, today) => assert_eq!(golden, today, "{path}"),
    }
}

fn incident() -> console::Incident {
    console::Incident {
        id: IncidentId::derive(&[b"a"]).to_string(),
        title: "dana approved a prompt after 16 others".into(),
        severity: console::Severity::Critical.into(),
        score: 93,
        state: console::IncidentState::InProgress.into(),
        subject: Some(console::Subject {
            kind: console::SubjectKind::Person.into(),
            identity: IdentityId::derive(&[b"a"]).to_string(),
            display_name: "Dana".into(),
            accounts: vec![console::Account {
                provider: "okta".into(),
                login: "dana@example.com".into(),
            }],
        }),
        first_event_time_ms: TIME_MS,
        last_event_time_ms: TIME_MS + 1,
        verdict: console::Verdict::TruePositive.into(),
        assignee: "kim".into(),
        opened_time_ms: TIME_MS + 2,
        updated_time_ms: TIME_MS + 3,
        state_time_ms: TIME_MS + 4,
        aliases: vec![IncidentId::derive(&[b"b"]).to_string()],
        belief: console::BeliefBand::VeryLikely.into(),
        weights_version: "1".into(),
        attempts: vec![attempt()],
        stages: vec![console::Stage {
            name: "prompting".into(),
            technique: "T1621".into(),
            first_event_time_ms: TIME_MS,
            attack_version: "19".into(),
        }],
        evidence: vec![console::Evidence {
            kind: "prompting".into(),
            family: "prompts".into(),
            weight: 2.5,
            basis: console::Basis::Judged.into(),
            summary: "17 prompts in 40 minutes".into(),
            event_ids: vec![MfaEventId::derive(&[b"a"]).to_string()],
            basis_detail: "no figures are published".into(),
        }],
        ..surroundings()
    }
}

/// The rest of it.
fn surroundings() -> console::Incident {
    console::Incident {
        endpoints: vec![console::EndpointRef {
            id: EndpointId::from_public_key(b"key").to_string(),
            hostname: "dana-laptop".into(),
        }],
        gaps: vec![console::MissingData {
            what: "no linked endpoint".into(),
            from_time_ms: TIME_MS,
            until_time_ms: 0,
        }],
        freshness: vec![console::Freshness {
            feed: "okta".into(),
            behind_ms: 5,
        }],
        recommended_actions: vec![console::RecommendedAction {
            action: "block_sign_in".into(),
            reason: "the approved session may be in use".into(),
            // Later than these bytes.
            text: String::new(),
        }],
        related_incidents: vec![console::RelatedIncident {
            id: IncidentId::derive(&[b"c"]).to_string(),
            relation: "same source".into(),
        }],
        notes: vec![console::Note {
            id: "1".into(),
            time_ms: TIME_MS,
            author: "kim".into(),
            text: "called Dana".into(),
        }],
        activity: vec![console::Activity {
            time_ms: TIME_MS,
            actor: "tocsin".into(),
            what: "opened".into(),
        }],
        ..Default::default()
    }
}

fn attempt() -> console::Attempt {
    console::Attempt {
        id: MfaEventId::derive(&[b"a"]).to_string(),
        time_ms: TIME_MS,
        provider: "okta".into(),
        result: console::AttemptResult::FraudReported.into(),
        source_ip: "203.0.113.9".into(),
        application: "vpn".into(),
        provenance: Some(console::Provenance {
            verdict: console::ProvenanceVerdict::Unknown.into(),
            confidence: console::Confidence::None.into(),
            endpoint: String::new(),
            reasons: vec!["no linked endpoint".into()],
            ..console::Provenance::default()
        }),
        factor: "push".into(),
        source_place: "Bucharest, Romania".into(),
        user_agent: "Mozilla/5.0".into(),
        result_time_ms: TIME_MS + 9,
        event_ids: vec![MfaEventId::derive(&[b"a"]).to_string()],
        identity: String::new(),
    }
}

#[test]
fn capability_1_public_addresses_decode() {
    let message = console::PublicAddress {
        address: "203.0.113.0/28".into(),
        source: "site_map".into(),
        site: "office".into(),
        shared: true,
        from_time_ms: TIME_MS,
        until_time_ms: TIME_MS + 1,
    };
    check("public_address.bin", &message);
}

#[test]
fn an_import_header_with_a_mapping_is_what_it_was() {
    check(
        "import_header_mapping.bin",
        &console::ImportHeader {
            provider: "generic".into(),
            file_name: "log.json".into(),
            mapping: b"provider = \"generic\"\n".to_vec(),
            dry_run: false,
        },
    );
}
