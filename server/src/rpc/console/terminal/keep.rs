//! An open terminal, from its analyst's side: one loop between the console's call and the queues to the endpoint.

use super::{
    AuditEntry, Context, Down, Duration, ErrorCode, FromEndpoint, Near, News, Said, Status,
    Streaming, Terminal, agent, chain, check_size, mpsc, now_ms, wire,
};
use crate::recording::{self, Happening};
use std::sync::Arc;
use tocsin_proto::json::Word as _;

/// How long an endpoint may take to open a terminal.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// How long an endpoint may take to end one and report: it kills politely first.
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// The same where the server is stopping, which takes no longer than that.
const LAST_REPORT_TIMEOUT: Duration = Duration::from_secs(3);

/// Names in one audit row.
const NAMES_MAX: usize = 16;

/// To a console.
pub(super) type NewsSender = mpsc::Sender<Result<wire::TerminalNews, Status>>;

pub(super) fn news(message: News) -> wire::TerminalNews {
    wire::TerminalNews {
        message: Some(message),
    }
}

/// Keeps a terminal until its end, and writes that down.
pub(super) async fn keep(
    context: Arc<Context>,
    near: Near,
    requests: Streaming<wire::OpenTerminalRequest>,
    replies: NewsSender,
) {
    let mut open = Open {
        near,
        requests,
        replies,
        hung_up: false,
        is_open: false,
    };
    let report = open.run(&context).await;
    let refused = match report {
        Outcome::Refused(reason) => Err(reason),
        Outcome::Report(report) => Ok(Some(report)),
        Outcome::Silent => Ok(None),
    };
    let row = match &refused {
        Err(reason) => {
            let terminal = &open.near.terminal;
            terminal.ask_end(wire::TerminalEnd::Refused, reason);
            note_end(&context, terminal, None, reason).await
        }
        Ok(report) => {
            let said = "the connection to the endpoint ended, or it did not report in time";
            note_end(&context, &open.near.terminal, report.clone(), said).await
        }
    };
    let last = match refused {
        Err(reason) => Err(ErrorCode::State.status(format!("the endpoint refuses: {reason}"))),
        Ok(None) if !open.is_open => {
            Err(ErrorCode::Unreachable.status("the endpoint has not opened the terminal in time"))
        }
        Ok(_) => Ok(news(News::Ended(row))),
    };
    let Open { near, replies, .. } = open;
    drop(near);
    // A console that does not read has gone, or will go.
    let _gone = tokio::time::timeout(REPORT_TIMEOUT, replies.send(last)).await;
}

/// Writes the end of a terminal into the audit log; its row.
pub(super) async fn note_end(
    context: &Context,
    terminal: &Terminal,
    report: Option<agent::TerminalReport>,
    otherwise: &str,
) -> wire::Terminal {
    let lost = (wire::TerminalEnd::EndpointLost, otherwise);
    let row = terminal.end(report, lost, now_ms());
    let mut said = describe(&row);
    if let Some(recorder) = terminal.recorder() {
        said += &match recorder.end(row.clone(), row.end().word()).await {
            Some(link) => format!(", recorded as sha256 {}", recording::hex(&link)),
            None => ", the end of its recording is missing".to_owned(),
        };
    }
    let entry = AuditEntry::server("terminal.end", &row.endpoint, &said);
    if let Err(error) = context.state.append_audit(&entry).await {
        tracing::error!(
            terminal = row.id,
            error = chain(&error),
            "the end of a terminal is not in the audit log"
        );
    }
    row
}

/// The end of a terminal, in one line.
fn describe(row: &wire::Terminal) -> String {
    let mut said = format!(
        "terminal {} of {}: {}",
        row.id,
        row.analyst,
        row.end().word()
    );
    if !row.end_detail.is_empty() {
        said += &format!(" ({})", row.end_detail);
    }
    let seconds = (row.end_time_ms - row.open_time_ms).max(0) / 1000;
    said += &format!(
        ", as {} ({}), after {seconds} s, {} bytes in, {} bytes out",
        row.user, row.uid, row.input_bytes, row.output_bytes
    );
    if let Some(code) = row.exit_code {
        said += &format!(", exit code {code}");
    }
    if !row.reported {
        said += ", the endpoint did not report what was ended";
        return said;
    }
    for (what, count, processes) in [
        ("killed", row.killed_count, &row.killed),
        ("survived", row.survived_count, &row.survived),
    ] {
        if count == 0 {
            continue;
        }
        let names: Vec<_> = processes
            .iter()
            .take(NAMES_MAX)
            .map(|process| format!("{} ({})", process.name, process.pid))
            .collect();
        said += &format!(", {what} {count}: {}", names.join(", "));
    }
    said
}

/// Completes when its recording cannot go on.
async fn not_recorded(terminal: &Terminal) {
    match terminal.recorder() {
        Some(recorder) => recorder.failed().cancelled().await,
        None => std::future::pending().await,
    }
}

/// How the endpoint's side ended.
enum Outcome {
    Report(agent::TerminalReport),
    Refused(String),
    /// It said nothing.
    Silent,
}

struct Open {
    near: Near,
    requests: Streaming<wire::OpenTerminalRequest>,
    replies: NewsSender,
    /// The console sends no more.
    hung_up: bool,
    /// The endpoint has opened it.
    is_open: bool,
}

