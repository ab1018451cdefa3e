//! Tests of [`super`].

use proptest::prelude::*;

use super::*;

const ENVELOPES: &[EnvelopePath] = &[&["data", "events"], &["value"], &["events"]];

fn split_by(file: &[u8], sizes: impl Iterator<Item = usize>) -> (Vec<Piece>, u64) {
    let mut splitter = Splitter::new(ENVELOPES);
    let mut out = Vec::new();
    let mut rest = file;
    for size in sizes {
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        splitter.push(chunk, &mut out);
        rest = after;
    }
    splitter.push(rest, &mut out);
    splitter.finish(&mut out);
    (out, splitter.blank_lines())
}

fn split(file: &str) -> Vec<Piece> {
    split_by(file.as_bytes(), core::iter::empty()).0
}

/// Records as `line:content`, problems as `line!`.
fn short(pieces: &[Piece]) -> Vec<String> {
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Record { line, bytes } => {
                let value: serde_json::Value = serde_json::from_slice(bytes).unwrap();
                format!("{line}:{}", value["n"])
            }
            Piece::Problem { line, .. } => format!("{line}!"),
        })
        .collect()
}

fn check(file: &str, expect: &[&str]) {
    assert_eq!(short(&split(file)), expect, "{file}");
}

fn reasons(file: &str) -> Vec<String> {
    split(file)
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Problem { line, reason } => Some(format!("line {line}: {reason}")),
            Piece::Record { .. } => None,
        })
        .collect()
}

#[test]
fn one_record_a_line() {
    check("{\"n\":1}\n{\"n\":2}\n", &["1:1", "2:2"]);
    check("{\"n\":1}\n{\"n\":2}", &["1:1", "2:2"]);
    check("{\"n\":1} {\"n\":2}\n", &["1:1", "1:2"]);
}

