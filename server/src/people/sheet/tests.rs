//! Files as they come from directories and spreadsheets.

use proptest::prelude::*;

use super::*;

const KNOWN: &str = "mail, upn, sid, sam_account_name, uid, privilege, name, endpoint";

fn good(text: &str) -> Vec<SheetRow> {
    let sheet = read(text.as_bytes()).unwrap();
    assert_eq!(sheet.problems, []);
    sheet.rows
}

#[test]
fn columns_in_any_order_and_spelling_with_bom_and_crlf() {
    let text = "\u{feff}UID,sAMAccountName,userPrincipalName, Privilege ,Display-Name\r\n\
                70001,EXAMPLE\\DReyes,Dana@Example.com,YES,\"Reyes, Dana\"\r\n";
    let rows = good(text);
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!(row.line, 2);
    assert_eq!(row.addresses, ["dana@example.com"]);
    assert_eq!(row.privileged, Some(true));
    assert_eq!(row.name.as_deref(), Some("Reyes, Dana"));
    assert_eq!(row.user, "DReyes");
    assert_eq!((&*row.claim.name, &*row.claim.uid), ("dreyes", "70001"));
}

#[test]
fn lines_are_physical_also_behind_line_breaks_in_fields_and_blank_lines() {
    for eol in ["\n", "\r\n"] {
        let text = [
            "mail,name",
            "a@example.com,\"two",
            "lines\"",
            "",
            "",
            "bad,x",
            "b@example.com,y",
            "c@example.com",
            "",
        ]
        .join(eol);
        let sheet = read(text.as_bytes()).unwrap();
        let lines: Vec<u64> = sheet.rows.iter().map(|row| row.line).collect();
        assert_eq!(lines, [2, 7], "{eol:?}");
        assert_eq!(sheet.rows[0].name.as_deref(), Some("two lines"));
        assert_eq!(sheet.rows_read, 4);
        assert_eq!(
            sheet.problems,
            [
                (6, "mail 'bad' is no full address: NAME@DOMAIN".to_owned()),
                (8, "1 fields, the header has 2".to_owned()),
            ]
        );
    }
}

#[test]
fn a_header_that_makes_no_sense_refuses_the_file() {
    let refused = |text: &str| read(text.as_bytes()).unwrap_err().to_string();
    assert!(refused("mail,shoe_size\n").contains("'shoe_size' is not known"));
    assert!(refused("mail;upn\na;b\n").contains("'mail;upn' is not known"));
    assert!(refused("mail,hostname,endpoint\n").contains("'endpoint' stands there twice"));
    assert!(refused("uid,name\n").contains("mail or upn"));
    assert_eq!(
        read(b"\n \n").unwrap_err(),
        TableError::Empty(KNOWN.to_owned())
    );
    assert_eq!(read(b"\xff\xfem\0a\0").unwrap_err(), TableError::Utf16);
}

#[test]
fn what_is_wrong_with_a_row_is_named() {
    let text = b"mail,sid,uid,privilege,sam_account_name,endpoint\n\
        a@example.com,S-1-x,,,,\n\
        a@example.com,,-1,,,\n\
        a@example.com,,,perhaps,,\n\
        a@example.com,,0,,,\n\
        a@example.com,,,,root,\n\
        a@example.com,,0,,root,lab-7\n\
        ,,1000,,,\n\
        \xe9@example.com,,,,,\n";
    let sheet = read(text).unwrap();
    let reasons: Vec<&str> = sheet.problems.iter().map(|(_, why)| &**why).collect();
    assert_eq!(
        reasons,
        [
            "sid 'S-1-x' is none",
            "uid '-1' is none",
            "privilege 'perhaps' is neither yes nor no",
            "root and administrator are on every machine: name the endpoint",
            "root and administrator are on every machine: name the endpoint",
            "neither mail nor upn",
            "mail is not UTF-8",
        ]
    );
    assert_eq!(sheet.rows.len(), 1);
    assert_eq!(sheet.rows[0].endpoint, "lab-7");
}

#[test]
fn rows_of_one_person_agree() {
    let rows = good(
        "mail,privilege,name,endpoint\nd@example.com,yes,Dana,a\nD@Example.com,no,Dana R.,b\nd@example.com,,,c\n",
    );
    for row in rows {
        assert_eq!(row.privileged, Some(true));
        assert_eq!(row.name.as_deref(), Some("Dana R."));
    }
}

proptest! {
    #[test]
    fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut file = b"mail,upn,sid,uid,name\n".to_vec();
        file.extend(&bytes);
        if let Ok(sheet) = read(&file) {
            let read = sheet.rows.len() + sheet.problems.len();
            assert_eq!(sheet.rows_read, read as u64);
            let last = file.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
            assert!(sheet.rows.iter().all(|row| (2..=last).contains(&row.line)));
        }
        let _either = read(&bytes);
    }
}
