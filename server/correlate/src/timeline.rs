//! The person's attempts and other events in time order, each judged against what was usual *then*.
//!
//! Two passes. The first walks forward with the [`Baseline`] and notes for each item whether its place,
//! device and hour were usual; it decides what may be learned. The second looks at the whole: which
//! prompts an ordinary retry explains, and which are hostile.
//!
//! **Hostile** prompts: neither place nor device is usual for the person, or number, hour or client
//! cannot be an ordinary retry. **Closed** prompts: refused or ignored ones after which the same machine
//! at the same place got in, where both are usual; the person got it wrong and tried again.
//!
//! Not learned: what comes from a place or machine that is not usual while hostile prompts, a report or a
//! reset by others are fresh. Their end is counted as an episode's is ([`open_until`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tocsin_proto::id::MfaEventId;

use crate::attempt::{Attempt, AttemptResult};
use crate::baseline::{Baseline, DAY_MS, HOUR_MS, MINUTE_MS, Standing, same_device, same_place};
use crate::input::{Input, MfaEvent, MfaEventKind, Novelty, Origin};
use crate::network::{NamedNetwork, is_named};
use crate::outage::{self, Outage};

/// Refusals within an hour that no ordinary retry makes. Public rules use 2 to 10; a person who gets it
/// wrong gives up or succeeds before five.
pub(crate) const MANY_AN_HOUR: usize = 5;
/// The same from the person's own place and machine, where only what the person said counts: a program with an old
/// password asks by itself, and nobody answers.
const SAID_AN_HOUR_AT_HOME: usize = 6;
/// Refusals within an hour that are hostile where something else is odd: the hour, or the place of an
/// unknown machine.
const SOME_AN_HOUR: usize = 3;
/// Refusals within a week that no ordinary retry makes, where place or machine is not usual.
const MANY_A_WEEK: usize = 10;
/// A retry closes refusals of this long before it.
const RETRY_MS: i64 = 30 * MINUTE_MS;
/// Refusals that one retry can close.
const RETRIED_MAX: usize = MANY_AN_HOUR - 1;
/// Who denies so often, approves and adds a factor at once was not retrying.
pub(crate) const DENIED_MIN: usize = 2;
/// At once.
pub(crate) const CHANGED_SOON_MS: i64 = HOUR_MS;
/// Items before a success that are looked at for refusals it closes.
const RETRY_ITEMS_MAX: usize = 256;
/// What hostile prompts came from is not learned from for so long after the last: a machine that the person goes on to
/// use for two weeks without another is theirs.
const TAINTED_MS: i64 = 14 * DAY_MS;
/// Each suspicious item keeps its episode open for so long.
const OPEN_MS: i64 = 2 * DAY_MS;
/// No episode stays open for longer than this without another suspicious item.
const OPEN_MS_MAX: i64 = 7 * DAY_MS;

/// Beginnings of user agents, lower case, of what is not a person's browser or app.
const SCRIPTED_CLIENTS: &[&str] = &[
    "python",
    "curl/",
    "wget/",
    "go-http-client",
    "libwww",
    "httpclient",
    "node-fetch",
    "axios",
    "headless",
    "phantomjs",
    "selenium",
    "puppeteer",
    "playwright",
    "java/",
    "scrapy",
    "aiohttp",
];

/// Until when an episode stays open after a suspicious item at `time_ms`: each adds two days to what is
/// left, up to a week. Integers only, so that no rounding decides what belongs together.
pub(crate) fn open_until(until_ms: i64, time_ms: i64) -> i64 {
    until_ms
        .max(time_ms)
        .saturating_add(OPEN_MS)
        .min(time_ms.saturating_add(OPEN_MS_MAX))
}

/// An attempt, or an event that is part of none.
#[derive(Debug)]
pub(crate) enum What<'a> {
    Attempt(Box<Attempt<'a>>),
    Event(&'a MfaEvent),
}

/// One thing that happened, judged as of its time.
#[derive(Debug)]
pub(crate) struct Item<'a> {
    pub what: What<'a>,
    pub time_ms: i64,
    pub place: Standing,
    pub device: Standing,
    pub hour: Standing,
    pub is_new_country: bool,
    /// Sign-ins that were known before it.
    pub known_sign_ins: u32,
    /// A refusal that an ordinary retry explains.
    pub is_closed: bool,
    pub is_hostile: bool,
    /// It failed in an outage of its provider, in which prompts of at least so many people failed.
    pub in_outage: Option<usize>,
}

