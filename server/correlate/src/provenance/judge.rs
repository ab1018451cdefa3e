//! All attempts of a person against all of their endpoints: facts, table, sentences.
//!
//! Two passes. The first looks at each attempt by itself; the known sign-ins among them (approved, from the usual
//! place and device) then give positive control, confirmed addresses and the habit by which the second judges.

use std::collections::BTreeMap;

use tocsin_proto::id::MfaEventId;

use super::machine;
use super::reason::{self, Detail};
use super::table::{
    self, Address, Binding, Clock, Control, Facts, Frequency, Habit, Likeness, Presence, Reading,
    Route, Traffic,
};
use super::traffic::{Flows, Match, NEW_MS, Target};
use super::window::{Anchor, Skew, anchor, skew};
use super::{Confidence, Provenance, ProvenanceVerdict, credit};
use crate::attempt::Attempt;
use crate::baseline::{DAY_MS, HOUR_MS};
use crate::directory::{Gateway, SignInDirectory};
use crate::fact::{
    AddressSource, LOOK_BACK_MS, LoginFact, PublicAddress, RemoteControl, Sharing, fold_device_id,
};
use crate::input::{LinkedEndpoint, MfaEvent, MfaEventKind, TimeSpan};
use crate::timeline::Item;

/// Attempts whose provenance is judged: the newest. Others are `unknown`. Bounds the work.
pub const JUDGED_MAX: usize = 2_000;
/// Endpoints of one person that are looked at, by name; with more nothing is `elsewhere`.
pub const ENDPOINTS_MAX: usize = 16;

/// Known sign-ins below which a habit is not known.
const HABIT_KNOWN: usize = 5;
/// Two sightings of one address so near to each other confirm it in between.
const CONFIRMED_MS: i64 = DAY_MS;
/// Less time than this to compare with says nothing of how rare flows are.
const COMPARED_MS_MIN: i64 = 4 * HOUR_MS;

/// What is known of an attempt on one endpoint, for evidence.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    pub hostname: String,
    pub facts: Facts,
}

/// An attempt's provenance with what it rests on.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub provenance: Provenance,
    pub sights: Vec<Sight>,
    /// Why `here` speaks for nothing harmless, where it does not.
    pub no_credit: Option<String>,
}

impl Judged {
    /// Nobody can have used any of the person's endpoints: all were off, asleep or left, and showed no traffic.
    pub(crate) fn is_away(&self) -> bool {
        let is_left = |sight: &Sight| match sight.facts.presence {
            Presence::Down => true,
            Presence::Away => sight.facts.traffic == Traffic::None && sight.facts.is_watched(),
            Presence::InUse | Presence::Unknown => false,
        };
        !self.sights.is_empty() && self.sights.iter().all(is_left)
    }

    /// An endpoint on which a session of the person was in use at another address, without traffic that can be this
    /// attempt's.
    pub(crate) fn in_use_elsewhere(&self) -> Option<&Sight> {
        self.sights.iter().find(|sight| {
            sight.facts.presence == Presence::InUse
                && sight.facts.address == Address::Different
                && (sight.facts.traffic != Traffic::Named
                    || sight.facts.likeness == Likeness::Contradicts)
        })
    }
}

/// The provenance of a person's attempts.
#[derive(Debug, Default)]
pub(crate) struct Judgements {
    by_attempt: BTreeMap<MfaEventId, Judged>,
    /// What else happened on the endpoints, by their names.
    pub machines: Vec<Machine>,
}

/// What happened on an endpoint besides sign-in traffic.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub hostname: String,
    /// Since when its events are known.
    pub observed_since_ms: Option<i64>,
    pub remote_control: Vec<RemoteControl>,
    pub logins: Vec<LoginFact>,
}

impl Judgements {
    pub(crate) fn of(&self, attempt: &Attempt<'_>) -> Option<&Judged> {
        self.by_attempt.get(&attempt.id()?)
    }

    /// All that are judged.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Provenance> {
        self.by_attempt.values().map(|judged| &judged.provenance)
    }

    /// The same with the id of the attempt's first event.
    pub(crate) fn each(&self) -> impl Iterator<Item = (MfaEventId, &Provenance)> {
        let all = self.by_attempt.iter();
        all.map(|(id, judged)| (*id, &judged.provenance))
    }

    pub(crate) fn provenance(&self, attempt: &Attempt<'_>) -> Provenance {
        self.of(attempt)
            .map_or_else(reason::not_judged, |judged| judged.provenance.clone())
    }
}

