//! Messages of terminals, as capability 3 has them.

use tocsin_proto::agent::v1 as agent;
use tocsin_proto::console::v1 as console;

use crate::TIME_MS;

/// A question for a terminal.
pub(crate) fn open() -> agent::OpenTerminal {
    agent::OpenTerminal {
        terminal_id: vec![9; 16],
        columns: 132,
        rows: 43,
        term: "xterm-256color".into(),
        analyst: "dana".into(),
    }
}

fn processes() -> Vec<agent::TerminalProcess> {
    vec![agent::TerminalProcess {
        pid: 42,
        name: "sleep".into(),
    }]
}

/// How input was taken.
pub(crate) fn taken() -> agent::TerminalInputTaken {
    agent::TerminalInputTaken {
        bytes: 5,
        echoed: true,
    }
}

/// A recording as the console sees it.
pub(crate) fn recording() -> console::Recording {
    console::Recording {
        terminal: Some(terminal()),
        stored_bytes: 2048,
        sha256: "ab".repeat(32),
    }
}

/// How one ended.
pub(crate) fn report() -> agent::TerminalReport {
    agent::TerminalReport {
        reason: agent::TerminalEndReason::Exited.into(),
        exit_code: Some(7),
        signal: 9,
        killed: processes(),
        killed_count: 1,
        survived: processes(),
        survived_count: 1,
        input_bytes: 3,
        output_bytes: 4,
    }
}

/// A terminal as the console sees it.
pub(crate) fn terminal() -> console::Terminal {
    let process = || {
        vec![console::TerminalProcess {
            pid: 42,
            name: "sleep".into(),
        }]
    };
    console::Terminal {
        id: "09090909-0909-4909-8909-090909090909".into(),
        endpoint: "11111111-1111-8111-8111-111111111111".into(),
        hostname: "dana-laptop".into(),
        analyst: "kim".into(),
        reason: "look at the remote tool".into(),
        incident: "22222222-2222-8222-8222-222222222222".into(),
        state: console::TerminalState::Ended.into(),
        open_time_ms: TIME_MS,
        user: "root".into(),
        uid: "0".into(),
        shell: "/bin/bash".into(),
        pid: 41,
        columns: 132,
        rows: 43,
        input_bytes: 3,
        output_bytes: 4,
        watchers: 1,
        end_time_ms: TIME_MS + 1000,
        end: console::TerminalEnd::Killed.into(),
        end_detail: "ended by dana".into(),
        exit_code: Some(7),
        signal: 9,
        killed: process(),
        killed_count: 1,
        survived: process(),
        survived_count: 1,
        reported: true,
    }
}
