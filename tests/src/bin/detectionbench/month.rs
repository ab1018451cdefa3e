//! One seed's month: what it holds, and what each detector makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tocsin_correlate::{
    Baseline, BeliefBand, IncidentDraft, Input, LinkedEndpoint, MfaEvent, NamedNetwork, Outage,
    Outcome, Person as Subject, ProvenanceVerdict, Provider, Severity, Sighting, SignInDirectory,
    WeightsVersion, absorb, baseline_before, campaigns, correlate, memberships, provenances,
};
use tocsin_proto::id::{IncidentId, MfaEventId};

use crate::attack::{Attack, attack};
use crate::curve::Curve;
use crate::endpoint::laptop;
use crate::life::{self, Life, Month};
use crate::outage::{self, Found};
use crate::random::Random;
use crate::rules::{RULES, findings};
use crate::score::{Finding, Score};
use crate::world::{
    Company, DAY_MS, END_MS, HOUR_MS, MINUTE_MS, MONTH_DAYS, MONTH_MS, Machine, Networks, Person,
};

/// What verdicts were right.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Verdicts {
    /// Attempts of attackers on covered people, but for those on the victim's own machine; of these `here`.
    pub attacks: (usize, usize),
    /// Attempts made on the person's own covered laptop; of these `elsewhere`.
    pub own: (usize, usize),
    /// Attempts of covered people; of these decided.
    pub covered: (usize, usize),
}

/// What is measured beside, and how.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measured {
    /// Baselines as they are stored.
    pub baselines: bool,
    /// The engine is not told of outages.
    pub without_outages: bool,
}

/// All that some seeds gave.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub seeds: usize,
    pub people: usize,
    pub events: usize,
    /// Time that the engine took for the people, each once.
    pub engine_time: Duration,
    /// Of all people's baselines as they are stored.
    pub baseline_bytes: usize,
    pub measured: Measured,
    pub engine: Score,
    /// The same at each score.
    pub curve: Curve,
    pub outages: Found,
    /// The same where only incidents of this severity and above are looked at.
    pub above: BTreeMap<Severity, Score>,
    pub rules: BTreeMap<&'static str, Score>,
    /// By band of belief: incidents, and of these attacks.
    pub bands: BTreeMap<BeliefBand, (usize, usize)>,
    pub verdicts: Verdicts,
    /// What made a false incident: kinds of its evidence, how often.
    pub false_kinds: BTreeMap<String, usize>,
    /// Some false incidents, told.
    pub explained: Vec<String>,
    /// Incidents below medium of attacks, told.
    pub lesser: Vec<String>,
    /// Attacks that were missed: scenario, seed.
    pub missed: Vec<String>,
}

/// A month with its labels.
pub(crate) struct Labelled<'m> {
    pub month: Month<'m>,
    pub lives: Vec<Life>,
    pub attacks: Vec<Attack>,
}

/// Networks that the operator has named: the offices and the VPN's egress; a new egress is forgotten in half of the cases.
fn named(company: &Company, is_told: bool) -> Vec<NamedNetwork> {
    let offices = company.sites.iter().map(|site| &site.office);
    let after = is_told.then_some(&company.vpn.1);
    let networks = offices.chain([&company.vpn.0]).chain(after);
    networks
        .map(|network| NamedNetwork {
            address: network.address(0),
            bits: 24,
        })
        .collect()
}

/// Makes a month.
pub(crate) fn generate<'c>(
    company: &'c Company,
    seed: u64,
    networks: &mut Networks,
) -> Labelled<'c> {
    let mut random = Random::new(seed, "month");
    let outages = [Provider::Okta, Provider::Entra]
        .map(|provider| {
            let from_ms = MONTH_MS
                + random.between(0, MONTH_DAYS - 2) * DAY_MS
                + random.between(7, 18) * HOUR_MS;
            life::Outage {
                from_ms,
                until_ms: from_ms + random.between(30, 90) * MINUTE_MS,
                provider,
            }
        })
        .to_vec();
    let kiosk = Machine::new(&mut random, Provider::Okta);
    let named = named(company, random.chance(5_000));
    let month = Month {
        seed,
        company,
        outages,
        kiosk,
        named,
    };
    let mut lives: Vec<Life> = company
        .people
        .iter()
        .map(|person| Life::of(&month, person, networks))
        .collect();
    let attacks = attack(&month, &mut lives, networks);
    Labelled {
        month,
        lives,
        attacks,
    }
}