impl Machine {
    fn of(endpoint: &LinkedEndpoint) -> Self {
        Self {
            hostname: endpoint.hostname.clone(),
            observed_since_ms: endpoint.facts.observed_since_ms,
            remote_control: endpoint.facts.remote_control.clone(),
            logins: endpoint.facts.logins.clone(),
        }
    }
}

/// What is asked of an attempt by its application.
enum Way {
    Provider(&'static str),
    Gateway(Gateway),
}

impl Way {
    fn of(attempt: &Attempt<'_>, directory: &SignInDirectory) -> Self {
        let application = attempt.application.as_deref().unwrap_or_default();
        directory
            .gateway(application)
            .map_or_else(|| Self::Provider(attempt.provider.word()), Self::Gateway)
    }

    fn target(&self) -> Target<'_> {
        match self {
            Self::Provider(word) => Target::Provider(word),
            Self::Gateway(gateway) => Target::Gateway(gateway),
        }
    }

    fn route(&self, directory: &SignInDirectory) -> Route {
        match self {
            Self::Gateway(gateway) if gateway.points.is_empty() => Route::Untold,
            Self::Gateway(_) => Route::Seen,
            Self::Provider(word) if directory.services_of(word).next().is_none() => Route::Untold,
            Self::Provider(word) if directory.services_of(word).any(|s| s.speaks_quic) => {
                Route::Quic
            }
            Self::Provider(_) => Route::Seen,
        }
    }

    /// Ways with one word have their traffic in one place.
    fn word(&self) -> String {
        match self {
            Self::Provider(word) => (*word).to_owned(),
            Self::Gateway(gateway) => format!("gateway {}", gateway.application),
        }
    }

    fn name(&self, attempt: &Attempt<'_>) -> String {
        match self {
            Self::Provider(_) => attempt.provider.name().to_owned(),
            Self::Gateway(gateway) => format!("the {} gateway", gateway.kind.name()),
        }
    }
}

/// An attempt after the first pass.
struct First<'t, 'a> {
    item: &'t Item<'a>,
    attempt: &'t Attempt<'a>,
    way: Way,
    anchor: Anchor,
}

/// One endpoint with its flows by way, and what its known sign-ins taught.
struct Seen<'e> {
    endpoint: &'e LinkedEndpoint,
    flows: BTreeMap<String, Flows<'e>>,
    /// Times at which a known sign-in was seen, by way, in time order.
    controls: BTreeMap<String, Vec<i64>>,
    /// Addresses that known sign-ins confirm, with the facts' own.
    addresses: Vec<PublicAddress>,
}

