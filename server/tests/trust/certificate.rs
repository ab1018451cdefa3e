//! Certificates that end, and that are renewed in time or not.

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use tocsin_proto::agent::v1 as agent;
use tonic::Code;

use crate::client::{Client, identity, methods, request};
use crate::server::{PATIENT, Server};

/// An enrolled endpoint whose certificate ended that many days ago, made with the CA's own key.
async fn late(server: &Server, key: &KeyPair, days: u64) -> Client {
    let token = server.token(1);
    server.client(None).enroll(&token, key).await.unwrap();
    let (ca_key, ca) = server.ca();
    let issuer = Issuer::from_ca_cert_pem(&ca, KeyPair::from_pem(&ca_key).unwrap()).unwrap();
    let now = std::time::SystemTime::now();
    let unix = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let day = std::time::Duration::from_secs(24 * 3600);
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after =
        rcgen::date_time_ymd(1970, 1, 1) + (unix - day * u32::try_from(days).unwrap());
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(key, &issuer).unwrap();
    server.client(Some(identity(key, certificate.der())))
}

#[tokio::test]
async fn one_that_slept_past_its_end_may_renew_and_nothing_else() {
    let server = Server::start();
    let key = KeyPair::generate().unwrap();
    let client = late(&server, &key, 3).await;
    for method in methods() {
        let code = client.call(&method).await;
        match method.rsplit('/').next().unwrap() {
            "Enroll" | "RenewCertificate" => assert_eq!(code, Code::InvalidArgument, "{method}"),
            "Session" | "Terminal" | "UploadEvents" | "ReadRelease" => {
                assert_eq!(code, Code::Unauthenticated, "{method}");
            }
            _ => assert_eq!(code, Code::PermissionDenied, "{method}"),
        }
    }
    let renew = agent::RenewCertificateRequest {
        certificate_request: request(&key),
    };
    let renewed = client
        .agent()
        .await
        .renew_certificate(renew)
        .await
        .unwrap()
        .into_inner();
    let client = server.client(Some(identity(&key, &renewed.certificate)));
    let code = client.call("tocsin.agent.v1.AgentService/Session").await;
    assert_eq!(code, Code::Ok, "as good as new");
}

#[tokio::test]
async fn beyond_its_grace_it_fails_in_the_handshake() {
    let server = Server::start();
    let key = KeyPair::generate().unwrap();
    let client = late(&server, &key, 31).await;
    let error = client.handshake().await.unwrap_err();
    assert!(error.contains("CertificateExpired"), "{error}");
}

#[tokio::test]
async fn a_new_key_keeps_the_endpoint() {
    let server = Server::start();
    let (former, new) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let enrolled = server
        .client(None)
        .enroll(&server.token(1), &former)
        .await
        .unwrap();
    let client = server.client(Some(identity(&former, &enrolled.certificate)));
    let renew = agent::RenewCertificateRequest {
        certificate_request: request(&new),
    };
    let renewed = client
        .agent()
        .await
        .renew_certificate(renew)
        .await
        .unwrap()
        .into_inner();
    let (_, parsed) = x509_parser::parse_x509_certificate(&renewed.certificate).unwrap();
    assert_eq!(
        parsed.subject().to_string(),
        format!("CN={}", enrolled.endpoint_id)
    );
    let client = server.client(Some(identity(&new, &renewed.certificate)));
    let again = agent::RenewCertificateRequest {
        certificate_request: request(&new),
    };
    assert!(client.agent().await.renew_certificate(again).await.is_ok());
}

#[tokio::test]
async fn a_connection_ends_with_its_certificate() {
    let server = Server::configured(&[("endpoint_lifetime", "3s")]);
    let key = KeyPair::generate().unwrap();
    let enrolled = server
        .client(None)
        .enroll(&server.token(1), &key)
        .await
        .unwrap();
    let client = server.client(Some(identity(&key, &enrolled.certificate)));
    let mut agent = crate::session::Agent::connect(&client, 1).await;
    assert!(agent.welcome().await.is_some());
    assert!(agent.end().await, "cut when the certificate ends");
    let code = client.call("tocsin.agent.v1.AgentService/Session").await;
    assert_eq!(code, Code::Unauthenticated);
}

#[tokio::test]
async fn the_server_renews_its_own_while_it_runs() {
    let server = Server::configured(&[("server_lifetime", "3s"), ("ca_lifetime", "4s")]);
    let client = server.client(None);
    let ca = server.ca_certificate();
    let first = client.server_certificate().await;
    let renewed = async {
        loop {
            let now = client.server_certificate().await;
            if now != first && server.ca_certificate() != ca {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENT, renewed).await.unwrap();
    let before = client;
    assert_eq!(
        before
            .call("tocsin.agent.v1.EnrollmentService/Enroll")
            .await,
        Code::InvalidArgument,
        "whoever trusts the CA as it was still trusts it"
    );
    assert!(
        server
            .admin()
            .console()
            .await
            .get_server(tocsin_proto::console::v1::GetServerRequest {})
            .await
            .is_ok()
    );
}
