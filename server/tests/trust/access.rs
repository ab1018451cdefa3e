//! Who may call what.

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use tocsin_proto::console::v1 as wire;
use tonic::Code;

use crate::client::{identity, methods};
use crate::server::Server;

#[tokio::test]
async fn a_foreign_client_fails_in_the_handshake() {
    let server = Server::start();
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ours = server.ca().1;
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::default();
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    for foreign in [
        Issuer::new(ca, ca_key),
        // One that calls itself as ours does.
        Issuer::from_ca_cert_pem(&ours, KeyPair::generate().unwrap()).unwrap(),
    ] {
        let certificate = leaf.signed_by(&key, &foreign).unwrap();
        let client = server.client(Some(identity(&key, certificate.der())));
        let error = client.handshake().await.unwrap_err();
        assert!(
            error.contains("UnknownCA")
                || error.contains("DecryptError")
                || error.contains("BadCertificate"),
            "{error}"
        );
    }
    assert_eq!(server.admin().handshake().await, Ok(()), "ours is accepted");
}

#[tokio::test]
async fn without_a_certificate_only_enroll_may_be_called() {
    let server = Server::start();
    let client = server.client(None);
    for method in methods() {
        let expect = if method.ends_with("/Enroll") {
            Code::InvalidArgument
        } else {
            Code::Unauthenticated
        };
        assert_eq!(client.call(&method).await, expect, "{method}");
    }
}

#[tokio::test]
async fn an_endpoint_may_call_nothing_of_the_console() {
    let server = Server::start();
    let key = KeyPair::generate().unwrap();
    let enrolled = server
        .client(None)
        .enroll(&server.token(1), &key)
        .await
        .unwrap();
    let client = server.client(Some(identity(&key, &enrolled.certificate)));
    for method in methods() {
        let code = client.call(&method).await;
        if method.contains("console") {
            assert_eq!(code, Code::PermissionDenied, "{method}");
        } else {
            assert_ne!(code, Code::PermissionDenied, "{method}");
        }
    }
}

#[tokio::test]
async fn an_analyst_may_not_do_what_endpoints_do() {
    let server = Server::start();
    let admin = server.admin();
    for method in methods() {
        let code = admin.call(&method).await;
        if method.contains("console") {
            assert!(
                ![Code::PermissionDenied, Code::Unauthenticated].contains(&code),
                "{method}: {code:?}"
            );
        } else {
            assert_eq!(code, Code::PermissionDenied, "{method}");
        }
    }
}

const CHANGES: &[&str] = &[
    "AssignIncident",
    "SetIncidentState",
    "SetIncidentVerdict",
    "AddIncidentNote",
    "TagEndpoint",
    "LinkIdentity",
    "UnlinkIdentity",
    "ImportIdentities",
    "ImportFeed",
];

const ACTS: &[&str] = &[
    "RevokeEndpoint",
    "BindDevice",
    "UnbindDevice",
    "ImportDevices",
    "OpenTerminal",
    "KillTerminal",
    "SetRolloutState",
];

/// What only administrators may do.
const RULES: &[&str] = &[
    "AddFeed",
    "TestFeed",
    "RemoveFeed",
    "PublishReleases",
    "CreateRollout",
];

/// Methods of the console that a role may not call, sorted.
async fn refused(server: &Server, role: &str) -> Vec<String> {
    let client = server.analyst(role);
    let mut refused = Vec::new();
    for method in methods() {
        let Some(name) = method.strip_prefix("tocsin.console.v1.ConsoleService/") else {
            continue;
        };
        if client.call(&method).await == Code::PermissionDenied {
            refused.push(name.to_owned());
        }
    }
    refused.sort();
    refused
}