impl<'a> Item<'a> {
    pub(crate) fn attempt(&self) -> Option<&Attempt<'a>> {
        match &self.what {
            What::Attempt(attempt) => Some(attempt),
            What::Event(_) => None,
        }
    }

    pub(crate) fn event(&self) -> Option<&'a MfaEvent> {
        match &self.what {
            What::Attempt(_) => None,
            What::Event(event) => Some(event),
        }
    }

    /// The stored events it is made of, in time order.
    pub(crate) fn events(&self) -> &[&'a MfaEvent] {
        match &self.what {
            What::Attempt(attempt) => &attempt.events,
            What::Event(event) => core::slice::from_ref(event),
        }
    }

    pub(crate) fn origin(&self) -> &Origin {
        match &self.what {
            What::Attempt(attempt) => &attempt.origin,
            What::Event(event) => &event.origin,
        }
    }

    fn novelty(&self) -> Novelty {
        match &self.what {
            What::Attempt(attempt) => attempt.novelty,
            What::Event(event) => event.novelty,
        }
    }

    /// Its answer's time for an attempt that has one.
    pub(crate) fn end_ms(&self) -> i64 {
        self.attempt().map_or(self.time_ms, Attempt::end_ms)
    }

    pub(crate) fn is_kind(&self, kind: MfaEventKind) -> bool {
        self.event().is_some_and(|event| event.kind == kind)
    }

    pub(crate) fn is_usual(&self) -> bool {
        self.place == Standing::Usual && self.device == Standing::Usual
    }

    /// Place or machine is not the person's, or nothing is known of either.
    pub(crate) fn is_odd(&self) -> bool {
        self.place == Standing::Unusual
            || self.device == Standing::Unusual
            || (self.place == Standing::Unknown && self.device == Standing::Unknown)
    }

    /// Neither place nor machine is the person's, and enough is known to say so.
    pub(crate) fn is_foreign(&self) -> bool {
        self.place == Standing::Unusual && self.device == Standing::Unusual
    }

    /// The person answered, and not with yes.
    pub(crate) fn is_said(&self) -> bool {
        self.attempt().is_some_and(|attempt| {
            matches!(
                attempt.result,
                AttemptResult::Denied | AttemptResult::FraudReported | AttemptResult::WrongNumber
            )
        })
    }

    /// A prompt that led to no sign-in, and that no retry explains.
    pub(crate) fn is_refusal(&self) -> bool {
        !self.is_closed
            && self
                .attempt()
                .is_some_and(|attempt| attempt.result.is_refusal())
    }

    pub(crate) fn is_approval(&self) -> bool {
        self.attempt()
            .is_some_and(|attempt| attempt.result == AttemptResult::Approved)
    }

    /// An attempt that succeeded, or the session it led to.
    pub(crate) fn is_sign_in(&self) -> bool {
        self.is_approval() || self.is_kind(MfaEventKind::SessionStarted)
    }

    /// What did it is no browser and no app.
    pub(crate) fn is_scripted(&self) -> bool {
        self.origin().user_agent.as_ref().is_some_and(|agent| {
            let agent = agent.to_lowercase();
            SCRIPTED_CLIENTS.iter().any(|client| agent.contains(client))
        })
    }

    /// The person's own machine, or a phone in a network in which they use one.
    pub(crate) fn is_own_client(&self) -> bool {
        self.device == Standing::Usual || (self.place == Standing::Usual && self.is_mobile())
    }

    /// The client says that it is a phone's.
    pub(crate) fn is_mobile(&self) -> bool {
        self.origin().os.as_ref().is_some_and(|os| {
            let os = os.to_lowercase();
            ["android", "ios", "iphone"]
                .iter()
                .any(|word| os.contains(word))
        })
    }

    /// A reset or bypass that somebody else than the account's owner made.
    pub(crate) fn is_reset_by_other(&self) -> bool {
        self.event().is_some_and(|event| {
            event.is_by_other()
                && matches!(
                    event.kind,
                    MfaEventKind::FactorReset
                        | MfaEventKind::PasswordReset
                        | MfaEventKind::BypassIssued
                )
        })
    }

    pub(crate) fn is_by_other(&self) -> bool {
        self.event().is_some_and(MfaEvent::is_by_other)
    }
}

