//! Live feeds: how a provider is asked for its records, page by page, and what its answers mean.
//!
//! ```text
//! cursor -> ask -> (the shell sends it) -> reply -> page: the bytes of its records, the next cursor, when to go on
//!                                              \-> why there is none, and what to do about that
//! ```
//!
//! Pure, as all of [`feed`](super): no clock, no network. `task/feed` sends, stores, waits. A cursor is the feed's own text;
//! the shell keeps it and looks at nothing in it. A provider is a file: `okta/live.rs`, and so on.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::seal::Secret;

/// Bytes of what a provider says about an error that are passed on.
const SAID_BYTES_MAX: usize = 200;

/// Longest that a provider's limit is waited for at once.
const LIMIT_WAIT_MS_MAX: i64 = 15 * 60 * 1000;

/// What a connection is made from, but for its secret. Kept as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Origin of the provider's interface, `https://example.okta.com`, without a path.
    pub(crate) url: String,
    /// Authorities to trust instead of the system's, PEM; empty = the system's.
    #[serde(default)]
    pub(crate) ca_pem: String,
    /// Entra ID: the application; Duo: the integration key.
    #[serde(default)]
    pub(crate) client_id: String,
    /// Entra ID: the directory.
    #[serde(default)]
    pub(crate) tenant: String,
    /// Entra ID: origin of the token service.
    #[serde(default)]
    pub(crate) login_url: String,
    /// The oldest records that are fetched, Unix milliseconds.
    pub(crate) since_ms: i64,
}

/// What somebody says of a connection that is to be made, before it is complete.
#[derive(Clone, Default)]
pub(crate) struct Draft<'a> {
    /// See [`Settings`], as it was typed.
    pub(crate) url: String,
    /// See [`Settings`], as it was typed.
    pub(crate) login_url: String,
    /// See [`Settings`].
    pub(crate) client_id: String,
    /// See [`Settings`].
    pub(crate) tenant: String,
    /// The secret, where its form says something.
    pub(crate) secret: &'a str,
}

/// A connection as a feed is made from it.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    /// All but the secret.
    pub(crate) settings: Settings,
    /// The secret.
    pub(crate) secret: Secret,
}

/// What is sent.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    /// Whole address.
    pub(crate) url: String,
    /// Headers beside `Host` and `Content-Length`.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// What is posted; `None`: it is a GET.
    pub(crate) form: Option<String>,
}

impl std::fmt::Debug for Ask {
    // Headers and forms hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ask")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// What came back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    /// HTTP status.
    pub(crate) status: u16,
    /// Names in lower case, in their order.
    pub(crate) headers: Vec<(String, String)>,
    /// All of it.
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Values of a header.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.headers.iter().filter(move |(key, _)| key == name);
        named.map(|(_, value)| value.as_str())
    }

    /// A header that is a number.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.all(name).next()?.trim().parse().ok()
    }

    /// The body as JSON, where it is a whole one.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// Its records, as [`Format::envelopes`](super::Format::envelopes) knows them.
    pub(crate) body: Vec<u8>,
    /// Where the next one begins; `None` where the provider did not say.
    pub(crate) next: Option<String>,
    /// More is there now.
    pub(crate) has_more: bool,
    /// All that the provider logged until then is in this page or one before; 0 = that cannot be said.
    pub(crate) complete_until_ms: i64,
    /// The provider's limit is near: the next one not before.
    pub(crate) wait: Option<Duration>,
}

/// Why there is no page. Nothing of the reply is used then, and the cursor stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    /// The provider does not accept the secret, or not for this. Somebody has to act.
    #[error("{what}")]
    Refused {
        /// What it said, and what to do about it.
        what: String,
    },
    /// Too many questions.
    #[error("the provider's limit is reached")]
    Limited {
        /// How long it asks to wait.
        wait: Duration,
    },
    /// Its own trouble: 5xx and the like.
    #[error("the provider answers with status {status}{said}")]
    Unavailable {
        /// The status.
        status: u16,
        /// What it said, from ": "; or empty.
        said: String,
    },
    /// The answer is not whole, or not what is documented.
    #[error("the answer {what}")]
    Broken {
        /// "ends too early", ...
        what: &'static str,
    },
    /// The provider does not know the cursor any more.
    #[error("the provider does not know the place any more up to which its records were read")]
    CursorLost,
}

/// A provider's interface, as it is asked for records.
pub(crate) trait MfaFeed: std::fmt::Debug + Send + Sync {
    /// What to ask for a token, where one is needed and none is at hand.
    fn sign_in(&self, now_ms: i64) -> Option<Ask> {
        let _ = now_ms;
        None
    }

    /// Takes the answer to [`sign_in`](Self::sign_in).
    ///
    /// # Errors
    /// Why there is no token.
    fn signed_in(&mut self, reply: &Reply, now_ms: i64) -> Result<(), FetchError> {
        let _ = (reply, now_ms);
        Ok(())
    }