impl Totals {
    /// Runs all detectors over a seed's month.
    pub(crate) fn run(&mut self, seed: u64, people: usize) {
        let mut networks = Networks::default();
        let company = Company::new(seed, people, &mut networks);
        let Labelled {
            month,
            mut lives,
            attacks,
        } = generate(&company, seed, &mut networks);
        self.seeds += 1;
        self.people = people;
        let mut drafts: Vec<IncidentDraft> = Vec::new();
        let mut sightings: Vec<Sighting> = Vec::new();
        let mut seen: BTreeMap<IncidentId, i64> = BTreeMap::new();
        let mut rules: BTreeMap<&'static str, Vec<Finding>> = BTreeMap::new();
        let labels = Labels::new(&attacks);
        let outages = outage::known(&company.people, &lives);
        self.outages.take(&month, &outages);
        let outages: &[Outage] = if self.measured.without_outages {
            &[]
        } else {
            &outages
        };
        for (person, life) in company.people.iter().zip(&mut lives) {
            let told = (&month, outages);
            let outcome = self.person(told, (person, life), &labels, (&mut seen, &mut rules));
            drafts.extend(outcome.incidents);
            sightings.extend(outcome.sightings);
        }
        let covered: Vec<bool> = company
            .people
            .iter()
            .map(|person| person.is_covered)
            .collect();
        let certain = |attack: &Attack| {
            attack.is_approved_after_prompts
                || attack.is_acted_on
                || attack.victims.iter().all(|n| covered[*n])
        };
        let engine = self.settle((drafts, &sightings), (&labels, &attacks), &seen);
        let all: Vec<Finding> = engine.iter().map(|(_, found)| found.clone()).collect();
        self.engine.add(&all, &attacks, certain);
        for least in [Severity::High, Severity::Critical] {
            let above = engine.iter().filter(|(severity, _)| *severity >= least);
            let above: Vec<Finding> = above.map(|(_, found)| found.clone()).collect();
            let score = self.above.entry(least).or_default();
            score.add(&above, &attacks, certain);
        }
        self.note_missed(seed, &all, &attacks, certain);
        for (name, found) in rules {
            self.rules
                .entry(name)
                .or_default()
                .add(&found, &attacks, certain);
        }
    }

    fn note_missed(
        &mut self,
        seed: u64,
        findings: &[Finding],
        attacks: &[Attack],
        certain: impl Fn(&Attack) -> bool,
    ) {
        let found: BTreeSet<&MfaEventId> = findings
            .iter()
            .flat_map(|finding| &finding.events)
            .collect();
        for attack in attacks.iter().filter(|attack| !attack.is_test) {
            if !attack.events.iter().any(|event| found.contains(event)) {
                let must = if certain(attack) {
                    "must not be missed"
                } else {
                    "nothing of it shows"
                };
                self.missed.push(format!(
                    "seed {seed}: {} ({must}), victim {:?}",
                    attack.scenario,
                    attack.victims.first()
                ));
            }
        }
    }

