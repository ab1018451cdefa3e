//! MFA events -> attempts: one per sign-in, merged over devices and rows.
//!
//! ```text
//! 1 group   prompts that one push sent to several devices      (same request, or within 2 s)
//!           answers that one answer wrote into several rows    (same request, or within 2 s)
//! 2 pair    each answer with the prompt it answers: by the provider's ids, else by address and time
//! 3 join    rows that refer to another provider's prompt with its attempt ([`crate::external`])
//! 4 leave   an answer without a prompt is an attempt (codes, keys, providers that log no prompt);
//!           a prompt without an answer is unanswered five minutes later, by event time
//! ```
//!
//! Ids alone do not make an attempt: a session or an authentication request may hold many prompts, and a
//! failed sign-in often has no session at all. Two different sessions, accounts or factors never join.
//! Everything is a function of the sorted events, so no order of arrival shows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tocsin_proto::id::MfaEventId;

use crate::baseline::MINUTE_MS;
use crate::external::{is_external, join};
use crate::input::{AccountKey, Factor, MfaEvent, MfaEventKind, Novelty, Origin, Provider, Risk};

/// A push reaches all devices of a person within this time.
const SAME_PUSH_MS: i64 = 2_000;
/// Rows of one request at the provider lie within this time.
const SAME_REQUEST_MS: i64 = 5_000;
/// Rows of one sign-in lie within this time, at a provider that writes several: a retry of a code or of the
/// client. Who is asked again later is asked again.
const SAME_SIGN_IN_MS: i64 = 30_000;
/// A prompt without an answer is unanswered after this time. Providers end a prompt after 1 to 5 minutes.
pub(crate) const UNANSWERED_AFTER_MS: i64 = 5 * MINUTE_MS;
/// An answer that shares no id with its prompt comes within this time.
pub(crate) const ANSWER_MS_MAX: i64 = UNANSWERED_AFTER_MS + MINUTE_MS / 2;
/// An answer that shares an id with its prompt comes within this time.
const ANSWER_BY_ID_MS_MAX: i64 = 10 * MINUTE_MS;
/// Prompts before an answer that are looked at, newest first.
pub(crate) const PROMPTS_BEFORE_ANSWER_MAX: usize = 256;
/// Rows of the same sign-in, for what the prompt's own row does not say, lie within this time.
const NEIGHBOR_MS: i64 = 2 * MINUTE_MS;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptResult {
    /// A prompt was sent and may still be answered.
    Prompted,
    /// It succeeded.
    Approved,
    /// The person refused.
    Denied,
    /// Nobody answered.
    Unanswered,
    /// Whoever asked went away.
    Abandoned,
    /// The person reported fraud.
    FraudReported,
    /// The wrong number was chosen.
    WrongNumber,
    /// It failed without anybody's decision.
    Error,
}

impl AttemptResult {
    /// A prompt that did not lead to a sign-in, by the person's doing or not doing.
    pub(crate) fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::Denied
                | Self::Unanswered
                | Self::Abandoned
                | Self::FraudReported
                | Self::WrongNumber
        )
    }

    /// Where rows of one attempt disagree, the greater wins: what let somebody in first, then what the
    /// person said, then what happened by itself.
    fn precedence(self) -> u8 {
        match self {
            Self::Approved => 7,
            Self::FraudReported => 6,
            Self::Denied => 5,
            Self::WrongNumber => 4,
            Self::Abandoned => 3,
            Self::Unanswered => 2,
            Self::Error => 1,
            Self::Prompted => 0,
        }
    }

    fn of(kind: MfaEventKind) -> Option<Self> {
        Some(match kind {
            MfaEventKind::Approved => Self::Approved,
            MfaEventKind::Denied => Self::Denied,
            MfaEventKind::Unanswered => Self::Unanswered,
            MfaEventKind::Abandoned => Self::Abandoned,
            MfaEventKind::FraudReported => Self::FraudReported,
            MfaEventKind::WrongNumber => Self::WrongNumber,
            MfaEventKind::WrongCode
            | MfaEventKind::UpgradeNeeded
            | MfaEventKind::PhishingBlocked
            | MfaEventKind::Error => Self::Error,
            _ => return None,
        })
    }
}

/// All MFA events of one sign-in.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    /// In time order, never empty.
    pub events: Vec<&'a MfaEvent>,
    pub time_ms: i64,
    pub provider: Provider,
    pub factor: Option<Factor>,
    /// Of the sign-in, not of the phone: the prompt's where there is one.
    pub origin: Origin,
    pub novelty: Novelty,
    pub risk: Option<Risk>,
    pub application: Option<String>,
    pub result: AttemptResult,
    /// When it was answered, or became unanswered; `None` while open.
    pub result_time_ms: Option<i64>,
}