/// All of some lists, sorted.
fn sorted(lists: &[&[&'static str]]) -> Vec<&'static str> {
    let mut all = lists.concat();
    all.sort_unstable();
    all
}

#[tokio::test]
async fn a_viewer_cannot_act_and_its_refusals_are_recorded() {
    let server = Server::start();
    let refused = refused(&server, "viewer").await;
    let looks: &[&str] = &["WatchTerminal", "PlayTerminal", "ListAudit", "VerifyAudit"];
    let expect = sorted(&[CHANGES, ACTS, RULES, looks]);
    assert_eq!(refused, expect);
    let mut admin = server.admin().console().await;
    let audit = admin
        .list_audit(wire::ListAuditRequest::default())
        .await
        .unwrap();
    let recorded = audit
        .into_inner()
        .rows
        .into_iter()
        .filter(|row| {
            row.decision == "refused" && row.actor == "viewer" && row.actor_kind == "analyst"
        })
        .count();
    // Of one actor's refusals in a minute the last that is recorded says that more followed.
    assert_eq!(recorded, expect.len().min(20));
}

#[tokio::test]
async fn acting_on_endpoints_is_for_responders() {
    let server = Server::start();
    let acts = sorted(&[ACTS, RULES]);
    assert_eq!(refused(&server, "analyst").await, acts);
    assert_eq!(refused(&server, "responder").await, sorted(&[RULES]));
}

#[tokio::test]
async fn a_revoked_analyst_is_cut_off_and_stays_out() {
    let server = Server::start();
    let client = server.analyst("responder");
    let mut console = client.console().await;
    let watch = wire::WatchIncidentsRequest::default();
    let mut incidents = console.watch_incidents(watch).await.unwrap().into_inner();
    server.command(&["analyst", "revoke", "responder"]);
    let end = tokio::time::timeout(crate::server::PATIENT, incidents.message()).await;
    assert!(end.unwrap().is_err(), "the open stream breaks off");
    let again = client
        .console()
        .await
        .get_server(wire::GetServerRequest {})
        .await;
    assert_eq!(again.unwrap_err().code(), Code::PermissionDenied);
    let output = crate::server::program(&["analyst", "list", "--data", server.text()]);
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("responder")
    );
}

#[tokio::test]
async fn who_ends_the_last_admin_is_told_how_to_make_another() {
    let server = Server::start();
    let client = server.admin();
    let output = crate::server::program(&["analyst", "revoke", "admin", "--data", server.text()]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("tocsin-server analyst add"), "{said}");
    let ask = wire::GetServerRequest {};
    let status = client.console().await.get_server(ask).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    server.command(&[
        "analyst",
        "add",
        "next",
        "--role",
        "admin",
        "--out",
        server.data().join("next.profile").to_str().unwrap(),
    ]);
    server.analyst("responder");
    let output =
        crate::server::program(&["analyst", "revoke", "responder", "--data", server.text()]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("no admin"), "{said}");
}

#[tokio::test]
async fn a_renewed_analyst_works_with_the_new_profile_only() {
    let server = Server::start();
    let former = server.admin();
    let path = server.data().join("admin.profile");
    server.command(&[
        "analyst",
        "renew",
        "admin",
        "--out",
        &path.display().to_string(),
    ]);
    let get = wire::GetServerRequest {};
    // A call in the moment in which the server learns of it is cut off; the next one is told why.
    let mut codes = Vec::new();
    for _ in 0..2 {
        let refused = former.console().await.get_server(get).await.unwrap_err();
        codes.push(refused.code());
    }
    assert!(codes.contains(&Code::Unauthenticated), "{codes:?}");
    let shown = server
        .admin()
        .console()
        .await
        .get_server(get)
        .await
        .unwrap();
    assert_eq!(shown.get_ref().analyst, "admin");
    assert_eq!(shown.get_ref().role, "admin");
}

#[tokio::test]
async fn the_audit_log_is_whole_after_the_server_and_commands_have_written_at_once() {
    let server = Server::start();
    let viewer = server.analyst("viewer");
    let calls = async {
        for _ in 0..15 {
            viewer
                .call("tocsin.console.v1.ConsoleService/TagEndpoint")
                .await;
        }
    };
    let text = server.text();
    let commands = tokio::task::spawn_blocking(move || {
        for _ in 0..5 {
            let output = crate::server::program(&["token", "create", "--data", text]);
            assert!(output.status.success(), "{output:?}");
        }
    });
    let ((), commands) = tokio::join!(calls, commands);
    commands.unwrap();
    let mut admin = server.admin().console().await;
    let verified = admin
        .verify_audit(wire::VerifyAuditRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(verified.intact, "{verified:?}");
    assert!(verified.rows >= 20, "{verified:?}");
    assert_eq!(verified.head_hash.len(), 64);
}