#[test]
fn an_array_on_one_line_or_many() {
    check(r#"[{"n":1},{"n":2}]"#, &["1:1", "1:2"]);
    check(
        "[\n  {\n    \"n\": 1\n  },\n  {\n    \"n\": 2\n  }\n]\n",
        &["2:1", "5:2"],
    );
    check("[]", &[]);
    check("[{\"n\":1}]\n[{\"n\":2}]\n", &["1:1", "2:2"]);
}

#[test]
fn an_array_whose_lines_are_not_indented() {
    check(
        "[\n{\n\"n\": 1,\n\"t\": [\n{\n\"a\": 1\n}\n]\n},\n{\n\"n\": 2\n}\n]",
        &["2:1", "10:2"],
    );
}

#[test]
fn an_envelope_at_each_path() {
    check(
        r#"{"data":{"events":[{"n":1},{"n":2}]},"more":[{"n":3}]}"#,
        &["1:1", "1:2"],
    );
    check(
        r#"{"@odata.context":"x","value":[{"n":1}],"next":null}"#,
        &["1:1"],
    );
    check(
        "{\n  \"id\": 7,\n  \"value\": [\n    {\"n\": 1}\n  ]\n}\n",
        &["4:1"],
    );
    check(
        "{\"events\":[{\"n\":1}]}\n{\"events\":[{\"n\":2}]}\n",
        &["1:1", "2:2"],
    );
}

#[test]
fn envelopes_in_an_array() {
    check(
        r#"[{"events":[{"n":1}]},{"data":{"events":[{"n":2}]},"x":1},{"n":3}]"#,
        &["1:1", "1:2", "1:3"],
    );
    check(
        "[\n{\"value\":[{\"n\":1}]},\n{\"n\":2}\n]\n",
        &["2:1", "3:2"],
    );
    check("[{\"value\":[{\"n\":1}]},\n", &["1:1", "1!"]);
    check("[{\"value\":[{\"n\":1,\"events\":[2]}]}]", &["1:1"]);
}

#[test]
fn an_array_that_is_not_at_a_path_makes_no_envelope() {
    check(r#"{"n":1,"target":[{"n":2}]}"#, &["1:1"]);
    check(r#"{"n":1,"data":[{"n":2}]}"#, &["1:1"]);
    check(r#"{"n":1,"x":{"value":[{"n":2}]}}"#, &["1:1"]);
    check(r#"{"n":1,"s":"value","t":[{"n":2}]}"#, &["1:1"]);
    check(r#"{"n":1,"x":[{"events":[{"n":2}]}]}"#, &["1:1"]);
}

#[test]
fn a_record_over_many_lines() {
    check("{\n \"n\": 1\n}\n{\n \"n\": 2\n}\n", &["1:1", "4:2"]);
}

#[test]
fn brackets_and_quotes_in_texts_are_texts() {
    check(r#"{"n":1,"s":"}]{[\"\\"}"#, &["1:1"]);
    check(r#"[{"n":1,"s":"],{\\\""},{"n":2}]"#, &["1:1", "1:2"]);
    check(r#"{"n":1,"k\"events":[{"n":2}]}"#, &["1:1"]);
}

#[test]
fn byte_order_mark_and_windows_line_ends_are_no_matter() {
    check("\u{feff}{\"n\":1}\r\n\r\n{\"n\":2}\r\n", &["1:1", "3:2"]);
    check(
        "\u{feff}[\r\n{\"n\":1},\r\n{\"n\":2}\r\n]\r\n",
        &["2:1", "3:2"],
    );
}

#[test]
fn utf_16_is_refused_once() {
    let file: Vec<u8> = "\u{feff}{\"n\":1}\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let (pieces, _) = split_by(&file, core::iter::empty());
    assert_eq!(short(&pieces), ["1!"]);
}

#[test]
fn blank_lines_are_counted() {
    let file = b"\n{\"n\":1}\n   \n\t\r\n{\"n\":2}\n\n";
    assert_eq!(split_by(file, core::iter::empty()).1, 4);
    assert_eq!(split_by(b"[\n\n{\"n\":1}\n\n]\n", core::iter::empty()).1, 2);
    assert_eq!(split_by(b"", core::iter::empty()).1, 0);
}

#[test]
fn a_bad_line_costs_only_that_line() {
    check("{\"n\":1}\nnot json\n{\"n\":2}\n", &["1:1", "2!", "3:2"]);
    check(
        "{\"n\":1}\n{\"n\":\"cut\n{\"n\":2}\n",
        &["1:1", "2!", "3:2"],
    );
    check("{\"n\":1}\n{\"n\":[1,\n{\"n\":2}\n", &["1:1", "2!", "3:2"]);
    check("{\"n\":1}\n{\"n\":[1}\n{\"n\":2}\n", &["1:1", "2!", "3:2"]);
    check("{\"n\":1}\n{bad}\n{\"n\":2}\n", &["1:1", "2!", "3:2"]);
    check(
        "{\"n\":1}\n[]\n3\n\"x\"\nnull\n{\"n\":2}\n",
        &["1:1", "2!", "3!", "4!", "5!", "6:2"],
    );
    check(
        "{\"n\":1}\n{\"n\":9} and more\n{\"n\":2}\n",
        &["1:1", "2!", "3:2"],
    );
}

#[test]
fn a_bad_first_line_costs_only_that_line() {
    for bad in [
        "{\"n\":\"cut",
        "{\"n\":[1,",
        "{\"n\":{",
        "{\"a\":1,",
        "{\"n\":1]",
        "x",
        "{",
    ] {
        check(
            &format!("{bad}\n{{\"n\":1}}\n{{\"n\":2}}\n"),
            &["1!", "2:1", "3:2"],
        );
    }
}

#[test]
fn each_of_several_bad_lines_is_named() {
    check(
        "{\"n\":1}\n{\"a\":\nnot json\n{\"b\":[\n{\"n\":2}",
        &["1:1", "2!", "3!", "4!", "5:2"],
    );
    check(
        "{\"a\":\nnot json\n{\"b\":[\n{\"n\":2}\n",
        &["1!", "2!", "3!", "4:2"],
    );
}

#[test]
fn the_lines_are_right_and_blank_ones_counted_behind_a_bad_one() {
    let (pieces, blank) = split_by(b"{\"n\":1}\n{\"n\":[\n\n{\"n\":2}\n", core::iter::empty());
    assert_eq!(
        (short(&pieces).join(" ").as_str(), blank),
        ("1:1 2! 4:2", 1)
    );
    let (pieces, blank) = split_by(b"{\"n\":[\n\n{\"n\":2}\n", core::iter::empty());
    assert_eq!((short(&pieces).join(" ").as_str(), blank), ("1! 3:2", 1));
}

#[test]
fn a_bad_element_costs_only_that_element() {
    check(r#"[{"n":1},{"n":tru},{"n":2}]"#, &["1:1", "1!", "1:2"]);
    check(
        r#"[{"n":1},null,3,"a,b",{"n":2}]"#,
        &["1:1", "1!", "1!", "1!", "1:2"],
    );
    check(
        "[\n{\"n\":1},\n{\"n\":\"cut,\n{\"n\":2}\n]",
        &["2:1", "3!", "4:2"],
    );
    check(
        "[\n {\"n\":1},\n {\"n\":[2},\n {\"n\":3}\n]",
        &["2:1", "3!", "4:3"],
    );
    check(
        "[\n{\"n\":[1,\n{\"n\":2},\n{\"n\":3}\n]",
        &["2!", "3:2", "4:3"],
    );
}

#[test]
fn a_bad_element_over_many_lines_costs_only_that_element() {
    let good = |n| format!("  {{\n    \"n\": {n},\n    \"t\": [\n      {{}}\n    ]\n  }}");
    let bad = "  {\n    \"n\": \"cut,\n    \"t\": []\n  }";
    let file = format!("[\n{},\n{bad},\n{}\n]\n", good(1), good(2));
    check(&file, &["2:1", "8!", "12:2"]);
    let bad = "  {\n    \"n\": [2\n  }";
    let file = format!("[\n{},\n{bad},\n{}\n]\n", good(1), good(2));
    check(&file, &["2:1", "8!", "11:2"]);
}

#[test]
fn where_no_end_can_be_found_the_rest_is_one_problem() {
    assert_eq!(
        reasons(r#"[{"n":1},{"n":[2},{"n":3}]"#),
        ["line 1: is not valid JSON: its brackets do not match; nothing after it could be read"]
    );
}

#[test]
fn a_file_that_was_cut_says_so() {
    assert_eq!(
        reasons("[{\"n\":1},\n{\"n\":2},\n"),
        ["line 2: the file ends before its array of records does"]
    );
    assert_eq!(
        reasons("[{\"n\":1},\n{\"n\":"),
        ["line 2: is not valid JSON: it ends too early"]
    );
    assert_eq!(
        reasons("{\"value\":[{\"n\":1}]"),
        ["line 1: the file ends before its array of records does"]
    );
    assert_eq!(
        reasons("{\"n\":1}\n{\"n\":2"),
        ["line 2: is not valid JSON: it ends too early"]
    );
}

#[test]
fn reasons_say_what_and_never_the_content() {
    let secret = "{\"n\":1}\n{\"password\":\"hunter2\",}\n{\"hunter2\":hunter2}\nhunter2\n";
    let reasons = reasons(secret);
    assert_eq!(reasons.len(), 3);
    assert!(!reasons.concat().contains("hunter2"), "{reasons:?}");
    assert_eq!(
        reasons[0],
        "line 2: is not valid JSON: key must be a string at column 23 of the record"
    );
}

#[test]
fn what_is_not_utf_8_is_a_problem() {
    let file = b"{\"n\":1}\n{\"n\":\"\xff\xfe\"}\n\xc3\x28\n{\"n\":2}\n";
    let (pieces, _) = split_by(file, core::iter::empty());
    assert_eq!(short(&pieces), ["1:1", "2!", "3!", "4:2"]);
}

#[test]
fn depth_is_bounded_and_costs_only_its_record() {
    let deep = |n: usize| format!("{{\"n\":{}{}}}", "[".repeat(n), "]".repeat(n));
    check(&format!("{}\n{{\"n\":2}}\n", deep(1_000)), &["1!", "2:2"]);
    check(&format!("[{},{{\"n\":2}}]", deep(100_000)), &["1!", "1:2"]);
    assert_eq!(split(&deep(DEPTH_MAX - 1)).len(), 1);
    assert!(matches!(
        split(&deep(DEPTH_MAX - 1))[0],
        Piece::Record { .. }
    ));
    assert!(matches!(split(&deep(DEPTH_MAX))[0], Piece::Problem { .. }));
}

#[test]
fn length_is_bounded_and_costs_only_its_record() {
    let long = |n: usize| format!("{{\"n\":\"{}\"}}", "x".repeat(n - 8));
    let max = PROVIDER_RECORD_BYTES_MAX;
    assert!(matches!(split(&long(max))[0], Piece::Record { .. }));
    check(&format!("{}\n{{\"n\":2}}\n", long(max + 1)), &["1!", "2:2"]);
    check(&format!("[{},{{\"n\":2}}]", long(3 * max)), &["1!", "1:2"]);
    let open = format!(
        "{{\"n\":1}}\n{{\"n\":[\"{}\"\n{{\"n\":2}}\n",
        "x".repeat(max)
    );
    check(&open, &["1:1", "2!", "3:2"]);
}

#[test]
fn many_lines_that_each_swallow_the_next_are_read_twice_at_most() {
    let mut file = "{\"n\":[\n".repeat(300_000);
    file.push_str("{\"n\":1}\n");
    let pieces = split(&file);
    assert_eq!(pieces.len(), 300_001);
    assert_eq!(short(&pieces[300_000..]), ["300001:1"]);
}

#[test]
fn no_byte_makes_it_panic() {
    let seed = "[{\"n\":1,\"s\":\"a\\\"b\"},\n{\"data\":{\"events\":[1]}}]\n{\"value\":[{}]}\n";
    for at in 0..seed.len() {
        for byte in [b'{', b'}', b'[', b']', b'"', b'\\', b'\n', b',', 0, 0xff] {
            let mut file = seed.as_bytes().to_vec();
            file[at] = byte;
            let _pieces = split_by(&file, core::iter::empty());
            let _pieces = split_by(&file[..at], core::iter::empty());
        }
    }
}

fn file() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        "\n",
        "\r\n",
        ",",
        ":",
        " ",
        "1",
        "\"n\":1",
        "{\"n\":1}",
        "{\"n\":2}\n",
        "  {\"n\":3},\n",
        "{\"value\":[",
        "\"events\"",
        "\"data\":{",
        "\u{feff}",
        "é",
        "null",
        "{\n",
        "}\n",
        "[\n",
    ]);
    prop::collection::vec(part, 0..60).prop_map(|parts| parts.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_cut_of_the_pieces_shows(
        file in file(),
        sizes in prop::collection::vec(1..9_usize, 0..80),
    ) {
        let whole = split_by(&file, core::iter::empty());
        prop_assert_eq!(&split_by(&file, sizes.into_iter()), &whole);
        prop_assert_eq!(&split_by(&file, core::iter::repeat_n(1, file.len())), &whole);
    }

    #[test]
    fn records_are_objects_and_lines_are_in_the_file_and_in_order(file in file()) {
        let (pieces, blank) = split_by(&file, core::iter::empty());
        let count = file.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        let mut last = 1;
        for piece in &pieces {
            let line = match piece {
                Piece::Record { line, bytes } => {
                    prop_assert!(serde_json::from_slice::<serde_json::Value>(bytes).unwrap().is_object());
                    line
                }
                Piece::Problem { line, .. } => line,
            };
            prop_assert!((last..=count).contains(line), "{pieces:?}");
            last = *line;
        }
        prop_assert!(blank <= count);
    }

    #[test]
    fn good_records_in_any_form_all_come_out(
        count in 0..20_usize,
        form in 0..5,
        crlf in any::<bool>(),
    ) {
        let records: Vec<_> = (0..count)
            .map(|n| serde_json::json!({"n": n, "t": [{"a": "x]}\n\"", "b": {}}], "u": "{["}))
            .collect();
        let lines = |records: &[serde_json::Value]| -> String {
            records.iter().map(|record| format!("{record}\n")).collect()
        };
        let file = match form {
            0 => lines(&records),
            1 => serde_json::Value::from(records).to_string(),
            2 => serde_json::to_string_pretty(&records).unwrap(),
            3 => serde_json::json!({"data": {"events": records}, "z": [1]}).to_string(),
            _ => records.iter().map(|r| serde_json::to_string_pretty(r).unwrap() + "\n").collect(),
        };
        let file = if crlf { file.replace('\n', "\r\n") } else { file };
        let expect: Vec<String> = (0..count).map(|n| n.to_string()).collect();
        let found: Vec<String> = short(&split(&file))
            .into_iter()
            .map(|piece| piece.split_once(':').map_or(piece.clone(), |(_, n)| n.to_owned()))
            .collect();
        prop_assert_eq!(found, expect);
    }
}