/// Judges the newest attempts of a timeline. The endpoints' facts are normalized.
pub(crate) fn judge(
    items: &[Item<'_>],
    endpoints: &[&LinkedEndpoint],
    directory: &SignInDirectory,
) -> Judgements {
    let passwords: Vec<&MfaEvent> = items
        .iter()
        .filter(|item| item.is_kind(MfaEventKind::PasswordAccepted))
        .filter_map(|item| item.event())
        .collect();
    let all: Vec<&Item<'_>> = items
        .iter()
        .filter(|item| item.attempt().is_some())
        .collect();
    let over = all.len().saturating_sub(JUDGED_MAX);
    let firsts: Vec<First<'_, '_>> = all
        .into_iter()
        .skip(over)
        .filter_map(|item| {
            let attempt = item.attempt()?;
            Some(First {
                item,
                attempt,
                way: Way::of(attempt, directory),
                anchor: anchor(attempt, &passwords),
            })
        })
        .collect();
    let mut seen: Vec<Seen<'_>> = endpoints
        .iter()
        .take(ENDPOINTS_MAX)
        .map(|endpoint| Seen::new(endpoint, &firsts, directory))
        .collect();
    for seen in &mut seen {
        seen.learn(&firsts);
    }
    let windows = apart(
        firsts
            .iter()
            .map(|first| around(first.anchor.window))
            .collect(),
    );
    let mut walk = Walk {
        seen: &seen,
        directory,
        own_windows: &windows,
        left_out: endpoints.len().saturating_sub(ENDPOINTS_MAX),
        known: Vec::new(),
    };
    let judged = firsts
        .iter()
        .filter_map(|first| Some((first.attempt.id()?, walk.judge(first))));
    Judgements {
        by_attempt: judged.collect(),
        machines: endpoints
            .iter()
            .map(|endpoint| Machine::of(endpoint))
            .collect(),
    }
}

/// A person's own sign-in: what is learned comes from these alone.
fn is_known(item: &Item<'_>) -> bool {
    item.is_approval() && item.is_usual() && !item.is_hostile
}

fn around(window: TimeSpan) -> TimeSpan {
    TimeSpan {
        from_ms: window.from_ms.saturating_sub(NEW_MS),
        until_ms: window.until_ms.saturating_add(NEW_MS),
    }
}

/// The same time as spans that are sorted and apart from each other.
fn apart(mut spans: Vec<TimeSpan>) -> Vec<TimeSpan> {
    spans.sort_unstable();
    let mut merged: Vec<TimeSpan> = Vec::new();
    for span in spans {
        match merged
            .last_mut()
            .filter(|last| last.until_ms >= span.from_ms)
        {
            Some(last) => last.until_ms = last.until_ms.max(span.until_ms),
            None => merged.push(span),
        }
    }
    merged
}

impl<'e> Seen<'e> {
    fn new(
        endpoint: &'e LinkedEndpoint,
        firsts: &[First<'_, '_>],
        directory: &SignInDirectory,
    ) -> Self {
        let mut flows = BTreeMap::new();
        for first in firsts {
            flows
                .entry(first.way.word())
                .or_insert_with(|| Flows::new(&endpoint.facts, first.way.target(), directory));
        }
        Self {
            endpoint,
            flows,
            controls: BTreeMap::new(),
            addresses: endpoint.facts.addresses.clone(),
        }
    }

    fn traffic(&self, first: &First<'_, '_>, skew: Skew) -> Match<'e> {
        let none = Match {
            traffic: Traffic::None,
            doubt: None,
            flow: None,
        };
        let flows = self.flows.get(&first.way.word());
        flows.map_or(none, |flows| flows.in_window(first.anchor.window, skew))
    }

    /// What the person's own sign-ins show: that this endpoint's sensors see them, and its addresses.
    fn learn(&mut self, firsts: &[First<'_, '_>]) {
        let mut last: BTreeMap<bool, (core::net::IpAddr, i64)> = BTreeMap::new();
        for first in firsts.iter().filter(|first| is_known(first.item)) {
            let window = first.anchor.window;
            let skew = skew(&self.endpoint.facts.clock, window);
            let Some(skew) = skew.filter(|skew| skew.off_ms().is_none()) else {
                continue;
            };
            if self.traffic(first, skew).traffic != Traffic::Named {
                continue;
            }
            let Some(ip) = first.attempt.origin.ip.filter(|ip| machine::is_public(*ip)) else {
                continue;
            };
            if machine::address(&self.addresses, Some(ip), window) == Address::Different {
                continue;
            }
            self.controls
                .entry(first.way.word())
                .or_default()
                .push(window.until_ms);
            let family = ip.to_canonical().is_ipv4();
            let before = last.insert(family, (ip, window.from_ms));
            if let Some((_, from_ms)) = before.filter(|(before, from_ms)| {
                *before == ip && window.until_ms.saturating_sub(*from_ms) <= CONFIRMED_MS
            }) {
                self.addresses.push(PublicAddress {
                    span: TimeSpan {
                        from_ms,
                        until_ms: window.until_ms,
                    },
                    address: ip,
                    source: AddressSource::ConfirmedSignIn,
                    sharing: Sharing::Unknown,
                    is_tunnel: false,
                });
            }
        }
    }

    fn control(&self, first: &First<'_, '_>) -> Control {
        let before_ms = first.anchor.window.from_ms;
        let times = self.controls.get(&first.way.word());
        let is_shown = times.is_some_and(|times| {
            times
                .iter()
                .any(|ms| *ms < before_ms && before_ms.saturating_sub(*ms) <= LOOK_BACK_MS)
        });
        if is_shown {
            Control::Shown
        } else {
            Control::Missing
        }
    }
}

