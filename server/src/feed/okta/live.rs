//! Okta's System Log, polled: <https://developer.okta.com/docs/reference/system-log-query/>.
//!
//! ```text
//! GET /api/v1/logs?since=...&limit=1000&sortOrder=ASCENDING     Authorization: SSWS token
//! Link: <https://org/api/v1/logs?after=...>; rel="next"         always there, also after an empty page
//! ```
//!
//! Without `until` it is a polling request: every event comes, in the order in which Okta stored it, however late it was.
//! The cursor is path and query of the `next` link and nothing else: `since` is never moved by ourselves, which would skip
//! events that Okta stored late. The link must be of the same origin: the token goes nowhere else.

use std::time::Duration;

use serde::de::IgnoredAny;

use super::super::live::{
    Ask, Connection, Draft, FetchError, MfaFeed, Page, Reply, encode, said, until_reset, whole,
};

/// Where the log is.
const PATH: &str = "/api/v1/logs";

/// Records of a page: the most that Okta gives.
const LIMIT: u32 = 1000;

/// Records of a page that is only looked at.
const LOOK: u32 = 200;

/// How far back a page is looked at: Okta's own default.
const LOOK_BACK_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// How often a quiet log is asked. Okta admits 120 questions a minute for all clients of an organization.
const INTERVAL: Duration = Duration::from_secs(10);

/// Bytes of a cursor.
const CURSOR_BYTES_MAX: usize = 4096;

/// What a connection to Okta needs: a URL and a token.
pub(in crate::feed) fn complete(draft: Draft<'_>) -> Result<Draft<'_>, &'static str> {
    let others = [&draft.client_id, &draft.tenant, &draft.login_url];
    match draft.url.is_empty() {
        true => Err("okta needs a URL: --url https://NAME.okta.com"),
        false if others.iter().any(|one| !one.is_empty()) => {
            Err("okta takes a URL and an API token, and no client id, tenant or login URL")
        }
        false if draft.secret.contains(char::is_whitespace) => {
            Err("the secret is not an API token of Okta: that is one word")
        }
        false => Ok(draft),
    }
}

/// The log of one organization.
#[derive(Debug)]
pub(crate) struct OktaFeed {
    connection: Connection,
}

impl OktaFeed {
    /// Over this connection: its secret is an API token.
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    fn origin(&self) -> &str {
        &self.connection.settings.url
    }

    /// Path and query of the `next` link, where it is one of this organization's log.
    fn next(&self, reply: &Reply) -> Result<Option<String>, FetchError> {
        let links = reply.all("link").flat_map(split_links);
        let Some(url) = links.into_iter().find_map(next_url) else {
            return Ok(None);
        };
        let cursor = url.strip_prefix(self.origin()).unwrap_or_default();
        let is_log = cursor
            .strip_prefix(PATH)
            .is_some_and(|rest| rest.starts_with('?'));
        if !is_log
            || cursor.len() > CURSOR_BYTES_MAX
            || !cursor.bytes().all(|b| b.is_ascii_graphic())
        {
            return Err(FetchError::Broken {
                what: "names a next page that is not this organization's log",
            });
        }
        Ok(Some(cursor.to_owned()))
    }
}

/// The values of one `Link` header: RFC 8288. Addresses may hold commas; the brackets around them may not be in them.
fn split_links(header: &str) -> Vec<&str> {
    header.split(", <").collect()
}

/// The address of a link with `rel="next"`.
fn next_url(link: &str) -> Option<&str> {
    let (url, parameters) = link.split_once('>')?;
    let is_next = parameters.split(';').any(|one| {
        let (name, value) = one.trim().split_once('=').unwrap_or_default();
        name.eq_ignore_ascii_case("rel") && value.trim_matches('"').eq_ignore_ascii_case("next")
    });
    is_next.then(|| url.trim().trim_start_matches('<'))
}

fn time(time_ms: i64) -> String {
    encode(&tocsin_proto::json::format_time_ms(time_ms.max(1)).unwrap_or_default())
}

impl MfaFeed for OktaFeed {
    fn begin(&self, since_ms: i64, _now_ms: i64) -> String {
        let since = time(since_ms);
        format!("{PATH}?since={since}&limit={LIMIT}&sortOrder=ASCENDING")
    }

    fn newest(&self, now_ms: i64) -> String {
        let since = time(now_ms.saturating_sub(LOOK_BACK_MS));
        format!("{PATH}?since={since}&limit={LOOK}&sortOrder=DESCENDING")
    }

    fn ask(&self, cursor: &str, _now_ms: i64) -> Option<Ask> {
        let token = self.connection.secret.text();
        Some(Ask {
            url: format!("{}{cursor}", self.origin()),
            headers: vec![
                ("accept", "application/json".to_owned()),
                ("authorization", format!("SSWS {token}")),
            ],
            form: None,
        })
    }

    fn page(&self, cursor: &str, reply: Reply, now_ms: i64) -> Result<Page, FetchError> {
        if reply.status != 200 {
            return Err(refusal(cursor, &reply, now_ms));
        }
        let next = self.next(&reply)?;
        whole(&reply.body)?;
        let records: Vec<IgnoredAny> =
            serde_json::from_slice(&reply.body).map_err(|_| FetchError::Broken {
                what: "is not a list of events",
            })?;
        Ok(Page {
            has_more: !records.is_empty(),
            complete_until_ms: if records.is_empty() { now_ms } else { 0 },
            wait: near_limit(&reply, now_ms),
            body: reply.body,
            next,
        })
    }

    fn interval(&self) -> Duration {
        INTERVAL
    }
}

/// How long to wait where a tenth of the limit or less is left: the rest is for the organization's other programs.
fn near_limit(reply: &Reply, now_ms: i64) -> Option<Duration> {
    let limit = reply.number("x-rate-limit-limit")?;
    let left = reply.number("x-rate-limit-remaining")?;
    let is_near = limit > 0 && left <= limit / 10;
    is_near.then(|| until_reset(reply, reply.number("x-rate-limit-reset"), now_ms))
}

fn refusal(cursor: &str, reply: &Reply, now_ms: i64) -> FetchError {
    let error = reply.json();
    let field = |name: &str| error.as_ref()?.get(name)?.as_str();
    let said = said([field("errorCode"), field("errorSummary")]);
    match reply.status {
        401 => FetchError::Refused {
            what: format!(
                "Okta does not accept the token{said}. Tokens end 30 days after their last use, and with the administrator \
                 who made them: make a new one, remove this feed and add it anew"
            ),
        },
        403 => FetchError::Refused {
            what: format!(
                "Okta does not let this token read the System Log{said}. It has the rights of the administrator who made it: \
                 that must be a read-only or report administrator at least, and allow this server's address"
            ),
        },
        429 => FetchError::Limited {
            wait: until_reset(reply, reply.number("x-rate-limit-reset"), now_ms),
        },
        // A place of Okta's own making that it does not take any more.
        400 | 404 | 410 if cursor.contains("after=") => FetchError::CursorLost,
        300..=399 => FetchError::Refused {
            what: "Okta answers with another address: give the organization's own as the URL, https://NAME.okta.com"
                .to_owned(),
        },
        status => FetchError::Unavailable { status, said },
    }
}

#[cfg(test)]
mod tests;
