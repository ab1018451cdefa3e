//! What correlation reads: one person's stored MFA events and what is known of their endpoints.
//!
//! Everything here is plain data that the server stores as JSON, so a field is only ever added, with a
//! default. Values are already cleaned by the feed that parsed them: literal `"unknown"`, `"-"` and
//! `"null"` are absent, logins are folded, countries are ISO 3166 codes where the name is known. Text
//! stays foreign text. Nothing here says when Tocsin itself received or did something.

use core::net::IpAddr;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tocsin_proto::id::{EndpointId, IdentityId, MfaEventId};

use crate::baseline::Baseline;
use crate::directory::SignInDirectory;
use crate::fact::EndpointFacts;
pub use crate::provider::Provider;
pub use crate::weights::WeightsVersion;

/// MFA events of one person that are looked at; where there are more, the newest. A person who signs in
/// fifty times a day reaches it in about a year.
pub const EVENTS_MAX: usize = 20_000;

/// An account at a provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountKey {
    /// Whose account it is.
    pub provider: Provider,
    /// The provider's own id of the account; empty where a record does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub provider_id: String,
    /// Mail address, UPN or short name, case-folded; empty where it is unknown or was redacted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub login: String,
}

/// Who did something to an account, where it was not the account itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Actor {
    /// The provider's word for what it is: "User", "SystemPrincipal", ...
    pub kind: String,
    /// The provider's id of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub provider_id: String,
    /// Login, case-folded.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub login: String,
}

/// What an MFA event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MfaEventKind {
    /// The password was right; a second factor is still to come.
    PasswordAccepted,
    /// The first step failed: wrong password, or locked.
    PrimaryFailed,
    /// The provider's policy asks for a further step.
    ChallengeRequired,
    /// The provider's policy refused the sign-in.
    PolicyDenied,
    /// A prompt was sent to one device.
    PromptSent,
    /// A factor was answered rightly.
    Approved,
    /// The person refused the prompt.
    Denied,
    /// Nobody answered the prompt.
    Unanswered,
    /// Whoever asked for the prompt went away.
    Abandoned,
    /// The person answered the prompt with a report of fraud.
    FraudReported,
    /// The wrong number was chosen in a number challenge.
    WrongNumber,
    /// A code was wrong.
    WrongCode,
    /// The prompt could not be answered because the app must be updated.
    UpgradeNeeded,
    /// The authenticator itself refused because the sign-in page was not the real one.
    PhishingBlocked,
    /// The step failed without anybody's decision.
    Error,
    /// A factor was enrolled.
    FactorEnrolled,
    /// A factor was changed.
    FactorUpdated,
    /// A factor was removed or suspended.
    FactorRemoved,
    /// All factors were reset.
    FactorReset,
    /// A device was registered for the account.
    DeviceEnrolled,
    /// A code or pass that stands in for a factor was issued.
    BypassIssued,
    /// Somebody tried to get around the factor.
    BypassAttempted,
    /// A session began.
    SessionStarted,
    /// A session went on from somewhere else.
    SessionMoved,
    /// Sessions were ended by an administrator or a policy.
    SessionRevoked,
    /// An application was opened.
    AppAccess,
    /// The provider's own administration was opened.
    AdminAccess,
    /// The account got administrative rights.
    PrivilegeGranted,
    /// The password was reset.
    PasswordReset,
    /// The password was changed by its owner.
    PasswordChanged,
    /// The account was locked.
    AccountLocked,
    /// The person reported activity that was not theirs, outside of a prompt.
    SuspiciousReported,
    /// The provider raised the account's risk.
    RiskReported,
}

impl MfaEventKind {
    /// The answer to a prompt, of whatever kind.
    pub fn is_answer(self) -> bool {
        matches!(
            self,
            Self::Approved
                | Self::Denied
                | Self::Unanswered
                | Self::Abandoned
                | Self::FraudReported
                | Self::WrongNumber
                | Self::WrongCode
                | Self::UpgradeNeeded
                | Self::PhishingBlocked
                | Self::Error
        )
    }

    /// What changes how the account can be signed in to.
    pub fn is_factor_change(self) -> bool {
        matches!(
            self,
            Self::FactorEnrolled
                | Self::FactorUpdated
                | Self::FactorRemoved
                | Self::FactorReset
                | Self::DeviceEnrolled
                | Self::BypassIssued
        )
    }

    /// A change to the ways of signing in, for a sentence.
    pub(crate) fn happened(self) -> &'static str {
        match self {
            Self::FactorEnrolled => "a factor was enrolled",
            Self::DeviceEnrolled => "a device was enrolled",
            Self::FactorRemoved => "a factor was removed",
            Self::FactorReset => "all factors were reset",
            Self::BypassIssued => "a bypass was issued",
            _ => "a factor was changed",
        }
    }
}

