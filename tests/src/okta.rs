//! Records in the documented shapes of Okta's System Log, made by code: nothing here is anybody's data.
//!
//! Both engines are spoken. *Identity Engine* writes `user.authentication.auth_via_mfa` for the password and for
//! the answer to a prompt, a denial being `FAILURE` with reason `INVALID_CREDENTIALS`; *Classic* writes
//! `user.mfa.okta_verify.deny_push` for a denial and no row for the password. An ignored prompt leaves only its
//! `system.push.send_factor_verify_push`, unless the organization has the early-access outcome `UNANSWERED`.
//! A prompt is one row per registered device. The same calls give the same records, byte for byte.

use data_encoding::HEXLOWER;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

mod record;

use record::*;

const SECOND_MS: i64 = 1000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Which of Okta's two engines wrote the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Okta Identity Engine.
    Identity,
    /// Okta Classic.
    Classic,
}

/// An account.
#[derive(Debug, Clone)]
pub struct Person {
    /// Okta's id of the user.
    pub id: String,
    /// Login, a mail address.
    pub login: String,
    /// Display name.
    pub name: String,
    /// Devices on which a prompt appears.
    pub devices: u8,
}

impl Person {
    /// The person with this login; all else follows from it.
    pub fn new(login: &str, name: &str) -> Self {
        Self {
            id: format!("00u{}", &hex(&[login.as_bytes()])[..17]),
            login: login.to_owned(),
            name: name.to_owned(),
            devices: 1,
        }
    }
}

/// Where a sign-in came from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Client address.
    pub ip: String,
    /// City.
    pub city: &'static str,
    /// Country, by its full English name as Okta has it.
    pub country: &'static str,
    /// Number and name of the autonomous system.
    pub network: (u32, &'static str),
    /// Raw user agent, operating system, browser.
    pub client: (&'static str, &'static str, &'static str),
    /// Whether Okta calls place and device new.
    pub is_new: bool,
    /// Okta's own id of the machine, where it has registered it.
    pub device: Option<String>,
}

impl Origin {
    /// A person's usual place: an office in Munich. Addresses are of the range for documentation.
    pub fn office(host: u8) -> Self {
        Self {
            ip: format!("198.51.100.{host}"),
            city: "Munich",
            country: "Germany",
            network: (64_496, "Example Telecom"),
            client: (
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                "Linux",
                "FIREFOX",
            ),
            is_new: false,
            device: None,
        }
    }

    /// A place nobody uses: a hoster in Bucharest.
    pub fn hoster(host: u8) -> Self {
        Self {
            ip: format!("203.0.113.{host}"),
            city: "Bucharest",
            country: "Romania",
            network: (64_500, "Example Hosting"),
            client: (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
                "Windows 10",
                "CHROME",
            ),
            is_new: true,
            device: None,
        }
    }
}

/// What the person did with a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Approved it.
    Approved,
    /// Denied it.
    Denied,
    /// Nothing; the log has no row for that.
    Ignored,
    /// Nothing, and the organization has the outcome `UNANSWERED` (Identity Engine).
    Unanswered,
    /// Typed or chose the wrong number.
    WrongNumber,
}

/// A System Log.
#[derive(Debug, Clone)]
pub struct Log {
    engine: Engine,
    seed: String,
    rows: Vec<Value>,
}

/// What the rows of one HTTP request have in common.
struct Request<'a> {
    person: &'a Person,
    origin: &'a Origin,
    attempt: String,
    transaction: String,
    session: Option<&'a str>,
}

/// What one row adds.
struct Row<'a> {
    time_ms: i64,
    event_type: &'a str,
    message: &'a str,
    outcome: (&'a str, Option<&'a str>),
    debug: Value,
    target: Value,
}

impl Log {
    /// An empty log. Two logs with different seeds share no ids.
    pub fn new(engine: Engine, seed: &str) -> Self {
        Self {
            engine,
            seed: seed.to_owned(),
            rows: Vec::new(),
        }
    }