    fn person(
        &mut self,
        (month, outages): (&Month<'_>, &[Outage]),
        (person, life): (&Person, &mut Life),
        labels: &Labels,
        (seen, rules): (
            &mut BTreeMap<IncidentId, i64>,
            &mut BTreeMap<&'static str, Vec<Finding>>,
        ),
    ) -> Outcome {
        life.log
            .events
            .sort_by_key(|event| (event.time_ms, event.id));
        let endpoint = person.is_covered.then(|| laptop(month, person, life));
        let events = &life.log.events;
        self.events += events.len();
        for rule in RULES {
            let found = findings(rule, events);
            let found = found.into_iter().filter(|alert| alert.time_ms >= MONTH_MS);
            let found = found.map(|alert| Finding {
                time_ms: alert.time_ms,
                events: alert.events,
            });
            rules.entry(rule.name).or_default().extend(found);
        }
        let mut input = input(person, events.clone(), endpoint.into_iter().collect());
        input.directory.networks.clone_from(&month.named);
        input.outages = outages.to_vec();
        let began = on_processor();
        let outcome = correlate(&input);
        self.engine_time += on_processor().saturating_sub(began);
        if self.measured.baselines {
            let baseline = serde_json::to_vec(&baseline_before(&input, END_MS));
            self.baseline_bytes += baseline.map_or(0, |bytes| bytes.len());
        }
        for incident in shown(&outcome) {
            if incident
                .event_ids
                .iter()
                .any(|id| labels.attack.contains(id))
            {
                seen.insert(incident.id, first_seen_ms(&input, labels));
            }
        }
        self.take_lesser(&outcome, labels);
        self.outages.take_incidents(month, &outcome, labels);
        if person.is_covered {
            self.take_verdicts(&input, life, labels);
        }
        outcome
    }

    /// The second pass, over all people; then what an analyst is shown.
    fn settle(
        &mut self,
        (mut drafts, sightings): (Vec<IncidentDraft>, &[Sighting]),
        (labels, attacks): (&Labels, &[Attack]),
        seen: &BTreeMap<IncidentId, i64>,
    ) -> Vec<(Severity, Finding)> {
        let found = campaigns(sightings);
        absorb(&mut drafts, &memberships(&found, sightings));
        drafts.extend(found);
        let is_measured = |draft: &IncidentDraft| {
            let hits = draft.event_ids.iter().any(|id| labels.attack.contains(id));
            is_shown(draft) && (hits || draft.first_event_time_ms >= MONTH_MS)
        };
        let measured: Vec<IncidentDraft> = drafts
            .iter()
            .filter(|draft| is_measured(draft))
            .cloned()
            .collect();
        self.curve.add(&measured, attacks);
        self.take_bands(&drafts, labels);
        let mut findings = Vec::new();
        for draft in drafts.iter().filter(|draft| is_shown(draft)) {
            let hits = draft.event_ids.iter().any(|id| labels.attack.contains(id));
            let tested = draft.event_ids.iter().any(|id| labels.test.contains(id));
            // What began before the measured month was somebody's work then.
            if !hits && draft.first_event_time_ms < MONTH_MS {
                continue;
            }
            if !hits && !tested {
                self.note_false(draft);
            }
            let since_ms = draft.campaign.as_ref().map(|campaign| campaign.since_ms);
            let seen_ms = since_ms.or_else(|| seen.get(&draft.id).copied());
            let finding = Finding {
                time_ms: seen_ms.unwrap_or(draft.last_event_time_ms),
                events: draft.event_ids.clone(),
            };
            findings.push((draft.severity, finding));
        }
        findings
    }

    fn note_false(&mut self, draft: &IncidentDraft) {
        let kinds: Vec<&str> = draft
            .evidence
            .iter()
            .map(|piece| piece.kind.as_str())
            .collect();
        *self.false_kinds.entry(kinds.join(" ")).or_default() += 1;
        if self.explained.len() < EXPLAINED_MAX {
            self.explained.push(explain(draft));
        }
    }

    /// What there is of an attack that no incident of medium or above holds.
    fn take_lesser(&mut self, outcome: &Outcome, labels: &Labels) {
        let is_hit = |incident: &&IncidentDraft| {
            incident
                .event_ids
                .iter()
                .any(|id| labels.attack.contains(id))
        };
        if shown(outcome).all(|incident| !is_hit(&incident)) {
            let lesser = outcome.incidents.iter().filter(is_hit);
            self.lesser.extend(lesser.map(explain));
        }
    }

    fn take_bands(&mut self, drafts: &[IncidentDraft], labels: &Labels) {
        // People touched by a campaign alone are told by it.
        let is_told = |draft: &&IncidentDraft| {
            draft.first_event_time_ms >= MONTH_MS
                && (draft.severity > Severity::Low
                    || !draft.related.iter().any(|r| r.relation == "campaign"))
        };
        for incident in drafts.iter().filter(is_told) {
            if incident.event_ids.iter().any(|id| labels.test.contains(id)) {
                continue;
            }
            let entry = self.bands.entry(incident.belief).or_default();
            entry.0 += 1;
            entry.1 += usize::from(
                incident
                    .event_ids
                    .iter()
                    .any(|id| labels.attack.contains(id)),
            );
        }
    }

    fn take_verdicts(&mut self, input: &Input, life: &Life, labels: &Labels) {
        for (attempt, provenance) in provenances(input) {
            let verdict = provenance.verdict;
            let is_own = life.on_laptop.contains(&attempt);
            let is_attack = labels.attack.contains(&attempt) || labels.test.contains(&attempt);
            let verdicts = &mut self.verdicts;
            let mut count = |slot: fn(&mut Verdicts) -> &mut (usize, usize), hit: bool| {
                let slot = slot(verdicts);
                slot.0 += 1;
                slot.1 += usize::from(hit);
            };
            count(|v| &mut v.covered, verdict != ProvenanceVerdict::Unknown);
            if is_own {
                count(|v| &mut v.own, verdict == ProvenanceVerdict::Elsewhere);
            } else if is_attack {
                count(|v| &mut v.attacks, verdict == ProvenanceVerdict::Here);
            }
        }
    }
}

/// False incidents that are told.
const EXPLAINED_MAX: usize = 400;

fn explain(incident: &IncidentDraft) -> String {
    let mut text = format!(
        "{} {} {} {} {}",
        incident
            .accounts
            .first()
            .map_or("", |account| account.provider.word()),
        incident
            .accounts
            .first()
            .map_or("", |account| &account.login),
        incident.severity.word(),
        incident.log_odds.as_f64(),
        incident.title
    );
    for piece in &incident.evidence {
        text += &format!(
            "\n    {:>5} {}: {}",
            piece.weight.as_f64(),
            piece.kind,
            piece.summary
        );
    }
    for attempt in incident.attempts.iter().take(8) {
        let ms = attempt.time_ms - crate::world::START_MS;
        text += &format!(
            "\n    day {} {:02}:{:02} {:?} {:?} {} {}",
            ms / DAY_MS,
            ms % DAY_MS / HOUR_MS,
            ms % HOUR_MS / MINUTE_MS,
            attempt.result,
            attempt.source_ip,
            attempt.source_place,
            attempt.user_agent.as_deref().unwrap_or_default()
        );
    }
    text
}

/// Records of attacks and of tests.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    pub attack: BTreeSet<MfaEventId>,
    pub test: BTreeSet<MfaEventId>,
}

