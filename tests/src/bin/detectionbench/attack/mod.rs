//! Attacks on some of the company's people, each labelled with its records.
//!
//! The cases and their figures are of public reports: an hour of prompts at night until one is approved (Uber 2022), an
//! own factor enrolled at once (Cisco 2022, Lapsus$), one or two prompts a day, codes relayed at once (0ktapus 2022), the
//! help desk talked into a reset (Scattered Spider, MGM 2023), a call and a remote-support tool within minutes
//! (Storm-1811), one source against many people. The evasions are what somebody does who knows the public rules.

mod evasion;
mod known;
mod steps;

use std::collections::BTreeSet;

use tocsin_proto::id::MfaEventId;

use crate::life::{Life, Month};
use crate::random::Random;
use crate::world::{Machine, Network, Networks, Person};

/// What an attack is.
#[derive(Debug, Clone)]
pub(crate) struct Attack {
    pub scenario: &'static str,
    /// Its victims, by number.
    pub victims: Vec<usize>,
    pub events: BTreeSet<MfaEventId>,
    pub start_ms: i64,
    /// A sign-in was approved after hostile prompts.
    pub is_approved_after_prompts: bool,
    /// What was got was used: a factor, an application, a session elsewhere.
    pub is_acted_on: bool,
    /// An authorised test: neither an attack nor harmless.
    pub is_test: bool,
    /// The attacker worked on the victim's own machine: its traffic is there.
    pub is_on_victims_machine: bool,
}

/// The attacker of one attack.
#[derive(Debug)]
pub(crate) struct Attacker {
    pub random: Random,
    pub machine: Machine,
    pub network: Network,
}

/// Whom an attack hits, and what it leaves.
pub(crate) struct Stage<'s, 'm> {
    pub month: &'s Month<'m>,
    pub networks: &'s mut Networks,
    pub attacker: Attacker,
    pub attack: Attack,
}

/// One victim while they are attacked.
pub(crate) struct Victim<'v> {
    pub person: &'v Person,
    pub life: &'v mut Life,
}

/// How an attack goes.
type Script = fn(&mut Stage<'_, '_>, &mut [Victim<'_>]);

/// Name, how many victims, script.
const SCENARIOS: &[(&str, usize, Script)] = &[
    (
        "an hour of prompts, one approved",
        1,
        known::hour_of_prompts,
    ),
    (
        "the same, acted on weeks later",
        1,
        known::quiet_after_approval,
    ),
    ("burst, all denied, reported", 1, known::burst_denied),
    ("burst by day, all ignored", 1, known::burst_ignored),
    ("two a day, six days, approved", 1, known::low_and_slow),
    ("help desk moves the factors", 1, known::help_desk),
    ("bypass code from the help desk", 1, known::bypass),
    ("codes relayed, factor enrolled", 1, known::relayed),
    ("session stolen", 1, known::session_stolen),
    ("call and remote-support tool", 1, known::remote_support),
    ("voice calls at night", 1, known::voice),
    ("one source, forty people", 40, known::spray),
    ("session used after it was revoked", 1, known::revoked),
    ("one every ten minutes", 1, evasion::every_ten_minutes),
    ("two a day, never approved", 1, evasion::two_a_day),
    ("addresses that rotate", 1, evasion::rotating),
    ("residential, the victim's city", 1, evasion::residential),
    ("from the company's own egress", 1, evasion::own_egress),
    ("a new session each", 1, evasion::new_sessions),
    ("mixed factors", 1, evasion::mixed_factors),
    ("over a bucket's edge", 1, evasion::bucket_straddle),
    (
        "first prompt approved, acted on",
        1,
        evasion::first_approved,
    ),
    (
        "first prompt approved, not acted on",
        1,
        evasion::first_approved_only,
    ),
    ("on the victim's own machine", 1, evasion::victims_machine),
    ("four prompts, then approved", 1, evasion::under_thresholds),
];

/// How often each happens in a month.
const TIMES: usize = 1;

/// Attacks a seed's people and returns the labels.
pub(crate) fn attack(
    month: &Month<'_>,
    lives: &mut [Life],
    networks: &mut Networks,
) -> Vec<Attack> {
    let mut random = Random::new(month.seed, "victims");
    let mut free: Vec<usize> = (0..lives.len())
        .filter(|n| month.company.people[*n].starts_day == 0)
        .collect();
    let mut attacks = Vec::new();
    for (scenario, count, script) in SCENARIOS.iter().chain(&[PEN_TEST]) {
        for _ in 0..TIMES {
            let victims: Vec<usize> = (0..*count)
                .map_while(|_| take(&mut free, &mut random))
                .collect();
            attacks.push(one(month, lives, networks, (scenario, victims, *script)));
        }
    }
    attacks
}

/// One of them, who is not taken again.
fn take(free: &mut Vec<usize>, random: &mut Random) -> Option<usize> {
    let last = i64::try_from(free.len().checked_sub(1)?).ok()?;
    Some(free.swap_remove(usize::try_from(random.between(0, last)).ok()?))
}

const PEN_TEST: (&str, usize, Script) = ("authorised test", 4, known::pen_test);

fn one(
    month: &Month<'_>,
    lives: &mut [Life],
    networks: &mut Networks,
    (scenario, numbers, script): (&'static str, Vec<usize>, Script),
) -> Attack {
    let mut random = Random::new(month.seed, scenario);
    let provider = numbers
        .first()
        .map_or(tocsin_correlate::Provider::Okta, |n| {
            month.company.people[*n].account.provider
        });
    let (country, city, asn) = random.pick(&[
        ("RO", "Bucharest", 65_001),
        ("US", "Ashburn", 65_002),
        ("NL", "Amsterdam", 65_003),
        ("GB", "London", 65_004),
        ("DE", "Frankfurt", 65_005),
        ("IN", "Delhi", 65_006),
    ]);
    let mut machine = Machine::new(&mut random, provider);
    // Some say that they are a phone.
    if random.chance(500) {
        (machine.os, machine.browser) = ("Android", "MOBILE");
    }
    let attacker = Attacker {
        machine,
        network: networks.another(asn, country, city),
        random,
    };
    let mut stage = Stage {
        month,
        networks,
        attacker,
        attack: Attack {
            scenario,
            victims: numbers.clone(),
            events: BTreeSet::new(),
            start_ms: i64::MAX,
            is_approved_after_prompts: false,
            is_acted_on: false,
            is_test: false,
            is_on_victims_machine: false,
        },
    };
    let mut chosen: Vec<Victim<'_>> = lives
        .iter_mut()
        .enumerate()
        .filter(|(n, _)| numbers.contains(n))
        .map(|(n, life)| Victim {
            person: &month.company.people[n],
            life,
        })
        .collect();
    script(&mut stage, &mut chosen);
    stage.attack
}
