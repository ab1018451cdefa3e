//! What the providers log of a sign-in: each writes it in its own way.
//!
//! ```text
//! Okta   password accepted, a push for each phone, the answer, the session
//! Entra  one row an answer, all rows of a sign-in under one id; no row when a prompt is sent
//! Duo    one record a sign-in, whatever came of it
//! ```

use std::collections::BTreeSet;

use tocsin_correlate::{
    Actor, Factor, FlowIds, MfaEvent, MfaEventKind, Novelty, Origin, Provider, Risk,
};
use tocsin_proto::id::MfaEventId;

use crate::random::Random;
use crate::world::Person;

/// How a prompt ends.
pub(crate) type Ending = MfaEventKind;

/// One person's log.
#[derive(Debug)]
pub(crate) struct Log {
    pub events: Vec<MfaEvent>,
    name: String,
    count: u64,
    random: Random,
    /// What the provider has seen of the person: its own notion of new.
    seen: BTreeSet<String>,
}

/// A sign-in that is to be logged.
#[derive(Debug, Clone)]
pub(crate) struct SignIn {
    pub time_ms: i64,
    pub origin: Origin,
    pub factor: Factor,
    pub ending: Ending,
    /// Seconds until the answer.
    pub answer_s: i64,
    /// Where the phone was, for providers that log it.
    pub phone: Option<Origin>,
    /// One session for several prompts; empty: one each.
    pub session: String,
}

impl SignIn {
    /// A push that was approved after a few seconds.
    pub(crate) fn new(time_ms: i64, origin: Origin) -> Self {
        Self {
            time_ms,
            origin,
            factor: Factor::Push,
            ending: MfaEventKind::Approved,
            answer_s: 7,
            phone: None,
            session: String::new(),
        }
    }

    pub(crate) fn ending(self, ending: Ending) -> Self {
        Self { ending, ..self }
    }
}

impl Log {
    pub(crate) fn new(seed: u64, person: &Person) -> Self {
        Self {
            events: Vec::new(),
            name: format!("{seed} {}", person.account.login),
            count: 0,
            random: Random::new(seed, &person.account.login),
            seen: BTreeSet::new(),
        }
    }

    /// One record, with what the provider thinks of its origin.
    pub(crate) fn event(
        &mut self,
        person: &Person,
        time_ms: i64,
        kind: MfaEventKind,
        origin: &Origin,
    ) -> &mut MfaEvent {
        self.count += 1;
        let id = MfaEventId::derive(&[self.name.as_bytes(), &self.count.to_be_bytes()]);
        let novelty = self.novelty(person, kind, origin);
        let is_new = novelty.address == Some(true) && novelty.device == Some(true);
        let risk = (is_new && self.random.chance(4_000)).then_some(Risk::High);
        self.events.push(MfaEvent {
            id,
            provider: person.account.provider,
            time_ms,
            kind,
            account: person.account.clone(),
            display_name: None,
            actor: None,
            origin: origin.clone(),
            previous_ip: None,
            factor: None,
            application: None,
            flow: FlowIds::default(),
            novelty,
            risk,
            detail: None,
        });
        let last = self.events.len() - 1;
        &mut self.events[last]
    }

    /// Something that the help desk or an administrator did to the account.
    pub(crate) fn by_other(
        &mut self,
        person: &Person,
        time_ms: i64,
        kind: MfaEventKind,
        origin: &Origin,
    ) {
        self.event(person, time_ms, kind, origin).actor = Some(Actor {
            kind: "User".to_owned(),
            provider_id: "00uhelp".to_owned(),
            login: "helpdesk@example.com".to_owned(),
        });
    }

    fn novelty(&mut self, person: &Person, kind: MfaEventKind, origin: &Origin) -> Novelty {
        if person.account.provider != Provider::Okta {
            return Novelty::default();
        }
        let mut values = vec![format!("{:?}", origin.ip)];
        values.push(format!("{:?}", origin.device_token));
        values.push(format!("{:?}{:?}", origin.place.country, origin.place.city));
        let is_new: Vec<bool> = values
            .iter()
            .map(|value| !self.seen.contains(value))
            .collect();
        if kind == MfaEventKind::SessionStarted {
            self.seen.extend(values);
        }
        let known = is_new.len() == 3 && !self.seen.is_empty();
        Novelty {
            address: known.then(|| is_new[0]),
            device: known.then(|| is_new[1]),
            place: known.then(|| is_new[2]),
            velocity: None,
        }
    }