impl Labels {
    pub(crate) fn new(attacks: &[Attack]) -> Self {
        let mut labels = Self::default();
        for attack in attacks {
            let set = if attack.is_test {
                &mut labels.test
            } else {
                &mut labels.attack
            };
            set.extend(&attack.events);
        }
        labels
    }
}

/// Time that this thread has been on a processor, so that what else the machine does is not counted; time that has
/// passed where the system does not tell.
fn on_processor() -> Duration {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|text| text.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| BEGAN.elapsed(), Duration::from_nanos)
}

/// An incident of the measured month that an analyst is shown first.
fn is_shown(incident: &IncidentDraft) -> bool {
    incident.severity >= Severity::Medium && incident.last_event_time_ms >= MONTH_MS
}

fn shown(outcome: &Outcome) -> impl Iterator<Item = &IncidentDraft> {
    outcome.incidents.iter().filter(|draft| is_shown(draft))
}

/// What the engine is told of a person.
pub(crate) fn input(
    person: &Person,
    events: Vec<MfaEvent>,
    endpoints: Vec<LinkedEndpoint>,
) -> Input {
    Input {
        identity: Subject {
            id: person.id,
            display_name: String::new(),
            accounts: vec![person.account.clone()],
            privileged: person.is_privileged,
            said_privileged: false,
        },
        mfa_events: events,
        endpoints,
        observed_until_ms: [(person.account.provider, END_MS + DAY_MS)].into(),
        baseline: Baseline::default(),
        directory: SignInDirectory::default(),
        outages: Vec::new(),
        weights: WeightsVersion::default(),
    }
}