/// The second pass, in time order.
struct Walk<'w, 'e> {
    seen: &'w [Seen<'e>],
    directory: &'w SignInDirectory,
    own_windows: &'w [TimeSpan],
    left_out: usize,
    /// Known sign-ins so far: when, whether one of the endpoints showed it, and whether on a phone. Phones are no
    /// endpoints, so what is usual for them is asked of them alone.
    known: Vec<(i64, bool, bool)>,
}

impl Walk<'_, '_> {
    fn judge(&mut self, first: &First<'_, '_>) -> Judged {
        let mut sights = Vec::new();
        let mut details = Vec::new();
        let mut readings = Vec::new();
        let window = first.anchor.window;
        let standing = self
            .seen
            .iter()
            .filter(|seen| seen.endpoint.stands_in(window));
        let standing: Vec<&Seen<'_>> = standing.collect();
        for seen in &standing {
            let (facts, detail) = self.look(seen, first);
            readings.push(table::read(&facts));
            sights.push(Sight {
                hostname: seen.endpoint.hostname.clone(),
                facts,
            });
            details.push(detail);
        }
        let (mut verdict, mut confidence) = table::combine(&readings, self.habit(first));
        if verdict == ProvenanceVerdict::Elsewhere && self.left_out > 0 {
            (verdict, confidence) = (ProvenanceVerdict::Unknown, Confidence::None);
        }
        self.remember(first, &readings);
        let mut said = reason::Said::default();
        if self.left_out > 0 && verdict == ProvenanceVerdict::Unknown {
            said.too_many_endpoints(self.left_out);
        }
        let mut no_credit = None;
        for ((reading, detail), seen) in readings.iter().zip(&details).zip(&standing) {
            let is_chosen = matches!(reading, Reading::Here(own) if verdict == ProvenanceVerdict::Here && *own == confidence && said.endpoint.is_none());
            if is_chosen {
                no_credit = credit::refused(first.attempt, seen.endpoint, detail);
                said.here(seen.endpoint, detail, no_credit.as_deref());
            } else if verdict != ProvenanceVerdict::Here {
                said.reading(seen.endpoint, reading, detail, verdict);
            }
        }
        Judged {
            provenance: said.provenance(verdict, confidence, self.habit(first)),
            sights,
            no_credit,
        }
    }

    fn look(&self, seen: &Seen<'_>, first: &First<'_, '_>) -> (Facts, Detail) {
        let window = first.anchor.window;
        let (endpoint, origin) = (seen.endpoint, &first.attempt.origin);
        let skew = skew(&endpoint.facts.clock, window);
        let clock = match skew.map(Skew::off_ms) {
            None => Clock::Unknown,
            Some(Some(_)) => Clock::Off,
            Some(None) => Clock::Known,
        };
        // Without a clock nothing below is used but for reasons.
        let used = skew.unwrap_or(Skew {
            min_ms: 0,
            max_ms: 0,
        });
        let found = seen.traffic(first, used);
        let (watch, blind) = machine::watch(endpoint, window, used);
        let address = machine::address(&seen.addresses, origin.ip, window);
        let (frequency, share) = match found.traffic {
            Traffic::Named => self.frequency(seen, first),
            _ => (Frequency::Unknown, None),
        };
        let binding = is_bound(endpoint, first.attempt, window);
        let facts = Facts {
            binding: if binding {
                Binding::Mapped
            } else {
                Binding::None
            },
            likeness: likeness(endpoint, first.attempt, &found),
            route: first.way.route(self.directory),
            clock,
            traffic: found.traffic,
            frequency,
            address,
            watch,
            // Nor is it known when it was locked or off.
            presence: match clock {
                Clock::Known => machine::presence(endpoint, window, used),
                Clock::Unknown | Clock::Off => Presence::Unknown,
            },
            control: seen.control(first),
        };
        let detail = Detail {
            flow: found.flow.cloned(),
            doubt: found.doubt,
            blind,
            uncertain_ms: skew.map_or(0, |skew| skew.off_ms().unwrap_or(skew.width_ms())),
            window,
            span: used.endpoint_span(window),
            is_password: first.anchor.is_password,
            client_ip: origin.ip,
            way: first.way.name(first.attempt),
            share,
            facts,
        };
        (facts, detail)
    }

