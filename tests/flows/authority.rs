//! Who may do what: roles, certificates, revocation, and that all of it is written down.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tocsin_proto::agent::v1 as agent;
use tocsin_proto::agent::v1::agent_service_client::AgentServiceClient;
use tocsin_proto::console::v1 as console;
use tocsin_proto::profile::Profile;
use tocsin_proto::tls::{self, ClientIdentity};
use tocsin_proto::token::EnrollmentToken;
use tocsin_tests::console::Console;
use tocsin_tests::endpoint::{self, Session, fresh_run};
use tocsin_tests::rpc::{self, Analyst};
use tocsin_tests::sandbox::{Place, Sandbox, flow};
use tocsin_tests::server::Server;
use tokio::io::AsyncReadExt;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::{rows, runtime, text};

/// What an analyst can do to something, with ids that need not exist: the role is asked first.
const ACTS: &[&[&str]] = &[
    &["incidents", "assign", "00000000"],
    &["incidents", "state", "00000000", "closed"],
    &["incidents", "verdict", "00000000", "benign"],
    &["incidents", "note", "00000000", "a note"],
    &["endpoints", "tag", "00000000", "lab"],
    &["endpoints", "revoke", "00000000", "--reason", "lost"],
    &[
        "identities",
        "link",
        "00000000",
        "--endpoint",
        "00000000",
        "--user",
        "dana",
    ],
];

const READS: &[&[&str]] = &[
    &["incidents", "list"],
    &["endpoints", "list"],
    &["identities", "list"],
    &["events", "search"],
    &["feeds", "list"],
];

#[test]
fn a_viewer_reads_and_cannot_act() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let viewer = server.analyst(sandbox, "vera", "viewer")?;
        for read in READS {
            viewer.run(read)?.succeeded(read)?;
        }
        for act in ACTS {
            viewer.run(act)?.ended_with(77, act)?;
        }
        let file = sandbox.file("okta.json", "[]")?;
        viewer
            .import_okta(&file)?
            .ended_with(77, &["feeds", "import"])?;
        Ok(())
    });
}

#[test]
fn a_refused_act_is_in_the_audit_log_and_the_log_is_intact() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let viewer = server.analyst(sandbox, "vera", "viewer")?;
        let act = ["endpoints", "revoke", "00000000", "--reason", "lost"];
        viewer.run(&act)?.ended_with(77, &act)?;
        let log = server.admin().json(&["audit", "list"])?;
        let refused = rows(&log)?.iter().any(|row| {
            row["decision"] == "refused" && text(row, "actor").is_ok_and(|actor| actor == "vera")
        });
        ensure!(refused, "{log}");
        let verified = server.admin().json(&["audit", "verify"])?;
        ensure!(verified["intact"] == true, "{verified}");
        ensure!(
            verified["rows"].as_u64() >= Some(rows(&log)?.len() as u64),
            "{verified}"
        );
        Ok(())
    });
}

#[test]
fn an_act_is_in_the_audit_log_with_who_and_what() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let endpoint = runtime()?.block_on(endpoint::enroll(
            &server.address().to_string(),
            &server.token(1)?,
            "lab",
        ))?;
        let act = [
            "endpoints",
            "revoke",
            &endpoint.id,
            "--reason",
            "lost in a train",
        ];
        server.admin().run(&act)?.succeeded(&act)?;
        let log = server.admin().json(&["audit", "list"])?;
        let found = rows(&log)?.iter().find(|row| {
            row["decision"] == "allowed"
                && row["target"] == endpoint.id.as_str()
                && text(row, "action").is_ok_and(|action| action.contains("revoke"))
        });
        let row = found.with_context(|| format!("the revocation in {log}"))?;
        ensure!(
            row["actor_kind"] == "analyst" && row["actor"] == "admin",
            "{row}"
        );
        ensure!(text(row, "detail")?.contains("lost in a train"), "{row}");
        Ok(())
    });
}

