//! Terminals over a link as the uplink gives it, with real shells on real PTYs.

use std::time::Duration;

use tocsin_proto::agent::v1::terminal_response::Message as Down;
use tocsin_proto::agent::v1::{
    TerminalEndReason, TerminalEndRequest, TerminalInputEnd, TerminalReport as WireReport,
    TerminalSize,
};
use tocsin_proto::limits::{TERMINAL_INPUT_WINDOW_BYTES, TERMINAL_OUTPUT_WINDOW_BYTES};

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

/// The server's side of one terminal.
struct Far {
    up: mpsc::Receiver<TerminalRequest>,
    down: Option<mpsc::Sender<TerminalResponse>>,
    printed: Vec<u8>,
    /// Credit is given back for what is read.
    takes: bool,
}

fn asked(seed: u8) -> OpenTerminal {
    OpenTerminal {
        terminal_id: TerminalId::from_random([seed; 16]).as_bytes().to_vec(),
        columns: 80,
        rows: 24,
        term: "dumb".into(),
        analyst: "dana".into(),
    }
}

fn config() -> TerminalConfig {
    TerminalConfig {
        notice: false,
        ..TerminalConfig::default()
    }
}

/// Opens one; the terminals, what keeps it, and the far side.
fn open(
    config: TerminalConfig,
    open: OpenTerminal,
) -> (
    std::sync::Arc<Terminals>,
    tokio::task::JoinHandle<()>,
    Far,
    CancellationToken,
) {
    let terminals = std::sync::Arc::new(Terminals::new(config));
    let (up, from_agent) = mpsc::channel(8);
    let (to_agent, down) = mpsc::channel(8);
    let lost = CancellationToken::new();
    let (kept, token) = (terminals.clone(), lost.clone());
    let keeping = tokio::spawn(async move { kept.open(open, Link { up, down }, token).await });
    let far = Far {
        up: from_agent,
        down: Some(to_agent),
        printed: Vec::new(),
        takes: true,
    };
    (terminals, keeping, far, lost)
}

impl Far {
    async fn say(&self, message: Down) {
        let message = Some(message);
        let down = self.down.as_ref().unwrap();
        down.send(TerminalResponse { message }).await.unwrap();
    }

    async fn type_in(&self, text: &str) {
        self.say(Down::Input(text.as_bytes().to_vec())).await;
    }

    async fn next(&mut self) -> Option<Up> {
        let next = tokio::time::timeout(LIMIT, self.up.recv()).await;
        let message = next.expect("the agent says something").map(|r| r.message)?;
        if let Some(Up::Output(bytes)) = &message {
            self.printed.extend(bytes);
            if self.takes {
                let credit = u32::try_from(bytes.len()).unwrap();
                let message = Some(Down::OutputCredit(credit));
                let down = self.down.as_ref().unwrap();
                // It may have ended behind what it printed.
                let _ended = down.send(TerminalResponse { message }).await;
            }
        }
        message
    }

    async fn until_printed(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.printed).contains(text) {
            let next = self.next().await;
            assert!(next.is_some(), "ended before '{text}' was printed");
        }
    }

    async fn report(&mut self) -> WireReport {
        loop {
            match self.next().await {
                Some(Up::Report(report)) => return report,
                Some(_) => {}
                None => panic!("ended without a report"),
            }
        }
    }
}

#[test]
fn what_is_asked_for_is_checked() {
    assert!(Asked::check(&asked(1)).is_ok());
    let bad = [
        OpenTerminal {
            terminal_id: vec![1; 15],
            ..asked(1)
        },
        OpenTerminal {
            columns: 0,
            ..asked(1)
        },
        OpenTerminal {
            rows: TERMINAL_ROWS_MAX + 1,
            ..asked(1)
        },
        OpenTerminal {
            term: "../../etc/x".into(),
            ..asked(1)
        },
        OpenTerminal {
            term: String::new(),
            ..asked(1)
        },
    ];
    for open in bad {
        assert!(
            matches!(Asked::check(&open), Err(Refusal::Words(_))),
            "{open:?}"
        );
    }
}

