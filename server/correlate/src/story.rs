//! Stories for tests: what happened to Dana, told in order, as the events a feed would have stored.
//!
//! Dana Reyes works in Porto (UTC in winter). Home is her usual place and machine, the attacker sits in
//! Bucharest with a machine of their own.

use tocsin_proto::id::{IdentityId, MfaEventId};

use crate::attempt::{Attempt, attempts};
use crate::case::Case;
use crate::episode::episodes;
use crate::input::{
    AccountKey, Actor, Factor, FlowIds, Input, LinkedEndpoint, MfaEvent, MfaEventKind, Novelty,
    Origin, Person, Place, Provider, Risk, WeightsVersion, normalize,
};
use crate::outage::Outage;
use crate::timeline::{Item, Known, timeline};
use crate::{Baseline, Outcome, Severity, correlate};

#[derive(Debug, Clone)]
pub(crate) struct Story {
    events: Vec<MfaEvent>,
    now_ms: i64,
    origin: Origin,
    factor: Factor,
    flow: FlowIds,
    novelty: Novelty,
    risk: Option<Risk>,
    privileged: bool,
    endpoints: Vec<LinkedEndpoint>,
    provider: Provider,
    outages: Vec<Outage>,
}

pub(crate) fn ms(time: &str) -> i64 {
    let time = format!("{}:00Z", time.replace(' ', "T"));
    time.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

fn place(ip: &str, asn: u32, country: &str, city: &str) -> Origin {
    Origin {
        ip: Some(ip.parse().unwrap()),
        asn: Some(asn),
        place: Place {
            country: Some(country.into()),
            region: None,
            city: Some(city.into()),
        },
        ..Origin::default()
    }
}

fn machine(origin: Origin, token: &str, os: &str, browser: &str) -> Origin {
    Origin {
        device_token: Some(token.into()),
        os: Some(os.into()),
        browser: Some(browser.into()),
        user_agent: Some(format!("Mozilla/5.0 ({os}) {browser}")),
        ..origin
    }
}

pub(crate) fn account() -> AccountKey {
    AccountKey {
        provider: Provider::Okta,
        provider_id: "00u1".into(),
        login: "dana@example.com".into(),
    }
}

impl Story {
    pub(crate) fn new() -> Self {
        Self {
            events: Vec::new(),
            now_ms: ms("2026-03-01 09:00"),
            origin: Origin::default(),
            factor: Factor::Push,
            flow: FlowIds::default(),
            novelty: Novelty::default(),
            risk: None,
            privileged: false,
            endpoints: Vec::new(),
            provider: Provider::Okta,
            outages: Vec::new(),
        }
        .home()
    }

    /// Two sign-ins a day from home, from the first of March.
    pub(crate) fn usual_sign_ins(mut self, days: i64) -> Self {
        for day in 0..days {
            for hours in [9, 13] {
                self.now_ms = ms("2026-03-01 00:00") + (day * 24 + hours) * 3_600_000;
                self = self.home().sign_in();
            }
        }
        self
    }

    pub(crate) fn at(self, time: &str) -> Self {
        Self {
            now_ms: ms(time),
            ..self
        }
    }

    pub(crate) fn after_seconds(self, seconds: i64) -> Self {
        Self {
            now_ms: self.now_ms + seconds * 1000,
            ..self
        }
    }

    pub(crate) fn after_minutes(self, minutes: i64) -> Self {
        self.after_seconds(minutes * 60)
    }

    pub(crate) fn from(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    pub(crate) fn home(self) -> Self {
        let place = place("192.0.2.10", 64_500, "PT", "Porto");
        self.from(machine(place, "laptop", "Linux", "FIREFOX"))
    }

    /// A browser like hers that has no name, in her network at home.
    pub(crate) fn nameless_machine(self) -> Self {
        let origin = place("192.0.2.11", 64_500, "PT", "Porto");
        let named = machine(origin, "", "Linux", "FIREFOX");
        self.from(Origin {
            device_token: None,
            ..named
        })
    }

    /// Her machine, in a hotel abroad.
    pub(crate) fn traveling(self) -> Self {
        let place = place("198.51.100.7", 64_510, "JP", "Osaka");
        self.from(machine(place, "laptop", "Linux", "FIREFOX"))
    }

    /// Somebody else's computer where she stays abroad.
    pub(crate) fn borrowed_machine(self) -> Self {
        let place = place("198.51.100.9", 64_510, "JP", "Osaka");
        self.from(machine(place, "borrowed", "Windows", "EDGE"))
    }

    pub(crate) fn attacker(self) -> Self {
        let place = place("203.0.113.66", 64_666, "RO", "Bucharest");
        self.from(machine(place, "attacker", "Windows", "CHROME"))
    }

    /// The attacker with a client that calls itself a phone.
    pub(crate) fn attacker_on_phone(self) -> Self {
        let place = place("203.0.113.66", 64_666, "RO", "Bucharest");
        self.from(machine(place, "phone", "Android", "MOBILE"))
    }

    /// Neither home nor the attacker's first address.
    pub(crate) fn elsewhere(self) -> Self {
        let place = place("198.51.100.200", 64_777, "NL", "Amsterdam");
        self.from(machine(place, "other", "Windows", "EDGE"))
    }

    pub(crate) fn user_agent(mut self, agent: &str) -> Self {
        self.origin.user_agent = Some(agent.into());
        (self.origin.os, self.origin.browser) = (None, None);
        self
    }

    pub(crate) fn factor(self, factor: Factor) -> Self {
        Self { factor, ..self }
    }

    /// Whose log the next events are in; Dana's account there is called the same.
    pub(crate) fn at_provider(self, provider: Provider) -> Self {
        Self { provider, ..self }
    }

    pub(crate) fn flow(self, flow: FlowIds) -> Self {
        Self { flow, ..self }
    }

    pub(crate) fn novelty(self, novelty: Novelty) -> Self {
        Self { novelty, ..self }
    }

    pub(crate) fn risk(self, risk: Risk) -> Self {
        Self {
            risk: Some(risk),
            ..self
        }
    }

    pub(crate) fn privileged(self) -> Self {
        Self {
            privileged: true,
            ..self
        }
    }

    pub(crate) fn event(mut self, kind: MfaEventKind) -> Self {
        let n = self.events.len() as u64;
        let is_about_factor = kind == MfaEventKind::PromptSent || kind.is_answer();
        self.events.push(MfaEvent {
            id: MfaEventId::derive(&[b"story", &n.to_be_bytes()]),
            provider: self.provider,
            time_ms: self.now_ms,
            kind,
            account: AccountKey {
                provider: self.provider,
                ..account()
            },
            display_name: Some("Dana Reyes".into()),
            actor: None,
            origin: self.origin.clone(),
            previous_ip: None,
            factor: is_about_factor.then_some(self.factor),
            application: None,
            flow: self.flow.clone(),
            novelty: self.novelty,
            risk: self.risk,
            detail: None,
        });
        self
    }

    /// A row that refers to another provider's prompt.
    pub(crate) fn external(self, kind: MfaEventKind) -> Self {
        let mut story = self.event(kind);
        if let Some(event) = story.events.last_mut() {
            event.factor = Some(Factor::External);
        }
        story
    }

    pub(crate) fn by_help_desk(mut self, kind: MfaEventKind) -> Self {
        let own = core::mem::replace(&mut self.origin, place("192.0.2.99", 64_500, "PT", "Porto"));
        self = self.event(kind);
        if let Some(event) = self.events.last_mut() {
            event.actor = Some(Actor {
                kind: "User".into(),
                provider_id: "00u9".into(),
                login: "helpdesk@example.com".into(),
            });
        }
        self.from(own)
    }

    pub(crate) fn prompt(self) -> Self {
        self.event(MfaEventKind::PromptSent)
    }

    /// Five seconds later the answer.
    pub(crate) fn answer(self, kind: MfaEventKind) -> Self {
        self.after_seconds(5).event(kind)
    }

    pub(crate) fn denied(self) -> Self {
        self.answer(MfaEventKind::Denied)
    }

    pub(crate) fn approved(self) -> Self {
        self.answer(MfaEventKind::Approved)
    }

    pub(crate) fn sign_in(self) -> Self {
        self.prompt()
            .approved()
            .after_seconds(1)
            .event(MfaEventKind::SessionStarted)
    }

    pub(crate) fn events(&self) -> Vec<MfaEvent> {
        self.events.clone()
    }

    pub(crate) fn input(&self) -> Input {
        let last_ms = self
            .events
            .iter()
            .map(|event| event.time_ms)
            .max()
            .unwrap_or(0);
        Input {
            identity: Person {
                id: IdentityId::derive(&[b"dana"]),
                display_name: "Dana Reyes".into(),
                accounts: vec![account()],
                privileged: false,
                said_privileged: self.privileged,
            },
            mfa_events: self.events(),
            endpoints: self.endpoints.clone(),
            observed_until_ms: Provider::ALL
                .iter()
                .map(|provider| (*provider, last_ms + 3_600_000))
                .collect(),
            baseline: Baseline::default(),
            directory: crate::SignInDirectory::default(),
            outages: self.outages.clone(),
            weights: WeightsVersion::default(),
        }
    }

    pub(crate) fn outcome(&self) -> Outcome {
        correlate(&self.input())
    }

    /// The severity of each incident.
    pub(crate) fn severities(&self) -> Vec<Severity> {
        self.outcome()
            .incidents
            .iter()
            .map(|incident| incident.severity)
            .collect()
    }

    pub(crate) fn with_attempts<T>(self, look: impl FnOnce(&[Attempt<'_>]) -> T) -> T {
        let input = self.input();
        let (events, _) = normalize(&input.mfa_events);
        look(&attempts(&events, &input.observed_until_ms))
    }

    pub(crate) fn with_timeline<T>(self, look: impl FnOnce(&[Item<'_>]) -> T) -> T {
        let input = self.input();
        let (events, _) = normalize(&input.mfa_events);
        let attempts = attempts(&events, &input.observed_until_ms);
        look(&timeline(&events, attempts, Known::of(&input)).items)
    }

    /// Outages of providers that many people's failures showed.
    pub(crate) fn outages(self, outages: Vec<Outage>) -> Self {
        Self { outages, ..self }
    }

    pub(crate) fn endpoint(mut self, endpoint: LinkedEndpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// Looks at the case of the last episode; an empty one where there is none.
    pub(crate) fn with_case<T>(self, look: impl FnOnce(&Case<'_, '_>) -> T) -> T {
        let endpoints = crate::linked(&self.endpoints);
        let directory = crate::SignInDirectory::default();
        self.with_timeline(|items| {
            let endpoints: Vec<&LinkedEndpoint> = endpoints.iter().collect();
            let judgements = crate::provenance::judge(items, &endpoints, &directory);
            let episode = episodes(items).pop();
            let empty = crate::episode::Episode { items: Vec::new() };
            look(&Case::new(episode.unwrap_or(empty), &judgements))
        })
    }
}