/// What is known beside the events.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known<'i> {
    /// What was usual before them.
    pub baseline: Baseline,
    /// Networks that the operator has named.
    pub networks: &'i [NamedNetwork],
    /// Outages of providers.
    pub outages: &'i [Outage],
}

impl<'i> Known<'i> {
    pub(crate) fn of(input: &'i Input) -> Self {
        Self {
            baseline: input.baseline.clone(),
            networks: &input.directory.networks,
            outages: &input.outages,
        }
    }
}

/// All that happened to a person, judged.
#[derive(Debug)]
pub(crate) struct Timeline<'a> {
    pub items: Vec<Item<'a>>,
    /// What is usual after all of it.
    pub baseline: Baseline,
}

/// Judges a person's sorted events and the attempts made of them.
pub(crate) fn timeline<'a>(
    events: &[&'a MfaEvent],
    attempts: Vec<Attempt<'a>>,
    known: Known<'_>,
) -> Timeline<'a> {
    // Prompts and answers always are part of an attempt, other events where they belong to one.
    let in_attempts: BTreeSet<MfaEventId> = attempts
        .iter()
        .flat_map(|attempt| &attempt.events)
        .map(|event| event.id)
        .collect();
    let others = events
        .iter()
        .copied()
        .filter(|event| !in_attempts.contains(&event.id))
        .map(What::Event);
    let mut whats: Vec<What<'a>> = attempts
        .into_iter()
        .map(|attempt| What::Attempt(Box::new(attempt)))
        .chain(others)
        .collect();
    whats.sort_by_key(|what| match what {
        What::Attempt(attempt) => (attempt.time_ms, attempt.id()),
        What::Event(event) => (event.time_ms, Some(event.id)),
    });
    let mut walk = Walk {
        baseline: known.baseline,
        networks: known.networks,
        ..Walk::default()
    };
    let mut items: Vec<Item<'a>> = whats.into_iter().map(|what| walk.judge(what)).collect();
    outage::mark(&mut items, known.outages);
    close_retried(&mut items);
    mark_hostile(&mut items);
    Timeline {
        items,
        baseline: walk.baseline,
    }
}

/// The first pass.
#[derive(Default)]
struct Walk<'n> {
    networks: &'n [NamedNetwork],
    baseline: Baseline,
    /// Refusals of the last hour, and whether the person said something.
    refusals_ms: VecDeque<(i64, bool)>,
    /// Until then nothing is learned from a place or machine that is not usual.
    wary_until_ms: i64,
    /// Addresses and machines that hostile prompts came from, and when last: the provider's "seen before"
    /// about them is worth nothing for [`TAINTED_MS`].
    tainted: BTreeMap<String, i64>,
}

