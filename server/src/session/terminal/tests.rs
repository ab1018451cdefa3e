//! Who takes a terminal, how many there are, what credit allows, what a watcher sees, why one ended.

use super::*;

fn facts(analyst: &str, endpoint: &[u8]) -> Facts {
    Facts {
        endpoint: EndpointId::from_public_key(endpoint),
        hostname: "lab".into(),
        analyst: analyst.into(),
        reason: "why".into(),
        incident: String::new(),
        size: wire::TerminalSize {
            columns: 80,
            rows: 24,
        },
        time_ms: 5,
    }
}

fn terminals() -> Arc<Terminals> {
    Arc::default()
}

#[test]
fn only_the_endpoint_it_was_asked_of_takes_the_other_end_and_once() {
    let terminals = terminals();
    let near = terminals.add(facts("dana", b"a")).unwrap();
    let id = near.terminal.id();
    let other = EndpointId::from_public_key(b"b");
    assert!(terminals.take(other, id).is_none());
    let unknown = TerminalId::from_random([7; 16]);
    assert!(terminals.take(near.terminal.endpoint(), unknown).is_none());
    assert!(terminals.take(near.terminal.endpoint(), id).is_some());
    assert!(terminals.take(near.terminal.endpoint(), id).is_none());
    drop(near);
    assert!(terminals.list().is_empty());
}

#[test]
fn terminals_are_bounded_by_analyst_and_by_endpoint() {
    let terminals = terminals();
    let mut kept = Vec::new();
    for n in 0..OF_ANALYST_MAX {
        kept.push(terminals.add(facts("dana", &n.to_be_bytes())).unwrap());
    }
    let error = terminals.add(facts("dana", b"x")).unwrap_err();
    assert_eq!(error, TerminalError::TooManyOfAnalyst);
    kept.clear();
    for n in 0..OF_ENDPOINT_MAX {
        kept.push(terminals.add(facts(&n.to_string(), b"x")).unwrap());
    }
    let error = terminals.add(facts("dana", b"x")).unwrap_err();
    assert_eq!(error, TerminalError::TooManyOfEndpoint);
}

#[test]
fn nobody_sends_more_than_there_is_credit_for() {
    let near = terminals().add(facts("dana", b"a")).unwrap();
    let terminal = &near.terminal;
    let piece = vec![b'x'; TERMINAL_CHUNK_BYTES_MAX];
    for _ in 0..TERMINAL_OUTPUT_WINDOW_BYTES as usize / piece.len() {
        assert_eq!(terminal.printed(&piece), Ok(()));
    }
    assert_eq!(terminal.printed(b"x"), Err(Violation::Credit));
    assert_eq!(terminal.give_output_credit(10), 10);
    assert_eq!(terminal.printed(&[0; 11]), Err(Violation::Credit));
    assert_eq!(terminal.printed(&[0; 10]), Ok(()));
    // Credit for what was never sent makes no window larger.
    let window = TERMINAL_OUTPUT_WINDOW_BYTES;
    assert_eq!(terminal.give_output_credit(u32::MAX), window);
    assert_eq!(terminal.give_output_credit(1), 0);
    assert_eq!(terminal.printed(&[]), Err(Violation::Piece));
    let large = vec![0; TERMINAL_CHUNK_BYTES_MAX + 1];
    assert_eq!(terminal.typed(&large), Err(Violation::Piece));
    terminal.input_ended();
    assert_eq!(terminal.typed(b"x"), Err(Violation::Order));
}

#[tokio::test]
async fn a_watcher_sees_the_last_of_it_and_learns_what_it_missed() {
    let near = terminals().add(facts("dana", b"a")).unwrap();
    let terminal = near.terminal.clone();
    terminal.printed(b"before").unwrap();
    let mut watcher = terminal.watch().unwrap();
    assert_eq!(watcher.backlog, b"before");
    assert_eq!(terminal.row().watchers, 1);
    terminal.printed(b"now").unwrap();
    let Seen::Output(0, bytes) = watcher.next().await else {
        panic!("no output");
    };
    assert_eq!(&*bytes, b"now");
    for _ in 0..WATCHED_MAX + 3 {
        terminal.printed(b"x").unwrap();
    }
    let Seen::Output(3, bytes) = watcher.next().await else {
        panic!("nothing was missed");
    };
    assert_eq!(&*bytes, b"x");
    drop(watcher);
    assert_eq!(terminal.row().watchers, 0);
}

#[test]
fn the_first_reason_stays_unless_it_had_ended_by_itself() {
    let near = terminals().add(facts("dana", b"a")).unwrap();
    let terminal = &near.terminal;
    terminal.ask_end(wire::TerminalEnd::Killed, "by eve");
    terminal.ask_end(wire::TerminalEnd::Closed, "");
    let report = agent::TerminalReport {
        reason: agent::TerminalEndReason::Asked.into(),
        ..agent::TerminalReport::default()
    };
    let lost = (wire::TerminalEnd::EndpointLost, "lost");
    let row = terminal.end(Some(report), lost, 9);
    assert_eq!(row.end(), wire::TerminalEnd::Killed);
    assert_eq!(row.end_detail, "by eve");
    assert!(row.reported);

    let near = terminals().add(facts("dana", b"a")).unwrap();
    near.terminal.ask_end(wire::TerminalEnd::Closed, "");
    let report = agent::TerminalReport {
        reason: agent::TerminalEndReason::Exited.into(),
        exit_code: Some(3),
        ..agent::TerminalReport::default()
    };
    let row = near.terminal.end(Some(report), lost, 9);
    assert_eq!(
        (row.end(), row.exit_code),
        (wire::TerminalEnd::Exited, Some(3))
    );
}

#[test]
fn one_is_named_by_the_begin_of_its_id() {
    let terminals = terminals();
    let near = terminals.add(facts("dana", b"a")).unwrap();
    let id = near.terminal.id().to_string();
    assert_eq!(terminals.find(&id[..8]).unwrap().id(), near.terminal.id());
    assert!(matches!(
        terminals.find("zzzz"),
        Err(TerminalError::NotFound(_))
    ));
    assert!(matches!(
        terminals.find(&id[..2]),
        Err(TerminalError::Ambiguous(_))
    ));
}
