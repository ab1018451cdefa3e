//! Certificates with lives of seconds: what takes months in the field.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tocsin_proto::tls;
use tocsin_proto::token::EnrollmentToken;
use tocsin_tests::agent::Agent;
use tocsin_tests::endpoint::now_ms;
use tocsin_tests::sandbox::{Place, flow};
use tocsin_tests::server::{Server, Setup};
use tocsin_tests::wait::{eventually, until};
use tocsin_tests::{endpoint, rpc};

use crate::{LIMIT, runtime, text};

fn with<'a>(config: &'a str) -> Setup<'a> {
    Setup {
        config,
        ..Default::default()
    }
}

fn expiry_ms(row: &Value) -> Result<i64> {
    let time: jiff::Timestamp = text(row, "certificate_expiry_time")?.parse()?;
    Ok(time.as_millisecond())
}

#[test]
fn an_endpoints_certificate_is_renewed_while_it_is_connected() {
    flow(|sandbox| {
        let setup = with("[certificate]\nendpoint_lifetime = \"6s\"\n");
        let server = Server::start_with(sandbox, setup)?;
        let console = server.admin();
        let mut agent = Agent::start(sandbox, Place::Here, &server)?;
        let row = agent.online(&console)?;
        let (id, mut expiry) = (text(&row, "id")?, expiry_ms(&row)?);
        for _renewal in 0..2 {
            expiry = eventually("the certificate is renewed", LIMIT, || {
                agent.process()?.check_running()?;
                let next = expiry_ms(&console.json(&["endpoints", "show", id])?)?;
                Ok((next > expiry).then_some(next))
            })?;
        }
        let row = agent.online(&console)?;
        ensure!(row["state"] == "online" && row["id"] == id, "{row}");
        Ok(())
    });
}

#[test]
fn an_endpoint_that_slept_past_expiry_renews_in_its_grace_period() {
    flow(|sandbox| {
        let setup = with("[certificate]\nendpoint_lifetime = \"4s\"\ngrace = \"1h\"\n");
        let server = Server::start_with(sandbox, setup)?;
        let console = server.admin();
        let mut agent = Agent::start(sandbox, Place::Here, &server)?;
        let row = agent.online(&console)?;
        let id = text(&row, "id")?;
        agent.kill()?;
        let expiry = expiry_ms(&console.json(&["endpoints", "show", id])?)?;
        until("the certificate has expired", LIMIT, || {
            Ok(now_ms() > expiry)
        })?;
        agent.run()?;
        let row = agent.online(&console)?;
        ensure!(row["id"] == id, "it is the same endpoint: {row}");
        ensure!(expiry_ms(&row)? > expiry, "{row}");
        Ok(())
    });
}

#[test]
fn an_endpoint_that_slept_past_its_grace_period_is_told_to_enroll_again() {
    flow(|sandbox| {
        let setup = with("[certificate]\nendpoint_lifetime = \"3s\"\ngrace = \"1s\"\n");
        let server = Server::start_with(sandbox, setup)?;
        let mut agent = Agent::start(sandbox, Place::Here, &server)?;
        let row = agent.online(&server.admin())?;
        agent.kill()?;
        let id = text(&row, "id")?;
        let expiry = expiry_ms(&server.admin().json(&["endpoints", "show", id])?)?;
        // Certificates count in whole seconds.
        until("grace is over", LIMIT, || Ok(now_ms() > expiry + 3_000))?;
        agent.run()?;
        eventually("the agent says the cure", LIMIT, || {
            agent.process()?.check_running()?;
            let said = agent.process()?.log_end().contains("enroll again");
            Ok(said.then_some(()))
        })?;
        let row = server.admin().json(&["endpoints", "show", id])?;
        ensure!(row["connected"] == false, "{row}");
        Ok(())
    });
}

#[test]
fn the_servers_certificate_and_its_ca_are_renewed_and_nobody_is_locked_out() {
    flow(|sandbox| {
        let setup = with("[certificate]\nserver_lifetime = \"6s\"\nca_lifetime = \"20s\"\n");
        let server = Server::start_with(sandbox, setup)?;
        let (console, token) = (server.admin(), server.token(2)?);
        let mut agent = Agent::start(sandbox, Place::Here, &server)?;
        agent.online(&console)?;
        let shown = || shown_certificates(&server, &token);
        let before = shown()?;
        eventually("the server shows another certificate", LIMIT, || {
            Ok((shown()?[0] != before[0]).then_some(()))
        })?;
        eventually("the server shows another CA certificate", LIMIT, || {
            Ok((shown()?[1] != before[1]).then_some(()))
        })?;
        // The pin is of the CA's key: an old token and an old profile go on.
        runtime()?.block_on(endpoint::enroll(
            &server.address().to_string(),
            &token,
            "late",
        ))?;
        agent.kill()?;
        agent.run()?;
        agent.online(&console)?;
        Ok(())
    });
}

/// What the server shows in a handshake: its certificate, then its CA's.
fn shown_certificates(server: &Server<'_>, token: &str) -> Result<Vec<Vec<u8>>> {
    let token: EnrollmentToken = token.parse()?;
    let config = Arc::new(tls::enrolling_client(token.ca_pin, None)?);
    let address = server.address().to_string();
    let shown = runtime()?.block_on(async {
        let stream = rpc::handshake(&address, config, Arc::default());
        let stream = tokio::time::timeout(Duration::from_secs(10), stream).await??;
        let chain = stream
            .get_ref()
            .1
            .peer_certificates()
            .context("a certificate")?;
        anyhow::Ok(
            chain
                .iter()
                .map(|certificate| certificate.to_vec())
                .collect::<Vec<_>>(),
        )
    })?;
    ensure!(shown.len() >= 2, "the server shows its CA as well");
    Ok(shown)
}