#[tokio::test]
async fn a_machine_that_allows_none_says_so() {
    let off = TerminalConfig {
        enabled: false,
        ..config()
    };
    let (terminals, keeping, mut far, _lost) = open(off, asked(1));
    let Some(Up::Refused(refused)) = far.next().await else {
        panic!("not refused");
    };
    assert!(
        refused.reason.contains("terminal.enabled"),
        "{}",
        refused.reason
    );
    assert_eq!(refused.terminal_id, asked(1).terminal_id);
    keeping.await.unwrap();
    assert!(terminals.list().is_empty());
}

#[tokio::test]
async fn only_so_many_are_open_at_once() {
    let one = TerminalConfig {
        count_max: 1,
        ..config()
    };
    let (terminals, _keeping, mut far, _lost) = open(one, asked(1));
    assert!(matches!(far.next().await, Some(Up::Started(_))));
    assert_eq!(terminals.list().len(), 1);
    assert_eq!(terminals.list()[0].analyst, "dana");
    let (up, mut from_agent) = mpsc::channel(8);
    let (_to_agent, down) = mpsc::channel(8);
    let lost = CancellationToken::new();
    terminals.open(asked(2), Link { up, down }, lost).await;
    let refused = from_agent.recv().await.and_then(|request| request.message);
    assert!(matches!(refused, Some(Up::Refused(refused)) if refused.reason.contains("count_max")));
    far.say(Down::End(TerminalEndRequest {})).await;
    far.report().await;
}

#[tokio::test]
async fn a_shell_runs_with_its_size_and_its_exit_code_is_reported() {
    let (terminals, keeping, mut far, _lost) = open(config(), asked(3));
    let Some(Up::Started(started)) = far.next().await else {
        panic!("not started");
    };
    assert_eq!(started.uid, nix::unistd::geteuid().as_raw().to_string());
    far.type_in("stty size; tty\n").await;
    far.until_printed("24 80").await;
    far.until_printed("/dev/pts/").await;
    far.say(Down::Size(TerminalSize {
        columns: 132,
        rows: 43,
    }))
    .await;
    far.type_in("stty size; echo in=$((6*7))\n").await;
    far.until_printed("43 132").await;
    far.until_printed("in=42").await;
    far.type_in("exit 7\n").await;
    let report = far.report().await;
    assert_eq!(report.reason(), TerminalEndReason::Exited);
    assert_eq!(report.exit_code, Some(7));
    assert_eq!(report.output_bytes, far.printed.len() as u64);
    keeping.await.unwrap();
    assert!(terminals.list().is_empty());
}

/// Writes this again and again to the terminal that the shell names.
async fn somebody_else_writes(far: &mut Far, what: Vec<u8>, every: Duration) -> CancellationToken {
    far.type_in("echo at=$(tty)=\n").await;
    far.until_printed("at=/dev/pts/").await;
    far.until_printed("=\r\n").await;
    let printed = String::from_utf8_lossy(&far.printed).into_owned();
    let (_, after) = printed.split_once("at=/").unwrap();
    let path = format!("/{}", after.split('=').next().unwrap());
    let mut pty = std::fs::File::options().write(true).open(path).unwrap();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    std::thread::spawn(move || {
        use std::io::Write as _;
        while !stopped.is_cancelled() && pty.write_all(&what).is_ok() {
            std::thread::sleep(every);
        }
    });
    stop
}

#[tokio::test]
async fn who_holds_the_pty_from_outside_does_not_hold_the_end() {
    for (seed, what, every) in [
        (20, vec![b'x'], Duration::from_millis(40)),
        (21, vec![b'x'; 4000], Duration::ZERO),
    ] {
        let (_terminals, _keeping, mut far, _lost) = open(config(), asked(seed));
        let stop = somebody_else_writes(&mut far, what, every).await;
        far.type_in("exit 7\n").await;
        let report = tokio::time::timeout(LIMIT, far.report()).await;
        stop.cancel();
        let report = report.expect("it ends, whoever writes");
        assert_eq!(report.exit_code, Some(7));
        assert_eq!(report.survived_count, 0, "{report:?}");
    }
}

#[tokio::test]
async fn the_end_of_input_ends_the_shell_with_its_last_code() {
    let (_terminals, _keeping, mut far, _lost) = open(config(), asked(4));
    far.type_in("sleep 0.3; (exit 5)").await;
    far.say(Down::InputEnd(TerminalInputEnd {})).await;
    let report = far.report().await;
    assert_eq!(report.exit_code, Some(5));
}

