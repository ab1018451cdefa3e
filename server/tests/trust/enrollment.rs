//! How an endpoint comes in, and what a token is worth.

use rcgen::KeyPair;
use tocsin_proto::agent::v1 as agent;
use tocsin_proto::console::v1 as wire;
use tocsin_proto::id::EndpointId;
use tocsin_proto::token::key_pin;
use tonic::Code;

use crate::client::{identity, request};
use crate::server::Server;

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

#[tokio::test]
async fn an_endpoint_is_its_key() {
    let server = Server::start();
    let token = server.token(2);
    assert_eq!(token.ca_pin, {
        let ca = server.ca_certificate();
        let (_, parsed) = x509_parser::parse_x509_certificate(&ca).unwrap();
        key_pin(parsed.public_key().raw)
    });
    let client = server.client(None);
    for key in [key(), KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap()] {
        let enrolled = client.enroll(&token, &key).await.unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&enrolled.certificate).unwrap();
        let id = EndpointId::from_public_key(parsed.public_key().raw);
        assert_eq!(enrolled.endpoint_id, id.to_string());
        assert_eq!(enrolled.ca_certificate, server.ca_certificate().to_vec());
    }
    let mut admin = server.admin().console().await;
    let list = wire::ListEndpointsRequest::default();
    let endpoints = admin
        .list_endpoints(list)
        .await
        .unwrap()
        .into_inner()
        .endpoints;
    assert_eq!(endpoints.len(), 2);
    assert_eq!(endpoints[0].state(), wire::EndpointState::Offline);
    assert_eq!(endpoints[0].hostname, "test-host");
}

#[tokio::test]
async fn a_token_is_counted_also_when_many_come_at_once() {
    let server = Server::start();
    let token = server.token(3);
    let client = server.client(None);
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (client, token) = (client.clone(), token.clone());
        attempts.spawn(async move { client.enroll(&token, &key()).await });
    }
    let results = attempts.join_all().await;
    let enrolled = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(enrolled, 3);
    for refused in results.iter().filter_map(|result| result.as_ref().err()) {
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains("used up"), "{refused}");
    }
}

#[tokio::test]
async fn an_expired_token_says_so() {
    let server = Server::start();
    let token = server
        .command(&["token", "create", "--ttl", "1ms"])
        .parse()
        .unwrap();
    let refused = server
        .client(None)
        .enroll(&token, &key())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("token create"), "{refused}");
}

#[tokio::test]
async fn a_guess_is_refused_and_does_not_learn_what_was_wrong() {
    let server = Server::start();
    let token = server.token(1);
    let client = server.client(None);
    let mut wrong_secret = token.clone();
    wrong_secret.secret[0] ^= 1;
    let mut wrong_id = token.clone();
    wrong_id.id[0] ^= 1;
    let secret = client.enroll(&wrong_secret, &key()).await.unwrap_err();
    let id = client.enroll(&wrong_id, &key()).await.unwrap_err();
    assert_eq!(secret.code(), Code::PermissionDenied);
    assert_eq!((secret.code(), secret.message()), (id.code(), id.message()));
    assert!(
        client.enroll(&token, &key()).await.is_ok(),
        "nothing was used up"
    );
}

#[tokio::test]
async fn whoever_keeps_failing_has_to_wait() {
    let server = Server::start();
    let mut token = server.token(1);
    token.secret[0] ^= 1;
    let client = server.client(None);
    let mut codes = Vec::new();
    for _ in 0..40 {
        codes.push(client.enroll(&token, &key()).await.unwrap_err().code());
    }
    assert_eq!(codes[0], Code::PermissionDenied);
    assert_eq!(codes[39], Code::ResourceExhausted);
    let mut admin = server.admin().console().await;
    let audit = admin
        .list_audit(wire::ListAuditRequest::default())
        .await
        .unwrap();
    let recorded = audit
        .get_ref()
        .rows
        .iter()
        .filter(|row| row.decision == "refused");
    assert!(recorded.count() <= 20, "a guesser does not fill the log");
}

#[tokio::test]
async fn a_revoked_endpoint_cannot_enroll_again_with_its_key() {
    let server = Server::start();
    let token = server.token(5);
    let client = server.client(None);
    let key = key();
    let enrolled = client.enroll(&token, &key).await.unwrap();
    let mut admin = server.admin().console().await;
    let revoke = wire::RevokeEndpointRequest {
        id: enrolled.endpoint_id.clone(),
        reason: "stolen".into(),
    };
    let endpoint = admin.revoke_endpoint(revoke).await.unwrap().into_inner();
    assert_eq!(endpoint.state(), wire::EndpointState::Revoked);
    let again = client.enroll(&token, &key).await.unwrap_err();
    assert_eq!(again.code(), Code::PermissionDenied);
    let former = server.client(Some(identity(&key, &enrolled.certificate)));
    let anew = former
        .enroll(&token, &KeyPair::generate().unwrap())
        .await
        .unwrap_err();
    assert_eq!(anew.code(), Code::PermissionDenied, "nor vouch for another");
    let renew = agent::RenewCertificateRequest {
        certificate_request: request(&key),
    };
    let renewed = former.agent().await.renew_certificate(renew).await;
    assert_eq!(renewed.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_request_that_is_none_is_refused_and_uses_nothing_up() {
    let server = Server::start();
    let token = server.token(1);
    let client = server.client(None);
    let p521 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
    let refused = client.enroll(&token, &p521).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(
        refused.message().contains("certificate request"),
        "{refused}"
    );
    assert!(client.enroll(&token, &key()).await.is_ok());
}