    /// One sign-in: password, prompt, answer and, where approved, the session.
    pub fn sign_in(&mut self, person: &Person, origin: &Origin, time_ms: i64, answer: Answer) {
        let attempt = self.hex("attempt");
        let session = format!("102{}", &attempt[..19]);
        let asked = self.request(person, origin, &attempt, None);
        if self.engine == Engine::Identity {
            self.push(&asked, &password(time_ms));
        }
        for device in 0..person.devices {
            let row = prompt(time_ms + 400 + i64::from(device) * 300, person, device);
            self.push(&asked, &row);
        }
        let answered = self.request(
            person,
            origin,
            &attempt,
            (answer == Answer::Approved).then_some(&session),
        );
        if let Some(row) = self.answer(time_ms, answer) {
            self.push(&answered, &row);
        }
        if answer == Answer::Approved {
            for row in session_rows(time_ms + 9 * SECOND_MS) {
                self.push(&answered, &row);
            }
        }
    }

    fn answer(&self, time_ms: i64, answer: Answer) -> Option<Row<'static>> {
        let classic = self.engine == Engine::Classic;
        let (delay_ms, event_type, outcome, response) = match answer {
            Answer::Ignored => return None,
            Answer::Unanswered => (300 * SECOND_MS, MFA, ("UNANSWERED", None), None),
            Answer::Approved => (
                8 * SECOND_MS,
                MFA,
                ("SUCCESS", None),
                Some("OV_RESPONSE_APPROVE"),
            ),
            Answer::Denied if classic => (
                11 * SECOND_MS,
                "user.mfa.okta_verify.deny_push",
                ("FAILURE", None),
                None,
            ),
            Answer::Denied => (
                11 * SECOND_MS,
                MFA,
                ("FAILURE", Some("INVALID_CREDENTIALS")),
                Some("OV_RESPONSE_DENY"),
            ),
            Answer::WrongNumber => (
                14 * SECOND_MS,
                MFA,
                ("FAILURE", Some("INVALID_CREDENTIALS")),
                Some("OV_WITH_CHALLENGE_RESPONSE_INVALID"),
            ),
        };
        let mut debug = json!({ "factor": "OKTA_VERIFY_PUSH", "factorIntent": "LOGIN" });
        if let Some(response) = response {
            let key = if response.starts_with("OV_WITH") {
                "pushWithNumberChallengeResponseType"
            } else {
                "pushOnlyResponseType"
            };
            debug[key] = json!(response);
        }
        Some(Row {
            time_ms: time_ms + delay_ms,
            event_type,
            message: "Authentication of user via MFA",
            outcome,
            debug,
            target: json!([]),
        })
    }

    /// The person, or who has their session, enrols a new Okta Verify device.
    pub fn new_factor(&mut self, person: &Person, origin: &Origin, time_ms: i64) {
        let attempt = self.hex("enrolment");
        let request = self.request(person, origin, &attempt, Some("102enrolment"));
        let row = Row {
            time_ms,
            event_type: "user.mfa.factor.activate",
            message: "Activate factor for user",
            outcome: ("SUCCESS", Some("User set up OKTA_VERIFY_PUSH factor")),
            debug: json!({ "factor": "OKTA_VERIFY_PUSH" }),
            target: json!([user(person)]),
        };
        self.push(&request, &row);
    }

    /// The person reports what happened as suspicious.
    pub fn report(&mut self, person: &Person, time_ms: i64) {
        let attempt = self.hex("report");
        let origin = Origin::office(7);
        let request = self.request(person, &origin, &attempt, None);
        let row = Row {
            time_ms,
            event_type: "user.account.report_suspicious_activity_by_enduser",
            message: "User report suspicious activity",
            outcome: ("SUCCESS", None),
            debug: json!({ "suspiciousActivityEventType": "system.push.send_factor_verify_push" }),
            target: json!([user(person)]),
        };
        self.push(&request, &row);
    }

    /// Ordinary work days before `end_ms`: two or three approved sign-ins each, from the usual place.
    pub fn history(&mut self, person: &Person, origin: &Origin, days: u16, end_ms: i64) {
        let mut chance = self.chance(&person.login);
        let last_day = end_ms - end_ms.rem_euclid(DAY_MS);
        for day in (1..=i64::from(days)).rev() {
            let midnight = last_day - day * DAY_MS;
            // Day 0 of Unix time was a Thursday.
            if matches!((midnight / DAY_MS).rem_euclid(7), 2 | 3) {
                continue;
            }
            for hour in [7, 12, 15].into_iter().take(chance.random_range(2..=3)) {
                let time_ms = midnight + hour * HOUR_MS + chance.random_range(0..HOUR_MS);
                if chance.random_ratio(1, 40) {
                    self.sign_in(person, origin, time_ms - 30 * SECOND_MS, Answer::Denied);
                }
                self.sign_in(person, origin, time_ms, Answer::Approved);
            }
        }
    }

    /// The attack that the product is for: 17 prompts in 40 minutes, of which 7 are denied, 9 ignored and the
    /// last one approved; then a new factor. The last record is at `end_ms`.
    pub fn fatigue(&mut self, person: &Person, origin: &Origin, end_ms: i64) {
        use Answer::{Approved, Denied, Ignored, Unanswered};
        let silent = if self.engine == Engine::Identity {
            Unanswered
        } else {
            Ignored
        };
        let answers = [
            Denied, Ignored, Denied, silent, Denied, Ignored, silent, Denied, Ignored, Denied,
            Ignored, silent, Denied, Ignored, Denied, Ignored, Approved,
        ];
        let factor_ms = 3 * MINUTE_MS;
        let begin = end_ms - factor_ms - 40 * MINUTE_MS;
        for (step, answer) in (0..).zip(answers) {
            // 2.5 minutes apart, but not by the clock: 0 to 40 s around.
            let around = (step * 7919) % 40 * SECOND_MS;
            let time_ms = if answer == Approved {
                end_ms - factor_ms
            } else {
                begin + step * 150 * SECOND_MS + around
            };
            self.sign_in(person, origin, time_ms, answer);
        }
        self.new_factor(person, origin, end_ms);
    }

    /// The records, ordered as Okta publishes them.
    pub fn records(&self) -> Vec<Value> {
        let mut rows = self.rows.clone();
        rows.sort_by_key(|row| row["published"].as_str().map(ToOwned::to_owned));
        rows
    }

    fn request<'a>(
        &mut self,
        person: &'a Person,
        origin: &'a Origin,
        attempt: &str,
        session: Option<&'a str>,
    ) -> Request<'a> {
        Request {
            person,
            origin,
            attempt: attempt.to_owned(),
            transaction: format!("Z{}", &self.hex("transaction")[..26]),
            session,
        }
    }

    /// An id that this log has not given yet.
    fn hex(&self, kind: &str) -> String {
        // Unique without a counter: no two ids are made between the same two rows with the same kind.
        hex(&[
            self.seed.as_bytes(),
            kind.as_bytes(),
            &self.rows.len().to_be_bytes(),
        ])
    }

    fn chance(&self, what: &str) -> StdRng {
        let digest = Sha256::digest(format!("{}/{what}", self.seed));
        StdRng::from_seed(digest.into())
    }

    fn push(&mut self, request: &Request<'_>, row: &Row<'_>) {
        let id = self.hex("record");
        let uuid = format!(
            "{}-{}-11f0-{}-{}",
            &id[..8],
            &id[8..12],
            &id[12..16],
            &id[16..28]
        );
        let record = record(self.engine, &uuid, request, row);
        self.rows.push(record);
    }
}

/// A file with one JSON array.
pub fn array(records: &[Value]) -> String {
    Value::from(records).to_string()
}

/// A file with one record a line.
pub fn lines(records: &[Value]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}

/// A file as an event hook delivers it.
pub fn envelope(records: &[Value]) -> String {
    let hook = json!({
        "eventType": "com.okta.event_hook",
        "eventTypeVersion": "1.0",
        "cloudEventsVersion": "0.1",
        "contentType": "application/json",
        "data": { "events": records },
    });
    hook.to_string()
}

/// The records in an order of chance, the same for the same seed.
pub fn shuffled(records: &[Value], seed: u64) -> Vec<Value> {
    let mut records = records.to_vec();
    records.shuffle(&mut StdRng::seed_from_u64(seed));
    records
}

fn hex(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    HEXLOWER.encode(&hash.finalize())
}

fn time(time_ms: i64) -> String {
    tocsin_proto::json::format_time_ms(time_ms).unwrap_or_default()
}

#[cfg(test)]
mod tests;
