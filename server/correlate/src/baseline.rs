//! What is usual for a person: addresses, places, devices and hours of their own earlier sign-ins.
//!
//! It is walked along the events in time order, so every judgment is *as of the event's time*. A sign-in
//! that is suspected teaches nothing ([`crate::timeline`] decides that); one whose place and device are
//! both new teaches only after it has come back on [`TENTATIVE_DAYS`] different days. What was not seen
//! for [`USUAL_AGE_MS_MAX`] is no longer usual.
//!
//! A snapshot of it can be stored in place of events that are dropped by age.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::habit::{Habit, Habits, client_words, network_words, newest};
use crate::input::{Novelty, Origin};

/// A minute.
pub(crate) const MINUTE_MS: i64 = 60_000;
/// An hour.
pub(crate) const HOUR_MS: i64 = 60 * MINUTE_MS;
/// A day.
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

/// Different days on which a sign-in from a new place with a new device must come back.
const TENTATIVE_DAYS: usize = 3;

/// Sign-ins, and days with one, below which nothing can be called unusual: too little is known. Who is new signs in
/// on the second machine and from the second network in the first days.
pub(crate) const KNOWN_SIGN_INS: u32 = 6;
const KNOWN_DAYS: u32 = 3;

/// From so many names of machines on, half of the sign-ins with a new one each, the browser forgets who it is.
const FORGETFUL_FROM: usize = 6;

/// Sign-ins, and days with one, below which no hour can be called unusual.
const KNOWN_HOURS: (u32, u32) = (10, 5);

/// Sign-ins nearer than this count as one.
const ONE_SIGN_IN_MS: i64 = 10 * MINUTE_MS;

/// What was not seen for so long is not usual: people move and change machines.
const USUAL_AGE_MS_MAX: i64 = 90 * DAY_MS;

/// Values that are remembered; the longest unseen goes first. Far above what a person has.
const VALUES_MAX: usize = 2_000;

/// Whether something is usual for a person.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    /// Seen before, often enough.
    Usual,
    /// Enough is known of the person to say that it is new.
    Unusual,
    /// Nothing can be said.
    #[default]
    Unknown,
}

/// What is usual for a person, as of some time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// When each value was last seen.
    seen: BTreeMap<String, i64>,
    /// Days on which values were seen that are not usual yet.
    tentative: BTreeMap<String, BTreeSet<i64>>,
    sign_ins: u32,
    last_sign_in_ms: Option<i64>,
    days: u32,
    last_day: Option<i64>,
    /// Sign-ins by hour of the day, UTC.
    hours: [u32; 24],
}

/// Values of an origin that name a machine.
fn device_values(origin: &Origin) -> Vec<String> {
    let mut values = Vec::new();
    values.extend(origin.device_id.as_ref().map(|id| format!("device/{id}")));
    values.extend(
        origin
            .device_token
            .as_ref()
            .map(|token| format!("token/{token}")),
    );
    values
}

/// Values of an origin that many machines share.
fn likeness_values(origin: &Origin) -> Vec<String> {
    let mut values = Vec::new();
    values.extend(
        origin
            .device_fingerprint
            .as_ref()
            .map(|print| format!("print/{print}")),
    );
    values.extend(agent_value(origin));
    values
}

/// Operating system and browser, without their versions, which change by themselves.
fn agent_value(origin: &Origin) -> Option<String> {
    match (&origin.os, &origin.browser, &origin.user_agent) {
        (None, None, agent) => agent.as_ref().map(|agent| format!("agent/{agent}")),
        (os, browser, _) => {
            let word = |text: &Option<String>| text.as_deref().unwrap_or("?").to_lowercase();
            Some(format!("agent/{}/{}", word(os), word(browser)))
        }
    }
}

/// A machine that has no name at the provider, as far as its likeness tells.
fn bare_value(origin: &Origin) -> Option<String> {
    let is_bare = origin.device_id.is_none() && origin.device_token.is_none();
    let agent = agent_value(origin).filter(|_| is_bare)?;
    Some(format!("bare/{agent}"))
}

fn address_value(origin: &Origin) -> Option<String> {
    origin.ip.map(|ip| format!("ip/{ip}"))
}

/// Network and city: what stays when an access provider gives out another address.
fn network_value(origin: &Origin) -> Option<String> {
    let (asn, country) = (origin.asn?, origin.place.country.as_deref()?);
    let city = origin.place.city.as_deref().unwrap_or("?");
    Some(format!("net/{asn}/{country}/{city}"))
}

/// Network and city together with the kind of client: a phone in its carrier's network has another address each time
/// and nothing that names it.
fn client_value(origin: &Origin) -> Option<String> {
    let (network, agent) = (network_value(origin)?, agent_value(origin)?);
    Some(format!("client/{network}/{agent}"))
}

fn country_value(origin: &Origin) -> Option<String> {
    origin
        .place
        .country
        .as_ref()
        .map(|country| format!("country/{country}"))
}

