//! Okta's System Log API, as <https://developer.okta.com/docs/reference/system-log-query/> has it.
//!
//! A polling request (no `until`, ascending) gives events in the order in which they were stored, which need not be that of
//! `published`; its `Link` header always has a next page. `since` and `after` exclude each other. Rows never move: a cursor
//! is the number of rows before it.

use serde_json::{Value, json};

use super::{Answer, Api, Fault, Question, now_s};

/// The API of one organization.
#[derive(Debug, Default)]
pub struct OktaApi {
    /// Origin, as it stands in links.
    pub url: String,
    /// The token that is accepted.
    pub token: String,
    /// Rows in the order in which they were stored.
    pub log: Vec<Value>,
    /// Rows of a page at most, whatever is asked for.
    pub page_rows_max: usize,
    /// Pages that were given out.
    pub pages: u64,
    /// What was asked and is against the documentation.
    pub wrong: Vec<String>,
}

impl OktaApi {
    /// The API over a log.
    pub fn new(token: &str, log: Vec<Value>, page_rows_max: usize) -> Self {
        Self {
            token: token.to_owned(),
            log,
            page_rows_max,
            ..Self::default()
        }
    }

    fn error(status: u16, code: &str, summary: &str) -> Answer {
        let body = json!({
            "errorCode": code,
            "errorSummary": summary,
            "errorLink": code,
            "errorId": "oaeExample",
            "errorCauses": [],
        });
        Answer {
            status,
            headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body: body.to_string(),
        }
    }

    /// Where a page begins and what it is sorted by; what is wrong with the question.
    fn place(&self, question: &Question) -> Result<(usize, bool), &'static str> {
        let descending = question.query("sortOrder") == Some("DESCENDING");
        match (question.query("since"), question.query("after")) {
            (Some(_), Some(_)) => Err("since and after are mutually exclusive"),
            (None, Some(after)) => {
                let rows = after.rsplit_once('_').and_then(|(_, n)| n.parse().ok());
                rows.map(|rows| (rows, descending))
                    .ok_or("after is not one")
            }
            (Some(since), None) => {
                let from = |row: &Value| row["published"].as_str().unwrap_or_default() >= since;
                let rows = self.log.iter().position(from);
                Ok((rows.unwrap_or(self.log.len()), descending))
            }
            (None, None) => Ok((0, descending)),
        }
    }
}

impl Api for OktaApi {
    fn answer(&mut self, question: &Question, fault: Option<Fault>) -> Answer {
        if question.header("authorization") != Some(&format!("SSWS {}", self.token)) {
            return Self::error(401, "E0000011", "Invalid token provided");
        }
        if question.method != "GET" || question.path != "/api/v1/logs" {
            self.wrong
                .push(format!("{} {}", question.method, question.path));
            return Self::error(
                404,
                "E0000022",
                "The endpoint does not support the provided HTTP method",
            );
        }
        if question.query("until").is_some() {
            self.wrong
                .push("until bounds the query: late events are missed".to_owned());
        }
        let reset = [
            ("X-Rate-Limit-Limit", "120".to_owned()),
            (
                "X-Rate-Limit-Remaining",
                if fault == Some(Fault::Limited) {
                    "0"
                } else {
                    "119"
                }
                .to_owned(),
            ),
            ("X-Rate-Limit-Reset", (now_s() + 2).to_string()),
        ];
        let reset = reset.map(|(name, value)| (name.to_owned(), value));
        let has_after = question.query("after").is_some();
        let mut answer = match fault {
            Some(Fault::Limited) => Self::error(
                429,
                "E0000047",
                "API call exceeded rate limit due to too many requests.",
            ),
            Some(Fault::Down) => Answer {
                status: 503,
                headers: Vec::new(),
                body: "<html><body>Service Unavailable</body></html>".to_owned(),
            },
            Some(Fault::Forgotten) if has_after => {
                Self::error(400, "E0000031", "Invalid search criteria.")
            }
            _ => match self.place(question) {
                Ok((from, descending)) => self.page(question, (from, descending), fault),
                Err(what) => {
                    self.wrong.push(what.to_owned());
                    Self::error(400, "E0000001", what)
                }
            },
        };
        answer.headers.extend(reset);
        answer
    }
}

impl OktaApi {
    fn page(
        &mut self,
        question: &Question,
        (from, descending): (usize, bool),
        fault: Option<Fault>,
    ) -> Answer {
        let asked = question.query("limit").and_then(|limit| limit.parse().ok());
        let limit = asked.unwrap_or(100).min(self.page_rows_max).min(1000);
        let from = from.min(self.log.len());
        let until = (from + limit).min(self.log.len());
        let mut rows: Vec<&Value> = match descending {
            true => self.log.iter().rev().take(limit).collect(),
            false => self
                .log
                .get(from..until)
                .unwrap_or_default()
                .iter()
                .collect(),
        };
        if fault == Some(Fault::Repeated) {
            let before = self.log.get(from.saturating_sub(limit)..from);
            rows.extend(before.unwrap_or_default());
            rows.reverse();
        }
        self.pages += 1;
        let self_link = format!(
            "<{}{}?{}>; rel=\"self\"",
            self.url, question.path, question.raw_query
        );
        let next = format!(
            "<{}{}?after={}_{until}&limit={}&sortOrder=ASCENDING>; rel=\"next\"",
            self.url,
            question.path,
            now_s(),
            asked.unwrap_or(100),
        );
        Answer {
            status: 200,
            headers: vec![
                ("Content-Type".to_owned(), "application/json".to_owned()),
                ("Link".to_owned(), self_link),
                ("Link".to_owned(), next),
            ],
            body: serde_json::to_string(&rows).unwrap_or_default(),
        }
    }
}