/// How a person proves it is them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Factor {
    /// A prompt on a phone.
    Push,
    /// A text message.
    Sms,
    /// A voice call.
    Voice,
    /// A mail.
    Email,
    /// A code from an app.
    Totp,
    /// A passkey or security key.
    Webauthn,
    /// A key bound to the signing-in device.
    DeviceBound,
    /// A hardware token's code.
    HardwareToken,
    /// A security question.
    SecurityQuestion,
    /// A code that stands in for a factor.
    BypassCode,
    /// One that another provider asks for: its own record of it tells more.
    External,
    /// Something else.
    Other,
}

impl Factor {
    /// Its word, in JSON and on screens.
    pub fn word(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Sms => "sms",
            Self::Voice => "voice",
            Self::Email => "email",
            Self::Totp => "totp",
            Self::Webauthn => "webauthn",
            Self::DeviceBound => "device_bound",
            Self::HardwareToken => "hardware_token",
            Self::SecurityQuestion => "security_question",
            Self::BypassCode => "bypass_code",
            Self::External => "external",
            Self::Other => "other",
        }
    }
}

/// Where an address lies, as the provider says; the country by the operator's file where it does not.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// ISO 3166 alpha-2, or the provider's name where no code is known for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// State or province.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// City.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
}

/// Where an event came from: the machine that signs in, not the phone that answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// Address, as the provider saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// Where that address lies.
    #[serde(default)]
    pub place: Place,
    /// Autonomous system it belongs to, by the operator's file where the provider does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// Who runs that system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_org: Option<String>,
    /// Whether the provider takes it for a proxy or anonymizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_proxy: Option<bool>,
    /// User agent as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Operating system, as the provider read it from the user agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Browser, as the provider read it from the user agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub browser: Option<String>,
    /// The provider's binding of a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// A token that the provider keeps in the browser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_token: Option<String>,
    /// A fingerprint of the browser; two machines may share one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_fingerprint: Option<String>,
}

/// What tells which events belong to one sign-in. None of them alone does.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FlowIds {
    /// One request at the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
    /// One authentication request of an application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<String>,
    /// One session; often absent where a sign-in fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The session that a session came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_session: Option<String>,
}

/// What the provider itself found new for this person. It learns from successes, an attacker's too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Novelty {
    /// A device not seen before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<bool>,
    /// An address not seen before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<bool>,
    /// A location not seen before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<bool>,
    /// Faster than anybody travels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub velocity: Option<bool>,
}

impl Novelty {
    /// Whether it says anything.
    pub fn is_silent(&self) -> bool {
        *self == Self::default()
    }
}

/// Risk that a provider states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
}

/// A normalized record of an identity provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MfaEvent {
    /// From the provider and its own id of the record.
    pub id: MfaEventId,
    /// Who wrote the record.
    pub provider: Provider,
    /// When it happened, by the provider's clock, Unix milliseconds.
    pub time_ms: i64,
    /// What it says.
    pub kind: MfaEventKind,
    /// The account it is about.
    pub account: AccountKey,
    /// The account's display name, where the record has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Who did it, where that is not the account itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// Where it came from.
    #[serde(default)]
    pub origin: Origin,
    /// Where the session had been, for a session that moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_ip: Option<IpAddr>,
    /// Which factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<Factor>,
    /// What the sign-in is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// What it belongs to.
    #[serde(default)]
    pub flow: FlowIds,
    /// What the provider found new.
    #[serde(default)]
    pub novelty: Novelty,
    /// Risk that the provider stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// The provider's reason or remark, short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl MfaEvent {
    /// Whether somebody else than the account's owner did it.
    pub fn is_by_other(&self) -> bool {
        self.actor.is_some()
    }
}

/// The person whose events are looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// See [`crate::identity_id`].
    pub id: IdentityId,
    /// How to call them; empty where no record has a name.
    #[serde(default)]
    pub display_name: String,
    /// Their accounts.
    pub accounts: Vec<AccountKey>,
    /// Whether records that are no more showed administrative rights.
    #[serde(default)]
    pub privileged: bool,
    /// Whether somebody said that they hold such rights.
    #[serde(default)]
    pub said_privileged: bool,
}

/// A stretch of time, Unix milliseconds, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimeSpan {
    /// Its beginning.
    pub from_ms: i64,
    /// Its end.
    pub until_ms: i64,
}

impl TimeSpan {
    /// Whether they have an instant in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.from_ms <= other.until_ms && other.from_ms <= self.until_ms
    }

    /// Whether `other` lies in it entirely.
    pub fn contains(self, other: Self) -> bool {
        self.from_ms <= other.from_ms && other.until_ms <= self.until_ms
    }
}

/// Telemetry that an endpoint lost.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TelemetryGap {
    /// When.
    pub span: TimeSpan,
    /// What was lost and why, as a person would say it: "process events, sensor overflow".
    pub what: String,
}

