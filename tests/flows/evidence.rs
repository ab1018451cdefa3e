//! Who speaks with whom on a real machine, from the kernel's sockets to the console.

use std::io::Read as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tocsin_tests::agent::Agent;
use tocsin_tests::console::Console;
use tocsin_tests::sandbox::{Place, flow};
use tocsin_tests::server::Server;
use tocsin_tests::wait::eventually;

use crate::{LIMIT, text};

/// Ports that no kernel gives away by itself.
const PORTS: std::ops::Range<u16> = 21_000..32_000;

/// Stored flows to this port, in the order in which they were noticed.
fn flows(console: &Console<'_>, endpoint: &str, port: u16) -> Result<Vec<Value>> {
    let port_text = format!("127.0.0.1:{port}");
    let mut rows = console.rows(&[
        "events",
        "search",
        "--endpoint",
        endpoint,
        "--kind",
        "network",
        "--text",
        &port_text,
    ])?;
    rows.reverse();
    Ok(rows)
}

fn find<'a>(rows: &'a [Value], activity: &str, direction: &str) -> Option<&'a Value> {
    rows.iter()
        .find(|row| row["activity"] == activity && row["network"]["direction"] == direction)
}

#[test]
fn a_connection_is_stored_with_its_process_its_user_and_both_ends() {
    flow(|sandbox| {
        let server = Server::start(sandbox)?;
        let console = server.admin();
        let mut agent = Agent::start(sandbox, Place::Here, &server)?;
        let endpoint = agent.sensing_flows(&console)?;
        let id = text(&endpoint, "id")?;
        let mut ports = PORTS;
        let listener = ports
            .find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())
            .context("a free port")?;
        let port = listener.local_addr()?.port();
        let mut client = Command::new("bash")
            .args([
                "-c",
                &format!("exec 3<>/dev/tcp/127.0.0.1/{port}; printf hello >&3; read line <&3"),
            ])
            .stdin(Stdio::null())
            .spawn()
            .context("start a client")?;
        let (mut peer, from) = listener.accept()?;
        let mut hello = [0; 5];
        peer.read_exact(&mut hello)?;
        let opened = eventually("the connection is stored", LIMIT, || {
            let rows = flows(&console, id, port)?;
            let both = find(&rows, "opened", "outbound").zip(find(&rows, "opened", "inbound"));
            Ok(both.map(|(out, into)| (out.clone(), into.clone())))
        })?;
        drop(peer);
        client.wait()?;
        let uid = nix::unistd::geteuid().to_string();
        for (row, pid, remote) in [
            (&opened.0, client.id(), port),
            (&opened.1, std::process::id(), from.port()),
        ] {
            let flow = &row["network"];
            ensure!(flow["pid"] == pid, "{row}");
            ensure!(flow["uid"] == uid.as_str(), "{row}");
            ensure!(flow["remote_address"] == "127.0.0.1", "{row}");
            ensure!(flow["remote_port"] == remote, "{row}");
            ensure!(text(flow, "key")?.contains(&format!(".{pid}.")), "{row}");
        }
        let closed = eventually("its end is stored", LIMIT, || {
            let rows = flows(&console, id, port)?;
            Ok(find(&rows, "closed", "outbound").cloned())
        })?;
        ensure!(
            closed["network"]["flow_id"] == opened.0["network"]["flow_id"],
            "{closed}"
        );
        ensure!(
            closed["network"]["closed_until_time"].is_string(),
            "{closed}"
        );
        Ok(())
    });
}
