//! Tells who is logged in that a terminal was opened: by `wall`, where the system has it. The status says it for as
//! long as the terminal is open; this is for those who do not look.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::text::printable;

const WALL: &str = "/usr/bin/wall";

/// It writes to terminals, which may be stopped.
const WALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Characters of the analyst's name that are shown.
const NAME_CHARS_MAX: usize = 64;

/// Tells it, without anybody waiting for it.
pub(super) fn opened(analyst: &str, user: &str) {
    let analyst: String = printable(analyst).chars().take(NAME_CHARS_MAX).collect();
    let text = format!(
        "Tocsin: {analyst} has opened a remote terminal on this machine, as {user}. 'tocsin-agent status' shows it.\n"
    );
    tokio::spawn(async move {
        if let Ok(Err(error)) = tokio::time::timeout(WALL_TIMEOUT, wall(&text)).await {
            tracing::debug!(%error, "nobody was told by wall that a terminal is open");
        }
    });
}

async fn wall(text: &str) -> std::io::Result<()> {
    let mut wall = Command::new(WALL)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = wall.stdin.take() {
        input.write_all(text.as_bytes()).await?;
    }
    wall.wait().await.map(drop)
}