    /// Where the first page begins, so that all records from `since_ms` on come.
    fn begin(&self, since_ms: i64, now_ms: i64) -> String;

    /// Where a page begins that holds the newest records, to look at.
    fn newest(&self, now_ms: i64) -> String;

    /// What to ask for the page that begins there; `None` where it is too early for it.
    fn ask(&self, cursor: &str, now_ms: i64) -> Option<Ask>;

    /// What the answer means. `now_ms`: when it was asked.
    ///
    /// # Errors
    /// Why there is no page.
    fn page(&self, cursor: &str, reply: Reply, now_ms: i64) -> Result<Page, FetchError>;

    /// How long to wait where there is no more.
    fn interval(&self) -> Duration;
}

/// Whether this is a whole JSON text. A page that was cut is never read in part.
pub(crate) fn whole(body: &[u8]) -> Result<(), FetchError> {
    match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
        Ok(_) => Ok(()),
        Err(error) if error.is_eof() => Err(FetchError::Broken {
            what: "ends too early",
        }),
        Err(_) => Err(FetchError::Broken {
            what: "is not JSON",
        }),
    }
}

/// How long a limit lasts that ends at `reset_s` (Unix seconds) by the provider's clock, which the reply's `Date` tells.
pub(crate) fn until_reset(reply: &Reply, reset_s: Option<i64>, now_ms: i64) -> Duration {
    let told = reply.all("date").next();
    let clock_ms = told.and_then(http_date_ms).unwrap_or(now_ms);
    let wait_ms = match reset_s {
        Some(reset_s) => reset_s.saturating_mul(1000).saturating_sub(clock_ms),
        None => reply
            .number("retry-after")
            .unwrap_or(60)
            .saturating_mul(1000),
    };
    Duration::from_millis(wait_ms.clamp(1000, LIMIT_WAIT_MS_MAX).unsigned_abs())
}

/// RFC 9110 IMF-fixdate as Unix milliseconds.
fn http_date_ms(text: &str) -> Option<i64> {
    let time = jiff::fmt::rfc2822::DateTimeParser::new();
    Some(time.parse_timestamp(text).ok()?.as_millisecond())
}

/// What a provider said of an error, from `": "` on, cut; empty where it said nothing.
pub(crate) fn said<'a>(parts: impl IntoIterator<Item = Option<&'a str>>) -> String {
    let parts: Vec<&str> = parts
        .into_iter()
        .flatten()
        .filter(|p| !p.is_empty())
        .collect();
    if parts.is_empty() {
        return String::new();
    }
    let text = parts.join(" ");
    let mut end = text.len().min(SAID_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!(": {}", text.get(..end).unwrap_or_default())
}

/// Percent-encodes what is not unreserved (RFC 3986).
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                out.push('%');
                out.push_str(&data_encoding::HEXUPPER.encode(&[byte]));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_was_cut_anywhere_is_not_whole() {
        let body = br#"[{"a":"\u00e4"},{"b":[1,2]}]"#;
        assert_eq!(whole(body), Ok(()));
        for at in 0..body.len() {
            let cut = whole(&body[..at]).unwrap_err();
            assert_eq!(cut.to_string(), "the answer ends too early", "{at}");
        }
        assert!(whole(b"<html>").is_err());
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        assert_eq!(
            whole(deep.as_bytes()),
            Ok(()),
            "one deep record does not stop a feed"
        );
    }

    #[test]
    fn a_limit_is_counted_by_the_providers_clock() {
        let reply = |date: &str| Reply {
            headers: vec![
                ("date".into(), date.into()),
                ("retry-after".into(), "7".into()),
            ],
            ..Reply::default()
        };
        // 1994-11-06T08:49:37Z is 784111777; this server's clock is years ahead.
        let dated = reply("Sun, 06 Nov 1994 08:49:37 GMT");
        let now_ms = 1_773_281_411_000;
        let wait = |reset_s| until_reset(&dated, reset_s, now_ms).as_secs();
        assert_eq!(wait(Some(784_111_797)), 20);
        assert_eq!(wait(Some(1)), 1, "over already");
        assert_eq!(
            wait(Some(i64::MAX)),
            900,
            "no provider is waited for all day"
        );
        assert_eq!(wait(None), 7);
        let undated = reply("yesterday");
        assert_eq!(
            until_reset(&undated, Some(1_773_281_421), now_ms).as_secs(),
            10
        );
    }

    #[test]
    fn what_is_sent_is_not_printed() {
        let ask = Ask {
            url: "https://a".into(),
            headers: vec![("authorization", "SSWS 00token".into())],
            form: Some("client_secret=x".into()),
        };
        assert_eq!(format!("{ask:?}"), "Ask { url: \"https://a\", .. }");
    }
}