impl Attempt<'_> {
    pub(crate) fn id(&self) -> Option<MfaEventId> {
        self.events.first().map(|event| event.id)
    }

    pub(crate) fn has(&self, kind: MfaEventKind) -> bool {
        self.events.iter().any(|event| event.kind == kind)
    }

    /// When it ended, or began where it has not ended.
    pub(crate) fn end_ms(&self) -> i64 {
        self.result_time_ms.unwrap_or(self.time_ms)
    }
}

/// Makes attempts of a person's sorted events. `observed_until_ms` is the newest stored event of each
/// provider.
pub(crate) fn attempts<'a>(
    events: &[&'a MfaEvent],
    observed_until_ms: &BTreeMap<Provider, i64>,
) -> Vec<Attempt<'a>> {
    let prompts = group(
        events
            .iter()
            .copied()
            .filter(|e| e.kind == MfaEventKind::PromptSent),
    );
    let answers = group(events.iter().copied().filter(|e| e.kind.is_answer()));
    let neighbors = Neighbors::new(events);
    let passwords = events
        .iter()
        .copied()
        .filter(|e| e.kind == MfaEventKind::PasswordAccepted && is_external(e));
    let mut attempts: Vec<Attempt<'a>> = join(pair(prompts, answers), passwords)
        .into_iter()
        .filter_map(|rows| merge(rows, observed_until_ms, &neighbors))
        .collect();
    attempts.sort_by_key(|attempt| (attempt.time_ms, attempt.id()));
    attempts
}

/// Rows that say the same thing once.
pub(crate) type Group<'a> = Vec<&'a MfaEvent>;

fn start_ms(group: &Group<'_>) -> i64 {
    group.first().map_or(0, |event| event.time_ms)
}

/// Puts together what one push or one answer wrote into several rows. The time is counted from the first
/// row, so a quick series of prompts does not flow together.
fn group<'a>(rows: impl Iterator<Item = &'a MfaEvent>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut by_request = BTreeMap::new();
    let mut by_origin = BTreeMap::new();
    let mut by_sign_in = BTreeMap::new();
    for row in rows {
        let account = account_name(&row.account);
        let request = row
            .flow
            .transaction
            .as_deref()
            .map(|id| (row.provider, account, id));
        // Several rows of one failed answer may differ in what they say of it, and in the factor.
        let (outcome, factor) = match row.kind {
            MfaEventKind::PromptSent => (row.kind, row.factor),
            MfaEventKind::Approved => (row.kind, None),
            _ => (MfaEventKind::Error, None),
        };
        let sign_in = Some(row)
            .filter(|row| row.provider.writes_a_sign_in_in_rows())
            .and_then(|row| row.flow.authentication.as_deref());
        let own = sign_in.or_else(|| {
            let is_once = row.provider.writes_an_attempt_once();
            row.flow.transaction.as_deref().filter(|_| is_once)
        });
        let origin = (row.provider, account, outcome, factor, row.origin.ip, own);
        let sign_in = sign_in.map(|id| (row.provider, account, id));
        let near = |index: Option<&usize>, within_ms: i64| {
            index.copied().filter(|index| {
                groups
                    .get(*index)
                    .is_some_and(|g| row.time_ms - start_ms(g) <= within_ms)
            })
        };
        let index = near(
            request.and_then(|key| by_request.get(&key)),
            SAME_REQUEST_MS,
        )
        .or_else(|| near(by_origin.get(&origin), SAME_PUSH_MS))
        .or_else(|| {
            near(
                sign_in.and_then(|key| by_sign_in.get(&key)),
                SAME_SIGN_IN_MS,
            )
        })
        .unwrap_or(groups.len());
        match groups.get_mut(index) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
        if let Some(key) = request {
            by_request.insert(key, index);
        }
        if let Some(key) = sign_in {
            by_sign_in.insert(key, index);
        }
        by_origin.insert(origin, index);
    }
    groups
}

fn account_name(account: &AccountKey) -> &str {
    if account.provider_id.is_empty() {
        &account.login
    } else {
        &account.provider_id
    }
}

/// Gives each answer its prompt. What is left over on either side stands for itself.
fn pair<'a>(mut prompts: Vec<Group<'a>>, answers: Vec<Group<'a>>) -> Vec<Group<'a>> {
    let starts: Vec<i64> = prompts.iter().map(start_ms).collect();
    let mut is_answered = vec![false; prompts.len()];
    let mut alone = Vec::new();
    for answer in answers {
        match find_prompt(&prompts, &starts, &is_answered, &answer) {
            Some(index) => {
                if let (Some(prompt), Some(mark)) =
                    (prompts.get_mut(index), is_answered.get_mut(index))
                {
                    prompt.extend(answer);
                    *mark = true;
                }
            }
            None => alone.push(answer),
        }
    }
    prompts.append(&mut alone);
    prompts
}