fn all_values(origin: &Origin) -> Vec<String> {
    let mut values = device_values(origin);
    values.extend(likeness_values(origin));
    values.extend(bare_value(origin));
    values.extend(address_value(origin));
    values.extend(network_value(origin));
    values.extend(country_value(origin));
    values
}

/// Whether two events came from one place: the same address, or the same network and city.
pub(crate) fn same_place(a: &Origin, b: &Origin) -> bool {
    (a.ip.is_some() && a.ip == b.ip)
        || network_value(a).is_some_and(|value| Some(value) == network_value(b))
}

/// Whether two events came from one machine. Where neither has a value that names it, the same user
/// agent from the same address passes for it.
pub(crate) fn same_device(a: &Origin, b: &Origin) -> bool {
    let differ = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
    let equal = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
    if equal(&a.device_id, &b.device_id) || equal(&a.device_token, &b.device_token) {
        return true;
    }
    if differ(&a.device_id, &b.device_id) || differ(&a.device_token, &b.device_token) {
        return false;
    }
    equal(&a.user_agent, &b.user_agent) && a.ip == b.ip
}

impl Baseline {
    /// Sign-ins it was learned from.
    pub(crate) fn sign_ins(&self) -> u32 {
        self.sign_ins
    }

    /// What is usual at that time, in words.
    pub(crate) fn habits(&self, now_ms: i64) -> Habits {
        let seen = |prefix: &str, say: fn(&str) -> String| {
            let values = self.seen.range(prefix.to_owned()..);
            let values = values.take_while(|(value, _)| value.starts_with(prefix));
            let usual = values.filter(|(_, last_ms)| now_ms - **last_ms <= USUAL_AGE_MS_MAX);
            let habits = usual.map(|(value, last_ms)| Habit {
                text: say(value.get(prefix.len()..).unwrap_or_default()),
                last_seen_time_ms: *last_ms,
            });
            habits.collect::<Vec<_>>()
        };
        let mut devices = seen("device/", |id| format!("device {id}"));
        devices.extend(seen("token/", |token| format!("browser token {token}")));
        Habits {
            sign_ins: self.sign_ins,
            days: self.days,
            enough_known: self.is_known(),
            enough_known_of_hours: self.knows_hours(),
            networks: newest(seen("net/", network_words)),
            addresses: newest(seen("ip/", str::to_owned)),
            devices: newest(devices),
            clients: newest(seen("agent/", client_words)),
            hours_utc: self.hours.to_vec(),
        }
    }

    fn knows_hours(&self) -> bool {
        self.sign_ins >= KNOWN_HOURS.0 && self.days >= KNOWN_HOURS.1
    }

    fn is_known(&self) -> bool {
        self.sign_ins >= KNOWN_SIGN_INS && self.days >= KNOWN_DAYS
    }

    fn has(&self, value: &str, now_ms: i64) -> bool {
        self.seen
            .get(value)
            .is_some_and(|last_ms| now_ms - last_ms <= USUAL_AGE_MS_MAX)
    }

    fn has_any(&self, values: &[String], now_ms: i64) -> bool {
        values.iter().any(|value| self.has(value, now_ms))
    }

    /// Whether the person's browser forgets its token, so that a new one says nothing.
    fn is_forgetful(&self) -> bool {
        let from = "token/".to_owned();
        let tokens = self
            .seen
            .range(from..)
            .take_while(|(value, _)| value.starts_with("token/"));
        let tokens = tokens.count();
        tokens >= FORGETFUL_FROM && u64::from(self.sign_ins) <= 2 * (tokens as u64)
    }

    /// Whether any value of this kind was ever seen, so that a new one says something.
    fn has_kind(&self, prefix: &str) -> bool {
        self.seen
            .range(prefix.to_owned()..)
            .next()
            .is_some_and(|(value, _)| value.starts_with(prefix))
    }

    /// Whether the place is usual. `trusted` says whether the provider's own "seen before" may be
    /// believed: after a success of an attacker it knows the attacker's address too.
    pub(crate) fn place(
        &self,
        origin: &Origin,
        novelty: Novelty,
        now_ms: i64,
        trusted: bool,
    ) -> Standing {
        let values: Vec<String> = address_value(origin)
            .into_iter()
            .chain(network_value(origin))
            .collect();
        if self.has_any(&values, now_ms) {
            return Standing::Usual;
        }
        if self.is_known() && !values.is_empty() {
            return Standing::Unusual;
        }
        if novelty.place == Some(true) {
            return Standing::Unusual;
        }
        match novelty.address {
            Some(false) if trusted => Standing::Usual,
            _ if novelty.place == Some(false) && trusted => Standing::Usual,
            _ => Standing::Unknown,
        }
    }