impl Open {
    async fn run(&mut self, context: &Context) -> Outcome {
        let opening = tokio::time::sleep(OPEN_TIMEOUT);
        tokio::pin!(opening);
        loop {
            let asked = self.near.terminal.asked().clone();
            let (up, down) = (&mut self.near.up, &self.near.down);
            let replies = &self.replies;
            let from_endpoint = async {
                // What cannot be passed on is not taken.
                let permit = replies.reserve().await.ok();
                (permit.is_some(), up.recv().await)
            };
            let requests = &mut self.requests;
            let from_console = async {
                match down.reserve().await {
                    Ok(_permit) => requests.message().await,
                    Err(_) => std::future::pending().await,
                }
            };
            tokio::select! {
                (_, message) = from_endpoint => match message {
                    Some(message) => if let Some(outcome) = self.take(message).await {
                        return outcome;
                    },
                    None => return Outcome::Silent,
                },
                said = from_console, if !self.hung_up => self.hear(said).await,
                () = replies.closed() => self.leave("its console has gone"),
                () = &mut opening, if !self.is_open => return Outcome::Silent,
                () = not_recorded(&self.near.terminal), if !asked.is_cancelled() => {
                    let why = "the server cannot record it any more";
                    self.near.terminal.ask_end(wire::TerminalEnd::NotRecorded, why);
                }
                () = asked.cancelled() => break,
                () = context.stopping.cancelled() => {
                    let end = wire::TerminalEnd::ServerStopped;
                    self.near.terminal.ask_end(end, "");
                }
            }
        }
        let limit = if context.stopping.is_cancelled() {
            LAST_REPORT_TIMEOUT
        } else {
            REPORT_TIMEOUT
        };
        tokio::time::timeout(limit, self.end())
            .await
            .unwrap_or(Outcome::Silent)
    }

    /// Asks the endpoint to end it, and waits for the report. Output still goes to the console where that takes it.
    async fn end(&mut self) -> Outcome {
        // An endpoint that reads nothing learns it by the end of its call.
        let _full = self
            .near
            .down
            .send(Down::End(agent::TerminalEndRequest {}))
            .await;
        while let Some(message) = self.near.up.recv().await {
            match message {
                FromEndpoint::Report(report) => return Outcome::Report(report),
                FromEndpoint::Refused(reason) => return Outcome::Refused(reason),
                FromEndpoint::Started(started) => {
                    self.near.terminal.started(&started);
                    self.is_open = true;
                }
                FromEndpoint::Output(bytes) => {
                    let _full = self.replies.try_send(Ok(news(News::Output(bytes))));
                }
                FromEndpoint::InputCredit(_) => {}
            }
        }
        Outcome::Silent
    }

    /// Takes what the endpoint says; there is room to pass it on.
    async fn take(&mut self, message: FromEndpoint) -> Option<Outcome> {
        let message = match message {
            FromEndpoint::Started(started) => {
                self.is_open = true;
                News::Opened(self.near.terminal.started(&started))
            }
            FromEndpoint::Output(bytes) => News::Output(bytes),
            FromEndpoint::InputCredit(bytes) => News::InputCredit(bytes),
            FromEndpoint::Refused(reason) => return Some(Outcome::Refused(reason)),
            FromEndpoint::Report(report) => return Some(Outcome::Report(report)),
        };
        if self.replies.send(Ok(news(message))).await.is_err() {
            self.leave("its console has gone");
        }
        None
    }

    /// Takes what the console says; there is room to pass it on.
    async fn hear(&mut self, said: Result<Option<wire::OpenTerminalRequest>, Status>) {
        let message = match said {
            Ok(Some(request)) => request.message,
            Ok(None) => return self.leave("its console has hung up"),
            Err(_) => return self.leave("the connection to its console ended"),
        };
        let down = match self.check(message) {
            Ok(Some(down)) => down,
            Ok(None) => return,
            Err(status) => {
                self.leave("its console broke the protocol");
                let _gone = self.replies.try_send(Err(status));
                return;
            }
        };
        if let Down::Size(agent::TerminalSize { columns, rows }) = down {
            let happening = Happening::Size(wire::TerminalSize { columns, rows });
            self.near.terminal.record(happening).await;
        }
        // Where the endpoint's call has ended, its queue tells it.
        let _gone = self.near.down.send(down).await;
    }

    fn check(&mut self, message: Option<Said>) -> Result<Option<Down>, Status> {
        let terminal = &self.near.terminal;
        Ok(Some(match message {
            Some(Said::Input(bytes)) => {
                terminal.typed(&bytes)?;
                Down::Input(bytes)
            }
            Some(Said::OutputCredit(bytes)) => {
                Down::OutputCredit(terminal.give_output_credit(bytes))
            }
            Some(Said::Size(size)) => {
                check_size(size)?;
                terminal.resized(size);
                Down::Size(agent::TerminalSize {
                    columns: size.columns,
                    rows: size.rows,
                })
            }
            Some(Said::InputEnd(_)) => {
                terminal.input_ended();
                Down::InputEnd(agent::TerminalInputEnd {})
            }
            Some(Said::Close(_)) => {
                self.leave("");
                return Ok(None);
            }
            Some(Said::Open(_)) => {
                return Err(ErrorCode::Invalid.status("a call opens one terminal"));
            }
            // A message of a later version.
            None => return Ok(None),
        }))
    }

    /// The console wants no more of it.
    fn leave(&mut self, why: &str) {
        self.hung_up = true;
        self.near.terminal.ask_end(wire::TerminalEnd::Closed, why);
    }
}
