//! What Okta is asked, and what its answers mean.

use super::*;
use crate::feed::live::Settings;
use crate::seal::Secret;

const NOW_MS: i64 = 1_773_281_411_000;
const NEXT: &str = "https://example.okta.com/api/v1/logs?after=1773281411000_1&limit=1000";

fn feed() -> OktaFeed {
    OktaFeed::new(Connection {
        settings: Settings {
            url: "https://example.okta.com".into(),
            ca_pem: String::new(),
            client_id: String::new(),
            tenant: String::new(),
            login_url: String::new(),
            since_ms: 0,
        },
        secret: Secret::new(b"00token\n".to_vec()),
    })
}

fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    let header = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Reply {
        status,
        headers: headers.iter().map(header).collect(),
        body: body.into(),
    }
}

fn page(reply: Reply) -> Result<Page, FetchError> {
    feed().page("/api/v1/logs?after=1", reply, NOW_MS)
}

#[test]
fn it_polls_and_never_bounds_the_end() {
    let feed = feed();
    let cursor = feed.begin(NOW_MS, NOW_MS);
    let ask = feed.ask(&cursor, NOW_MS).unwrap();
    assert_eq!(
        ask.url,
        "https://example.okta.com/api/v1/logs?since=2026-03-12T02%3A10%3A11.000Z&limit=1000&sortOrder=ASCENDING"
    );
    assert!(
        ask.headers
            .contains(&("authorization", "SSWS 00token".into()))
    );
    assert_eq!(ask.form, None);
}

#[test]
fn the_next_page_is_where_okta_says() {
    let links = [
        format!("<https://example.okta.com/api/v1/logs?x=1>; rel=\"self\", <{NEXT}>; rel=\"next\""),
        format!("<{NEXT}>; title=\"a\"; rel=next"),
    ];
    for link in links {
        let page = page(reply(200, &[("link", &link)], "[{}]")).unwrap();
        assert_eq!(
            page.next.unwrap(),
            "/api/v1/logs?after=1773281411000_1&limit=1000"
        );
        assert!(page.has_more);
        assert_eq!(page.complete_until_ms, 0, "more may be there");
    }
    let self_alone = format!("<{NEXT}>; rel=\"self\"");
    let last = page(reply(200, &[("link", &self_alone)], "[]")).unwrap();
    assert_eq!(last.next, None);
    assert!(!last.has_more);
    assert_eq!(last.complete_until_ms, NOW_MS);
}

#[test]
fn the_token_follows_no_link_to_another_place() {
    for elsewhere in [
        "https://example.okta.com.evil.example/api/v1/logs?after=1",
        "https://evil.example/api/v1/logs?after=1",
        "http://example.okta.com/api/v1/logs?after=1",
        "https://example.okta.com/api/v1/users?after=1",
        "https://example.okta.com/api/v1/logs?after=1 HTTP/1.1",
        "/api/v1/logs?after=1",
    ] {
        let link = format!("<{elsewhere}>; rel=\"next\"");
        let error = page(reply(200, &[("link", &link)], "[]")).unwrap_err();
        assert!(matches!(error, FetchError::Broken { .. }), "{elsewhere}");
    }
}

#[test]
fn a_page_that_is_not_whole_is_none() {
    let link = format!("<{NEXT}>; rel=\"next\"");
    for body in ["[{\"uuid\":\"1\"},{\"uu", "", "{}", "[1", "<html>"] {
        let error = page(reply(200, &[("link", &link)], body)).unwrap_err();
        assert!(
            matches!(error, FetchError::Broken { .. }),
            "{body}: {error}"
        );
    }
}

#[test]
fn limits_are_honoured_before_and_after_they_are_reached() {
    let limits = |left| {
        [
            ("x-rate-limit-limit", "120"),
            ("x-rate-limit-remaining", left),
            ("x-rate-limit-reset", "1773281441"),
        ]
    };
    let error = page(reply(429, &limits("0"), "{}")).unwrap_err();
    assert_eq!(
        error,
        FetchError::Limited {
            wait: Duration::from_secs(30)
        }
    );
    let wait = |left| page(reply(200, &limits(left), "[]")).unwrap().wait;
    assert_eq!(wait("12"), Some(Duration::from_secs(30)));
    assert_eq!(wait("13"), None);
}

#[test]
fn errors_say_what_to_do() {
    let said = r#"{"errorCode":"E0000011","errorSummary":"Invalid token provided"}"#;
    let refused = page(reply(401, &[], said)).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("E0000011 Invalid token provided. Tokens end"),
        "{refused}"
    );
    assert!(matches!(
        page(reply(403, &[], "")),
        Err(FetchError::Refused { .. })
    ));
    assert!(matches!(
        page(reply(302, &[], "")),
        Err(FetchError::Refused { .. })
    ));
    let down = page(reply(503, &[], "<html>")).unwrap_err();
    assert_eq!(
        down,
        FetchError::Unavailable {
            status: 503,
            said: String::new()
        }
    );
    let long = format!(r#"{{"errorSummary":"{}"}}"#, "\u{fc}".repeat(500));
    assert!(page(reply(500, &[], &long)).unwrap_err().to_string().len() < 300);
}

#[test]
fn a_place_that_okta_forgot_is_told_from_a_wrong_question() {
    assert_eq!(page(reply(400, &[], "{}")), Err(FetchError::CursorLost));
    let begin = feed().begin(NOW_MS, NOW_MS);
    let error = feed()
        .page(&begin, reply(400, &[], "{}"), NOW_MS)
        .unwrap_err();
    assert!(matches!(error, FetchError::Unavailable { status: 400, .. }));
}