    /// A sign-in from the password on. Returns when it ended.
    pub(crate) fn sign_in(&mut self, person: &Person, sign_in: &SignIn) -> i64 {
        match person.account.provider {
            Provider::Okta => self.okta(person, sign_in),
            Provider::Entra => self.entra(person, sign_in),
            _ => self.duo(person, sign_in),
        }
    }

    fn name(&mut self, what: &str) -> String {
        format!("{what}{:016x}", self.random.next())
    }

    fn okta(&mut self, person: &Person, sign_in: &SignIn) -> i64 {
        let SignIn {
            time_ms, origin, ..
        } = sign_in;
        let session = if sign_in.session.is_empty() {
            self.name("idx")
        } else {
            sign_in.session.clone()
        };
        let transaction = self.name("req");
        // Classic has no session before it succeeds.
        let before = person.logs_phone.then(|| session.clone());
        self.event(person, *time_ms, MfaEventKind::PasswordAccepted, origin)
            .flow
            .session = before.clone();
        let is_prompt = !matches!(sign_in.factor, Factor::Totp | Factor::Webauthn);
        let prompt_ms = time_ms + 1_500;
        if is_prompt {
            let phones = if person.home_host.is_multiple_of(7) {
                2
            } else {
                1
            };
            for phone in 0..phones {
                let prompt = self.event(
                    person,
                    prompt_ms + phone * 200,
                    MfaEventKind::PromptSent,
                    origin,
                );
                prompt.factor = Some(sign_in.factor);
                prompt.flow.transaction = Some(transaction.clone());
                prompt.flow.session = before.clone();
            }
        }
        let mut end_ms = prompt_ms + sign_in.answer_s * 1_000;
        // An ignored prompt leaves no record of its own where the feature is off.
        let is_silent =
            sign_in.ending == MfaEventKind::Unanswered && person.home_host.is_multiple_of(2);
        if sign_in.ending == MfaEventKind::Unanswered {
            end_ms = prompt_ms + 300_000;
        }
        if !is_silent {
            // A code is typed at the client.
            let from = sign_in
                .phone
                .as_ref()
                .filter(|_| person.logs_phone && is_prompt)
                .unwrap_or(origin);
            let answer = self.event(person, end_ms, sign_in.ending, from);
            answer.factor = Some(sign_in.factor);
            answer.flow.session = before;
            if !person.logs_phone {
                answer.flow.transaction = Some(transaction);
            }
        }
        if sign_in.ending == MfaEventKind::Approved {
            end_ms += 800;
            let started = self.event(person, end_ms, MfaEventKind::SessionStarted, origin);
            started.flow.session = Some(session);
        }
        end_ms
    }

    fn entra(&mut self, person: &Person, sign_in: &SignIn) -> i64 {
        let SignIn {
            time_ms, origin, ..
        } = sign_in;
        let correlation = self.name("cor");
        let session = if sign_in.session.is_empty() {
            self.name("sid")
        } else {
            sign_in.session.clone()
        };
        let flow = FlowIds {
            transaction: None,
            authentication: Some(correlation),
            session: Some(session),
            root_session: None,
        };
        self.event(person, *time_ms, MfaEventKind::PasswordAccepted, origin)
            .flow = flow.clone();
        let wait_s = if sign_in.ending == MfaEventKind::Unanswered {
            60
        } else {
            sign_in.answer_s
        };
        let end_ms = time_ms + 1_000 + wait_s * 1_000;
        let answer = self.event(person, end_ms, sign_in.ending, origin);
        answer.factor = Some(sign_in.factor);
        answer.flow = flow;
        end_ms
    }

    fn duo(&mut self, person: &Person, sign_in: &SignIn) -> i64 {
        let transaction = self.name("tx");
        let wait_s = if sign_in.ending == MfaEventKind::Unanswered {
            60
        } else {
            sign_in.answer_s
        };
        let end_ms = sign_in.time_ms + wait_s * 1_000;
        let record = self.event(person, end_ms, sign_in.ending, &sign_in.origin);
        record.factor = Some(sign_in.factor);
        record.flow.transaction = Some(transaction);
        end_ms
    }
}