impl Walk<'_> {
    fn judge<'a>(&mut self, what: What<'a>) -> Item<'a> {
        let time_ms = match &what {
            What::Attempt(attempt) => attempt.time_ms,
            What::Event(event) => event.time_ms,
        };
        let mut item = Item {
            what,
            time_ms,
            place: Standing::Unknown,
            device: Standing::Unknown,
            hour: self.baseline.hour(time_ms),
            is_new_country: false,
            known_sign_ins: self.baseline.sign_ins(),
            is_closed: false,
            is_hostile: false,
            in_outage: None,
        };
        // What somebody else did says where *they* were.
        if !item.is_by_other() {
            let (origin, novelty) = (item.origin(), item.novelty());
            let trusted = time_ms > self.wary_until_ms && !self.is_tainted(origin, time_ms);
            let place = if is_named(self.networks, origin.ip) {
                Standing::Usual
            } else {
                self.baseline.place(origin, novelty, time_ms, trusted)
            };
            let device = self.baseline.device(origin, novelty, time_ms, trusted);
            item.is_new_country =
                place != Standing::Usual && self.baseline.is_new_country(origin, time_ms);
            (item.place, item.device) = (place, device);
        }
        if self.is_alarming(&item) {
            self.wary_until_ms = open_until(self.wary_until_ms, time_ms);
            let taints = taints(item.origin()).map(|value| (value, time_ms));
            self.tainted.extend(taints);
        } else if item.is_sign_in() {
            self.learn(&item);
        }
        item
    }

    fn is_tainted(&self, origin: &Origin, time_ms: i64) -> bool {
        let last_ms = |value: String| self.tainted.get(&value).copied();
        taints(origin)
            .filter_map(last_ms)
            .any(|ms| time_ms - ms <= TAINTED_MS)
    }

    fn is_alarming(&mut self, item: &Item<'_>) -> bool {
        if item.is_refusal() {
            while self
                .refusals_ms
                .front()
                .is_some_and(|(ms, _)| item.time_ms - ms > HOUR_MS)
            {
                self.refusals_ms.pop_front();
            }
            self.refusals_ms.push_back((item.time_ms, item.is_said()));
            let said = self.refusals_ms.iter().filter(|(_, is_said)| *is_said);
            let is_many = if item.is_own_client() {
                said.count() >= SAID_AN_HOUR_AT_HOME
            } else {
                self.refusals_ms.len() >= MANY_AN_HOUR
            };
            return item.is_foreign() || is_many || item.is_scripted();
        }
        match item.event().map(|event| event.kind) {
            Some(MfaEventKind::SuspiciousReported) => true,
            Some(MfaEventKind::FactorReset | MfaEventKind::BypassIssued) => item.is_by_other(),
            Some(MfaEventKind::FactorEnrolled | MfaEventKind::DeviceEnrolled) => item.is_foreign(),
            Some(MfaEventKind::SessionMoved) => item.place == Standing::Unusual,
            _ => false,
        }
    }

    fn learn(&mut self, item: &Item<'_>) {
        let (origin, time_ms) = (item.origin(), item.time_ms);
        let is_wary = time_ms <= self.wary_until_ms || self.is_tainted(origin, time_ms);
        if is_wary && !item.is_usual() {
            return;
        }
        let half_usual = item.place == Standing::Usual || item.device == Standing::Usual;
        let is_new = item.place == Standing::Unusual || item.device == Standing::Unusual;
        if half_usual || !is_new {
            // Also where nothing can be said yet: that is how a person becomes known.
            self.baseline.learn(origin, time_ms);
        } else {
            self.baseline.learn_tentatively(origin, time_ms);
        }
    }
}

fn taints(origin: &Origin) -> impl Iterator<Item = String> {
    let ip = origin.ip.map(|ip| format!("ip/{ip}"));
    let token = origin
        .device_token
        .as_ref()
        .map(|token| format!("token/{token}"));
    ip.into_iter().chain(token)
}

