//! Terminals of the fake server: one that prints something hostile and echoes what it is sent, at an endpoint where
//! nothing ends but the input. It keeps to the credit that it is given.

use tocsin_proto::console::v1::open_terminal_request::Message as Said;
use tocsin_proto::console::v1::terminal_news::Message as News;
use tocsin_proto::console::v1::*;
use tocsin_proto::limits::{TERMINAL_CHUNK_BYTES_MAX, TERMINAL_OUTPUT_WINDOW_BYTES};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::story::{HOSTILE, NIGHT_MS};

/// What its shell exits with when the input ends.
pub(crate) const EXIT_CODE: u32 = 5;

/// The row of it.
pub(crate) fn row() -> Terminal {
    Terminal {
        id: super::story::id(7),
        endpoint: super::story::id(1),
        hostname: format!("lab-1{HOSTILE}"),
        analyst: "dana".into(),
        reason: "look".into(),
        state: TerminalState::Open.into(),
        open_time_ms: NIGHT_MS,
        user: "root".into(),
        uid: "0".into(),
        shell: "/bin/bash".into(),
        pid: 42,
        columns: 80,
        rows: 24,
        ..Terminal::default()
    }
}

/// It, ended.
pub(crate) fn ended(end: TerminalEnd) -> Terminal {
    Terminal {
        state: TerminalState::Ended.into(),
        end_time_ms: NIGHT_MS + 1000,
        end: end.into(),
        reported: true,
        ..row()
    }
}

/// Its recording.
pub(crate) fn recording() -> Recording {
    Recording {
        terminal: Some(ended(TerminalEnd::Closed)),
        stored_bytes: 2048,
        sha256: "ab".repeat(32),
    }
}

/// What is played of it.
pub(crate) fn played(whole: bool) -> Vec<Result<PlayTerminalResponse, Status>> {
    use play_terminal_response::Message as Part;
    let lines = concat!(
        "{\"version\":2,\"width\":80,\"height\":24}\n",
        "[0.5,\"o\",\"one\\u001b]0;t\\u0007\\r\\n\"]\n",
        "[1.5,\"i\",\"ls\\r\"]\n",
        "[2.5,\"o\",\"two\\r\\n\"]\n",
    );
    let (first, rest) = lines.split_at(50);
    let problem = match whole {
        true => String::new(),
        false => "it was changed\u{1b}[2J".to_owned(),
    };
    let parts = [
        Part::Recording(Box::new(recording())),
        Part::Lines(first.into()),
        Part::Lines(rest.into()),
        Part::End(RecordingEnd { whole, problem }),
    ];
    let part = |message| {
        let message = Some(message);
        Ok(PlayTerminalResponse { message })
    };
    parts.map(part).into()
}

/// Answers an open call, message by message, until its input ends.
pub(crate) async fn echo(
    mut requests: Streaming<OpenTerminalRequest>,
    news: mpsc::Sender<Result<TerminalNews, Status>>,
) {
    let say = async |message| {
        let message = Some(message);
        let _gone = news.send(Ok(TerminalNews { message })).await;
    };
    say(News::Opened(row())).await;
    let hostile = format!("\x1b]0;title\x07\x1b]52;c;eA==\x07\x1b[6n\x1b[31m{HOSTILE}\x1b[m\r\n");
    let mut credit = TERMINAL_OUTPUT_WINDOW_BYTES as usize - hostile.len();
    say(News::Output(hostile.into_bytes())).await;
    let mut typed = Vec::new();
    let mut is_input_open = true;
    loop {
        let count = typed.len().min(credit).min(TERMINAL_CHUNK_BYTES_MAX);
        if count > 0 {
            let rest = typed.split_off(count);
            say(News::Output(std::mem::replace(&mut typed, rest))).await;
            say(News::InputCredit(u32::try_from(count).unwrap())).await;
            credit -= count;
            continue;
        }
        if !is_input_open && typed.is_empty() {
            let exit_code = Some(EXIT_CODE);
            let row = ended(TerminalEnd::Exited);
            return say(News::Ended(Terminal { exit_code, ..row })).await;
        }
        let Ok(Some(request)) = requests.message().await else {
            return;
        };
        match request.message {
            Some(Said::Input(bytes)) => typed.extend(bytes),
            Some(Said::InputEnd(_)) => is_input_open = false,
            Some(Said::OutputCredit(more)) => credit += more as usize,
            Some(Said::Close(_)) => {
                return say(News::Ended(ended(TerminalEnd::Closed))).await;
            }
            Some(Said::Open(_) | Said::Size(_)) | None => {}
        }
    }
}