/// The prompt that fits an answer best: by ids, then the newest for what a person did and the oldest for
/// what ran out by itself.
fn find_prompt(
    prompts: &[Group<'_>],
    starts: &[i64],
    is_answered: &[bool],
    answer: &Group<'_>,
) -> Option<usize> {
    let row = answer.first()?;
    let oldest_first = matches!(row.kind, MfaEventKind::Unanswered | MfaEventKind::Abandoned);
    let until = starts.partition_point(|start_ms| *start_ms <= row.time_ms);
    let mut best: Option<(u8, usize)> = None;
    for index in (0..until).rev().take(PROMPTS_BEFORE_ANSWER_MAX) {
        let Some(prompt) = prompts.get(index).and_then(|group| group.first()) else {
            continue;
        };
        let age_ms = row.time_ms - prompt.time_ms;
        if age_ms > ANSWER_BY_ID_MS_MAX {
            break;
        }
        let is_open = is_answered.get(index) == Some(&false);
        let Some(fit) = fit(prompt, row).filter(|fit| {
            (is_open || *fit >= FIT_REQUEST) && (*fit >= FIT_ID || age_ms <= ANSWER_MS_MAX)
        }) else {
            continue;
        };
        let is_better = best.is_none_or(|(best, _)| fit > best || (fit == best && oldest_first));
        if is_better {
            best = Some((fit, index));
        }
    }
    best.map(|(_, index)| index)
}

const FIT_REQUEST: u8 = 32;
const FIT_ID: u8 = 4;

/// How well an answer fits a prompt; `None` where they contradict each other.
fn fit(prompt: &MfaEvent, answer: &MfaEvent) -> Option<u8> {
    let differ = |a: Option<&str>, b: Option<&str>| a.is_some() && b.is_some() && a != b;
    let equal = |a: Option<&str>, b: Option<&str>| u8::from(a.is_some() && a == b);
    let same_account = account_name(&prompt.account) == account_name(&answer.account);
    if prompt.provider != answer.provider || !same_account {
        return None;
    }
    let told = |factor: Option<Factor>| factor.filter(|factor| *factor != Factor::Other);
    if let (Some(a), Some(b)) = (told(prompt.factor), told(answer.factor))
        && a != b
    {
        return None;
    }
    let (a, b) = (&prompt.flow, &answer.flow);
    let request = equal(a.transaction.as_deref(), b.transaction.as_deref());
    let session = (a.session.as_deref(), b.session.as_deref());
    let weaker = [
        (a.authentication.as_deref(), b.authentication.as_deref()),
        (a.root_session.as_deref(), b.root_session.as_deref()),
    ];
    let (a, b) = (&prompt.origin, &answer.origin);
    let same_ip = a.ip.is_some() && a.ip == b.ip;
    let is_other_flow = weaker.iter().any(|(a, b)| differ(*a, *b));
    if request == 0 && (differ(session.0, session.1) || (is_other_flow && !same_ip)) {
        return None;
    }
    let mut fit = FIT_REQUEST * request + FIT_ID * equal(session.0, session.1);
    fit += weaker
        .iter()
        .map(|(a, b)| FIT_ID * equal(*a, *b))
        .sum::<u8>();
    fit += 2 * equal(a.device_token.as_deref(), b.device_token.as_deref())
        .max(equal(a.device_id.as_deref(), b.device_id.as_deref()));
    match (a.ip, b.ip) {
        _ if same_ip => Some(fit + 2),
        // Without an id in common, another address is another sign-in.
        (Some(_), Some(_)) => (fit > 0).then_some(fit),
        _ => Some(fit + 1),
    }
}

/// Other rows of the same sign-in, which say what the prompt's own row leaves out.
struct Neighbors<'a> {
    /// By account and address, in time order.
    rows: BTreeMap<(&'a str, Option<core::net::IpAddr>), Vec<&'a MfaEvent>>,
}

impl<'a> Neighbors<'a> {
    fn new(events: &[&'a MfaEvent]) -> Self {
        let mut rows: BTreeMap<_, Vec<&'a MfaEvent>> = BTreeMap::new();
        for event in events
            .iter()
            .copied()
            .filter(|event| event.origin.ip.is_some())
        {
            rows.entry((account_name(&event.account), event.origin.ip))
                .or_default()
                .push(event);
        }
        Self { rows }
    }

    /// The nearest rows before and after `row`, nearest first.
    fn of(&self, row: &MfaEvent) -> impl Iterator<Item = &'a MfaEvent> {
        let rows = self.rows.get(&(account_name(&row.account), row.origin.ip));
        let rows: &[&'a MfaEvent] = rows.map_or(&[], Vec::as_slice);
        let at = rows.partition_point(|other| other.time_ms < row.time_ms - NEIGHBOR_MS);
        let mut near: Vec<&'a MfaEvent> = rows
            .iter()
            .skip(at)
            .take(PROMPTS_BEFORE_ANSWER_MAX)
            .copied()
            .take_while(|other| other.time_ms <= row.time_ms + NEIGHBOR_MS)
            .collect();
        near.sort_by_key(|other| ((other.time_ms - row.time_ms).abs(), other.time_ms, other.id));
        near.into_iter()
    }
}

fn merge<'a>(
    mut rows: Group<'a>,
    observed_until_ms: &BTreeMap<Provider, i64>,
    neighbors: &Neighbors<'a>,
) -> Option<Attempt<'a>> {
    rows.sort_by_key(|event| (event.time_ms, event.kind, event.id));
    let prompt = rows
        .iter()
        .copied()
        .find(|event| event.kind == MfaEventKind::PromptSent);
    let own = || rows.iter().copied().find(|event| !is_external(event));
    let lead = prompt.or_else(own).or_else(|| rows.first().copied())?;
    let answer = rows
        .iter()
        .filter(|event| !is_external(event) || is_external(lead))
        .filter_map(|event| AttemptResult::of(event.kind).map(|result| (result, event.time_ms)))
        .max_by_key(|(result, time_ms)| (result.precedence(), core::cmp::Reverse(*time_ms)));
    let timeout_ms = lead.time_ms.saturating_add(UNANSWERED_AFTER_MS);
    let is_over = observed_until_ms
        .get(&lead.provider)
        .is_some_and(|until| *until >= timeout_ms);
    let (result, result_time_ms) = match answer {
        Some((result, time_ms)) => (result, Some(time_ms)),
        None if is_over => (AttemptResult::Unanswered, Some(timeout_ms)),
        None => (AttemptResult::Prompted, None),
    };
    let mut origin = lead.origin.clone();
    let mut novelty = lead.novelty;
    let mut risk = None;
    let mut application = None;
    for event in &rows {
        complete(&mut origin, &event.origin);
        novelty = prefer(novelty, event.novelty);
        risk = risk.max(event.risk);
        application = application.or_else(|| event.application.clone());
    }
    for event in neighbors.of(lead) {
        complete(&mut origin, &event.origin);
        // What was new before a sign-in is no longer new to the provider after it.
        if event.time_ms <= lead.time_ms {
            novelty = prefer(novelty, event.novelty);
        }
    }
    let factor = lead
        .factor
        .or_else(|| rows.iter().find_map(|event| event.factor));
    Some(Attempt {
        time_ms: rows.first()?.time_ms,
        provider: lead.provider,
        factor,
        origin,
        novelty,
        risk,
        application,
        result,
        result_time_ms,
        events: rows,
    })
}