/// Closes refusals that an ordinary retry explains: same place, same machine, both usual, soon after,
/// not many, not at an hour or by a client that no person has.
fn close_retried(items: &mut [Item<'_>]) {
    let enrolled_ms: Vec<i64> = items
        .iter()
        .filter(|item| {
            item.is_kind(MfaEventKind::FactorEnrolled) || item.is_kind(MfaEventKind::DeviceEnrolled)
        })
        .map(|item| item.time_ms)
        .collect();
    for at in 0..items.len() {
        let (before, rest) = items.split_at_mut(at);
        let Some(success) = rest
            .first()
            .filter(|item| item.is_approval() && item.is_usual())
        else {
            continue;
        };
        let is_retried = |item: &Item<'_>| {
            item.is_refusal()
                && item.is_usual()
                && !item.is_scripted()
                && same_place(item.origin(), success.origin())
                && same_device(item.origin(), success.origin())
        };
        let mut retried: Vec<&mut Item<'_>> = before
            .iter_mut()
            .rev()
            .take(RETRY_ITEMS_MAX)
            .take_while(|item| success.end_ms() - item.time_ms <= RETRY_MS)
            .filter(|item| is_retried(item))
            .collect();
        let at_odd_hour = retried.iter().any(|item| item.hour == Standing::Unusual);
        let denied_ms: Vec<i64> = retried
            .iter()
            .filter(|item| {
                item.attempt()
                    .is_some_and(|a| a.result == AttemptResult::Denied)
            })
            .map(|item| item.time_ms)
            .collect();
        // Also where the person's own sign-in is the later one.
        let until_ms = success.end_ms().saturating_add(CHANGED_SOON_MS);
        let is_changed = denied_ms.len() >= DENIED_MIN
            && denied_ms.iter().min().is_some_and(|from_ms| {
                let at = enrolled_ms.partition_point(|ms| ms < from_ms);
                enrolled_ms.get(at).is_some_and(|ms| *ms <= until_ms)
            });
        if retried.len() > RETRIED_MAX
            || (at_odd_hour && retried.len() >= SOME_AN_HOUR)
            || is_changed
        {
            continue;
        }
        for item in &mut retried {
            item.is_closed = true;
        }
    }
}

/// The second pass: counts refusals in sliding windows and marks the hostile ones.
fn mark_hostile(items: &mut [Item<'_>]) {
    let refusals: Vec<usize> = items
        .iter()
        .enumerate()
        // Who is asked again and again because nothing arrives is no attacker's victim.
        .filter(|(_, i)| i.is_refusal() && i.in_outage.is_none())
        .map(|(at, _)| at)
        .collect();
    let counted = |keep: fn(&Item<'_>) -> bool| -> Vec<i64> {
        let refused = refusals.iter().filter_map(|at| items.get(*at));
        refused
            .filter(|item| keep(item))
            .map(|item| item.time_ms)
            .collect()
    };
    let times = counted(|_| true);
    let an_hour = most_within(&times, HOUR_MS);
    let a_week = most_within(&times, 7 * DAY_MS);
    let said = counted(|item| item.is_said());
    let said_an_hour = most_within(&said, HOUR_MS);
    for (n, at) in refusals.iter().enumerate() {
        let (Some(item), Some(an_hour), Some(a_week)) =
            (items.get_mut(*at), an_hour.get(n), a_week.get(n))
        else {
            continue;
        };
        // Whoever has only the password does not have the machine.
        let is_own = item.is_own_client();
        let is_many = if is_own {
            let at = said.partition_point(|ms| *ms < item.time_ms);
            item.is_said() && said_an_hour.get(at) >= Some(&SAID_AN_HOUR_AT_HOME)
        } else {
            *an_hour >= MANY_AN_HOUR
        };
        let is_odd = item.hour == Standing::Unusual
            || (item.place == Standing::Unusual && item.device == Standing::Unknown);
        item.is_hostile = item.is_foreign()
            || item.is_scripted()
            || is_many
            || (is_odd && *an_hour >= SOME_AN_HOUR)
            || (!is_own && *a_week >= MANY_A_WEEK);
    }
}

/// For each of the sorted times, the most that any window of this length holds which it lies in. Windows
/// slide, so a series is not split by a boundary.
pub(crate) fn most_within(times: &[i64], length_ms: i64) -> Vec<usize> {
    let mut most = vec![0; times.len()];
    // Of windows that begin at times[first], the reach; a deque keeps the best window over each time.
    let mut end = 0;
    let mut best: VecDeque<(usize, usize)> = VecDeque::new();
    for (first, start_ms) in times.iter().enumerate() {
        while times.get(end).is_some_and(|ms| ms - start_ms <= length_ms) {
            end += 1;
        }
        // The window is [first, end): it covers times first..end.
        let count = end - first;
        while best.back().is_some_and(|(_, other)| *other <= count) {
            best.pop_back();
        }
        best.push_back((end, count));
        while best.front().is_some_and(|(end, _)| *end <= first) {
            best.pop_front();
        }
        if let (Some(slot), Some((_, count))) = (most.get_mut(first), best.front()) {
            *slot = *count;
        }
    }
    most
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
