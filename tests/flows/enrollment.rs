//! From a token to an endpoint, and what happens when one is not what it seems.

use std::time::Duration;

use anyhow::{Context, ensure};
use tocsin_tests::agent::Agent;
use tocsin_tests::program::Programs;
use tocsin_tests::sandbox::{Place, flow, is_root_or_skips};
use tocsin_tests::server::Server;
use tocsin_tests::wait::eventually;

use crate::{LIMIT, rows, text};

#[test]
fn an_enrolled_agent_is_online_under_its_id() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let mut agent = Agent::start(sandbox, Place::Here, &server)?;
        let row = agent.online(&server.admin())?;
        ensure!(row["id"] == agent.id()?, "{row}");
        ensure!(row["state"] == "online", "{row}");
        ensure!(text(&row, "os")? == "linux", "{row}");
        ensure!(!text(&row, "hostname")?.is_empty(), "{row}");
        let listed = server.admin().json(&["endpoints", "list"])?;
        ensure!(rows(&listed)?.len() == 1, "{listed}");
        agent.stop()?;
        let id = agent.id()?;
        eventually("the endpoint is offline", LIMIT, || {
            let row = server.admin().json(&["endpoints", "show", &id])?;
            Ok((row["state"] == "offline").then_some(()))
        })
    });
}

#[test]
fn a_token_is_good_for_its_uses_and_no_more() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let token = server.token(2)?;
        for _use in 0..2 {
            Agent::new(sandbox, Place::Here)?.enroll(&server, &token)?;
        }
        let third = Agent::new(sandbox, Place::Here)?;
        ensure!(
            third.enroll(&server, &token).is_err(),
            "a third use was let in"
        );
        let listed = server.admin().json(&["endpoints", "list"])?;
        ensure!(rows(&listed)?.len() == 2, "{listed}");
        Ok(())
    });
}

#[test]
fn a_token_of_another_server_is_refused_before_anything_is_sent() {
    flow(|sandbox| {
        let (server, other) = (Server::start(sandbox)?, Server::start(sandbox)?);
        let agent = Agent::new(sandbox, Place::Here)?;
        let refused = agent.enroll(&server, &other.token(1)?);
        let said = format!(
            "{:#}",
            refused.err().unwrap_or_else(|| anyhow::anyhow!("enrolled"))
        );
        ensure!(said.contains("certificate"), "{said}");
        ensure!(rows(&server.admin().json(&["endpoints", "list"])?)?.is_empty());
        Ok(())
    });
}

#[test]
fn a_cloned_machine_is_refused_and_shown_until_it_is_enrolled_anew() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let console = server.admin();
        let mut original = Agent::start(sandbox, Place::Here, &server)?;
        let first = original.online(&console)?;
        let id = text(&first, "id")?;

        let mut clone = original.cloned(sandbox)?;
        clone.run()?;
        let conflict = eventually("the conflict is shown", LIMIT, || {
            clone.process()?.check_running()?;
            let row = console.json(&["endpoints", "show", id])?;
            Ok((row["state"] == "conflict").then_some(row))
        })?;
        ensure!(
            conflict["run"] == first["run"],
            "the first one keeps its session: {conflict}"
        );
        ensure!(conflict["connected"] == true, "{conflict}");
        let refused = text(&rows(&conflict["conflicts"])?[0], "run")?;
        ensure!(refused != text(&first, "run")?, "{conflict}");

        let token = server.token(1)?;
        let running = clone.enroll(&server, &token);
        let said = format!(
            "{:#}",
            running.err().unwrap_or_else(|| anyhow::anyhow!("enrolled"))
        );
        ensure!(
            said.contains("stop it, enroll, and start it again"),
            "{said}"
        );
        clone.kill()?;
        clone.enroll(&server, &token)?;
        clone.run()?;
        let second = clone.online(&console)?;
        ensure!(
            text(&second, "id")? != id,
            "a machine enrolled anew is another endpoint"
        );
        eventually("the conflict is over", LIMIT, || {
            let row = console.json(&["endpoints", "show", id])?;
            Ok((row["state"] == "online").then_some(()))
        })
    });
}

#[test]
fn a_restarted_agent_is_no_clone() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let console = server.admin();
        let mut agent = Agent::start(sandbox, Place::Here, &server)?;
        let first = agent.online(&console)?;
        agent.kill()?;
        agent.run()?;
        let second = eventually("the next run is online", LIMIT, || {
            agent.process()?.check_running()?;
            let row = console.json(&["endpoints", "show", text(&first, "id")?])?;
            Ok((row["connected"] == true && row["run"] != first["run"]).then_some(row))
        })?;
        ensure!(second["state"] == "online", "{second}");
        ensure!(rows(&second["conflicts"])?.is_empty(), "{second}");
        Ok(())
    });
}

#[test]
fn status_and_doctor_answer_a_user_without_rights_and_secrets_stay_shut() {
    if !is_root_or_skips("asking as another user") {
        return;
    }
    flow(|sandbox| {
        use std::os::unix::fs::PermissionsExt;
        use std::os::unix::process::CommandExt;
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(sandbox.path(), open)?;
        let server = Server::start(sandbox)?;
        let mut agent = Agent::start(sandbox, Place::Here, &server)?;
        agent.online(&server.admin())?;
        let as_nobody = |arguments: &[&str]| {
            std::process::Command::new(Programs::get()?.agent())
                .args(arguments)
                .arg("--state")
                .arg(agent.state())
                .uid(65_534)
                .gid(65_534)
                .output()
                .context("run tocsin-agent as another user")
        };
        let status = as_nobody(&["status", "-o", "json"])?;
        ensure!(status.status.success(), "{status:?}");
        let status: serde_json::Value = serde_json::from_slice(&status.stdout)?;
        ensure!(
            status["endpoint"] == agent.id()? && status["running"] == true,
            "{status}"
        );
        let doctor = as_nobody(&["doctor"])?;
        ensure!(!doctor.stdout.is_empty(), "{doctor:?}");
        let run = as_nobody(&["run"])?;
        ensure!(
            run.status.code() == Some(77),
            "the identity is not theirs: {run:?}"
        );
        Ok(())
    });
}

#[test]
fn a_revoked_endpoint_stays_out() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let console = server.admin();
        let mut agent = Agent::start(sandbox, Place::Here, &server)?;
        let row = agent.online(&console)?;
        let id = text(&row, "id")?;
        let revoke = ["endpoints", "revoke", id, "--reason", "lost"];
        console.run(&revoke)?.succeeded(&revoke)?;
        eventually("the endpoint is gone", Duration::from_secs(5), || {
            let row = console.json(&["endpoints", "show", id])?;
            Ok((row["connected"] == false).then_some(row))
        })?;
        agent.kill()?;
        agent.run()?;
        eventually("the agent says why it cannot connect", LIMIT, || {
            agent.process()?.check_running()?;
            let said = agent.process()?.log_end().contains("revoked");
            Ok(said.then_some(()))
        })?;
        let row = console.json(&["endpoints", "show", id])?;
        ensure!(
            row["state"] == "revoked" && row["connected"] == false,
            "{row}"
        );
        Ok(())
    });
}