/// An endpoint on which the person has an account, and what its stored events say about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkedEndpoint {
    /// Which one.
    pub id: EndpointId,
    /// As it calls itself.
    pub hostname: String,
    /// Nothing but the endpoint's own word says that the account is the person's: an import names it for whichever
    /// endpoint has it. Whoever is root there can have any account, so `here` earns no benign credit.
    #[serde(default)]
    pub is_claimed: bool,
    /// In which time the machine was this endpoint, where it was another one before or is another one now: enrolled
    /// anew, a machine is another endpoint. Attempts at other times are not looked for on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands: Option<TimeSpan>,
    /// Whether its agent sends network flows at all.
    #[serde(default)]
    pub sends_flows: bool,
    /// When its agent is known to have been running, from its stored events. Any order.
    #[serde(default)]
    pub reporting: Vec<TimeSpan>,
    /// What it lost. Any order.
    #[serde(default)]
    pub gaps: Vec<TelemetryGap>,
    /// What its events say around the person's sign-ins.
    #[serde(default)]
    pub facts: EndpointFacts,
}

impl LinkedEndpoint {
    /// Whether the machine was this endpoint in some of this time.
    pub fn stands_in(&self, span: TimeSpan) -> bool {
        self.stands.is_none_or(|stands| stands.overlaps(span))
    }
}

/// All that [`crate::correlate`] reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Whose events they are.
    pub identity: Person,
    /// All stored MFA events of the person, in any order, repeated or not.
    pub mfa_events: Vec<MfaEvent>,
    /// Endpoints on which the person has an account.
    #[serde(default)]
    pub endpoints: Vec<LinkedEndpoint>,
    /// Time of the newest stored event of each provider, over all people: by it a prompt is known to be
    /// unanswered. A function of what is stored, so the order of arrival does not matter.
    #[serde(default)]
    pub observed_until_ms: BTreeMap<Provider, i64>,
    /// What was usual for the person before the oldest event, where older ones are gone.
    #[serde(default)]
    pub baseline: Baseline,
    /// Where sign-ins go: the built-in table, with what the operator adds.
    #[serde(default)]
    pub directory: SignInDirectory,
    /// Outages of providers, as the failures of all people show them: see [`crate::outages`].
    #[serde(default)]
    pub outages: Vec<crate::outage::Outage>,
    /// Which weights to use.
    #[serde(default)]
    pub weights: WeightsVersion,
}

/// Sorts, drops repeats and keeps the newest [`EVENTS_MAX`], so that no order of arrival shows.
///
/// Two different records with one id should not exist; where they do, the lesser by value wins, which
/// is arbitrary but the same for every order. Returns the events and how many were left out.
pub(crate) fn normalize(events: &[MfaEvent]) -> (Vec<&MfaEvent>, usize) {
    let mut by_id: Vec<&MfaEvent> = events.iter().collect();
    by_id.sort_unstable_by(|a, b| a.id.cmp(&b.id).then_with(|| a.cmp(b)));
    by_id.dedup_by_key(|event| event.id);
    by_id.sort_unstable_by_key(|event| (event.time_ms, event.kind, event.id));
    let left_out = by_id.len().saturating_sub(EVENTS_MAX);
    by_id.drain(..left_out);
    (by_id, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::Story;

    #[test]
    fn order_and_repeats_do_not_show() {
        let story = Story::new()
            .usual_sign_ins(3)
            .at("2026-03-10 09:00")
            .prompt()
            .denied();
        let events = story.events();
        let mut other: Vec<_> = events.iter().rev().cloned().collect();
        other.extend(events.iter().cloned());
        assert_eq!(normalize(&events), normalize(&other));
        assert_eq!(normalize(&other).0.len(), events.len());
    }

    #[test]
    fn two_records_with_one_id_give_the_same_one_in_any_order() {
        let story = Story::new().at("2026-03-10 09:00").prompt();
        let first = story.events().remove(0);
        let mut second = first.clone();
        second.detail = Some("another".into());
        let one_way = [first.clone(), second.clone()];
        let other_way = [second, first];
        assert_eq!(normalize(&one_way), normalize(&other_way));
    }

    #[test]
    fn the_newest_are_kept_and_the_rest_is_counted() {
        let first = Story::new()
            .at("2026-03-10 09:00")
            .prompt()
            .events()
            .remove(0);
        let events: Vec<_> = (0..EVENTS_MAX as u64 + 5)
            .map(|n| MfaEvent {
                id: MfaEventId::derive(&[&n.to_be_bytes()]),
                time_ms: i64::try_from(n).unwrap(),
                ..first.clone()
            })
            .collect();
        let (kept, left_out) = normalize(&events);
        assert_eq!((kept.len(), left_out), (EVENTS_MAX, 5));
        assert_eq!(kept.first().map(|event| event.time_ms), Some(5));
    }

    #[test]
    fn an_event_goes_to_json_and_back() {
        for event in Story::new().usual_sign_ins(2).events() {
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<MfaEvent>(&text).unwrap(), event);
            assert!(!text.contains("null"), "what is absent is left out: {text}");
        }
    }

    #[test]
    fn a_record_of_an_earlier_version_still_reads() {
        let text = r#"{"id":"00000000-0000-8000-8000-000000000000","provider":"okta","time_ms":1,
            "kind":"prompt_sent","account":{"provider":"okta","login":"dana@example.com"}}"#;
        let event: MfaEvent = serde_json::from_str(text).unwrap();
        assert_eq!(event.origin, Origin::default());
    }
}
