//! The harmless life of one person: working days, and the mess in between.
//!
//! Rates come from one real fleet where it published them (91,961 Duo authentications in 30 days: 6.2 of 1000 not
//! answered, 0.05 of 1000 reported as fraud, 1.2 % with places that do not match, nearly all of them carrier networks).
//! Others are judged, and stand where they are used.

mod day;
mod mess;
mod plan;

use std::collections::BTreeSet;

use tocsin_correlate::Origin;
use tocsin_proto::id::MfaEventId;

use crate::random::Random;
use crate::record::{Log, SignIn};
use crate::world::{Company, Machine, Network, Networks, Person};

pub(crate) use plan::Plan;

/// A time in which the laptop was on, in one network.
#[derive(Debug, Clone)]
pub(crate) struct Stay {
    pub from_ms: i64,
    pub until_ms: i64,
    pub network: Network,
    pub host: u32,
    /// Others go out with the same address.
    pub is_shared: bool,
    /// The agent's connection goes through the company's VPN.
    pub is_vpn: bool,
}

/// A sign-in that was made on the laptop.
#[derive(Debug, Clone)]
pub(crate) struct Use {
    pub time_ms: i64,
    pub browser: &'static str,
}

/// Somebody supports the person from afar, or an attacker does.
#[derive(Debug, Clone)]
pub(crate) struct Support {
    pub from_ms: i64,
    pub until_ms: i64,
    pub tool: &'static str,
    pub is_managed: bool,
    pub is_new: bool,
}

/// What happened to a person.
#[derive(Debug)]
pub(crate) struct Life {
    pub log: Log,
    pub random: Random,
    pub plan: Plan,
    pub stays: Vec<Stay>,
    pub uses: Vec<Use>,
    /// Records of sign-ins that were made on the laptop, by whomever.
    pub on_laptop: BTreeSet<MfaEventId>,
    pub supports: Vec<Support>,
}

/// An hour in which a provider's prompts do not arrive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outage {
    pub from_ms: i64,
    pub until_ms: i64,
    pub provider: tocsin_correlate::Provider,
}

/// What is the same for all people of a month.
#[derive(Debug)]
pub(crate) struct Month<'m> {
    pub seed: u64,
    pub company: &'m Company,
    pub outages: Vec<Outage>,
    /// A machine that many people use, at each site.
    pub kiosk: Machine,
    /// Networks that the operator has named.
    pub named: Vec<tocsin_correlate::NamedNetwork>,
}

impl Life {
    /// A person's month, with the days before it by which they are known.
    pub(crate) fn of(month: &Month<'_>, person: &Person, networks: &mut Networks) -> Self {
        let mut random = Random::new(month.seed, &format!("life of {}", person.account.login));
        let plan = Plan::new(month.company, person, networks, &mut random);
        let mut life = Self {
            log: Log::new(month.seed, person),
            random,
            plan,
            stays: Vec::new(),
            uses: Vec::new(),
            on_laptop: BTreeSet::new(),
            supports: Vec::new(),
        };
        life.days(month, person);
        life.mess(month, person);
        life
    }

    /// Where the laptop was at a time; in the home network where it was off.
    pub(crate) fn place_at(&self, person: &Person, time_ms: i64) -> (Network, u32) {
        let stay = self
            .stays
            .iter()
            .find(|stay| (stay.from_ms..=stay.until_ms).contains(&time_ms));
        stay.map_or_else(
            || (person.home.clone(), person.home_host),
            |stay| (stay.network.clone(), stay.host),
        )
    }

    /// A client on the phone, in its carrier's network.
    pub(crate) fn phone_origin(&mut self, month: &Month<'_>, person: &Person) -> Origin {
        let host = u32::try_from(self.random.between(0, 255)).unwrap_or(0);
        month.company.sites[person.site]
            .carrier
            .origin(host, &person.phone)
    }

    /// A sign-in that is made on the laptop. Returns when it ended.
    pub(crate) fn on_laptop(&mut self, person: &Person, sign_in: &SignIn) -> i64 {
        self.uses.push(Use {
            time_ms: sign_in.time_ms,
            browser: self.plan.laptop(person, sign_in.time_ms).browser,
        });
        let before = self.log.events.len();
        let end_ms = self.log.sign_in(person, sign_in);
        let left = self.log.events.iter().skip(before).map(|event| event.id);
        self.on_laptop.extend(left);
        end_ms
    }

    /// The browser's token, new each time for those that forget.
    pub(crate) fn laptop(&mut self, person: &Person, time_ms: i64) -> Machine {
        let mut machine = self.plan.laptop(person, time_ms).clone();
        if person.is_forgetful && machine.token.is_some() {
            machine.token = Some(format!("forgotten{:016x}", self.random.next()));
        }
        machine
    }
}