    /// How much of its other time the endpoint has such flows, and that share in hundredths.
    fn frequency(&self, seen: &Seen<'_>, first: &First<'_, '_>) -> (Frequency, Option<i64>) {
        let window = first.anchor.window;
        let since_ms = seen.endpoint.facts.flows_since_ms.unwrap_or(i64::MIN);
        let within = TimeSpan {
            from_ms: window.from_ms.saturating_sub(LOOK_BACK_MS).max(since_ms),
            until_ms: window.from_ms.saturating_sub(NEW_MS),
        };
        let total_ms: i64 = seen
            .endpoint
            .reporting
            .iter()
            .map(|span| {
                let from_ms = span.from_ms.max(within.from_ms);
                span.until_ms
                    .min(within.until_ms)
                    .saturating_sub(from_ms)
                    .max(0)
            })
            .sum();
        let Some(flows) = seen
            .flows
            .get(&first.way.word())
            .filter(|_| total_ms >= COMPARED_MS_MIN)
        else {
            return (Frequency::Unknown, None);
        };
        let length_ms = window.until_ms.saturating_sub(window.from_ms);
        let busy_ms = flows.busy_ms(within, length_ms, self.own_windows);
        let share = (busy_ms.saturating_mul(100) / total_ms).min(100);
        let frequency = match share {
            ..5 => Frequency::Rare,
            5..50 => Frequency::Some,
            _ => Frequency::Always,
        };
        (frequency, Some(share))
    }

    fn habit(&self, first: &First<'_, '_>) -> Habit {
        let before_ms = first.anchor.window.from_ms;
        let on_phone = first.item.is_mobile();
        let lately = || {
            let since_ms = before_ms.saturating_sub(LOOK_BACK_MS);
            self.known.iter().filter(move |(ms, _, phone)| {
                *phone == on_phone && (since_ms..before_ms).contains(ms)
            })
        };
        let all = lately().count();
        let unmanaged = lately().filter(|(_, is_shown, _)| !is_shown).count();
        if unmanaged * 4 >= all.max(1) {
            Habit::Often
        } else if all < HABIT_KNOWN || unmanaged * 20 >= all {
            Habit::Sometimes
        } else {
            Habit::Seldom
        }
    }

    /// A known sign-in that some endpoint showed, or that none did although all would have.
    fn remember(&mut self, first: &First<'_, '_>, readings: &[Reading]) {
        if !is_known(first.item) {
            return;
        }
        let time_ms = first.anchor.window.until_ms;
        let is_mobile = first.item.is_mobile();
        let is_shown = readings.iter().any(|r| matches!(r, Reading::Here(_)));
        let is_silent = |r: &Reading| matches!(r, Reading::Silent | Reading::SilentAway);
        if is_shown || is_mobile || (!readings.is_empty() && readings.iter().all(is_silent)) {
            self.known.push((time_ms, is_shown, is_mobile));
        }
    }
}

/// Whether the provider's own id of the device is one of this endpoint's.
fn is_bound(endpoint: &LinkedEndpoint, attempt: &Attempt<'_>, window: TimeSpan) -> bool {
    let provider = attempt.provider;
    let Some(id) = attempt.origin.device_id.as_deref() else {
        return false;
    };
    let id = fold_device_id(provider, id);
    endpoint.facts.devices.iter().any(|device| {
        device.provider == provider
            && fold_device_id(provider, &device.device_id) == id
            && device.span.is_none_or(|span| span.overlaps(window))
    })
}

/// Whether the client that the provider saw can be a program of this endpoint.
fn likeness(endpoint: &LinkedEndpoint, attempt: &Attempt<'_>, found: &Match<'_>) -> Likeness {
    let os = attempt.origin.os.as_deref().and_then(credit::os_family);
    let own = credit::os_family(&endpoint.facts.os);
    let is_other_os = os.is_some() && own.is_some() && os != own;
    let browser = attempt.origin.browser.as_deref().and_then(credit::browser);
    let owner = found.flow.and_then(|flow| flow.owner.as_ref());
    let program = owner.and_then(|owner| credit::browser(&owner.executable));
    let is_other_browser = browser.is_some() && program.is_some() && browser != program;
    if is_other_os || is_other_browser {
        Likeness::Contradicts
    } else {
        Likeness::Fits
    }
}