    /// Whether the machine is usual. A value that names it counts; a fingerprint or user agent, which
    /// many machines share, counts only together with an address the person uses.
    pub(crate) fn device(
        &self,
        origin: &Origin,
        novelty: Novelty,
        now_ms: i64,
        trusted: bool,
    ) -> Standing {
        let (named, alike) = (device_values(origin), likeness_values(origin));
        if self.has_any(&named, now_ms) {
            return Standing::Usual;
        }
        let at_home = address_value(origin).is_some_and(|value| self.has(&value, now_ms));
        let is_alike = self.has_any(&alike, now_ms);
        // In an office many machines are alike: one that is named, and otherwise than the person's, is another. One
        // that is not named may be any, where all of this person's that are like it were; and elsewhere it is none.
        let can_tell_id = self.is_known() && self.has_kind("device/");
        let is_nameless =
            can_tell_id && bare_value(origin).is_some_and(|value| !self.has(&value, now_ms));
        let is_another = is_nameless || (can_tell_id && origin.device_id.is_some());
        if at_home
            && is_alike
            && !is_another
            && (novelty.device != Some(true) || self.is_forgetful())
        {
            return Standing::Usual;
        }
        if is_alike && origin.device_id.is_none() && self.is_forgetful() {
            return Standing::Unknown;
        }
        if novelty.device == Some(true) {
            return Standing::Unusual;
        }
        if self.is_known() {
            let can_tell_name = (origin.device_id.is_some() && self.has_kind("device/"))
                || (origin.device_token.is_some() && self.has_kind("token/"));
            let can_tell_agent = agent_value(origin).is_some() && self.has_kind("agent/");
            if can_tell_name || (can_tell_agent && !is_alike) || (is_nameless && !at_home) {
                return Standing::Unusual;
            }
            return Standing::Unknown;
        }
        if novelty.device == Some(false) && trusted {
            Standing::Usual
        } else {
            Standing::Unknown
        }
    }

    /// Whether the person signs in at this hour. The hours beside a known one are usual too, which also
    /// covers daylight saving.
    pub(crate) fn hour(&self, time_ms: i64) -> Standing {
        if !self.knows_hours() {
            return Standing::Unknown;
        }
        let hour = time_ms.div_euclid(HOUR_MS).rem_euclid(24);
        let near = [(hour + 23) % 24, hour, (hour + 1) % 24];
        let is_usual = near.iter().any(|hour| {
            usize::try_from(*hour)
                .ok()
                .and_then(|hour| self.hours.get(hour))
                .is_some_and(|count| *count > 0)
        });
        if is_usual {
            Standing::Usual
        } else {
            Standing::Unusual
        }
    }

    /// Whether the person was never in this country, as far as enough is known.
    pub(crate) fn is_new_country(&self, origin: &Origin, now_ms: i64) -> bool {
        self.is_known()
            && self.has_kind("country/")
            && country_value(origin).is_some_and(|value| !self.has(&value, now_ms))
    }

    /// Takes a sign-in as the person's own.
    pub(crate) fn learn(&mut self, origin: &Origin, time_ms: i64) {
        for value in all_values(origin) {
            self.tentative.remove(&value);
            self.remember(value, time_ms);
        }
        if self
            .last_sign_in_ms
            .is_some_and(|last_ms| (time_ms - last_ms).abs() < ONE_SIGN_IN_MS)
        {
            return;
        }
        self.last_sign_in_ms = Some(time_ms);
        self.sign_ins = self.sign_ins.saturating_add(1);
        let day = time_ms.div_euclid(DAY_MS);
        if self.last_day != Some(day) {
            self.last_day = Some(day);
            self.days = self.days.saturating_add(1);
        }
        let hour = time_ms.div_euclid(HOUR_MS).rem_euclid(24);
        if let Some(count) = usize::try_from(hour)
            .ok()
            .and_then(|hour| self.hours.get_mut(hour))
        {
            *count = count.saturating_add(1);
        }
    }

    /// Takes a sign-in as perhaps the person's own: it becomes usual when it keeps coming back.
    pub(crate) fn learn_tentatively(&mut self, origin: &Origin, time_ms: i64) {
        let day = time_ms.div_euclid(DAY_MS);
        for value in all_values(origin).into_iter().chain(client_value(origin)) {
            if self.tentative.len() >= VALUES_MAX && !self.tentative.contains_key(&value) {
                self.tentative.pop_first();
            }
            self.tentative.entry(value).or_default().insert(day);
        }
        // Values that everybody shares, as a browser's name, come back by themselves: only a value that
        // names the address or the machine makes the whole usual, or the network and the client together.
        let names = device_values(origin)
            .into_iter()
            .chain(address_value(origin))
            .chain(client_value(origin));
        let returned = names
            .filter_map(|value| self.tentative.get(&value))
            .any(|days| days.len() >= TENTATIVE_DAYS);
        if returned {
            self.learn(origin, time_ms);
        }
    }

    fn remember(&mut self, value: String, time_ms: i64) {
        let last_ms = self.seen.entry(value).or_insert(time_ms);
        *last_ms = (*last_ms).max(time_ms);
        if self.seen.len() > VALUES_MAX {
            let oldest = self
                .seen
                .iter()
                .min_by(|(a, a_ms), (b, b_ms)| a_ms.cmp(b_ms).then_with(|| a.cmp(b)))
                .map(|(value, _)| value.clone());
            if let Some(oldest) = oldest {
                self.seen.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
#[path = "baseline_tests.rs"]
mod tests;