/// An endpoint with its session.
async fn online(server: &Server<'_>) -> Result<(endpoint::Enrolled, Session)> {
    let address = server.address().to_string();
    let endpoint = endpoint::enroll(&address, &server.token(1)?, "lab").await?;
    let session = endpoint
        .session(&address, fresh_run(), &Arc::default())
        .await?;
    Ok((endpoint, session))
}

/// Calls every kind of method of the console's service and expects each to be refused.
async fn console_refuses(channel: Channel) -> Result<()> {
    let mut client = Analyst::new(channel);
    let mut answers: Vec<(&str, Option<Status>)> = Vec::new();
    let server = client
        .get_server(console::GetServerRequest::default())
        .await;
    answers.push(("GetServer", server.err()));
    let changes = client
        .watch_changes(console::WatchChangesRequest::default())
        .await;
    answers.push(("WatchChanges", changes.err()));
    let list = client
        .list_incidents(console::ListIncidentsRequest::default())
        .await;
    answers.push(("ListIncidents", list.err()));
    let watch = client
        .watch_incidents(console::WatchIncidentsRequest::default())
        .await;
    answers.push(("WatchIncidents", watch.err()));
    let search = client
        .search_events(console::SearchEventsRequest::default())
        .await;
    answers.push(("SearchEvents", search.err()));
    let revoke = client
        .revoke_endpoint(console::RevokeEndpointRequest::default())
        .await;
    answers.push(("RevokeEndpoint", revoke.err()));
    let import = client.import_feed(tokio_stream::empty()).await;
    answers.push(("ImportFeed", import.err()));
    let audit = client
        .list_audit(console::ListAuditRequest::default())
        .await;
    answers.push(("ListAudit", audit.err()));
    for (method, answer) in answers {
        is_refusal(method, answer)?;
    }
    Ok(())
}

fn is_refusal(method: &str, answer: Option<Status>) -> Result<()> {
    match answer.as_ref().map(Status::code) {
        Some(Code::PermissionDenied | Code::Unauthenticated) => Ok(()),
        other => bail!("{method} answered {other:?}: {answer:?}"),
    }
}

/// Calls the agents' service and expects to be refused.
async fn agent_service_refuses(channel: Channel) -> Result<()> {
    let mut client = AgentServiceClient::new(channel);
    let session = client.session(tokio_stream::empty()).await;
    is_refusal("Session", session.err())?;
    let upload = client.upload_events(tokio_stream::empty()).await;
    is_refusal("UploadEvents", upload.err())?;
    let renew = client
        .renew_certificate(agent::RenewCertificateRequest::default())
        .await;
    is_refusal("RenewCertificate", renew.err())
}

#[test]
fn an_endpoints_certificate_cannot_call_the_consoles_methods() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        runtime()?.block_on(async {
            let (_endpoint, session) = online(&server).await?;
            console_refuses(session.channel.clone()).await
        })
    });
}

#[test]
fn an_analysts_certificate_cannot_call_the_agents_methods() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        runtime()?.block_on(async {
            let profile = profile(&server.admin())?;
            let config = Arc::new(tls::client(ca(&profile)?, identity(&profile)?)?);
            let channel =
                rpc::connect(&server.address().to_string(), config, Arc::default()).await?;
            agent_service_refuses(channel).await
        })
    });
}

#[test]
fn a_peer_without_a_certificate_may_enroll_and_nothing_else() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let token: EnrollmentToken = server.token(1)?.parse()?;
        runtime()?.block_on(async {
            let config = Arc::new(tls::enrolling_client(token.ca_pin, None)?);
            let address = server.address().to_string();
            let channel = rpc::connect(&address, config, Arc::default()).await?;
            console_refuses(channel.clone()).await?;
            agent_service_refuses(channel).await?;
            endpoint::enroll(&address, &token.to_string(), "lab").await?;
            Ok(())
        })
    });
}