/// Fills what one row does not say from another row from the same address.
fn complete(origin: &mut Origin, other: &Origin) {
    if origin.ip.is_some() && other.ip.is_some() && origin.ip != other.ip {
        return;
    }
    fn fill<T: Clone>(own: &mut Option<T>, other: &Option<T>) {
        if own.is_none() {
            own.clone_from(other);
        }
    }
    fill(&mut origin.ip, &other.ip);
    fill(&mut origin.asn, &other.asn);
    fill(&mut origin.as_org, &other.as_org);
    fill(&mut origin.is_proxy, &other.is_proxy);
    fill(&mut origin.user_agent, &other.user_agent);
    fill(&mut origin.os, &other.os);
    fill(&mut origin.browser, &other.browser);
    fill(&mut origin.device_id, &other.device_id);
    fill(&mut origin.device_token, &other.device_token);
    fill(&mut origin.device_fingerprint, &other.device_fingerprint);
    if origin.place == crate::input::Place::default() {
        origin.place = other.place.clone();
    }
}

fn prefer(own: Novelty, other: Novelty) -> Novelty {
    Novelty {
        device: own.device.or(other.device),
        address: own.address.or(other.address),
        place: own.place.or(other.place),
        velocity: own.velocity.or(other.velocity),
    }
}

#[cfg(test)]
#[path = "attempt_tests.rs"]
mod tests;