#[tokio::test]
async fn the_shell_has_nothing_of_the_agents() {
    // What cargo gave this process is enough to tell.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let (_terminals, _keeping, mut far, _lost) = open(config(), asked(5));
    far.type_in(
        "env | cut -d= -f1 | sort | tr '\\n' ' '; ls -l /proc/self/fd | wc -l; echo do''ne\n",
    )
    .await;
    far.until_printed("done").await;
    let printed = String::from_utf8_lossy(&far.printed).into_owned();
    assert!(!printed.contains("CARGO"), "{printed}");
    assert!(printed.contains("TOCSIN_TERMINAL"), "{printed}");
    // ls itself: total, 0, 1, 2 and the folder that it reads.
    let lines: Vec<&str> = printed.split_whitespace().collect();
    assert!(lines.contains(&"5"), "{printed}");
    far.type_in("exit\n").await;
    far.report().await;
}

#[tokio::test]
async fn nothing_is_read_beyond_the_credit_and_all_of_it_arrives() {
    let (_terminals, _keeping, mut far, _lost) = open(config(), asked(6));
    far.takes = false;
    let window = TERMINAL_OUTPUT_WINDOW_BYTES as usize;
    far.type_in("stty -opost -echo; head -c 1000000 /dev/zero | tr '\\0' x; exit 0\n")
        .await;
    while far.printed.len() < window {
        far.next().await;
    }
    // Beyond it nothing comes: what was read waits for credit.
    let more = tokio::time::timeout(Duration::from_millis(300), async {
        loop {
            if let Some(Up::Output(_)) = far.next().await {
                return;
            }
        }
    });
    assert!(more.await.is_err());
    assert_eq!(far.printed.len(), window);
    far.takes = true;
    far.say(Down::OutputCredit(TERMINAL_OUTPUT_WINDOW_BYTES))
        .await;
    far.report().await;
    let count = far.printed.iter().filter(|byte| **byte == b'x').count();
    assert!(count >= 1_000_000, "{count}");
}

#[tokio::test]
async fn more_input_than_the_window_ends_it() {
    let (_terminals, _keeping, mut far, _lost) = open(config(), asked(7));
    far.type_in("sleep 100\n").await;
    let bytes = vec![b'x'; TERMINAL_INPUT_WINDOW_BYTES as usize + 1];
    far.say(Down::Input(bytes)).await;
    assert_eq!(far.report().await.reason(), TerminalEndReason::Protocol);
}

#[tokio::test]
async fn the_end_takes_along_who_left_the_session_and_refuses_signals() {
    let (_terminals, _keeping, mut far, _lost) = open(config(), asked(8));
    far.type_in(
        "setsid sh -c \"trap '' HUP TERM; sleep 1000 & echo ready$((1+1)); wait\" & sleep 1001\n",
    )
    .await;
    far.until_printed("ready2").await;
    far.say(Down::End(TerminalEndRequest {})).await;
    let report = far.report().await;
    assert_eq!(report.reason(), TerminalEndReason::Asked);
    let names: Vec<&str> = report
        .killed
        .iter()
        .map(|process| process.name.as_str())
        .collect();
    assert!(
        names.contains(&"sh") && names.contains(&"sleep"),
        "{names:?}"
    );
    assert!(report.survived.is_empty(), "{report:?}");
    for process in &report.killed {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(process.pid).unwrap());
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{state}");
    }
}

#[tokio::test]
async fn a_lost_connection_ends_it_and_the_agents_end_too() {
    let (terminals, keeping, mut far, lost) = open(config(), asked(9));
    far.next().await;
    let pid = terminals.list()[0].pid;
    lost.cancel();
    assert_eq!(far.report().await.reason(), TerminalEndReason::Asked);
    keeping.await.unwrap();
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());

    let (terminals, keeping, mut far, _lost) = open(config(), asked(10));
    far.next().await;
    let (_, report) = tokio::join!(terminals.end_all(), far.report());
    assert_eq!(report.reason(), TerminalEndReason::AgentStopped);
    keeping.await.unwrap();
}
