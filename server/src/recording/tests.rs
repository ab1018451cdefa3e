//! Recordings on a real disk: begun, played, listed, torn, changed, too many.

use std::time::Duration;

use super::*;

fn terminal(id: &str, open_time_ms: i64) -> Terminal {
    Terminal {
        id: id.to_owned(),
        endpoint: "e".into(),
        analyst: "dana".into(),
        columns: 80,
        rows: 24,
        open_time_ms,
        ..Terminal::default()
    }
}

fn recordings() -> (tempfile::TempDir, Recordings) {
    let folder = tempfile::tempdir().unwrap();
    let recordings = Recordings::new(folder.path().join("recordings"), 1 << 20);
    (folder, recordings)
}

/// A recording of one line of output.
async fn record(recordings: &Recordings, row: &Terminal) -> String {
    let recorder = recordings.begin(row, "xterm").unwrap().go_on();
    recorder.note(Happening::Output(b"hello\r\n".into())).await;
    let ended = Terminal {
        end_time_ms: row.open_time_ms + 5000,
        ..row.clone()
    };
    hex(&recorder.end(ended, "closed".into()).await.unwrap())
}

fn played(recordings: &Recordings, id: &str) -> (String, Played) {
    let (_, path) = recordings.find(id).unwrap();
    let (mut lines, mut last) = (Vec::new(), None);
    play(&path, |part| {
        match part {
            Played::Lines(more) => lines.extend(more),
            other => last = Some(other),
        }
        true
    })
    .unwrap();
    (String::from_utf8(lines).unwrap(), last.unwrap())
}

#[tokio::test]
async fn what_happened_is_played() {
    let (_folder, recordings) = recordings();
    let sha256 = record(&recordings, &terminal("aaaa-1", 1000)).await;
    let (lines, last) = played(&recordings, "aaaa");
    assert_eq!(last, Played::Whole(sha256.clone()));
    let lines: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["version"], 2);
    assert_eq!(
        (&lines[0]["width"], &lines[0]["timestamp"]),
        (&80.into(), &1.into())
    );
    assert_eq!(
        (&lines[1][1], &lines[1][2]),
        (&"o".into(), &"hello\r\n".into())
    );
    assert_eq!(
        (&lines[2][1], &lines[2][2]),
        (&"m".into(), &"closed".into())
    );
    let listed = recordings.list(None, |_| true, 10).unwrap();
    assert_eq!(listed[0].sha256, sha256);
    assert_eq!(listed[0].terminal.as_ref().unwrap().end_time_ms, 6000);
}

#[tokio::test]
async fn they_are_listed_page_by_page_newest_first() {
    let (_folder, recordings) = recordings();
    for (id, time_ms) in [("aaaa", 2), ("bbbb", 1), ("cccc", 2), ("dddd", 3)] {
        record(&recordings, &terminal(id, time_ms)).await;
    }
    let page = |before| -> Vec<(i64, String)> {
        let rows = recordings.list(before, |row| row.id != "dddd", 2).unwrap();
        let rows = rows.into_iter().filter_map(|row| row.terminal);
        rows.map(|row| (row.open_time_ms, row.id)).collect()
    };
    let first = page(None);
    assert_eq!(first, [(2, "cccc".into()), (2, "aaaa".into())]);
    assert_eq!(page(first.last().cloned()), [(1, "bbbb".into())]);
}

#[tokio::test]
async fn lines_are_on_the_disk_after_a_moment() {
    let (_folder, recordings) = recordings();
    let recorder = recordings
        .begin(&terminal("aaaa", 1), "xterm")
        .unwrap()
        .go_on();
    assert!(recordings.ended().unwrap().is_empty());
    recorder
        .note(Happening::Output(b"before the crash".into()))
        .await;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let (lines, last) = played(&recordings, "aaaa");
        assert!(matches!(last, Played::Problem(_)));
        if lines.contains("before the crash") {
            return;
        }
    }
    panic!("it was not written");
}

#[tokio::test]
async fn one_that_a_crash_left_behind_is_ended_and_stays_readable() {
    let (_folder, recordings) = recordings();
    record(&recordings, &terminal("aaaa", 1)).await;
    let (_, path) = recordings.find("aaaa").unwrap();
    // Torn in its last part.
    let length = fs::metadata(&path).unwrap().len();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(length - 9)
        .unwrap();
    let recovered = recordings.recover().unwrap();
    assert_eq!(recovered.len(), 1);
    assert_eq!(recovered[0].endpoint, "e");
    let (lines, last) = played(&recordings, "aaaa");
    assert!(lines.contains("hello"));
    let Played::Whole(sha256) = last else {
        panic!("{last:?}")
    };
    assert!(
        recovered[0].said.ends_with(&sha256),
        "{}",
        recovered[0].said
    );
    let row = &recordings.list(None, |_| true, 10).unwrap()[0];
    assert_eq!(
        row.terminal.as_ref().unwrap().end(),
        TerminalEnd::ServerStopped
    );
    assert_eq!(recordings.recover().unwrap(), [], "once");
    assert_eq!(recordings.ended().unwrap(), [path]);
}

#[tokio::test]
async fn one_that_was_changed_is_not_called_whole() {
    let (_folder, recordings) = recordings();
    record(&recordings, &terminal("aaaa", 1)).await;
    let (_, path) = recordings.find("aaaa").unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let place = bytes.len() / 2;
    bytes[place] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(played(&recordings, "aaaa").1, Played::Problem(_)));
    // And one without an end that was changed is put aside, not mended.
    fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    let recovered = recordings.recover().unwrap();
    assert!(
        recovered[0].said.contains("cannot be read"),
        "{recovered:?}"
    );
    assert!(recordings.find("aaaa").is_err());
    assert!(path.with_added_extension(DAMAGED).exists());
}

#[tokio::test]
async fn a_full_folder_refuses_and_age_makes_room() {
    let (_folder, mut recordings) = recordings();
    record(&recordings, &terminal("aaaa", 1000)).await;
    recordings.size_max = 10;
    let refused = recordings.begin(&terminal("bbbb", 2000), "xterm");
    assert!(matches!(refused, Err(RecordingError::Full(10))));
    assert_eq!(recordings.remove_old(1000).unwrap(), 0);
    assert_eq!(recordings.remove_old(1001).unwrap(), 1);
    assert!(recordings.begin(&terminal("bbbb", 2000), "xterm").is_ok());
}

#[test]
fn names_of_recordings_are_beginnings_of_ids() {
    let (_folder, recordings) = recordings();
    for id in ["aaaa1", "aaaa2"] {
        recordings.begin(&terminal(id, 1), "xterm").unwrap();
    }
    assert!(recordings.find("aaaa1").is_ok());
    assert!(matches!(
        recordings.find("aaaa"),
        Err(RecordingError::Ambiguous(_))
    ));
    assert!(matches!(
        recordings.find("aaa"),
        Err(RecordingError::Ambiguous(_))
    ));
    assert!(matches!(
        recordings.find("bbbb"),
        Err(RecordingError::NotFound(_))
    ));
}