#[test]
fn a_certificate_of_a_foreign_ca_fails_in_the_handshake() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let profile = profile(&server.admin())?;
        let config = Arc::new(tls::client(ca(&profile)?, foreign_identity()?)?);
        let address = server.address().to_string();
        runtime()?.block_on(async {
            // The client's side of a TLS 1.3 handshake ends before the server has looked at its certificate:
            // the alert comes with the first read.
            let read = async {
                let mut stream = rpc::handshake(&address, config, Arc::default()).await?;
                let read = stream.read(&mut [0; 64]).await?;
                anyhow::Ok(read)
            };
            let said = match read.await {
                Ok(read) => bail!("the server sent {read} bytes to a foreign client"),
                Err(error) => format!("{error:#}"),
            };
            ensure!(said.contains("fatal alert"), "{said}");
            Ok(())
        })
    });
}

#[test]
fn a_revoked_endpoint_is_cut_within_a_second() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        runtime()?.block_on(async {
            let (endpoint, mut session) = online(&server).await?;
            let act = ["endpoints", "revoke", &endpoint.id, "--reason", "lost"];
            server.admin().run(&act)?.succeeded(&act)?;
            session.ended(Duration::from_secs(1)).await?;
            let address = server.address().to_string();
            let again = endpoint
                .session(&address, fresh_run(), &Arc::default())
                .await;
            ensure!(again.is_err(), "it was let in again");
            Ok(())
        })
    });
}

#[test]
fn a_revoked_analyst_is_refused_within_a_second() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let analyst = server.analyst(sandbox, "kim", "analyst")?;
        analyst.run(READS[0])?.succeeded(READS[0])?;
        server.revoke_analyst("kim")?;
        tocsin_tests::wait::until("the analyst is refused", Duration::from_secs(1), || {
            Ok(analyst.run(READS[0])?.code == 77)
        })
    });
}

#[test]
fn the_console_says_by_its_exit_code_why_it_failed() {
    flow(|sandbox| {
        let mut server = Server::start(sandbox)?;
        let admin = server.admin();
        admin.run(&["nonsense"])?.ended_with(64, &["nonsense"])?;
        admin
            .run(&["incidents", "show", "ffffffff"])?
            .ended_with(1, &["incidents", "show"])?;
        let nowhere = Console::new(Place::Here, sandbox.fresh("no.profile"));
        nowhere.run(READS[0])?.ended_with(78, READS[0])?;
        server.stop()?;
        admin.run(READS[0])?.ended_with(69, READS[0])?;
        Ok(())
    });
}

#[test]
fn a_profile_that_others_may_read_is_refused() {
    flow(|sandbox: &Sandbox| {
        use std::os::unix::fs::PermissionsExt;
        let server = Server::start(sandbox)?;
        let mode = std::fs::metadata(server.profile())?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "the admin's profile has mode {mode:o}");
        let copy = sandbox.fresh("copy.profile");
        std::fs::copy(server.profile(), &copy)?;
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o644))?;
        Console::new(Place::Here, copy)
            .run(READS[0])?
            .ended_with(78, READS[0])
    });
}

fn profile(console: &Console<'_>) -> Result<Profile> {
    Ok(Profile::from_toml(&std::fs::read_to_string(
        console.profile(),
    )?)?)
}

fn ca(profile: &Profile) -> Result<CertificateDer<'static>> {
    Ok(CertificateDer::from_pem_slice(
        profile.ca_certificate.as_bytes(),
    )?)
}

fn identity(profile: &Profile) -> Result<ClientIdentity> {
    Ok(ClientIdentity {
        chain: vec![CertificateDer::from_pem_slice(
            profile.certificate.as_bytes(),
        )?],
        key: PrivateKeyDer::from_pem_slice(profile.private_key.as_bytes())?,
    })
}

/// A certificate that is right in every way but for who signed it.
fn foreign_identity() -> Result<ClientIdentity> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::new(params, KeyPair::generate()?);
    let key = KeyPair::generate()?;
    let certificate =
        CertificateParams::new(vec!["endpoint".to_owned()])?.signed_by(&key, &issuer)?;
    Ok(ClientIdentity {
        chain: vec![certificate.der().clone()],
        key: PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?,
    })
}