/// When the engine would first have shown an incident of the attack: the earliest of its records with which, and with
/// all before it, there is one. By bisection: more records of an attack do not hide it.
fn first_seen_ms(input: &Input, labels: &Labels) -> i64 {
    let times: Vec<i64> = input
        .mfa_events
        .iter()
        .filter(|event| labels.attack.contains(&event.id))
        .map(|event| event.time_ms)
        .collect();
    let is_seen = |time_ms: i64| {
        let mut so_far = input.clone();
        so_far.mfa_events.retain(|event| event.time_ms <= time_ms);
        so_far
            .observed_until_ms
            .values_mut()
            .for_each(|until_ms| *until_ms = time_ms);
        so_far.outages.retain(|outage| outage.from_ms <= time_ms);
        let outcome = correlate(&so_far);
        shown(&outcome).any(|incident| {
            incident
                .event_ids
                .iter()
                .any(|id| labels.attack.contains(id))
        })
    };
    let first = times.partition_point(|time_ms| !is_seen(*time_ms));
    times.get(first).or(times.last()).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report;

    fn totals(seed: u64) -> Totals {
        let mut totals = Totals::default();
        totals.run(seed, 100);
        totals
    }

    #[test]
    fn one_seed_gives_one_result() {
        let text = report::object(&totals(3)).to_string();
        assert_eq!(report::object(&totals(3)).to_string(), text);
    }

    #[test]
    fn every_scenario_leaves_records_within_the_month() {
        let mut networks = Networks::default();
        let company = Company::new(5, 100, &mut networks);
        let labelled = generate(&company, 5, &mut networks);
        for attack in &labelled.attacks {
            assert!(!attack.events.is_empty(), "{}", attack.scenario);
            assert!(
                (MONTH_MS..END_MS).contains(&attack.start_ms),
                "{}",
                attack.scenario
            );
        }
        let victims: Vec<usize> = labelled
            .attacks
            .iter()
            .flat_map(|attack| attack.victims.clone())
            .collect();
        let unique: BTreeSet<usize> = victims.iter().copied().collect();
        assert_eq!(unique.len(), victims.len(), "nobody is attacked twice");
    }

    #[test]
    fn rates_are_the_published_ones() {
        let mut networks = Networks::default();
        let company = Company::new(6, 200, &mut networks);
        let labelled = generate(&company, 6, &mut networks);
        let labels = Labels::new(&labelled.attacks);
        let events = labelled.lives.iter().flat_map(|life| &life.log.events);
        let harmless: Vec<&MfaEvent> = events
            .filter(|event| !labels.attack.contains(&event.id) && !labels.test.contains(&event.id))
            .filter(|event| event.kind.is_answer())
            .collect();
        let ignored = harmless
            .iter()
            .filter(|e| e.kind == tocsin_correlate::MfaEventKind::Unanswered);
        let per_thousand = ignored.count() * 1000 / harmless.len();
        // 6.2, half of Okta's silent ones missing, loops and outages added.
        assert!(
            (4..12).contains(&per_thousand),
            "{per_thousand} of 1000 not answered"
        );
    }
}
